"""Where elements are, how often, and in which interval: nothing here has a derivative."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from retrograd.ops import batching
from retrograd.ops.declare import Array, ErrorSample, Operand, Plain, Sample, error, sample
from retrograd.ops.families import general
from retrograd.ops.helpers import name_of, wrap_dim

_PLAIN: dict[str, Any] = {
    "batch": batching.loop,
    "promote": "none",
    "primitive": True,
}  # results whose size depends on values


@general(
    samples=lambda: [
        sample(np.array([[0.0, 1.0], [2.0, 0.0]])),
        sample(np.array(1.0)),
        sample(np.zeros((0, 2))),
    ],
    places="",
    **_PLAIN,
)
def nonzero(input: Plain) -> Array:
    """Return the indices of the elements that are not zero, one row each."""
    if input.ndim == 0:
        return np.zeros((int(bool(input)), 0), np.int64)
    return np.stack(np.nonzero(input), 1) if input.size else np.zeros((0, input.ndim), np.int64)


def _counts() -> Iterator[Sample]:
    yield sample(np.array([0, 2, 2]))
    yield sample(np.array([0, 2, 2]), np.array([5, 1, 2]), 5)


def _count_errors() -> Iterator[ErrorSample]:
    yield error(RuntimeError, "bincount only supports 1-d non-negative integral inputs.", np.array([-1]))
    yield error(NotImplementedError, "\"bincount_cpu\" not implemented for 'Double'", np.zeros(3))
    yield error(RuntimeError, "minlength should be >= 0", np.array([0]), None, -1)


@general(samples=_counts, errors=_count_errors, **_PLAIN)
def bincount(input: Plain, weights: Plain | None = None, minlength: int = 0) -> Array:
    """Count how often each whole number occurs, or add up the `weights` of its occurrences."""
    if input.dtype.kind not in "iu":
        raise NotImplementedError(f"\"bincount_cpu\" not implemented for '{name_of(input)}'")
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if input.ndim != 1 or (input.size and input.min() < 0):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is None:
        return np.bincount(input, minlength=minlength)
    if weights.shape != input.shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    found = np.bincount(input, weights.astype(np.float64), minlength)
    return found.astype(np.float32) if weights.dtype == np.float32 else found


def _of_shared(place: int) -> Any:
    """Return the rule of an op on each element by itself, beside an argument that all share; else a loop."""

    def batch(op: Any, size: int, args: Any, dims: Any) -> Any:
        if dims[place] is not None:
            return batching.loop(op, size, args, dims)
        return batching.call(op, [batching.front(args[0], dims[0]), *args[1:]])

    return batch


def _batched_search(op: Any, size: int, args: Any, dims: Any) -> Any:
    """Give a sorted sequence for all to the batch as it is, and each element's own as a row."""
    sequence, values, *rest, sorter = args
    if dims[0] is None and dims[-1] is None and np.ndim(sequence) == 1:
        return batching.call(op, [sequence, batching.front(values, dims[1]), *rest, sorter])
    sequence, values = batching.spread(sequence, dims[0], size), batching.spread(values, dims[1], size)
    shape = values.shape
    if sequence.ndim == 2:
        values = np.reshape(values, (size, math.prod(shape[1:])))
    sorter = None if sorter is None else batching.spread(sorter, dims[-1], size)
    return np.reshape(batching.call(op, [sequence, values, *rest, sorter]), shape)


def _intervals() -> Iterator[Sample]:
    edges = np.array([1.0, 3.0, 5.0])
    yield sample(np.array([[0.0, 1.0], [4.0, 9.0]]), edges)
    yield sample(np.array(3.0), edges, right=True, out_int32=True)


@general(
    samples=_intervals,
    errors=lambda: [
        error(
            RuntimeError,
            "boundaries tensor must be 1 dimension, but got dim(2)",
            np.zeros(2),
            np.zeros((2, 2)),
        )
    ],
    places="torch",
    **(_PLAIN | {"batch": _of_shared(1)}),
)
def bucketize(input: Operand, boundaries: Plain, *, out_int32: bool = False, right: bool = False) -> Array:
    """Return which interval between sorted boundaries each element lies in."""
    if boundaries.ndim != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({boundaries.ndim})")
    found = np.searchsorted(boundaries, input, "right" if right else "left")
    return np.asarray(found).astype(np.int32 if out_int32 else np.int64)


def _searches() -> Iterator[Sample]:
    rows = np.array([[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]])
    yield sample(rows[0], np.array([[0.0, 3.0], [3.5, 9.0]]), right=True)
    yield sample(rows, np.array([[3.0, 4.0], [2.0, 7.0]]), side="right")
    yield sample(rows[0], 3.5)


def _search_errors() -> Iterator[ErrorSample]:
    x = np.zeros((2, 3))
    yield error(
        RuntimeError, "boundaries tensor should be 1 dimension or the first N-1 dimensions", x, np.zeros(3)
    )
    yield error(RuntimeError, "side can only be 'left' or 'right' but got foo", x, x, side="foo")
    yield error(RuntimeError, "side and right can't be set to opposites", x, x, side="left", right=True)


@general(samples=_searches, errors=_search_errors, places="torch", **(_PLAIN | {"batch": _batched_search}))
def searchsorted(
    sorted_sequence: Plain,
    input: Operand,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Plain | None = None,
) -> Array:
    """Return where each element would go into a sorted sequence: before equal ones, or behind if `right`."""
    if side not in (None, "left", "right"):
        raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError(
            "torch.searchsorted(): side and right can't be set to opposites, got side of left while right "
            "was True"
        )
    edges = sorted_sequence if sorter is None else np.take_along_axis(sorted_sequence, sorter, -1)
    shape = np.shape(input)
    if edges.ndim != 1 and not shape and np.size(input) == 1:
        raise RuntimeError(
            "torch.searchsorted(): input value can be a scalar only when boundaries tensor dimension is 1, "
            "but we got "
            f"boundaries tensor dim({edges.ndim}) and input value's dim({len(shape)}) numel(1)"
        )
    if edges.ndim != 1 and edges.shape[:-1] != shape[:-1]:
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of "
            "boundaries "
            f"tensor and input value tensor must match, but we got boundaries tensor {list(edges.shape)} "
            "and input "
            f"value tensor {list(shape)}"
        )
    where: Literal["left", "right"] = "right" if right or side == "right" else "left"
    if edges.ndim == 1:
        found = np.asarray(np.searchsorted(edges, input, where))
    else:
        count = math.prod(shape[:-1])  # said, since no -1 can be worked out for rows of nothing
        rows = zip(edges.reshape(count, edges.shape[-1]), np.reshape(input, (count, shape[-1])), strict=True)
        found = np.array([np.searchsorted(e, x, where) for e, x in rows], np.int64).reshape(shape)
    return found.astype(np.int32 if out_int32 else np.int64)


def _members() -> Iterator[Sample]:
    yield sample(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([2.0, 5.0, 3.0]))
    yield sample(np.array([1, 2]), 1, invert=True)


@general(samples=_members, places="torch", **(_PLAIN | {"batch": _of_shared(1)}))
def isin(
    elements: Operand, test_elements: Operand, *, assume_unique: bool = False, invert: bool = False
) -> Array:
    """Return for each element whether it is one of `test_elements`."""
    for x in (elements, test_elements):
        if getattr(x, "dtype", np.dtype(bool)).kind == "c":
            raise RuntimeError(f"Unsupported input type encountered for isin(): {name_of(x)}")
    return np.isin(elements, test_elements, invert=invert)


def _repeats() -> Iterator[Sample]:
    yield sample(np.array([3.0, 1.0, 1.0, 3.0]))
    yield sample(np.array([[1.0, 2.0], [1.0, 2.0], [0.0, 1.0]]), 0)


_UNIQUE: dict[str, Any] = {"outputs": ("output", "inverse_indices", "counts"), "places": "", **_PLAIN}


@general(samples=_repeats, name="unique", **_UNIQUE)
def unique(input: Plain, dim: int | None = None) -> tuple[Array, Array, Array]:
    """Return the different elements (or slices along `dim`) in order, where each went, and their counts."""
    if dim is None:
        values, inverse, counts = np.unique(input, return_inverse=True, return_counts=True, equal_nan=False)
        return values, inverse.reshape(input.shape), counts
    d = wrap_dim(dim, input.ndim)
    rows = np.moveaxis(input, d, 0)
    order = np.lexsort(rows.reshape(len(rows), -1).T[::-1]) if rows.size else np.arange(len(rows))
    first, inverse_sorted, counts = _runs(rows[order])
    inverse = np.empty(len(rows), np.int64)
    inverse[order] = inverse_sorted
    return np.moveaxis(rows[order][first], 0, d), inverse, counts


@general(samples=_repeats, name="unique_consecutive", **_UNIQUE)
def unique_consecutive(input: Plain, dim: int | None = None) -> tuple[Array, Array, Array]:
    """Return the elements (or slices along `dim`) without repetitions next to each other; as `unique`."""
    if dim is None:
        flat = input.reshape(-1)
        first, inverse, counts = _runs(flat)
        return flat[first], inverse.reshape(input.shape), counts
    d = wrap_dim(dim, input.ndim)
    rows = np.moveaxis(input, d, 0)
    first, inverse, counts = _runs(rows)
    return np.moveaxis(rows[first], 0, d), inverse, counts


def _runs(rows: Any) -> tuple[Any, Any, Any]:
    """Return where runs of equal rows start, which run each row is in, and how long the runs are."""
    n = len(rows)
    if n == 0:
        return np.zeros(0, bool), np.zeros(0, np.int64), np.zeros(0, np.int64)
    flat = rows.reshape(n, -1)
    first = np.concatenate(([True], (flat[1:] != flat[:-1]).any(1)))
    inverse = np.cumsum(first) - 1
    return first, inverse, np.bincount(inverse)
