"""Trigonometric and hyperbolic functions and their inverses, element by element."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograd.ops import samples
from retrograd.ops.declare import Array
from retrograd.ops.families import pointwise
from retrograd.ops.numbers import number


@pointwise(
    node="SinBackward0",
    input=lambda ct, input: ct * np.cos(input),
    promote="float",
    samples=samples.real,
    numpy=np.sin,
    kernel=np.sin,
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
    kernel=np.cos,
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
    kernel=np.tan,
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
    kernel=np.arcsin,
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
    kernel=np.arccos,
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
    kernel=np.sinh,
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
    kernel=np.cosh,
)
def cosh(input: Array) -> Array:
    """Compute the hyperbolic cosine."""
    return np.cosh(input)


@pointwise(
    node="TanhBackward0",
    input=lambda ct, result: ct * (number(1, result) - result * result),
    promote="float",
    samples=samples.real,
    numpy=np.tanh,
    kernel=np.tanh,
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


def _acosh_root(x: Any) -> Any:
    """Return sqrt(x**2 - 1); of complex numbers by two roots, which lie on the branch that acosh takes."""
    if x.dtype.kind == "c":
        return np.sqrt(x - 1) * np.sqrt(x + 1)
    return np.sqrt((x - 1) * (x + 1))


@pointwise(
    node="AcoshBackward0",
    input=lambda ct, input: ct / _acosh_root(input),
    promote="float",
    samples=samples.within(1.2, 4.0),
    aliases="arccosh",
    numpy=np.arccosh,
    kernel=np.arccosh,
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
