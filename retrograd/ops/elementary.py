"""Exponentials, logarithms, trigonometric and hyperbolic functions, element by element."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import samples
from retrograd.ops.declare import Array, Sample, sample
from retrograd.ops.families import pointwise

_LN2 = math.log(2.0)
_LN10 = math.log(10.0)


@pointwise(
    node="ExpBackward0",
    input=lambda ct, result: ct * result,
    promote="float",
    samples=samples.real,
    numpy=np.exp,
)
def exp(input: Array) -> Array:
    """Compute e**input."""
    return np.exp(input)


@pointwise(
    node="Exp2Backward0",
    input=lambda ct, result: ct * result * _LN2,
    promote="float",
    samples=samples.real,
    places="torch Tensor special",
    numpy=np.exp2,
)
def exp2(input: Array) -> Array:
    """Compute 2**input."""
    return np.exp2(input) if input.dtype.kind == "f" else np.exp(input * _LN2)


@pointwise(
    node="Expm1Backward0",
    input=lambda ct, result: ct * (result + 1),
    promote="float",
    samples=samples.real,
    places="torch Tensor special",
    numpy=np.expm1,
)
def expm1(input: Array) -> Array:
    """Compute e**input - 1, exact near 0."""
    return np.expm1(input)


@pointwise(
    node="LogBackward0",
    input=lambda ct, input: ct / input,
    promote="float",
    samples=samples.positive,
    numpy=np.log,
)
def log(input: Array) -> Array:
    """Compute the natural logarithm."""
    return np.log(input)


@pointwise(
    node="Log2Backward0",
    input=lambda ct, input: ct / (input * _LN2),
    promote="float",
    samples=samples.positive,
    numpy=np.log2,
)
def log2(input: Array) -> Array:
    """Compute the logarithm to base 2."""
    return np.log2(input)


@pointwise(
    node="Log10Backward0",
    input=lambda ct, input: ct / (input * _LN10),
    promote="float",
    samples=samples.positive,
    numpy=np.log10,
)
def log10(input: Array) -> Array:
    """Compute the logarithm to base 10."""
    return np.log10(input)


@pointwise(
    node="Log1PBackward0",
    input=lambda ct, input: ct / (input + 1),
    promote="float",
    samples=samples.positive,
    places="torch Tensor special",
    numpy=np.log1p,
)
def log1p(input: Array) -> Array:
    """Compute log(1 + input), exact near 0."""
    return np.log1p(input)


@pointwise(
    node="SinBackward0",
    input=lambda ct, input: ct * np.cos(input),
    promote="float",
    samples=samples.real,
    numpy=np.sin,
)
def sin(input: Array) -> Array:
    """Compute the sine."""
    return np.sin(input)


@pointwise(
    node="CosBackward0",
    input=lambda ct, input: -ct * np.sin(input),
    promote="float",
    samples=samples.real,
    numpy=np.cos,
)
def cos(input: Array) -> Array:
    """Compute the cosine."""
    return np.cos(input)


@pointwise(
    node="TanBackward0",
    input=lambda ct, result: ct * (1 + result * result),
    promote="float",
    samples=samples.unit,
    numpy=np.tan,
)
def tan(input: Array) -> Array:
    """Compute the tangent."""
    return np.tan(input)


@pointwise(
    node="AsinBackward0",
    input=lambda ct, input: ct / np.sqrt(1 - input * input),
    promote="float",
    samples=samples.unit,
    aliases="arcsin",
    numpy=np.arcsin,
)
def asin(input: Array) -> Array:
    """Compute the inverse of the sine, between -pi/2 and pi/2."""
    return np.arcsin(input)


@pointwise(
    node="AcosBackward0",
    input=lambda ct, input: -ct / np.sqrt(1 - input * input),
    promote="float",
    samples=samples.unit,
    aliases="arccos",
    numpy=np.arccos,
)
def acos(input: Array) -> Array:
    """Compute the inverse of the cosine, between 0 and pi."""
    return np.arccos(input)


@pointwise(
    node="AtanBackward0",
    input=lambda ct, input: ct / (1 + input * input),
    promote="float",
    samples=samples.real,
    aliases="arctan",
    numpy=np.arctan,
)
def atan(input: Array) -> Array:
    """Compute the inverse of the tangent, between -pi/2 and pi/2."""
    return np.arctan(input)


def _over_square(ct: Any, x: Any, input: Any, other: Any) -> Any:
    """Return ct * x / (input**2 + other**2), and 0 at the origin."""
    square = input * input + other * other
    return np.where(square == 0, 0, ct * (x / square))


@pointwise(
    node="Atan2Backward0",
    input=lambda ct, input, other: _over_square(ct, other, input, other),
    other=lambda ct, input, other: _over_square(ct, -input, input, other),
    promote="float",
    samples=samples.pairs,
    aliases="arctan2",
    kinds="f",
    numpy=np.arctan2,
)
def atan2(input: Array, other: Array) -> Array:
    """Compute the angle of the point (other, input), between -pi and pi."""
    return np.arctan2(input, other)


@pointwise(
    node="SinhBackward0",
    input=lambda ct, input: ct * np.cosh(input),
    promote="float",
    samples=samples.real,
    numpy=np.sinh,
)
def sinh(input: Array) -> Array:
    """Compute the hyperbolic sine."""
    return np.sinh(input)


@pointwise(
    node="CoshBackward0",
    input=lambda ct, input: ct * np.sinh(input),
    promote="float",
    samples=samples.real,
    numpy=np.cosh,
)
def cosh(input: Array) -> Array:
    """Compute the hyperbolic cosine."""
    return np.cosh(input)


@pointwise(
    node="TanhBackward0",
    input=lambda ct, result: ct * (1 - result * result),
    promote="float",
    samples=samples.real,
    numpy=np.tanh,
)
def tanh(input: Array) -> Array:
    """Compute the hyperbolic tangent."""
    return np.tanh(input)


@pointwise(
    node="AsinhBackward0",
    input=lambda ct, input: ct / np.sqrt(input * input + 1),
    promote="float",
    samples=samples.real,
    aliases="arcsinh",
    numpy=np.arcsinh,
)
def asinh(input: Array) -> Array:
    """Compute the inverse of the hyperbolic sine."""
    return np.arcsinh(input)


@pointwise(
    node="AcoshBackward0",
    # Two roots rather than one of input**2 - 1: for complex numbers they lie on the branch that acosh takes.
    input=lambda ct, input: ct / (np.sqrt(input - 1) * np.sqrt(input + 1)),
    promote="float",
    samples=samples.within(1.2, 4.0),
    aliases="arccosh",
    numpy=np.arccosh,
)
def acosh(input: Array) -> Array:
    """Compute the inverse of the hyperbolic cosine; NaN below 1."""
    return np.arccosh(input)


@pointwise(
    node="AtanhBackward0",
    input=lambda ct, input: ct / (1 - input * input),
    promote="float",
    samples=samples.unit,
    aliases="arctanh",
    numpy=np.arctanh,
)
def atanh(input: Array) -> Array:
    """Compute the inverse of the hyperbolic tangent."""
    return np.arctanh(input)


@pointwise(
    node="SigmoidBackward0",
    input=lambda ct, result: ct * ((1 - result) * result),
    promote="float",
    samples=samples.real,
)
def sigmoid(input: Array) -> Array:
    """Compute 1 / (1 + e**-input)."""
    return 1 / (1 + np.exp(-input))


def _probabilities() -> Iterator[Sample]:
    x = samples.ramp(0.05, 0.95, 2, 3)
    yield sample(x)
    yield sample(x, 0.1)
    yield sample(np.array(0.3), eps=1e-3)


def _logit_rule(ct: Any, input: Any, eps: float | None) -> Any:
    low, high = (0, 1) if eps is None else (eps, 1 - eps)
    outside = np.nan if eps is None else 0
    return np.where((input < low) | (input > high), outside, ct / (input * (1 - input)))


@pointwise(
    node="LogitBackward0",
    input=_logit_rule,
    promote="float",
    samples=_probabilities,
    places="torch Tensor special",
    kinds="f",
)
def logit(input: Array, eps: float | None = None) -> Array:
    """Compute log(x / (1 - x)): the inverse of the sigmoid. With `eps`, x is first clamped to [eps, 1 - eps]."""
    x = input if eps is None else np.minimum(np.maximum(input, eps), 1 - eps)
    return np.log(x / (1 - x))


def _step(degrees: float) -> dict[str, Any]:
    return {"input": lambda ct: ct * degrees, "promote": "float", "samples": samples.real, "kinds": "f"}


@pointwise(node="Deg2RadBackward0", numpy=np.deg2rad, **_step(math.pi / 180))
def deg2rad(input: Array) -> Array:
    """Turn degrees into radians."""
    return input * (math.pi / 180)


@pointwise(node="Rad2DegBackward0", numpy=np.rad2deg, **_step(180 / math.pi))
def rad2deg(input: Array) -> Array:
    """Turn radians into degrees."""
    return input * (180 / math.pi)


@pointwise(
    node="LogaddexpBackward0",
    input=lambda ct, input, other: ct / (1 + np.exp(other - input)),
    other=lambda ct, input, other: ct / (1 + np.exp(input - other)),
    samples=samples.pairs,
    kinds="fc",
    inplace=False,
    numpy=np.logaddexp,
)
def logaddexp(input: Array, other: Array) -> Array:
    """Compute log(e**input + e**other) without overflow."""
    if input.dtype.kind == "c":
        return _complex_logaddexp(input, other)
    return np.logaddexp(input, other)


def _complex_logaddexp(x: Any, y: Any) -> Any:
    first = np.where(np.real(x) >= np.real(y), x, y)
    return first + np.log1p(np.exp(np.where(np.real(x) >= np.real(y), y, x) - first))


@pointwise(
    node="Logaddexp2Backward0",
    input=lambda ct, input, other: ct / (1 + np.exp2(other - input)),
    other=lambda ct, input, other: ct / (1 + np.exp2(input - other)),
    samples=samples.pairs,
    kinds="f",
    inplace=False,
    numpy=np.logaddexp2,
)
def logaddexp2(input: Array, other: Array) -> Array:
    """Compute log2(2**input + 2**other) without overflow."""
    return np.logaddexp2(input, other)
