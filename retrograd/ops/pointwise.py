"""Arithmetic, element by element: sums, products, quotients and what is left over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import samples
from retrograd.ops.declare import Array, ErrorSample, Operand, Sample, error, sample
from retrograd.ops.families import pointwise

_NEG_BOOL = (
    "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use "
    "the `~` or `logical_not()` operator instead."
)
_SUB_BOOL = (
    "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` "
    "operator instead."
)


@pointwise(samples=samples.real, places="", inplace=False)
def zeros_as(input: Array) -> Array:
    """Return zeros of the input's shape and dtype: the derivative of steps."""
    return np.zeros(input.shape, input.dtype)


def as_arrays(x: Any, y: Any) -> tuple[Any, Any]:
    """Return the operands of a NumPy function, Python numbers as arrays: torch's function refuses them."""
    return tuple(np.asarray(v) if isinstance(v, (int, float)) else v for v in (x, y))  # type: ignore[return-value]


def _scaled() -> Iterator[Sample]:
    yield from samples.pairs_and_numbers()
    yield sample(samples.ramp(-1.9, 3.1, 2, 3), np.array([0.5, -1.5, 2.0]), alpha=-0.5)


def _alpha_errors() -> Iterator[ErrorSample]:
    x = np.arange(3)
    yield error(RuntimeError, "argument alpha must not be a floating point", x, x, alpha=0.5)
    yield error(RuntimeError, "Boolean alpha only supported", x, x, alpha=True)


def times(alpha: Any, x: Any) -> Any:
    """Return alpha * x in the dtype of x.

    Raises:
        RuntimeError: alpha is of a wider category than x.
    """
    kind = getattr(x, "dtype", np.dtype(float)).kind
    if isinstance(alpha, bool) and kind != "b":
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if isinstance(alpha, float) and kind in "biu":
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
    if isinstance(alpha, complex) and kind != "c":
        raise RuntimeError("For non-complex input tensors, argument alpha must not be a complex number.")
    return x * (bool(alpha) if kind == "b" else alpha)


@pointwise(
    node="AddBackward0",
    input=lambda ct: ct,
    other=lambda ct, alpha: ct if alpha == 1 else ct * alpha,
    samples=_scaled,
    errors=_alpha_errors,
    numpy=np.add,
    kernel=np.add,
)
def add(input: Operand, other: Operand, *, alpha: Any = 1) -> Array:
    """Add elementwise: input + alpha * other."""
    return input + other if alpha.__class__ is int and alpha == 1 else input + times(alpha, other)


@pointwise(
    node="SubBackward0",
    input=lambda ct: ct,
    other=lambda ct, alpha: -ct if alpha == 1 else ct * -alpha,
    samples=_scaled,
    errors=_alpha_errors,
    aliases="subtract",
    numpy=np.subtract,
    kernel=np.subtract,
)
def sub(input: Operand, other: Operand, *, alpha: Any = 1) -> Array:
    """Subtract elementwise: input - alpha * other.

    Raises:
        RuntimeError: both are bool.
    """
    try:
        return input - other if alpha.__class__ is int and alpha == 1 else input - times(alpha, other)
    except TypeError:
        raise RuntimeError(_SUB_BOOL) from None


@pointwise(
    node=lambda other: "RsubBackward1" if isinstance(other, (int, float, complex)) else "RsubBackward0",
    input=lambda ct, alpha: -ct if alpha == 1 else ct * -alpha,
    other=lambda ct: ct,
    samples=_scaled,
    inplace=False,
    places="torch",
)
def rsub(input: Operand, other: Operand, *, alpha: Any = 1) -> Array:
    """Subtract elementwise the other way round: other - alpha * input."""
    try:
        return other - input if alpha.__class__ is int and alpha == 1 else other - times(alpha, input)
    except TypeError:
        raise RuntimeError(_SUB_BOOL) from None


@pointwise(
    node="MulBackward0",
    input=lambda ct, other: ct * other,
    other=lambda ct, input: ct * input,
    samples=samples.pairs_and_numbers,
    aliases="multiply",
    numpy=np.multiply,
    kernel=np.multiply,
)
def mul(input: Operand, other: Operand) -> Array:
    """Multiply elementwise: input * other."""
    return input * other


@pointwise(
    node="DivBackward0",
    input=lambda ct, other: ct / other,
    other=lambda ct, input, other: -ct * (input / other) / other,
    promote="float",
    samples=samples.pairs_and_numbers,
    aliases="divide true_divide",
    numpy=np.true_divide,
    kernel=np.true_divide,
)
def div(input: Operand, other: Operand) -> Array:
    """Divide elementwise: input / other. With `rounding_mode`, see overloads.div."""
    return input / other


def _rounded() -> Iterator[Sample]:
    for mode in ("floor", "trunc"):
        for found in samples.kinked(samples.pairs_and_numbers)():
            yield Sample(found.args, {"rounding_mode": mode}, grad=False)


def _check_divisor(other: Any) -> None:
    if getattr(other, "dtype", np.dtype(float)).kind in "iub" and not np.all(other):
        raise RuntimeError("ZeroDivisionError")


@pointwise(
    node="DivBackward2",
    input=lambda ct: zeros_as(ct),
    other=lambda ct: zeros_as(ct),
    samples=_rounded,
    kinds="buif",
    places="",
    torch_name="div",
)
def div_rounded(input: Operand, other: Operand, *, rounding_mode: str) -> Array:
    """Divide elementwise and round towards zero ("trunc") or downwards ("floor").

    Raises:
        RuntimeError: an integer is divided by zero.
    """
    _check_divisor(other)
    if rounding_mode == "floor":
        return np.floor_divide(input, other) if is_whole(input) else _floored(input, other)
    if is_whole(input):  # both signs are exact: the remainder goes the way of the dividend
        return np.floor_divide(input - np.fmod(input, other), other)
    return np.trunc(input / other)


def is_whole(x: Any) -> bool:
    return getattr(x, "dtype", np.dtype(float)).kind in "biu"


def _floored(input: Any, other: Any) -> Any:
    """Return the floor of a quotient; division by zero keeps its infinity, as in C."""
    return np.where(other == 0, input / other, np.floor_divide(input, other))


def no_rule(name: str) -> Any:
    """Refuse to differentiate, as torch does where it has no formula."""
    raise RuntimeError(f"derivative for aten::{name} is not implemented")


@pointwise(
    node="NotImplemented",
    input=lambda ct: no_rule("floor_divide"),
    other=lambda ct: no_rule("floor_divide"),
    samples=samples.kinked(samples.pairs_and_numbers),
    kinds="buif",
    numpy=np.floor_divide,
)
def floor_divide(input: Operand, other: Operand) -> Array:
    """Divide elementwise and round downwards; integers stay integers."""
    _check_divisor(other)
    return np.floor_divide(input, other) if is_whole(input) else _floored(input, other)


def _remainders() -> Iterator[Sample]:
    x = np.array([[2.3, -1.7, 4.1], [0.4, -5.2, 3.3]])
    yield sample(x, np.array([1.5, 2.0, -1.3]))
    yield sample(x, 1.5)
    yield sample(np.array(7.3), x)
    yield sample(np.zeros((0, 3)), np.ones(3))


@pointwise(
    node="RemainderBackward0",
    input=lambda ct: ct,
    other=lambda ct, input, other: -ct * div_rounded(input, other, rounding_mode="floor"),
    samples=_remainders,
    kinds="buif",
    numpy=np.remainder,
)
def remainder(input: Operand, other: Operand) -> Array:
    """Compute input - floor(input / other) * other: it has the sign of `other`, as Python's %."""
    _check_divisor(other)
    return np.remainder(input, other)


@pointwise(
    node=lambda other: "FmodBackward0" if isinstance(other, (int, float)) else "FmodBackward1",
    input=lambda ct: ct,
    other=lambda ct, input, other: -ct * div_rounded(input, other, rounding_mode="trunc"),
    samples=_remainders,
    kinds="uif",
    numpy=np.fmod,
)
def fmod(input: Operand, other: Operand) -> Array:
    """Compute input - trunc(input / other) * other: it has the sign of `input`, as C's fmod."""
    _check_divisor(other)
    return np.fmod(input, other)


@pointwise(
    node="NegBackward0",
    input=lambda ct: -ct,
    samples=samples.real,
    aliases="negative",
    numpy=np.negative,
    kernel=np.negative,
)
def neg(input: Array) -> Array:
    """Change the sign."""
    try:
        return -input
    except TypeError:
        raise RuntimeError(_NEG_BOOL) from None
