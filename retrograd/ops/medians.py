"""Medians and the most frequent value, over dimensions: what sorting finds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import samples
from retrograd.ops.axes import batched_whole, reduction
from retrograd.ops.declare import Array, Sample, sample
from retrograd.ops.extremes import as_type, selected_rule, selected_tangent
from retrograd.ops.helpers import wrap_dim


def _all() -> Iterator[Sample]:
    yield sample(samples.ramp(-1.9, 3.1, 2, 3))
    yield sample(samples.ramp(-1.9, 3.1, 5))
    yield sample(np.array(1.7))
    yield sample(np.array([1.0, 2.0, 2.0, 2.0]), grad=False)


def _nan_last(x: Any) -> Any:
    return np.isnan(x) if x.dtype.kind == "f" else np.zeros(x.shape, np.bool_)


def _median_of(x: Any, ignore_nan: bool) -> Any:
    """Return the lower median of a vector, NaN if one is in it (and not ignored) or it is empty."""
    if x.size == 0:
        return x.dtype.type(np.nan if x.dtype.kind == "f" else np.iinfo(x.dtype).min)
    ordered = np.sort(x)
    missing = int(np.sum(_nan_last(x)))
    if missing and not ignore_nan:
        return ordered[-1]
    left = x.size - missing
    return ordered[(left - 1) // 2 if left else 0]


def _equal_share(ct: Any, input: Any, result: Any) -> Any:
    same = (input == result) | (np.isnan(input) & np.isnan(result))
    return ct * as_type(same / np.sum(same), ct)


_median_along: dict[str, Any] = {
    "input": selected_rule,
    "jvp": {"input": selected_tangent},
    "outputs": ("values", "indices"),
    "differentiable_outputs": (0,),
    "kinds": "uif",
    "samples": samples.along_one,
    "places": "",
    "primitive": True,
}


def _median_select(input: Any, dim: int, keepdim: bool, ignore_nan: bool, name: str) -> tuple[Any, Any]:
    at = wrap_dim(dim, input.ndim)
    if input.ndim == 0:
        return input.copy(), np.zeros((), np.int64)
    if input.shape[at] == 0:
        raise IndexError(f"{name}(): Expected reduction dim {at} to have non-zero size.")
    order = np.argsort(input, at, kind="stable")
    nan = _nan_last(input)
    missing = np.sum(nan, at, keepdims=True)
    left = input.shape[at] - missing
    place = np.where(left > 0, (left - 1) // 2, 0)
    if not ignore_nan:  # NaN is sorted to the end: the first of them is the answer
        place = np.where(missing > 0, left, place)
    indices = np.take_along_axis(order, place, at)
    values = np.take_along_axis(input, indices, at)
    return (values, indices) if keepdim else (np.squeeze(values, at), np.squeeze(indices, at))


@reduction(node="MedianBackward1", torch_name="median", **_median_along)
def median_dim(input: Array, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
    """Find the median along a dimension, the lower one of two, and where it is."""
    return _median_select(input, dim, keepdim, ignore_nan=False, name="median")


@reduction(node="NanmedianBackward1", torch_name="nanmedian", **_median_along)
def nanmedian_dim(input: Array, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
    """Find the median along a dimension of all but NaN, and where it is."""
    return _median_select(input, dim, keepdim, ignore_nan=True, name="nanmedian")


_whole_median: dict[str, Any] = {
    "input": _equal_share,
    "jvp": {"input": lambda t, input, result: np.sum(_equal_share(t, input, result))},
    "kinds": "uif",
    "samples": _all,
    "places": "",
    "primitive": True,
}


@reduction(node="MedianBackward0", torch_name="median", batch=batched_whole(median_dim), **_whole_median)
def median_all(input: Array) -> Array:
    """Compute the median, the lower one of two; equal elements share the gradient evenly."""
    return _median_of(np.reshape(input, -1), ignore_nan=False)


@reduction(
    node="NanmedianBackward0", torch_name="nanmedian", batch=batched_whole(nanmedian_dim), **_whole_median
)
def nanmedian_all(input: Array) -> Array:
    """Compute the median of all but NaN, the lower one of two."""
    return _median_of(np.reshape(input, -1), ignore_nan=True)


# ---- mode ----


def _most_frequent(row: Any) -> int:
    """Return the last index of the most frequent value of a row, the smallest of several."""
    values, counts = np.unique(row, return_counts=True, equal_nan=False)
    return int(np.flatnonzero(row == values[np.argmax(counts)])[-1]) if row.size else 0


def _repeated() -> Iterator[Sample]:
    x = np.array([[1.0, 2.0, 2.0, 3.0], [3.0, 3.0, 1.0, 1.0]])
    yield sample(x, grad=False)
    yield sample(x, 0, True, grad=False)
    yield sample(np.array(1.7))


@reduction(
    node="ModeBackward0",
    **(_median_along | {"samples": _repeated, "places": "torch Tensor", "kinds": "buif"}),
)
def mode(input: Array, dim: int = -1, keepdim: bool = False) -> tuple[Array, Array]:
    """Find the most frequent value along a dimension (the smallest of several), and where it is last."""
    at = wrap_dim(dim, input.ndim)
    if input.ndim == 0:
        return input.copy(), np.zeros((), np.int64)
    if input.shape[at] == 0:
        raise IndexError(f"mode(): Expected reduction dim {at} to have non-zero size.")
    if input.size:
        indices = np.expand_dims(np.apply_along_axis(_most_frequent, at, input).astype(np.int64), at)
    else:
        indices = np.zeros([1 if i == at else n for i, n in enumerate(input.shape)], np.int64)
    values = np.take_along_axis(input, indices, at)
    return (values, indices) if keepdim else (np.squeeze(values, at), np.squeeze(indices, at))
