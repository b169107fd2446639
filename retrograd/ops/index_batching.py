"""Batching rules of the ops that read and write at positions: each element of a batch may have its own.

A batch of positions is one more indexed dimension, the batch itself, at 0, 1, 2, ... NumPy leaves the indexed
dimensions where they were if they stand next to each other, and else moves them to the front; so the batch
dimension may have to be moved, or the indexed ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.declare import TABLE
from retrograd.ops.helpers import numpy_dtype


def numbers(size: int, rank: int) -> Any:
    """Return the numbers of a batch's elements, to be broadcast against `rank` further dimensions."""
    return np.arange(size).reshape((size,) + (1,) * rank)


def _start(places: Sequence[int]) -> int | None:
    """Return where NumPy leaves the indexed dimensions; None if it moves them to the front."""
    return places[0] if list(places) == list(range(places[0], places[0] + len(places))) else None


def _rank(indices: Sequence[Any], dims: Sequence[Any]) -> int:
    """Return the rank to which one element's indices are broadcast."""
    return max(np.ndim(i) - (d is not None) for i, d in zip(indices, dims, strict=True))


def _with_numbers(indices: Sequence[Any], dims: Sequence[Any], size: int, rank: int) -> list[Any]:
    """Return the indices along the batch and along the dimensions behind it."""
    ready = [numbers(size, rank)]
    for i, d in zip(indices, dims, strict=True):
        value = batching.front(i, d)
        missing = 0 if d is None else rank - (value.ndim - 1)
        ready.append(np.reshape(value, (size, *(1,) * missing, *value.shape[1:])) if missing else value)
    return ready


def _behind(places: Sequence[int]) -> tuple[int, ...]:
    return tuple(p + 1 for p in places)


def _moved(x: Any, start: int | None, rank: int, *, is_read: bool) -> Any:
    """Move the `rank` indexed dimensions from behind the batch to where one element has them, or back."""
    if not start or not rank:
        return x
    near, far = tuple(range(1, 1 + rank)), tuple(range(start + 1, start + 1 + rank))
    return np.moveaxis(x, near, far) if is_read else np.moveaxis(x, far, near)


def read(op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    """Batch `index_many`: (input, indices, dims)."""
    x, indices, places = args
    start, rank = _start(places), _rank(indices, dims[1])
    if all(d is None for d in dims[1]):
        made = op(batching.front(x, dims[0]), indices, _behind(places))
        return np.moveaxis(made, rank, 0) if start is None else made
    x = batching.spread(x, dims[0], size)
    made = op(x, _with_numbers(indices, dims[1], size, rank), (0, *_behind(places)))
    return _moved(made, start, rank, is_read=True)


def _for_writing(value: Any, places: Sequence[int], rank: int, *, own: bool) -> Any:
    """Return what is written (the batch in front) as NumPy wants it; `own` says each has its own places."""
    start = _start(places)
    if own:
        return _moved(value, start, rank, is_read=False)
    return np.moveaxis(value, 0, rank) if start is None else value


def add(op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    """Batch `accumulate_many`: (input, shape, indices, dims)."""
    x, shape, indices, places = args
    rank, own = _rank(indices, dims[2]), any(d is not None for d in dims[2])
    ready = _for_writing(batching.spread(x, dims[0], size), places, rank, own=own)
    if not own:
        return op(ready, (size, *shape), indices, _behind(places))
    return op(ready, (size, *shape), _with_numbers(indices, dims[2], size, rank), (0, *_behind(places)))


def put(op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    """Batch `index_put`: (input, indices, values, dims, accumulate)."""
    x, indices, values, places, accumulate = args
    x = batching.spread(x, dims[0], size)
    rank, own = _rank(indices, dims[1]), any(d is not None for d in dims[1])
    if np.ndim(values):
        whole = x.ndim - 1 - len(places) + rank
        value = values[None] if dims[2] is None else batching.front(values, dims[2])
        missing = whole - (value.ndim - 1)
        value = np.reshape(value, (value.shape[0], *(1,) * missing, *value.shape[1:])) if missing else value
        values = _for_writing(value, places, rank, own=own)
    if not own:
        return op(x, indices, values, _behind(places), accumulate)
    return op(x, _with_numbers(indices, dims[1], size, rank), values, (0, *_behind(places)), accumulate)


def _is_mask(index: Any) -> bool:
    return not isinstance(index, np.ndarray) or index.dtype.kind == "b"


def read_one(op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    """Batch `index`: (input, index, dim)."""
    if dims[1] is None:
        return op(batching.front(args[0], dims[0]), args[1], args[2] + 1)
    if _is_mask(args[1]):
        return batching.loop(op, size, args, dims)
    return read(TABLE["index_many"], size, (args[0], [args[1]], (args[2],)), (dims[0], [dims[1]], None))


def add_one(op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    """Batch `accumulate`: (input, shape, index, dim)."""
    x, shape, index, dim = args
    if dims[2] is None:
        return op(batching.spread(x, dims[0], size), (size, *shape), index, dim + 1)
    if _is_mask(index):
        return batching.loop(op, size, args, dims)
    return add(TABLE["accumulate_many"], size, (x, shape, [index], (dim,)), (dims[0], None, [dims[2]], None))


# ---- tables: rows taken by their numbers ----


def rows(op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    """Batch `embedding`: (weight, indices, ...)."""
    if dims[0] is None:
        return op(args[0], batching.front(args[1], dims[1]), *args[2:])
    return read(TABLE["index_many"], size, (args[0], [args[1]], (0,)), (dims[0], [dims[1]], None))


def weighted(weights: Any) -> Any:
    """Return the rule of `weighted_rows`: (input, indices, padding, scale by frequency)."""

    def batch(op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
        table, indices, padding, scaled = args
        if not isinstance(indices, np.ndarray) or (scaled and dims[1] is not None):
            return batching.loop(op, size, args, dims)
        made = read(TABLE["index_many"], size, (table, [indices], (0,)), (dims[0], [dims[1]], None))
        if padding < 0 and not scaled:
            return made
        return made * weights(batching.front(indices, dims[1]), padding, scaled, numpy_dtype(made.dtype))

    return batch


def weighted_sum(weights: Any) -> Any:
    """Return the rule of `embedding_ct`: (input, shape, indices, padding, scale by frequency)."""

    def batch(op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
        x, shape, indices, padding, scaled = args
        if not isinstance(indices, np.ndarray) or (scaled and dims[2] is not None):
            return batching.loop(op, size, args, dims)
        x = batching.spread(x, dims[0], size)
        if padding >= 0 or scaled:
            x = x * weights(batching.front(indices, dims[2]), padding, scaled, numpy_dtype(x.dtype))
        return add(TABLE["accumulate_many"], size, (x, shape, [indices], (0,)), (0, None, [dims[2]], None))

    return batch


# ---- positions that count all elements of a tensor ----


def _rows_of(x: Any, dim: int | None, size: int) -> Any:
    x = batching.spread(x, dim, size)
    return np.reshape(x, (size, math.prod(x.shape[1:])))


def read_flat(op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    """Batch `take`: (input, index)."""
    flat = _rows_of(args[0], dims[0], size)
    return read(TABLE["index_many"], size, (flat, [args[1]], (0,)), (0, [dims[1]], None))


def add_flat(op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    """Batch `put_flat`: (input, shape, index)."""
    x, shape, index = args
    flat = (math.prod(shape),)
    made = add(TABLE["accumulate_many"], size, (x, flat, [index], (0,)), (dims[0], None, [dims[2]], None))
    return np.reshape(made, (size, *shape))


def put_flat(op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    """Batch `put`: (input, index, source, accumulate)."""
    x, index, source, accumulate = args
    shape = batching.spread(x, dims[0], size).shape
    flat = _rows_of(x, dims[0], size)
    index = np.reshape(index, -1) if dims[1] is None else _rows_of(index, dims[1], size)
    source = np.reshape(source, -1) if dims[2] is None else _rows_of(source, dims[2], size)
    at = [0 if d is not None else None for d in dims]
    made = put(TABLE["index_put"], size, (flat, [index], source, (0,), accumulate), (0, [at[1]], at[2]))
    return np.reshape(made, shape)


# ---- one element per row ----


def of_rows(op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    """Batch `take_class` and `put_class`, (input, index, dim[, shape]): the batch joins the rows."""
    x, index = batching.spread(args[0], dims[0], size), batching.spread(args[1], dims[1], size)
    rest = list(args[2:])
    if index.ndim == 1:  # a vector of classes is a row
        rest[0] = 1
        if len(rest) > 1:
            rest[1] = (size, *rest[1])
        return op(x, index, *rest)
    n = index.shape[1]
    if len(rest) > 1:
        rest[1] = (size * n, *rest[1][1:])
    made = op(np.reshape(x, (size * n, *x.shape[2:])), np.reshape(index, (size * n, *index.shape[2:])), *rest)
    return np.reshape(made, (size, n, *made.shape[1:]))
