"""Elements picked by tensors of positions, and their transposes, which add elements at positions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.ops import index_batching
from retrograd.ops.declare import Array, Arrays, ErrorSample, Operand, Plain, Sample, error, sample
from retrograd.ops.families import general, linear
from retrograd.ops.shape import sum_to

_ALL = slice(None)


def out_of_bounds(index: Any, size: int, dim: int) -> str | None:
    """Return what is wrong with positions, negative ones allowed, along a dimension; None if nothing is."""
    if index.size == 0 or index.dtype.kind == "b":
        return None
    low, high = int(index.min()), int(index.max())
    if -size <= low and high < size:
        return None
    if size == 0:
        return "index is out of bounds for dimension with size 0"
    return f"index {high if high >= size else low} is out of bounds for dimension {dim} with size {size}"


_UNSIGNED = {np.dtype(np.int64): np.dtype(np.uint64), np.dtype(np.int32): np.dtype(np.uint32)}


def outside(index: Any, size: int) -> bool:
    """Return whether a position is negative or beyond `size`: as unsigned, negatives are large."""
    if not index.size:
        return False
    unsigned = _UNSIGNED.get(index.dtype)
    if unsigned is None:
        return bool(index.min() < 0 or index.max() >= size)
    return bool(np.maximum.reduce(index.view(unsigned), axis=None) >= size)


def _check_bounds(input: Any, indices: Sequence[Any], dims: Sequence[int]) -> None:
    for index, d in zip(indices, dims, strict=True):
        wrong = out_of_bounds(index, input.shape[d], d)
        if wrong:
            raise IndexError(wrong)
    try:
        np.broadcast_shapes(*[i.shape for i in indices if i.dtype.kind != "b"])
    except ValueError:
        shapes = ", ".join(str(list(i.shape)) for i in indices)
        raise IndexError(
            f"shape mismatch: indexing tensors could not be broadcast together with shapes {shapes}"
        ) from None


def positions_of(index: Any, size: int) -> Any:
    """Return positions counted from the front."""
    return index % size if index.size and index.min() < 0 else index


def add_flat(shape: Sequence[int], positions: Any, values: Any) -> Any:
    """Return zeros of `shape` with `values` added at positions in C order."""
    made = np.zeros(math.prod(shape), values.dtype)
    # NumPy's indexed loop is fast for one dimension only, and does not know narrow types
    np.add.at(made, positions.reshape(-1), values.reshape(-1))
    return made.reshape(shape)


# ---- one tensor of positions along one dimension ----


def _ones() -> Iterator[Sample]:
    x = np.arange(12.0).reshape(3, 4)
    yield sample(x, np.array([2, 0, 2]), 0)
    yield sample(x, np.array([[1, -1], [0, 0]]), 1)
    yield sample(x, np.array([True, False, True]), 0)
    yield sample(x, x > 4, 0)
    yield sample(x, np.zeros((0,), np.int64), 0)


@linear(
    node="IndexBackward0",
    input=lambda ct, input_shape, index, dim: accumulate(ct, input_shape, index, dim),
    promote="none",
    batch=index_batching.read_one,
    samples=_ones,
    primitive=True,
    places="",
)
def index(input: Array, index: Plain, dim: int) -> Array:
    """Take the elements at positions along a dimension, or where a mask over dimensions from it is true."""
    try:
        if index.dtype.kind == "b":
            return input[(*(_ALL,) * dim, index)]
        return input.take(index, dim)
    except IndexError:
        _check_bounds(input, [index], [dim])
        raise


def _accumulates() -> Iterator[Sample]:
    for s in _ones():
        yield sample(index(*s.args) + 1.0, s.args[0].shape, *s.args[1:])


@linear(
    node="IndexPutBackward0",
    input=lambda ct, index, dim: _index(ct, index, dim),
    promote="none",
    batch=index_batching.add_one,
    samples=_accumulates,
    primitive=True,
    places="",
)
def accumulate(input: Array, shape: tuple[int, ...], index: Plain, dim: int) -> Array:
    """Add elements at positions along a dimension into zeros of `shape`: the transpose of `index`."""
    if index.dtype.kind == "b":
        made = np.zeros(shape, input.dtype)
        made[(*(_ALL,) * dim, index)] = input
        return made
    n = shape[dim]
    inner = math.prod(shape[dim + 1 :])
    flat = positions_of(index.reshape(-1), n)
    if inner != 1:
        flat = flat[:, None] * inner + np.arange(inner)
    outer = math.prod(shape[:dim])
    if outer != 1:
        flat = flat + (np.arange(outer) * (n * inner)).reshape((-1,) + (1,) * flat.ndim)
    return add_flat(shape, flat, input)


_index: Callable[..., Any] = index


@linear(
    node="EmbeddingBackward0",
    weight=lambda ct, weight_shape, indices, padding_idx, scale_grad_by_freq: embedding_ct(
        ct, weight_shape, indices, padding_idx, scale_grad_by_freq
    ),
    promote="none",
    batch=index_batching.rows,
    samples=lambda: [
        sample(np.arange(12.0).reshape(4, 3), np.array([[1, 3], [1, 0]])),
        sample(np.arange(12.0).reshape(4, 3), np.array([1, 3, 1]), 1, grad=False),  # padding has no gradient
    ],
    errors=lambda: [
        error(IndexError, "index out of range in self", np.zeros((4, 3)), np.array([4])),
        error(RuntimeError, "'weight' must be 2-D", np.zeros(4), np.array([0])),
    ],
    primitive=True,
    places="torch",
)
def embedding(
    weight: Array,
    indices: Plain,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Array:
    """Take rows of a table; the row `padding_idx` gets no gradient (-1: every row does)."""
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    if indices.dtype.kind != "i" or indices.dtype.itemsize < 4:
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, "
            "Int; but got "
            f"{dtypes.of_array(indices).tensor_type} instead (while checking arguments for embedding)"
        )
    if outside(indices, len(weight)):
        raise IndexError(
            f"index out of range in self\n[embedding: indices are from {indices.min()} to {indices.max()}, "
            "the table "
            f"has {len(weight)} rows]"
        )
    return weight.take(indices, 0)


@linear(
    node="EmbeddingDenseBackwardBackward0",
    input=lambda ct, indices, padding_idx, scale_grad_by_freq: weighted_rows(
        ct, indices, padding_idx, scale_grad_by_freq
    ),
    promote="none",
    batch=index_batching.weighted_sum(lambda *args: _weights(*args)),
    samples=lambda: [
        sample(np.ones((2, 3)), (4, 3), np.array([1, 1]), -1, False),
        sample(np.ones((3, 3)), (4, 3), np.array([1, 1, 2]), 2, True),
    ],
    primitive=True,
    places="",
)
def embedding_ct(
    input: Array, shape: tuple[int, ...], indices: Plain, padding_idx: int, scale_grad_by_freq: bool
) -> Array:
    """Add rows into a table of zeros, but none into the row `padding_idx`: the transpose of `embedding`."""
    if padding_idx >= 0 or scale_grad_by_freq:
        input = input * _weights(indices, padding_idx, scale_grad_by_freq, input.dtype)
    return accumulate.definition(input, shape, indices, 0)  # type: ignore[attr-defined]  # an Op


def _weights(indices: Any, padding_idx: int, scale_grad_by_freq: bool, dtype: Any) -> Any:
    """Return what each looked-up row's cotangent counts: nothing for padding, 1/frequency where asked."""
    found = (indices != padding_idx).astype(dtype)
    if scale_grad_by_freq and indices.size:
        found = found / np.bincount(indices.reshape(-1))[indices].astype(dtype)
    return found[..., None]


@linear(
    node="EmbeddingBackward0",
    input=lambda ct, input_shape, indices, padding_idx, scale_grad_by_freq: embedding_ct(
        ct, input_shape, indices, padding_idx, scale_grad_by_freq
    ),
    promote="none",
    batch=index_batching.weighted(lambda *args: _weights(*args)),
    samples=lambda: [
        sample(np.ones((4, 3)), np.array([1, 1]), -1, False),
        sample(np.ones((4, 3)), np.array([1, 1, 2]), 2, True),
    ],
    primitive=True,
    places="",
)
def weighted_rows(input: Array, indices: Plain, padding_idx: int, scale_grad_by_freq: bool) -> Array:
    """Take rows of a table, each as often as it counts in the gradient: the transpose of `embedding_ct`."""
    rows = input.take(indices, 0)
    if padding_idx < 0 and not scale_grad_by_freq:
        return rows
    return rows * _weights(indices, padding_idx, scale_grad_by_freq, input.dtype)


# ---- several ----


def _manies() -> Iterator[Sample]:
    x = np.arange(24.0).reshape(2, 3, 4)
    yield sample(x, [np.array([0, 1, 1]), np.array([2, 0, 0])], (0, 1))
    yield sample(x, [np.array([[0], [1]]), np.array([3, -1])], (0, 2))
    yield sample(x, [np.array([1, 1]), np.array(0)], (1, 2))


def full(indices: Sequence[Any], dims: Sequence[int]) -> tuple[Any, ...]:
    """Return NumPy's index for indices along dimensions."""
    made: list[Any] = [_ALL] * (max(dims) + 1)
    for i, d in zip(indices, dims, strict=True):
        made[d] = i
    return tuple(made)


@linear(
    node="IndexBackward0",
    input=lambda ct, input_shape, indices, dims: accumulate_many(ct, input_shape, indices, dims),
    promote="none",
    batch=index_batching.read,
    samples=_manies,
    primitive=True,
    places="",
)
def index_many(input: Array, indices: Arrays, dims: tuple[int, ...]) -> Array:
    """Take the elements at positions along several dimensions at once."""
    try:
        return input[full(indices, dims)]
    except IndexError:
        _check_bounds(input, indices, dims)
        raise


def _accumulate_manies() -> Iterator[Sample]:
    for s in _manies():
        yield sample(index_many(*s.args) + 1.0, s.args[0].shape, *s.args[1:])


@linear(
    node="IndexPutBackward0",
    input=lambda ct, indices, dims: index_many(ct, indices, dims),
    promote="none",
    batch=index_batching.add,
    samples=_accumulate_manies,
    primitive=True,
    places="",
)
def accumulate_many(input: Array, shape: tuple[int, ...], indices: Arrays, dims: tuple[int, ...]) -> Array:
    """Add elements at positions along several dimensions into zeros: the transpose of `index_many`."""
    if tuple(dims) == tuple(range(len(shape))):
        flat: Any = 0
        for i, n in zip(indices, shape, strict=True):
            flat = flat * n + positions_of(i, n)
    else:
        flat = np.arange(math.prod(shape)).reshape(shape)[full(indices, dims)]
    return add_flat(shape, flat, input)


def _puts() -> Iterator[Sample]:
    x = np.arange(12.0).reshape(3, 4)
    yield sample(x, [np.array([2, 0])], np.ones((2, 4)) * 5, (0,), False)
    yield sample(x, [np.array([2, 0, 2])], np.array(7.0), (1,), True)
    yield sample(x, [np.array([0, 1]), np.array([3, 3])], np.array([1.0, 2.0]), (0, 1), True)


def _put_errors() -> Iterator[ErrorSample]:
    x = np.zeros((2, 3))
    yield error(RuntimeError,
        "shape mismatch: value tensor of shape [4] cannot be broadcast to indexing result of "
                "shape [2, 3]", x, [np.array([0, 1])], np.zeros(4), (0,), False)  # fmt: skip


@general(
    node="IndexPutBackward0",
    input=lambda ct, indices, dims, accumulate: ct if accumulate else index_put(ct, indices, 0, dims, False),
    values=lambda ct, indices, values_shape, dims: sum_to(_take(ct, indices, dims), values_shape),
    jvp="linear",
    batch=index_batching.put,
    samples=_puts,
    errors=_put_errors,
    primitive=True,
    places="",
)
def index_put(
    input: Array, indices: Arrays, values: Operand, dims: tuple[int, ...], accumulate: bool
) -> Array:
    """Return `input` with `values` at (or, with `accumulate`, added at) positions along dimensions."""
    made = np.array(input)
    put_into(made, indices, values, dims, accumulate)
    return made


def _take(ct: Any, indices: Sequence[Any], dims: Sequence[int]) -> Any:
    return index(ct, indices[0], dims[0]) if len(dims) == 1 else index_many(ct, indices, dims)


def put_into(target: Any, indices: Sequence[Any], values: Any, dims: Sequence[int], accumulate: bool) -> None:
    """Write `values` into an array at positions along dimensions."""
    where = full(indices, dims)
    try:
        if accumulate:
            np.add.at(target, where, values)
        else:
            target[where] = values
    except (ValueError, IndexError):
        _check_bounds(target, indices, dims)
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(np.shape(values))} cannot be broadcast to "
            "indexing result of "
            f"shape {list(target[where].shape)}"
        ) from None
