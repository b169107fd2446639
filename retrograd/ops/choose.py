"""Choosing between values, element by element: where, clamp, the larger and the smaller."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import samples
from retrograd.ops.declare import Array, ErrorSample, Operand, Plain, Sample, error, sample
from retrograd.ops.families import pointwise
from retrograd.ops.helpers import name_of
from retrograd.ops.pointwise import as_arrays
from retrograd.ops.select import drop, keep, select


def _choices() -> Iterator[Sample]:
    x, y = samples.ramp(-1.9, 3.1, 2, 3), samples.ramp(0.6, 2.2, 3)
    mask = np.array([[True, False, True], [False, False, True]])
    yield sample(x, mask, y)
    yield sample(x, mask[0], 2.5)
    yield sample(np.array(1.5), mask, y)
    yield sample(x, np.array(True), y)
    yield sample(x[:0], mask[:0], y)


def _not_a_mask() -> Iterator[ErrorSample]:
    yield error(
        RuntimeError, "where expected condition to be a boolean tensor", np.ones(1), np.array([1]), np.ones(1)
    )


@pointwise(
    node="WhereBackward0",
    input=lambda ct, condition: keep(condition, ct),
    other=lambda ct, condition: drop(condition, ct),
    samples=_choices,
    errors=_not_a_mask,
    inplace=False,
    places="Tensor",
    numpy={np.where: lambda condition, x, y: (x, condition, y)},
)
def where(input: Operand, condition: Plain, other: Operand) -> Array:
    """Take `input` where `condition` is true and `other` elsewhere; torch.where takes `condition` first.

    Raises:
        RuntimeError: `condition` is not bool.
    """
    if getattr(condition, "dtype", np.bool_) != np.bool_ and condition.dtype != np.uint8:
        raise RuntimeError(
            "where expected condition to be a boolean tensor, but got a tensor with dtype "
            f"{name_of(condition)}"
        )
    return select(condition, input, other)


def _bounds() -> Iterator[Sample]:
    x = samples.ramp(-1.93, 3.1, 2, 3)
    yield sample(x, -0.5, 1.5)
    yield sample(x, None, 1.5)
    yield sample(x, min=-0.5)
    yield sample(x, np.array([-0.5, 0.1, 0.2]), np.array([[1.1], [0.7]]))
    yield sample(x, None, np.array(1.25))
    yield sample(np.zeros((0, 2)), 0.0, 1.0)


def _no_bounds() -> Iterator[ErrorSample]:
    yield error(RuntimeError, "torch.clamp: At least one of 'min' or 'max' must not be None", np.ones(2))


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float))


def _clamp_node(min: Any, max: Any) -> str:
    tensors = [b for b in (min, max) if b is not None and not _is_number(b)]
    return "ClampBackward0" if tensors else "ClampBackward1"


def _inside(ct: Any, input: Any, min: Any, max: Any) -> Any:
    """Return the cotangent of what was not clamped; at a bound it passes."""
    if min is None:
        return keep(input <= max, ct)
    if max is None:
        return keep(input >= min, ct)
    return keep((input >= min) & (input <= max), ct)


def _below(ct: Any, input: Any, min: Any, max: Any) -> Any:
    """Return the cotangent of a lower bound: of what it raised, unless the upper bound undid that."""
    held = input < min
    return keep(held if max is None else held & (min < max), ct)


def _above(ct: Any, input: Any, min: Any, max: Any) -> Any:
    """Return the cotangent of an upper bound."""
    held = input > max
    return keep(held if min is None else held | (max < min), ct)


@pointwise(
    node=_clamp_node,
    input=_inside,
    min=_below,
    max=_above,
    samples=_bounds,
    errors=_no_bounds,
    kinds="buif",
    aliases="clip",
    numpy={np.clip: lambda a, a_min=None, a_max=None, *, min=None, max=None: (
        a, min if a_min is None else a_min, max if a_max is None else a_max)},
)  # fmt: skip
def clamp(input: Array, min: Operand | None = None, max: Operand | None = None) -> Array:
    """Limit to [min, max]; where min > max the result is max.

    Raises:
        RuntimeError: there is no bound at all.
    """
    if max is None:
        if min is None:
            raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
        return np.maximum(input, min)
    return np.minimum(input if min is None else np.maximum(input, min), max)


def _one_bound() -> Iterator[Sample]:
    x = samples.ramp(-1.93, 3.1, 2, 3)
    yield sample(x, 0.5)
    yield sample(x, np.array([-0.5, 0.1, 0.2]))


@pointwise(
    node=lambda min: "ClampMinBackward0" if _is_number(min) else "ClampMinBackward1",
    input=lambda ct, input, min: keep(input >= min, ct),
    min=lambda ct, input, min: keep(input < min, ct),
    samples=_one_bound,
    kinds="buif",
)
def clamp_min(input: Array, min: Operand) -> Array:
    """Raise to at least `min`."""
    return np.maximum(input, min)


@pointwise(
    node=lambda max: "ClampMaxBackward0" if _is_number(max) else "ClampMaxBackward1",
    input=lambda ct, input, max: keep(input <= max, ct),
    max=lambda ct, input, max: keep(input > max, ct),
    samples=_one_bound,
    kinds="buif",
)
def clamp_max(input: Array, max: Operand) -> Array:
    """Lower to at most `max`."""
    return np.minimum(input, max)


def _complex_operands() -> Iterator[ErrorSample]:
    x = np.array([1j])
    yield error(RuntimeError, "not implemented for complex tensors", x, x)


def refuse_complex(x: Any, name: str) -> None:
    """Refuse to order complex numbers.

    Raises:
        RuntimeError: `x` is complex.
    """
    if x.dtype.kind == "c":
        raise RuntimeError(f"{name} not implemented for complex tensors.")


def _winner(ct: Any, tied: Any, lost: Any) -> Any:
    """Return the cotangent of one of two operands: all of it, half in a tie, none where it lost."""
    won = drop(lost, ct)
    if tied.__class__ is np.ndarray and not tied.any():
        return won
    return select(tied, ct / 2, won)


@pointwise(
    node="MaximumBackward0",
    input=lambda ct, input, other: _winner(ct, input == other, input < other),
    other=lambda ct, input, other: _winner(ct, input == other, input > other),
    samples=samples.pairs,
    errors=_complex_operands,
    inplace=False,
    numpy={np.maximum: as_arrays},
)
def maximum(input: Array, other: Array) -> Array:
    """Take the larger; NaN if either is. Equal operands share the gradient evenly."""
    refuse_complex(input, "maximum")
    return np.maximum(input, other)


@pointwise(
    node="MinimumBackward0",
    input=lambda ct, input, other: _winner(ct, input == other, input > other),
    other=lambda ct, input, other: _winner(ct, input == other, input < other),
    samples=samples.pairs,
    errors=_complex_operands,
    inplace=False,
    numpy={np.minimum: as_arrays},
)
def minimum(input: Array, other: Array) -> Array:
    """Take the smaller; NaN if either is. Equal operands share the gradient evenly."""
    refuse_complex(input, "minimum")
    return np.minimum(input, other)


@pointwise(
    node="FmaxBackward0",
    input=lambda ct, input, other: keep((input >= other) | np.isnan(other), ct),
    other=lambda ct, input, other: drop((input >= other) | np.isnan(other), ct),
    samples=samples.pairs,
    inplace=False,
    kinds="buif",
    numpy={np.fmax: as_arrays},
)
def fmax(input: Array, other: Array) -> Array:
    """Take the larger; of a number and NaN the number."""
    return np.fmax(input, other)


@pointwise(
    node="FminBackward0",
    input=lambda ct, input, other: keep((input <= other) | np.isnan(other), ct),
    other=lambda ct, input, other: drop((input <= other) | np.isnan(other), ct),
    samples=samples.pairs,
    inplace=False,
    kinds="buif",
    numpy={np.fmin: as_arrays},
)
def fmin(input: Array, other: Array) -> Array:
    """Take the smaller; of a number and NaN the number."""
    return np.fmin(input, other)
