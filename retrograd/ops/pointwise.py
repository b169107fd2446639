"""Arithmetic and elementary functions, element by element."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from retrograd.ops.declare import Array, Operand, Sample, sample
from retrograd.ops.families import pointwise


def _pairs() -> Iterator[Sample]:
    x = np.linspace(-2.0, 3.0, 6).reshape(2, 3)
    yield sample(x, x[::-1] + 0.25)
    yield sample(x, np.array([0.5, -1.5, 2.0]))
    yield sample(np.array(1.5), x)
    yield sample(x, 2.5)
    yield sample(np.zeros((0, 3)), np.ones((1, 3)))


def _real() -> Iterator[Sample]:
    yield sample(np.linspace(-2.0, 3.0, 6).reshape(2, 3) + 0.1)
    yield sample(np.array(0.7))
    yield sample(np.zeros((0, 2)))


@pointwise(
    node="AddBackward0",
    input=lambda ct: ct,
    other=lambda ct, alpha: ct if alpha == 1 else ct * alpha,
    samples=_pairs,
)
def add(input: Operand, other: Operand, *, alpha: float = 1) -> Array:
    """Add elementwise: input + alpha * other."""
    return input + other if alpha == 1 else input + other * alpha


@pointwise(
    node="MulBackward0",
    input=lambda ct, other: ct * other,
    other=lambda ct, input: ct * input,
    samples=_pairs,
)
def mul(input: Operand, other: Operand) -> Array:
    """Multiply elementwise: input * other."""
    return input * other


@pointwise(node="ExpBackward0", input=lambda ct, result: ct * result, promote="float", samples=_real)
def exp(input: Array) -> Array:
    """Compute e**input elementwise."""
    return np.exp(input)
