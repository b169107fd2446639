"""Exponentials and logarithms, element by element, and what is made of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import neural, samples
from retrograd.ops.declare import Array, Sample, sample
from retrograd.ops.families import pointwise
from retrograd.ops.numbers import number

_LN2 = math.log(2.0)
_LN10 = math.log(10.0)


@pointwise(
    node="ExpBackward0",
    input=lambda ct, result: ct * result,
    promote="float",
    samples=samples.real,
    numpy=np.exp,
    kernel=np.exp,
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
    kernel=np.expm1,
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
    kernel=np.log,
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
    kernel=np.log2,
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
    kernel=np.log10,
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
    kernel=np.log1p,
)
def log1p(input: Array) -> Array:
    """Compute log(1 + input), exact near 0."""
    return np.log1p(input)


@pointwise(
    node="SigmoidBackward0",
    input=lambda ct, result: ct * ((number(1, result) - result) * result),
    promote="float",
    samples=samples.real,
)
def sigmoid(input: Array) -> Array:
    """Compute 1 / (1 + e**-input)."""
    return neural.sigmoid(input)


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
    """Compute log(x / (1 - x)), the inverse of the sigmoid; `eps` first clamps x to [eps, 1 - eps]."""
    x = input if eps is None else np.minimum(np.maximum(input, eps), 1 - eps)
    return np.log(x / (1 - x))


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
