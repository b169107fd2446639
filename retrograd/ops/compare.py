"""Comparisons and tests, element by element: their results are bool and have no derivative."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.declare import Array, Operand, Sample, sample
from retrograd.ops.families import comparison, general
from retrograd.ops.helpers import cast, name_of


def _against() -> Iterator[Sample]:
    x = np.array([[1.0, 2.0, np.nan], [-0.5, 2.0, np.inf]])
    yield sample(x, np.array([1.0, 2.0, np.nan]))
    yield sample(x, 2.0)
    yield sample(np.array(2), np.array([1, 2, 3]))
    yield sample(np.zeros((0, 3)), np.ones(3))


@comparison(samples=_against, numpy=np.equal)
def eq(input: Array, other: Operand) -> Array:
    """Test input == other."""
    return input == other


@comparison(samples=_against, aliases="not_equal", numpy=np.not_equal)
def ne(input: Array, other: Operand) -> Array:
    """Test input != other."""
    return input != other


@comparison(samples=_against, aliases="less", kinds="buif", numpy=np.less)
def lt(input: Array, other: Operand) -> Array:
    """Test input < other."""
    return input < other


@comparison(samples=_against, aliases="less_equal", kinds="buif", numpy=np.less_equal)
def le(input: Array, other: Operand) -> Array:
    """Test input <= other."""
    return input <= other


@comparison(samples=_against, aliases="greater", kinds="buif", numpy=np.greater)
def gt(input: Array, other: Operand) -> Array:
    """Test input > other."""
    return input > other


@comparison(samples=_against, aliases="greater_equal", kinds="buif", numpy=np.greater_equal)
def ge(input: Array, other: Operand) -> Array:
    """Test input >= other."""
    return input >= other


def _strange() -> Iterator[Sample]:
    yield sample(np.array([[1.5, np.nan, -np.inf], [np.inf, -0.0, 0.0]]))
    yield sample(np.array([1, 0]))
    yield sample(np.array(np.nan))


def _inexact(x: Any) -> bool:
    return x.dtype.kind in "fc"


@comparison(samples=_strange, inplace=False, numpy=np.isnan)
def isnan(input: Array) -> Array:
    """Test for NaN."""
    return np.isnan(input) if _inexact(input) else np.zeros(input.shape, np.bool_)


@comparison(samples=_strange, inplace=False, numpy=np.isinf)
def isinf(input: Array) -> Array:
    """Test for an infinity of either sign."""
    return np.isinf(input) if _inexact(input) else np.zeros(input.shape, np.bool_)


@comparison(samples=_strange, inplace=False, numpy=np.isfinite)
def isfinite(input: Array) -> Array:
    """Test for a number that is neither infinite nor NaN."""
    return np.isfinite(input)


@comparison(samples=_strange, inplace=False, kinds="buif", numpy=np.isposinf)
def isposinf(input: Array) -> Array:
    """Test for infinity."""
    return input == np.inf


@comparison(samples=_strange, inplace=False, kinds="buif", numpy=np.isneginf)
def isneginf(input: Array) -> Array:
    """Test for minus infinity."""
    return input == -np.inf


@comparison(samples=_strange, inplace=False, numpy=np.isreal)
def isreal(input: Array) -> Array:
    """Test for an imaginary part of 0."""
    return np.isreal(input)


def _signed() -> Iterator[Sample]:
    yield sample(np.array([[1.5, -2.5, -np.inf], [np.inf, -0.0, 0.0]]))  # what sign a NaN has is not fixed
    yield sample(np.array([1, 0]))
    yield sample(np.array(-0.3))


@comparison(samples=_signed, inplace=False, kinds="buif", numpy=np.signbit)
def signbit(input: Array) -> Array:
    """Test for a minus sign, also that of -0.0."""
    return input < 0 if input.dtype.kind in "iub" else np.signbit(input)


def _near() -> Iterator[Sample]:
    x = np.array([1.0, 2.0, np.nan, np.inf])
    yield sample(x, x + np.array([1e-9, 1e-3, 0, 0]))
    yield sample(x, x, equal_nan=True)
    yield sample(x[:2], np.array(1.1), 0.1, 0.01)
    yield sample(np.array([1, 3]), np.array([1, 2]), atol=1)


def _within(input: Any, other: Any, rtol: float, atol: float, equal_nan: bool) -> Any:
    """Return |input - other| <= atol + rtol * |other|, with infinities near themselves only."""
    found = input == other
    if rtol or atol:
        if input.dtype.kind in "fc":
            gap, size = np.absolute(input - other), np.absolute(other)
            found = found | (np.isfinite(gap) & (gap <= atol + rtol * size))
        else:
            input, other = cast(input, np.float64), cast(other, np.float64)
            found = np.absolute(input - other) <= atol + rtol * np.absolute(other)
    return found | (np.isnan(input) & np.isnan(other)) if equal_nan and input.dtype.kind in "fc" else found


def _check_close(name: str, input: Any, other: Any, rtol: float, atol: float) -> None:
    if input.dtype != other.dtype:
        raise RuntimeError(f"{name_of(input)} did not match {name_of(other)}")
    for what, value in (("rtol", rtol), ("atol", atol)):
        if value < 0:
            raise RuntimeError(f"{what} must be greater than or equal to zero, but got {value}")


@general(samples=_near, promote="none", batch=batching.pointwise, numpy=np.isclose)
def isclose(
    input: Array, other: Array, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Array:
    """Test |input - other| <= atol + rtol * |other|."""
    _check_close("isclose", input, other, rtol, atol)
    return _within(_wide(input), _wide(other), rtol, atol, equal_nan)


def _wide(x: Any) -> Any:
    return cast(x, np.float32) if x.dtype.itemsize == 2 and x.dtype.kind in "fV" else x


def _masks() -> Iterator[Sample]:
    x = np.array([[True, False, True], [False, False, True]])
    yield sample(x, np.array([True, True, False]))
    yield sample(np.array([[0.0, 1.5], [-2.0, 0.0]]), np.array([[0.0], [3.0]]))
    yield sample(np.array([0, 2]), np.array(3))


@comparison(samples=_masks, numpy=np.logical_and)
def logical_and(input: Array, other: Array) -> Array:
    """Test that both are not 0."""
    return np.logical_and(input, other)


@comparison(samples=_masks, numpy=np.logical_or)
def logical_or(input: Array, other: Array) -> Array:
    """Test that one at least is not 0."""
    return np.logical_or(input, other)


@comparison(samples=_masks, numpy=np.logical_xor)
def logical_xor(input: Array, other: Array) -> Array:
    """Test that exactly one is not 0."""
    return np.logical_xor(input, other)


@comparison(samples=_strange, numpy=np.logical_not)
def logical_not(input: Array) -> Array:
    """Test that it is 0."""
    return np.logical_not(input)
