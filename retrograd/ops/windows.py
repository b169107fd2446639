"""Views with other strides: diagonals, sliding windows, any strides at all; and what puts them back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.declare import Array, ErrorSample, Sample, error, sample
from retrograd.ops.families import linear, movement
from retrograd.ops.helpers import wrap_dim
from retrograd.ops.shape import at, behind

ndarray = np.ndarray


# ---- diagonals ----


def _two_dims(dim1: int, dim2: int, ndim: int) -> tuple[int, int]:
    first, second = wrap_dim(dim1, ndim), wrap_dim(dim2, ndim)
    if first == second:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return first, second


def _diagonals() -> Iterator[Sample]:
    x = np.arange(24.0).reshape(2, 3, 4)
    yield sample(x)
    yield sample(x, 1, -1, 1)
    yield sample(x, -2, 0, 2)
    yield sample(x[0], 7)


def _diagonal_errors() -> Iterator[ErrorSample]:
    yield error(RuntimeError, "diagonal dimensions cannot be identical 0, 0", np.zeros((2, 3)), 0, 0, 0)
    yield error(IndexError, "Dimension out of range", np.zeros(3))


def _diagonal(input: Any, offset: int, dim1: int, dim2: int) -> Any:
    first, second = _two_dims(dim1, dim2, input.ndim)
    made = np.diagonal(input, offset, first, second)
    if made.__class__ is ndarray:
        made.flags.writeable = input.flags.writeable
    return made


@movement(
    node="DiagonalBackward0",
    input=lambda ct, input_shape, offset, dim1, dim2: put_diagonal(ct, input_shape, offset, dim1, dim2),
    batch=behind("dim1", "dim2"),
    samples=_diagonals,
    errors=_diagonal_errors,
    view=True,
    numpy={np.diagonal: lambda a, offset=0, axis1=0, axis2=1: (a, offset, axis1, axis2)},
)
def diagonal(input: Array, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Array:
    """Take the elements at (i, i + offset) of two dimensions, as a new last dimension."""
    return _diagonal(input, offset, dim1, dim2)


@movement(
    node="DiagonalBackward0_copy",
    input=lambda ct, input_shape, offset, dim1, dim2: put_diagonal(ct, input_shape, offset, dim1, dim2),
    batch=behind("dim1", "dim2"),
    samples=_diagonals,
    errors=_diagonal_errors,
    places="torch",
)
def diagonal_copy(input: Array, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Array:
    """Copy the elements that `diagonal` views."""
    return np.copy(_diagonal(input, offset, dim1, dim2))


def _put_diagonals() -> Iterator[Sample]:
    for s in _diagonals():
        args: list[Any] = [*s.args, *(0, 0, 1)[len(s.args) - 1 :]]
        x, offset, dim1, dim2 = args
        yield sample(_diagonal(x, offset, dim1, dim2) + 1.0, x.shape, offset, dim1, dim2)


@linear(
    node="DiagonalScatterBackward0",
    input=lambda ct, offset, dim1, dim2: diagonal(ct, offset, dim1, dim2),
    promote="none",
    batch=lambda op, size, args, dims: put_diagonal(
        batching.spread(args[0], dims[0], size),
        (size, *args[1]),
        args[2],
        *[d % len(args[1]) + 1 for d in args[3:]],
    ),
    samples=_put_diagonals,
    primitive=True,
    places="",
)
def put_diagonal(input: Array, shape: tuple[int, ...], offset: int, dim1: int, dim2: int) -> Array:
    """Return zeros of `shape` with `input` on a diagonal: the transpose of `diagonal`."""
    made = np.zeros(shape, input.dtype)
    _diagonal(made, offset, dim1, dim2)[...] = input
    return made


def _embeds() -> Iterator[Sample]:
    yield sample(np.arange(3.0) + 1)
    yield sample(np.arange(6.0).reshape(2, 3), 1, 0, 2)
    yield sample(np.arange(6.0).reshape(2, 3), -1)


@linear(
    node="DiagEmbedBackward0",
    input=lambda ct, offset, dim1, dim2: diagonal(ct, offset, dim1, dim2),
    promote="none",
    batch=lambda op, size, args, dims: op(
        batching.spread(args[0], dims[0], size), args[1], *[d if d < 0 else d + 1 for d in args[2:]]
    ),
    samples=_embeds,
    errors=lambda: [
        error(RuntimeError, "diagonal dimensions cannot be identical 0, 0", np.zeros(3), 0, 0, 0)
    ],
)
def diag_embed(input: Array, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Array:
    """Put the last dimension on the diagonal of two new dimensions, zeros elsewhere."""
    rank = input.ndim + 1
    first, second = _two_dims(dim1, dim2, rank)
    n = input.shape[-1] + abs(offset)
    sizes = list(input.shape[:-1])
    for d in sorted((first, second)):
        sizes.insert(d, n)
    return put_diagonal(input, tuple(sizes), offset, first, second)


# ---- windows ----


def _unfolds() -> Iterator[Sample]:
    x = np.arange(12.0).reshape(3, 4)
    yield sample(x, 1, 2, 1)
    yield sample(x, -1, 2, 2)
    yield sample(x, 0, 3, 2)
    yield sample(x, 1, 1, 5)


def _unfold_errors() -> Iterator[ErrorSample]:
    x = np.zeros((2, 3))
    yield error(RuntimeError, "maximum size for tensor at dimension 0 is 2 but size is 3", x, 0, 3, 1)
    yield error(RuntimeError, "step is 0 but must be > 0", x, 0, 1, 0)
    yield error(RuntimeError, "size is -1 but must be >= 0", x, 0, -1, 1)


@movement(
    node="UnfoldBackward0",
    input=lambda ct, input_shape, dimension, size, step: put_windows(ct, input_shape, dimension, size, step),
    batch=behind("dimension"),
    samples=_unfolds,
    errors=_unfold_errors,
    view=True,
    primitive=True,
    places="Tensor",
)
def unfold(input: Array, dimension: int, size: int, step: int) -> Array:
    """Take windows of `size` elements, `step` apart, along a dimension; their elements are a new last one."""
    d = wrap_dim(dimension, input.ndim)
    have = input.shape[d] if input.ndim else 1
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > have:
        raise RuntimeError(f"maximum size for tensor at dimension {d} is {have} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    if input.ndim == 0:
        return input[None]
    shape, strides = list(input.shape), list(input.strides)
    along = strides[d]
    shape[d], strides[d] = (have - size) // step + 1, along * step
    return restrided(input, (*shape, size), (*strides, along))


def restrided(array: Any, shape: Sequence[int], strides: Sequence[int]) -> Any:
    """Return a view from the array's first element on, with strides in bytes."""
    root = owner(array)
    if root.flags.forc and root.flags.writeable and array.size:
        offset = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
        return ndarray(shape, array.dtype, root, offset, strides)
    return np.lib.stride_tricks.as_strided(array, shape, strides)


def _put_windows() -> Iterator[Sample]:
    for s in _unfolds():
        yield sample(unfold(*s.args) + 1.0, s.args[0].shape, *s.args[1:])


@linear(
    node="UnfoldBackward0",
    input=lambda ct, dimension, size, step: unfold(ct, dimension, size, step),
    promote="none",
    batch=lambda op, size, args, dims: put_windows(
        batching.spread(args[0], dims[0], size),
        (size, *args[1]),
        args[2] % len(args[1]) + 1,
        args[3],
        args[4],
    ),
    samples=_put_windows,
    primitive=True,
    places="",
)
def put_windows(input: Array, shape: tuple[int, ...], dimension: int, size: int, step: int) -> Array:
    """Add windows at their places into zeros of `shape`: the transpose of `unfold`."""
    if not shape:
        return input[0] if size else np.zeros((), input.dtype)
    made = np.zeros(shape, input.dtype)
    d = dimension % len(shape)
    count = input.shape[d]
    for k in range(size):
        made[at(d, slice(k, k + step * count, step))] += input[..., k]
    return made


# ---- any strides ----


def geometry(array: Any) -> tuple[tuple[int, ...], int]:
    """Return the strides of an array in elements, and the offset of its first element in its owner."""
    root = owner(array)
    offset = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    return tuple(s // array.itemsize for s in array.strides), offset // array.itemsize


def owner(array: Any) -> Any:
    """Return the array that holds the memory, where it lies in one block; otherwise the array itself."""
    base = array.base
    return base if base.__class__ is ndarray and base.dtype == array.dtype and base.flags.forc else array


def _strideds() -> Iterator[Sample]:
    x = np.arange(12.0).reshape(3, 4)
    yield sample(x, (2, 2), (4, 1), 1, ((4, 1), 0))
    yield sample(x, (3, 3), (1, 2), 0, ((4, 1), 0))
    yield sample(x, (), (), 5, ((4, 1), 0))


@movement(
    node="AsStridedBackward0",
    input=lambda ct, input_shape, size, stride, storage_offset, own: put_strided(
        ct, input_shape, size, stride, storage_offset, own
    ),
    batch=batching.loop,  # strides count elements of one tensor's memory: a batch has none in common
    samples=_strideds,
    view=True,
    primitive=True,
    places="",
)
def as_strided(input: Array, size: Any, stride: Any, storage_offset: int, own: Any) -> Array:
    """Look at the memory of `input` with other strides; `own` is the geometry of the input itself."""
    root = owner(input)
    if len(size) != len(stride):
        raise RuntimeError("mismatch in length of strides and shape")
    if storage_offset < 0:
        raise RuntimeError(f"Tensor: invalid storage offset {storage_offset}")
    reach = (
        0 if 0 in size else storage_offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) + 1
    )
    if reach > root.size:
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {storage_offset}, and "
            "itemsize "
            f"{input.itemsize} requiring a storage size of {reach * input.itemsize} are out of bounds for "
            "storage of "
            f"size {root.size * input.itemsize}"
        )
    step = input.itemsize
    return ndarray(tuple(size), input.dtype, root, storage_offset * step, tuple(s * step for s in stride))


def _for_each(size: int, shape: Sequence[int], sizes: Any, strides: Any, offset: int, own: Any) -> Any:
    """Return sizes, strides, offset and own geometry of a batch whose elements lie one behind the other."""
    mine, theirs = _positions(shape, *own), _positions(tuple(sizes), strides, offset)
    step = int(max(mine.max(initial=-1), theirs.max(initial=-1))) + 1
    return (size, *sizes), (step, *strides), offset, ((step, *own[0]), own[1])


def strided_rows(x: Any, sizes: Any, strides: Any, offset: int, own: Any) -> Any:
    """Return what `as_strided` views in each element of a batch, as if each lay in memory as `own` says."""
    return take_strided(x, *_for_each(x.shape[0], tuple(x.shape[1:]), sizes, strides, offset, own))


def _put_strideds() -> Iterator[Sample]:
    for s in _strideds():
        yield sample(as_strided(*s.args) + 1.0, (3, 4), *s.args[1:])


@linear(
    node="AsStridedScatterBackward0",
    input=lambda ct, size, stride, storage_offset, own: take_strided(ct, size, stride, storage_offset, own),
    promote="none",
    batch=lambda op, size, args, dims: op(
        batching.spread(args[0], dims[0], size),
        (size, *args[1]),
        *_for_each(size, args[1], *args[2:]),
    ),
    samples=_put_strideds,
    primitive=True,
    places="",
)
def put_strided(
    input: Array, shape: tuple[int, ...], size: Any, stride: Any, storage_offset: int, own: Any
) -> Array:
    """Add elements at their strided places into zeros of `shape`: the transpose of `as_strided`."""
    mine, theirs = _positions(shape, *own), _positions(tuple(size), stride, storage_offset)
    storage = np.zeros(max(mine.max(initial=-1), theirs.max(initial=-1)) + 1, input.dtype)
    np.add.at(storage, theirs, input)
    if math.prod(shape) > len(np.unique(mine)):  # an expanded input: each place stands for several elements
        storage = storage / np.bincount(mine.reshape(-1), minlength=len(storage)).clip(1)
    return storage[mine].astype(input.dtype)


def _positions(size: Sequence[int], stride: Sequence[int], offset: int) -> Any:
    made = np.full(tuple(size), offset, np.intp)
    for d, (n, s) in enumerate(zip(size, stride, strict=True)):
        made += np.arange(n).reshape((n,) + (1,) * (len(size) - d - 1)) * s
    return made


@linear(
    node="AsStridedBackward0",
    input=lambda ct, input_shape, size, stride, storage_offset, own: put_strided(
        ct, input_shape, size, stride, storage_offset, own
    ),
    promote="none",
    batch=lambda op, size, args, dims: strided_rows(batching.spread(args[0], dims[0], size), *args[1:]),
    samples=_strideds,
    primitive=True,
    places="",
)
def take_strided(input: Array, size: Any, stride: Any, storage_offset: int, own: Any) -> Array:
    """Return what `as_strided` would view if `input` lay in memory with the geometry `own`."""
    mine, theirs = _positions(input.shape, *own), _positions(tuple(size), stride, storage_offset)
    storage = np.zeros(max(mine.max(initial=-1), theirs.max(initial=-1)) + 1, input.dtype)
    storage[mine] = input
    return storage[theirs]
