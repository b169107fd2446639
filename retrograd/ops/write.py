"""What in-place writes are made of: new values, and reads and writes of a view's place in its base.

A view's place is its `geometry`: (sizes, strides, offset) in elements where the base is C-contiguous,
otherwise an array of positions in the base's logical order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.declare import Array, Operand, Sample, sample
from retrograd.ops.families import general, linear
from retrograd.ops.helpers import cast, memory_of, unbroadcast
from retrograd.ops.pointwise import zeros_as


def geometry_of(view: Any, base: Any) -> Any:
    """Return where a view lies in its base."""
    view, base = memory_of(view), memory_of(base)
    offset = view.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    size = base.itemsize
    if base.flags.c_contiguous and view.itemsize == size:
        return view.shape, tuple(s // size for s in view.strides), offset // size
    low, high = np.lib.array_utils.byte_bounds(base)
    start = base.__array_interface__["data"][0] - low
    positions = np.empty((high - low) // size, np.intp)
    strides = [s // size * positions.itemsize for s in base.strides]
    np.ndarray(base.shape, np.intp, positions, start // size * positions.itemsize, strides)[...] = np.arange(
        base.size
    ).reshape(base.shape)
    strides = [s // size * positions.itemsize for s in view.strides]
    return np.ndarray(
        view.shape, np.intp, positions, (start + offset) // size * positions.itemsize, strides
    ).copy()


def _place(array: Any, geometry: Any) -> Any:
    """Return the elements of a C-contiguous array at a geometry, as a view."""
    sizes, strides, offset = geometry
    step = array.itemsize
    return np.ndarray(sizes, array.dtype, array, offset * step, [s * step for s in strides])


def _overlaps(geometry: Any) -> bool:
    return any(n > 1 and s == 0 for n, s in zip(geometry[0], geometry[1], strict=True))


def _for_each(geometry: Any, size: int, count: int) -> Any:
    """Return a geometry in a batch of bases, `count` elements in all, that is this one in each of them."""
    step = count // size if size else 0
    if isinstance(geometry, tuple):
        sizes, strides, offset = geometry
        return (size, *sizes), (step, *strides), offset
    return geometry + (np.arange(size) * step).reshape((size,) + (1,) * geometry.ndim)


def _count(x: Any, dim: int | None, size: int) -> int:
    count: int = math.prod(x.shape)
    return count * size if dim is None else count


def _batched_write(op: Any, size: int, args: Any, dims: Any) -> Any:
    x, src = batching.spread(args[0], dims[0], size), args[1]
    src = None if src is None else batching.spread(src, dims[1], size)
    return op(x, src, _for_each(args[2], size, math.prod(x.shape)))


def _samples_place() -> Iterator[Sample]:
    x = np.arange(12.0).reshape(3, 4)
    yield sample(x, ((3, 2), (4, 1), 1))
    yield sample(x, np.array([[0, 5], [11, 2]]))
    yield sample(x, ((2, 4), (0, 1), 4))


@linear(
    node="AsStridedBackward0",
    input=lambda ct, input_shape, geometry: put_place(ct, input_shape, geometry),
    promote="none",
    batch=lambda op, size, args, dims: op(
        batching.spread(args[0], dims[0], size), _for_each(args[1], size, _count(args[0], dims[0], size))
    ),
    samples=_samples_place,
    primitive=True,
    places="",
)
def take_place(input: Array, geometry: Any) -> Array:
    """Read the elements of `input` at a view's geometry."""
    if isinstance(geometry, tuple):
        return _place(np.ascontiguousarray(input), geometry).copy()
    return np.reshape(input, -1)[geometry]


def _samples_put() -> Iterator[Sample]:
    for s in _samples_place():
        yield sample(take_place(*s.args) + 1, (3, 4), s.args[1])


@linear(
    node="AsStridedBackward0",
    input=lambda ct, geometry: take_place(ct, geometry),
    promote="none",
    batch=lambda op, size, args, dims: op(
        batching.spread(args[0], dims[0], size),
        (size, *args[1]),
        _for_each(args[2], size, size * math.prod(args[1])),
    ),
    samples=_samples_put,
    primitive=True,
    places="",
)
def put_place(input: Array, shape: tuple[int, ...], geometry: Any) -> Array:
    """Add the elements of `input` into zeros of `shape` at a geometry: the transpose of `take_place`."""
    if isinstance(geometry, tuple) and not _overlaps(geometry):
        made = np.zeros(shape, input.dtype)
        _place(made, geometry)[...] = input
        return made
    if isinstance(geometry, tuple):
        geometry = _place(np.arange(math.prod(shape)), geometry)
    made = np.zeros(math.prod(shape), input.dtype)
    np.add.at(made, geometry, input)
    return made.reshape(shape)


def _samples_write() -> Iterator[Sample]:
    for s in list(_samples_place())[:2]:
        yield sample(s.args[0], take_place(*s.args) * 10, s.args[1])


@general(
    node="CopySlices",
    input=lambda ct, geometry: write_place(ct, None, geometry),
    src=lambda ct, geometry: take_place(ct, geometry),
    jvp="linear",
    batch=lambda op, size, args, dims: _batched_write(op, size, args, dims),
    samples=_samples_write,
    primitive=True,
    places="",
)
def write_place(input: Array, src: Array | None, geometry: Any) -> Array:
    """Return `input` with the elements at a geometry replaced by those of `src` (by zeros for None)."""
    made = np.array(input, order="C")
    value = 0 if src is None else src
    if isinstance(geometry, tuple):
        _place(made, geometry)[...] = value
    else:
        made.reshape(-1)[geometry] = value
    return made


def _over_all(op: Any, size: int, args: Any, dims: Any) -> Any:
    """Batch a write to all of the input: what is written is aligned behind the batch."""
    input, given = batching.spread(args[0], dims[0], size), args[1]
    if dims[1] is not None:
        given = np.moveaxis(given, dims[1], 0)
        given = np.reshape(given, (size, *(1,) * (input.ndim - given.ndim), *given.shape[1:]))
    return copy(input, _array(given))


def _array(value: Any) -> Any:
    return value if hasattr(value, "dtype") else np.asarray(value)


def _pairs() -> Iterator[Sample]:
    x = np.arange(6.0).reshape(2, 3)
    yield sample(x, x * 10)
    yield sample(x, np.array([1.0, 2.0, 3.0]))
    yield sample(np.zeros((0, 3)), np.array(1.0))


@general(
    node="CopyBackwards",
    input=lambda ct: zeros_as(ct),
    src=lambda ct, src_shape, src_dtype: _given_back(ct, src_shape, src_dtype),
    jvp={"input": lambda t: zeros_as(t), "src": lambda t, input: np.broadcast_to(t, input.shape)},
    batch=_over_all,
    samples=_pairs,
    exact=False,
    places="",
)
def copy(input: Array, src: Array) -> Array:
    """Return `src`, broadcast to the shape of `input` and in its dtype."""
    return np.broadcast_to(cast(src, input.dtype), input.shape)


def _given_back(ct: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """Return a copy's cotangent in the shape and dtype of what was copied."""
    ct = unbroadcast(ct, shape)
    return cast(ct.real if ct.dtype.kind == "c" != dtype.kind else ct, dtype)


def _fills() -> Iterator[Sample]:
    yield sample(np.arange(6.0).reshape(2, 3), 2.5)
    yield sample(np.arange(6.0).reshape(2, 3), np.array(1.5))


@general(
    node="FillBackward0",
    input=lambda ct: zeros_as(ct),
    value=lambda ct: ct,
    jvp={"input": lambda t: zeros_as(t), "value": lambda t, input: np.broadcast_to(t, input.shape)},
    batch=_over_all,
    samples=_fills,
    exact=False,
    inplace=True,
    places="torch",
)
def fill(input: Array, value: Operand) -> Array:
    """Return a tensor like `input` with every element `value`."""
    if np.ndim(value):
        raise RuntimeError(
            f"fill_ only supports 0-dimension value tensor but got tensor with {np.ndim(value)} dimensions."
        )
    return np.broadcast_to(cast(_array(value), input.dtype), input.shape)


@general(
    node="ZeroBackward0",
    input=lambda ct: zeros_as(ct),
    jvp={"input": lambda t: zeros_as(t)},
    batch=batching.pointwise,
    samples=lambda: [sample(np.arange(6.0).reshape(2, 3))],
    inplace=True,
    places="",
)
def zero(input: Array) -> Array:
    """Return zeros like `input`."""
    return np.zeros(input.shape, input.dtype)
