"""Lookups and their transposes in fewer words: `ops.index`, `ops.accumulate` and `ops.put_along`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograd.arrays import Value
from retrograd.native.passes.rewrite import Rewriter
from retrograd.native.types import NATIVE


def getitem(to: Rewriter, inputs: Any, params: Any, made: Value) -> Any:
    """Take slices first, then elements at positions, among which numbers are arrays too."""
    x, index = inputs
    items = list(index) if isinstance(index, tuple) else [index]
    if not any(isinstance(i, Value) for i in items) or any(i is None or isinstance(i, bool) for i in items):
        return to.emit("getitem", inputs, made.shape, made.dtype, **params)
    if Ellipsis not in items:
        items.append(Ellipsis)
    at = items.index(Ellipsis)
    items[at : at + 1] = [slice(None)] * (len(x.shape) - len(items) + 1)
    slices = tuple(i if isinstance(i, slice) else slice(None) for i in items)
    shape = tuple(len(range(n)[s]) for n, s in zip(x.shape, slices, strict=True))
    if shape != x.shape or any(s.step not in (None, 1) for s in slices):
        x = to.emit("getitem", (x, slices), shape, x.dtype)
    items = [
        slice(None) if isinstance(i, slice) else to.constant(np.array(i)) if isinstance(i, int) else i
        for i in items
    ]
    return to.emit("getitem", (x, tuple(items)), made.shape, made.dtype)


def embedding_ct(to: Rewriter, inputs: Any, params: Any, made: Value) -> Any:
    """Add rows; those of padding count nothing."""
    x, shape, indices, padding, by_frequency = inputs
    if by_frequency or made.dtype.char not in NATIVE:
        return to.emit("ops.embedding_ct", inputs, made.shape, made.dtype, **params)
    if padding >= 0:
        counts = to.emit("not_equal", (indices, padding), indices.shape, np.bool_)
        wide = (*indices.shape, 1)
        counts = to.emit("cast", (counts,), indices.shape, x.dtype, dtype=x.dtype)
        counts = to.emit("reshape", (counts,), wide, x.dtype, shape=wide)
        x = to.emit("multiply", (x, counts), x.shape, x.dtype)
    return to.emit("ops.accumulate", (x, shape, indices, 0), made.shape, made.dtype)


def take(to: Rewriter, inputs: Any, params: Any, made: Value) -> Any:
    """Take elements of all in a row."""
    x, index = inputs
    if params or not isinstance(index, Value) or 0 in x.shape:
        return to.emit("ops.take", inputs, made.shape, made.dtype, **params)
    return to.emit("ops.index", (_flat(to, x), index, 0), made.shape, made.dtype)


def put_flat(to: Rewriter, inputs: Any, params: Any, made: Value) -> Any:
    """Add elements to zeros, all in a row."""
    x, shape, index = inputs
    size = math.prod(shape)
    if params or not isinstance(index, Value) or not size:
        return to.emit("ops.put_flat", inputs, made.shape, made.dtype, **params)
    flat = to.emit("ops.accumulate", (x, (size,), index, 0), (size,), made.dtype)
    return to.emit("reshape", (flat,), made.shape, made.dtype, shape=made.shape)


def scatter_add(to: Rewriter, inputs: Any, params: Any, made: Value) -> Any:
    """Add what is scattered into zeros."""
    x, dim, index, source = inputs
    if params or made.dtype.char not in NATIVE or 0 in index.shape or not index.shape or not x.shape:
        return to.emit("ops.scatter_add", inputs, made.shape, made.dtype, **params)
    if source.shape != index.shape:
        region = tuple(slice(n) for n in index.shape)
        source = to.emit("getitem", (source, region), index.shape, source.dtype)
    added = to.emit("ops.put_along", (source, x.shape, dim, index), made.shape, made.dtype)
    return to.emit("add", (x, added), made.shape, made.dtype)


def index_add(to: Rewriter, inputs: Any, params: Any, made: Value) -> Any:
    """Add slices, times a number, at positions."""
    x, dim, index, source = inputs
    alpha = params.get("alpha", 1)
    known = set(params) <= {"alpha"} and isinstance(alpha, (int, float)) and made.dtype.char in NATIVE
    if not known or not x.shape or source.dtype != made.dtype or len(source.shape) != len(x.shape):
        return to.emit("ops.index_add", inputs, made.shape, made.dtype, **params)
    if alpha != 1:
        factor = to.constant(np.asarray(alpha).astype(source.dtype))
        source = to.emit("multiply", (source, factor), source.shape, source.dtype)
    index = _flat(to, index)
    added = to.emit("ops.accumulate", (source, x.shape, index, dim % len(x.shape)), made.shape, made.dtype)
    return to.emit("add", (x, added), made.shape, made.dtype)


def pick(to: Rewriter, inputs: Any, params: Any, made: Value) -> Any:
    """Take along a dimension."""
    x, index, dim = inputs
    if params or not x.shape or not isinstance(index, Value):
        return to.emit("ops.pick", inputs, made.shape, made.dtype, **params)
    return to.emit("ops.gather", (x, dim, index), made.shape, made.dtype)


def gathered_back(to: Rewriter, inputs: Any, params: Any, made: Value) -> Any:
    """Add along a dimension."""
    x, index, dim = inputs
    if params or not x.shape or not isinstance(index, Value):
        return to.emit("ops.gathered_back", inputs, made.shape, made.dtype, **params)
    return to.emit("ops.put_along", (x, made.shape, dim, index), made.shape, made.dtype)


def _flat(to: Rewriter, x: Value) -> Value:
    shape = (math.prod(x.shape),)
    return x if x.shape == shape else to.emit("reshape", (x,), shape, x.dtype, shape=shape)
