"""Elements where a mask is true: filled, taken, replaced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.ops import batching
from retrograd.ops.declare import Array, ErrorSample, Operand, Plain, Sample, error, sample
from retrograd.ops.families import general
from retrograd.ops.helpers import cast, name_of
from retrograd.ops.select import drop, keep, select
from retrograd.ops.shape import sum_to


def _mask() -> Any:
    return np.array([[True, False, True], [False, False, True]])


def _fills() -> Iterator[Sample]:
    x = np.arange(6.0).reshape(2, 3)
    yield sample(x, _mask(), 2.5)
    yield sample(x, _mask()[0], np.array(1.5))
    yield sample(x[0], _mask(), -1)


def _fill_errors() -> Iterator[ErrorSample]:
    x = np.zeros((2, 3))
    yield error(RuntimeError,
        "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with 1 dimension(s).",
                x, _mask(), np.zeros(3))  # fmt: skip
    yield error(
        RuntimeError, "masked_fill_ only supports boolean masks, but got mask with dtype double", x, x, 0.0
    )


@general(
    node=lambda value: f"MaskedFillBackward{int(hasattr(value, 'ndim'))}",
    input=lambda ct, input_shape, mask: sum_to(drop(mask, ct), input_shape),
    value=lambda ct, mask: np.sum(keep(mask, ct)),
    jvp={
        "input": lambda t, mask: drop(mask, t),
        "value": lambda t, mask, input: np.where(mask, t, 0 * input),
    },
    batch=lambda op, size, args, dims: (
        batching.pointwise(op, size, args, dims)
        if dims[2] is None
        else batching.loop(op, size, args, dims)  # a value for each element is no 0-dim value
    ),
    samples=_fills,
    errors=_fill_errors,
    inplace=True,
)
def masked_fill(input: Array, mask: Plain, value: Operand) -> Array:
    """Set the elements to one value where `mask` is true."""
    if mask.dtype != np.bool_:
        raise RuntimeError(
            "masked_fill_ only supports boolean masks, but got mask with dtype "
            f"{dtypes.of_array(mask).c_name}"
        )
    if value.__class__ is float and input.dtype.kind == "f":
        return select(mask, value, input)
    if np.ndim(value):
        raise RuntimeError(
            "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
            f"{np.ndim(value)} dimension(s)."
        )
    dtype = getattr(input.dtype, "np", input.dtype)
    return np.where(mask, as_number(value, dtype), input)


def as_number(value: Any, dtype: Any) -> Any:
    """Return a number or a 0-dim array in a dtype.

    Raises:
        RuntimeError: a Python number does not fit, as a complex one into reals.
    """
    if isinstance(value, (np.ndarray, np.generic)):
        if value.dtype.kind == "c" and dtype.kind != "c" and value.imag.any():
            raise RuntimeError(
                f"value cannot be converted to type {dtypes.OF_NUMPY[dtype].c_name} without overflow"
            )
        return (
            value.astype(dtype) if value.dtype.kind != "c" or dtype.kind == "c" else value.real.astype(dtype)
        )
    if not isinstance(value, (bool, int, float, complex)):
        return cast(value, dtype)
    if isinstance(value, complex) and dtype.kind != "c":
        if value.imag:
            raise RuntimeError(
                f"value cannot be converted to type {dtypes.OF_NUMPY[dtype].c_name} without overflow"
            )
        value = value.real
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        low = -int(limits.max) - 1 if dtype.kind == "u" else int(limits.min)
        if value != value or not low <= value <= int(limits.max):
            raise RuntimeError(
                f"value cannot be converted to type {dtypes.OF_NUMPY[dtype].c_name} without overflow"
            )
        value = int(value) % (1 << 8 * dtype.itemsize) if dtype.kind == "u" else int(value)
    return np.asarray(value).astype(dtype)


def _selects() -> Iterator[Sample]:
    x = np.arange(6.0).reshape(2, 3)
    yield sample(x, _mask())
    yield sample(x, _mask()[0])
    yield sample(x[0], _mask())


def _select_errors() -> Iterator[ErrorSample]:
    x = np.zeros((2, 3))
    yield error(RuntimeError, "masked_select: expected BoolTensor for mask", x, x)
    yield error(RuntimeError,
        "The size of tensor a (2) must match the size of tensor b (3) at non-singleton dimension 1",
                x, np.array([True, False]))  # fmt: skip


def common_shape(first: Sequence[int], second: Sequence[int]) -> tuple[int, ...]:
    """Return the shape that two tensors broadcast to.

    Raises:
        RuntimeError: they do not.
    """
    try:
        return np.broadcast_shapes(tuple(first), tuple(second))
    except ValueError:
        rank = max(len(first), len(second))
        a, b = ((1,) * (rank - len(s)) + tuple(s) for s in (first, second))
        d = next(k for k in reversed(range(rank)) if a[k] != b[k] and 1 not in (a[k], b[k]))
        raise RuntimeError(
            f"The size of tensor a ({a[d]}) must match the size of tensor b ({b[d]}) at non-singleton "
            f"dimension {d}"
        ) from None


@general(
    node="MaskedSelectBackward0",
    input=lambda ct, input_shape, mask: sum_to(
        put_masked(ct, mask, common_shape(input_shape, mask.shape)), input_shape
    ),
    jvp="linear",
    batch=batching.loop,  # as many elements as the mask has trues: vmap can only do it where they agree
    samples=_selects,
    errors=_select_errors,
    primitive=True,
)
def masked_select(input: Array, mask: Plain) -> Array:
    """Return the elements where `mask` is true, in C order."""
    if mask.dtype != np.bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = common_shape(mask.shape, input.shape)
    return np.broadcast_to(input, shape)[np.broadcast_to(mask, shape)]


@general(
    node="MaskedScatterBackward0",
    input=lambda ct, mask: masked_select(ct, mask),
    jvp="linear",
    batch=batching.loop,  # as for masked_select
    samples=lambda: [
        sample(np.arange(3.0) + 1, _mask(), (2, 3)),
        sample(np.arange(4.0) + 1, _mask()[0], (2, 3)),
    ],
    primitive=True,
    places="",
)
def put_masked(input: Array, mask: Plain, shape: tuple[int, ...]) -> Array:
    """Return zeros of `shape` with elements where `mask` is true: the transpose of `masked_select`."""
    made = np.zeros(shape, input.dtype)
    made[np.broadcast_to(mask, shape)] = input
    return made


def _scatters() -> Iterator[Sample]:
    x = np.arange(6.0).reshape(2, 3)
    yield sample(x, _mask(), x * 10)
    yield sample(x, _mask(), np.arange(3.0) + 7)
    yield sample(x[0], _mask(), x * 10)


def _scatter_errors() -> Iterator[ErrorSample]:
    x = np.zeros((2, 3))
    yield error(
        RuntimeError, "Number of elements of source < number of ones in mask", x, _mask(), np.zeros(1)
    )
    yield error(
        RuntimeError, "masked_scatter_ only supports boolean masks, but got mask with dtype Double", x, x, x
    )


@general(
    node="MaskedScatterBackward0",
    input=lambda ct, input_shape, mask: sum_to(drop(mask, ct), input_shape),
    source=lambda ct, source_shape, mask: unread(ct, mask, source_shape),
    jvp={
        "input": lambda t, mask: drop(mask, t),
        "source": lambda t, input, mask: masked_scatter(0 * input, mask, t),
    },
    batch=batching.loop,  # each element reads its source from the start
    samples=_scatters,
    errors=_scatter_errors,
    inplace=True,
    primitive=True,
)
def masked_scatter(input: Array, mask: Plain, source: Array) -> Array:
    """Replace the elements where `mask` is true by those of `source`, one after the other."""
    if mask.dtype != np.bool_:
        raise RuntimeError(
            f"masked_scatter_ only supports boolean masks, but got mask with dtype {name_of(mask)}"
        )
    if source.dtype != input.dtype:
        raise RuntimeError(
            f"masked_scatter: expected self and source to have same dtypes but got{name_of(input)} and "
            f"{name_of(source)}"
        )
    shape = common_shape(input.shape, mask.shape)
    where = np.broadcast_to(mask, shape)
    count = int(np.count_nonzero(where))
    if count > source.size:
        raise RuntimeError("Number of elements of source < number of ones in mask")
    made = np.array(np.broadcast_to(input, shape))
    made[where] = source.reshape(-1)[:count]
    return made


@general(
    node="MaskedScatterBackward0",
    input=lambda ct, input_shape, mask: _reread(ct, input_shape, mask),
    jvp="linear",
    batch=batching.loop,  # as for masked_scatter
    samples=lambda: [
        sample(np.arange(6.0).reshape(2, 3), _mask(), (2, 3)),
        sample(np.ones((2, 3)), _mask(), (5,)),
    ],
    primitive=True,
    places="",
)
def unread(input: Array, mask: Plain, shape: tuple[int, ...]) -> Array:
    """Return the elements where `mask` is true in C order, with zeros behind, in `shape`."""
    found = input[np.broadcast_to(mask, input.shape)]
    made = np.zeros(int(np.prod(shape)), input.dtype)
    made[: found.size] = found
    return made.reshape(shape)


def _reread(ct: Any, shape: Sequence[int], mask: Any) -> Any:
    """Put the first elements of `ct` where `mask` is true, into zeros of `shape`."""
    return masked_scatter(
        np.zeros(tuple(shape), ct.dtype if isinstance(ct.dtype, np.dtype) else ct.dtype.np), mask, ct
    )
