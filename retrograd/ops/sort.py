"""Order: sorting, the largest, the k-th."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.declare import Array, ErrorSample, Plain, Sample, error, sample
from retrograd.ops.families import general
from retrograd.ops.helpers import name_of, wrap_dim
from retrograd.ops.scatter import gather, grid, put_along
from retrograd.ops.shape import at, behind


def _unsorted() -> Any:
    return np.array([[3.0, -1.0, 2.0, 0.5], [0.25, 4.0, -2.0, 1.0]])


def ranked(x: Any, dim: int, descending: bool) -> Any:
    """Return where the elements in order along a dimension are; equal ones keep theirs, nan is largest."""
    if x.dtype.kind == "V":  # bfloat16 compares as float32 does
        x = x.astype(np.float32)
    if not descending:
        return np.argsort(x, dim, kind="stable")
    if x.dtype.kind == "f":
        return _descending_floats(x, dim)
    back = np.flip(np.argsort(np.flip(x, dim), dim, kind="stable"), dim)
    return x.shape[dim] - 1 - back


def _descending_floats(x: Any, dim: int) -> Any:
    if _may_have_nan(x):  # the negative of nan is still the largest: sort backwards instead
        return x.shape[dim] - 1 - np.flip(np.argsort(np.flip(x, dim), dim, kind="stable"), dim)
    return np.argsort(-x, dim, kind="stable")


def _may_have_nan(x: Any) -> bool:
    """Return whether there may be a nan: a sum is nan if a term is, or if infinities cancel."""
    total = np.add.reduce(x, axis=None)
    return bool(total != total)  # only nan differs from itself


def _sorts() -> Iterator[Sample]:
    yield sample(_unsorted())
    yield sample(_unsorted(), 0, True)
    yield sample(_unsorted(), -1, True)
    yield sample(np.array(2.0))
    yield sample(np.zeros((0, 3)), 1)


def _sort_errors() -> Iterator[ErrorSample]:
    yield error(IndexError, "Dimension out of range", np.zeros((2, 3)), 2)
    yield error(RuntimeError, " Sort does not support complex dtypes on CPU", np.zeros(3, np.complex64))


_TIED: dict[str, Any] = {"outputs": ("values", "indices"), "differentiable_outputs": (0,), "promote": "none"}


@general(
    node="SortBackward0",
    input=lambda ct, input_shape, result, dim: put_along(ct, input_shape, dim, result[1]),
    jvp={"input": lambda t, result, dim: gather(t, dim, result[1])},
    batch=behind("dim"),
    samples=_sorts,
    errors=_sort_errors,
    primitive=True,
    places="",
    **_TIED,
)
def sort(input: Array, dim: int = -1, descending: bool = False) -> tuple[Array, Array]:
    """Order the elements along a dimension; equal ones keep their order, nan is larger than all."""
    if input.dtype.kind == "c":
        raise RuntimeError(" Sort does not support complex dtypes on CPU")
    d = wrap_dim(dim, input.ndim)
    if input.ndim == 0:
        return np.array(input), np.zeros((), np.int64)
    order = ranked(input, d, descending)
    return input[grid(order, d, input.shape)], order


def _topks() -> Iterator[Sample]:
    yield sample(_unsorted(), 2)
    yield sample(_unsorted(), 3, -1, False)
    yield sample(_unsorted(), 1, 0)
    yield sample(np.array(2.0), 1)


def _topk_errors() -> Iterator[ErrorSample]:
    yield error(RuntimeError, "selected index k out of range", np.zeros((2, 3)), 4)


_PARTITION = 256  # elements from which finding the k largest before sorting them beats sorting all


@general(
    node="TopkBackward0",
    input=lambda ct, input_shape, result, dim: put_along(ct, input_shape, dim, result[1]),
    jvp={"input": lambda t, result, dim: gather(t, dim, result[1])},
    batch=behind("dim"),
    samples=_topks,
    errors=_topk_errors,
    primitive=True,
    **_TIED,
)
def topk(
    input: Array, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[Array, Array]:
    """Take the k largest (or smallest) elements along a dimension, in order."""
    d = wrap_dim(dim, input.ndim)
    size = input.shape[d] if input.ndim else 1
    if not 0 <= k <= size:
        raise RuntimeError("selected index k out of range")
    if input.ndim == 0:
        return np.array(input), np.zeros((), np.int64)
    if (
        size >= _PARTITION
        and k * 8 < size
        and input.dtype.kind in "iufb"
        and not (input.dtype.kind == "f" and _may_have_nan(input))
    ):
        order = _partitioned(input, k, d, largest)
    else:
        order = np.ascontiguousarray(ranked(input, d, largest)[at(d, slice(k))])
    return input[grid(order, d, input.shape)], order


def _partitioned(x: Any, k: int, d: int, largest: bool) -> Any:
    size = x.shape[d]
    if k == 0:
        return np.zeros((*x.shape[:d], 0, *x.shape[d + 1 :]), np.int64)
    if largest:
        found = np.argpartition(x, size - k, d)[at(d, slice(size - k, None))]
    else:
        found = np.argpartition(x, k - 1, d)[at(d, slice(k))]
    found = np.sort(found, d)
    return np.take_along_axis(found, ranked(np.take_along_axis(x, found, d), d, largest), d)


def _kths() -> Iterator[Sample]:
    yield sample(_unsorted(), 2)
    yield sample(_unsorted(), 1, 0, True)
    yield sample(np.array(2.0), 1)


def _kth_errors() -> Iterator[ErrorSample]:
    x = np.zeros((2, 3))
    yield error(RuntimeError, "kthvalue(): selected number k out of range for dimension 1", x, 4)
    yield error(IndexError, "kthvalue(): Expected reduction dim 0 to have non-zero size.", np.zeros(0), 1)


@general(
    node="KthvalueBackward0",
    input=lambda ct, input_shape, result, dim, keepdim: _unpick(ct, input_shape, dim, keepdim, result[1]),
    jvp={"input": lambda t, result, dim, keepdim: _pick(t, dim, keepdim, result[1])},
    batch=behind("dim"),
    samples=_kths,
    errors=_kth_errors,
    primitive=True,
    **_TIED,
)
def kthvalue(input: Array, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Array, Array]:
    """Take the k-th smallest element along a dimension, counting from 1."""
    d = wrap_dim(dim, input.ndim)
    size = input.shape[d] if input.ndim else 1
    if size == 0:
        raise IndexError(f"kthvalue(): Expected reduction dim {d} to have non-zero size.")
    if not 1 <= k <= size:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {d}")
    if input.ndim == 0:
        return np.array(input), np.zeros((), np.int64)
    order = ranked(input, d, False)[at(d, slice(k - 1, k))]
    values = input[grid(order, d, input.shape)]
    return (values, order) if keepdim else (values.squeeze(d), order.squeeze(d))


def _unpick(ct: Any, shape: Any, dim: int, keepdim: bool, indices: Any) -> Any:
    if not shape:
        return ct
    if not keepdim:
        ct, indices = np.expand_dims(ct, dim), np.expand_dims(indices, dim)
    return put_along(ct, shape, dim, indices)


def _pick(t: Any, dim: int, keepdim: bool, indices: Any) -> Any:
    if t.ndim == 0:
        return t
    if keepdim:
        return gather(t, dim, indices)
    return np.squeeze(gather(t, dim, np.expand_dims(indices, dim)), dim)


def _histograms() -> Iterator[Sample]:
    yield sample(_unsorted(), 4)
    yield sample(_unsorted(), 3, 0, 2)


def _histogram_errors() -> Iterator[ErrorSample]:
    yield error(RuntimeError, "torch.histc: max must be larger than min", np.zeros(3), 3, 1, 0)
    yield error(
        RuntimeError, "torch.histogram(): bins must be > 0, but got 0 for dimension 0", np.zeros(3), 0
    )


@general(batch=batching.loop, samples=_histograms, errors=_histogram_errors, promote="none", primitive=True)
def histc(input: Plain, bins: int = 100, min: float = 0, max: float = 0) -> Array:
    """Count the elements in `bins` equal intervals from `min` to `max` (both 0: of the elements)."""
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    if input.dtype.kind not in "fV":
        raise NotImplementedError(f"\"histogram_cpu\" not implemented for '{name_of(input)}'")
    if min > max:
        raise RuntimeError("torch.histc: max must be larger than min")
    low, high = float(min), float(max)
    if low == high and input.size:
        low, high = float(input.min()), float(input.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise RuntimeError(f"torch.histc: range of [{low:g}, {high:g}] is not finite")
    if low == high:
        low, high = low - 1, high + 1
    x = input.astype(np.float64).reshape(-1)
    x = x[(x >= low) & (x <= high)]
    place = np.minimum(((x - low) / (high - low) * bins).astype(np.int64), bins - 1)
    return np.bincount(place, minlength=bins).astype(input.dtype)
