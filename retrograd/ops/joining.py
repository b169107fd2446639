"""Taking tensors apart along a dimension and putting them together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.declare import Array, Arrays, ErrorSample, Sample, error, sample
from retrograd.ops.families import linear, movement
from retrograd.ops.helpers import wrap_dim
from retrograd.ops.shape import at, behind

ndarray = np.ndarray


# ---- apart ----


def _given(ct: Sequence[Any], shapes: Sequence[Sequence[int]], dtype: Any) -> list[Any]:
    """Return the cotangents of the pieces, zeros for those that nobody used."""
    return [np.zeros(tuple(s), dtype) if c is None else c for c, s in zip(ct, shapes, strict=True)]


def _unbinds() -> Iterator[Sample]:
    x = np.arange(6.0).reshape(2, 3)
    yield sample(x)
    yield sample(x, -1)


@movement(
    node="UnbindBackward0",
    input=lambda ct, input_shape, input_dtype, dim: _stacked(
        _given(ct, [_without(input_shape, dim)] * len(ct), input_dtype), dim
    ),
    batch=behind("dim"),
    samples=_unbinds,
    errors=lambda: [
        error(IndexError, "Dimension specified as 0 but tensor has no dimensions", np.array(1.0))
    ],
    outputs=("*",),
    view=True,
)
def unbind(input: Array, dim: int = 0) -> tuple[Array, ...]:
    """Return the slices along a dimension, which disappears."""
    if input.ndim == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    d = wrap_dim(dim, input.ndim)
    return tuple(input[at(d, i)] for i in range(input.shape[d]))


def _without(shape: Sequence[int], dim: int) -> tuple[int, ...]:
    d = dim % len(shape)
    return (*shape[:d], *shape[d + 1 :])


def _splits() -> Iterator[Sample]:
    x = np.arange(10.0).reshape(5, 2)
    yield sample(x, 2)
    yield sample(x, 3, 0)
    yield sample(x, 1, -1)


def _split_errors() -> Iterator[ErrorSample]:
    x = np.zeros((2, 3))
    yield error(
        RuntimeError, "split_size can only be 0 if dimension size is 0, but got dimension size of 2", x, 0
    )
    yield error(RuntimeError, "split expects split_size be non-negative, but got split_size=-1", x, -1)
    yield error(RuntimeError, "split expects at least a 1-dimensional tensor", np.array(1.0), 1)


@movement(
    node="SplitBackward0",
    input=lambda ct, input_shape, input_dtype, split_size, dim: _joined(
        ct, input_shape, input_dtype, _sizes(input_shape[dim], split_size), dim
    ),
    batch=behind("dim"),
    samples=_splits,
    errors=_split_errors,
    outputs=("*",),
    view=True,
    name="split",
    places="",
)
def split(input: Array, split_size: int, dim: int = 0) -> tuple[Array, ...]:
    """Cut a dimension into pieces of `split_size`, the last one smaller where it does not divide."""
    if input.ndim == 0:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    d = wrap_dim(dim, input.ndim)
    if split_size < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={split_size}")
    if split_size == 0 and input.shape[d]:
        raise RuntimeError(
            f"split_size can only be 0 if dimension size is 0, but got dimension size of {input.shape[d]}"
        )
    return _cut(input, _sizes(input.shape[d], split_size), d)


def _sizes(total: int, size: int) -> list[int]:
    return [min(size, total - start) for start in range(0, total, size)] if total else [0]


def _cut(input: Any, sizes: Sequence[int], d: int) -> tuple[Any, ...]:
    pieces, start = [], 0
    for n in sizes:
        pieces.append(input[at(d, slice(start, start + n))])
        start += n
    return tuple(pieces)


def _joined(ct: Sequence[Any], shape: Sequence[int], dtype: Any, sizes: Sequence[int], dim: int) -> Any:
    d = dim % len(shape)
    return np.concatenate(_given(ct, [(*shape[:d], n, *shape[d + 1 :]) for n in sizes], dtype), d)


@movement(
    node="SplitWithSizesBackward0",
    input=lambda ct, input_shape, input_dtype, split_sizes, dim: _joined(
        ct, input_shape, input_dtype, split_sizes, dim
    ),
    batch=behind("dim"),
    samples=lambda: [sample(np.arange(10.0).reshape(5, 2), (2, 0, 3)), sample(np.ones((2, 3)), [1, 2], -1)],
    errors=lambda: [
        error(RuntimeError, "split_with_sizes expects split_sizes to sum exactly to 2", np.zeros(2), [1, 2])
    ],
    outputs=("*",),
    view=True,
)
def split_with_sizes(input: Array, split_sizes: Sequence[int], dim: int = 0) -> tuple[Array, ...]:
    """Cut a dimension into pieces of these sizes."""
    d = wrap_dim(dim, input.ndim)
    if any(n < 0 for n in split_sizes):
        raise RuntimeError(
            "split_with_sizes expects split_sizes have only non-negative entries, but got "
            f"split_sizes={list(split_sizes)}"
        )
    if sum(split_sizes) != input.shape[d]:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {input.shape[d]} (input tensor's size "
            "at "
            f"dimension {d}), but got split_sizes={list(split_sizes)}"
        )
    return _cut(input, split_sizes, d)


# ---- together ----


def _cats() -> Iterator[Sample]:
    x = np.arange(6.0).reshape(2, 3)
    yield sample([x, x + 1])
    yield sample([x, x[:, :1], x], -1)
    yield sample([np.zeros(0), x], 1)


def _cat_errors() -> Iterator[ErrorSample]:
    x = np.zeros((2, 3))
    yield error(RuntimeError, "Tensors must have same number of dimensions: got 2 and 1", [x, np.zeros(3)])
    yield error(RuntimeError,
        "Sizes of tensors must match except in dimension 0. Expected size 3 but got size 4 for "
                "tensor number 1 in the list.", [x, np.zeros((2, 4))])  # fmt: skip
    yield error(
        RuntimeError, "zero-dimensional tensor (at position 0) cannot be concatenated", [np.array(1.0)]
    )


def _batched_cat(op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    tensors = [batching.spread(x, d, size) for x, d in zip(args[0], dims[0], strict=True)]
    rank = max(x.ndim for x in tensors)
    tensors = [x for x in tensors if x.ndim == rank]  # all but empty vectors, which cat leaves out
    return batching.call(op, [tensors, args[1] + 1 if args[1] >= 0 else args[1]])


@linear(
    node="CatBackward0",
    tensors=lambda ct, tensors_shape, dim: _uncat(ct, tensors_shape, dim),
    promote="same",
    batch=_batched_cat,
    samples=_cats,
    errors=_cat_errors,
    numpy={np.concatenate: lambda arrays, axis=0: (arrays, axis)},
    places="",
)
def cat(tensors: Arrays, dim: int = 0) -> Array:
    """Join tensors along a dimension that they have; 1-D tensors without elements are left out."""
    if not tensors:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    try:
        return np.concatenate(tensors, dim)
    except ValueError:  # a mismatch, or an empty tensor to leave out
        return _careful_cat(tensors, dim)


def _careful_cat(tensors: Sequence[Any], dim: int) -> Any:
    for i, x in enumerate(tensors):
        if x.ndim == 0:
            raise RuntimeError(f"zero-dimensional tensor (at position {i}) cannot be concatenated")
    kept = [(i, x) for i, x in enumerate(tensors) if x.shape != (0,)]
    if not kept:
        return tensors[0]
    first = kept[0][1]
    d = wrap_dim(dim, first.ndim)
    for i, x in kept:
        if x.ndim != first.ndim:
            raise RuntimeError(f"Tensors must have same number of dimensions: got {first.ndim} and {x.ndim}")
        for k, (n, m) in enumerate(zip(first.shape, x.shape, strict=True)):
            if k != d and n != m:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {d}. Expected size {n} but got size "
                    f"{m} for tensor number {i} in the list."
                )
    return np.concatenate([x for _, x in kept], d)


def _uncat(ct: Any, shapes: Sequence[Sequence[int]], dim: int) -> list[Any]:
    d = dim % ct.ndim
    found: list[Any] = []
    start = 0
    for shape in shapes:
        if len(shape) != ct.ndim:  # an empty 1-D tensor, which was left out
            found.append(np.reshape(ct[at(d, slice(0, 0))], (0,)))
            continue
        found.append(ct[at(d, slice(start, start + shape[d]))])
        start += shape[d]
    return found


def _stacks() -> Iterator[Sample]:
    x = np.arange(6.0).reshape(2, 3)
    yield sample([x, x + 1])
    yield sample([x, x, x], -1)
    yield sample([np.array(1.0), np.array(2.0)], 0)


def _stack_errors() -> Iterator[ErrorSample]:
    yield error(RuntimeError,
        "stack expects each tensor to be equal size, but got [2] at entry 0 and [3] at entry 1",
                [np.zeros(2), np.zeros(3)])  # fmt: skip


@linear(
    node="StackBackward0",
    tensors=lambda ct, tensors_shape, dim: [ct[at(dim % ct.ndim, i)] for i in range(len(tensors_shape))],
    promote="same",
    batch=_batched_cat,
    samples=_stacks,
    errors=_stack_errors,
    numpy={np.stack: lambda arrays, axis=0: (arrays, axis)},
    places="torch",
)
def stack(tensors: Arrays, dim: int = 0) -> Array:
    """Join tensors of one shape along a new dimension."""
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    return _stacked(tensors, wrap_dim(dim, tensors[0].ndim + 1))


def _stacked(tensors: Sequence[Any], dim: int) -> Any:
    if any(x.__class__ is not ndarray for x in tensors):
        return np.stack(tensors, dim)
    shape = tensors[0].shape
    for i, x in enumerate(tensors):
        if x.shape != shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(shape)} at entry 0 and "
                f"{list(x.shape)} at entry {i}"
            )
    index = (*(slice(None),) * (dim % (len(shape) + 1)), None)
    return np.concatenate([x[index] for x in tensors], dim)  # np.stack's own checks take twice the time
