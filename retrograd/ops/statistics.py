"""Variance, standard deviation, median, over dimensions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import samples
from retrograd.ops.axes import axes, batched_whole, reduction, size_along, spread
from retrograd.ops.declare import Array, ErrorSample, Sample, error, sample
from retrograd.ops.extremes import as_type, selected_rule, selected_tangent
from retrograd.ops.helpers import wrap_dim
from retrograd.ops.reduce import mean


def _spreads() -> Iterator[Sample]:
    x = samples.ramp(-1.9, 3.1, 2, 3, 2)
    yield sample(x, correction=1)
    yield sample(x, 1, correction=0, keepdim=True)
    yield sample(x, (0, -1), correction=1)
    yield sample(x, (1, 2), correction=2, keepdim=True)


def _of_integers() -> Iterator[ErrorSample]:
    yield error(RuntimeError, "std and var only support floating point and complex dtypes", np.arange(3))


def _centred(input: Any, dim: Any) -> Any:
    return input - np.mean(input, axis=axes(dim, input.ndim), keepdims=True)


def _freedom(shape: Any, dim: Any, correction: float) -> float:
    """Return by what a sum of squares is divided; it may be 0, and then gives infinity or NaN."""
    left = size_along(dim, shape) - correction
    return left if left > 0 else 0


def _check(input: Any, name: str) -> None:
    if input.dtype.kind in "biu":
        raise RuntimeError(f"{name} only support floating point and complex dtypes")


def _variance(input: Any, dim: Any, correction: float, keepdim: bool) -> Any:
    centred = _centred(input, dim)
    if input.dtype.kind == "c":
        centred = np.absolute(centred)
    total = np.sum(centred * centred, axis=axes(dim, input.ndim), keepdims=keepdim)
    return total / _freedom(input.shape, dim, correction)


def _var_rule(ct: Any, input: Any, dim: Any, correction: float, keepdim: bool) -> Any:
    scaled = (ct + ct) / _freedom(input.shape, dim, correction)
    return spread(scaled, axes(dim, input.ndim), keepdim, input.shape) * _centred(input, dim)


def _var_tangent(t: Any, input: Any, dim: Any, correction: float, keepdim: bool) -> Any:
    part = np.sum(
        np.real(np.conjugate(_centred(input, dim)) * t), axis=axes(dim, input.ndim), keepdims=keepdim
    )
    return (part + part) / _freedom(input.shape, dim, correction)


def _over_twice(x: Any, result: Any) -> Any:
    """Return x / (2 * result), 0 where the result is: the root's part of the derivative of std."""
    return np.where(result == 0, 0, x / (result + result))


@reduction(
    node="VarBackward0",
    input=_var_rule,
    jvp={"input": _var_tangent},
    holomorphic=False,
    samples=_spreads,
    errors=_of_integers,
    places="",
    numpy={
        np.var: lambda a, axis=None, dtype=None, out=None, ddof=0, keepdims=False: (a, axis, ddof, keepdims)
    },
)
def var(input: Array, dim: Any = None, *, correction: float = 1, keepdim: bool = False) -> Array:
    """Compute sum |x - mean|**2 / (n - correction) over `dim`."""
    _check(input, "std and var")
    return _variance(input, dim, correction, keepdim)


@reduction(
    node="StdBackward0",
    input=lambda ct, input, result, dim, correction, keepdim: _var_rule(
        _over_twice(ct, result), input, dim, correction, keepdim
    ),
    jvp={
        "input": lambda t, input, result, dim, correction, keepdim: _over_twice(
            _var_tangent(t, input, dim, correction, keepdim), result
        )
    },
    holomorphic=False,
    samples=_spreads,
    errors=_of_integers,
    places="",
    numpy={
        np.std: lambda a, axis=None, dtype=None, out=None, ddof=0, keepdims=False: (a, axis, ddof, keepdims)
    },
)
def std(input: Array, dim: Any = None, *, correction: float = 1, keepdim: bool = False) -> Array:
    """Compute the root of the variance over `dim`; of equal values its derivative is taken as 0."""
    _check(input, "std and var")
    return np.sqrt(_variance(input, dim, correction, keepdim))


def _mean_part(ct: Any, dim: Any, keepdim: bool, shape: Any) -> Any:
    return spread(ct / size_along(dim, shape), axes(dim, len(shape)), keepdim, shape)


def _both_rule(
    ct: Any, input: Any, result: Any, dim: Any, correction: float, keepdim: bool, root: bool
) -> Any:
    """Return the sum of what came for the spread and for the mean, either of which may be missing."""
    parts = []
    if ct[0] is not None:
        first = _over_twice(ct[0], result[0]) if root else ct[0]
        parts.append(_var_rule(first, input, dim, correction, keepdim))
    if ct[1] is not None:
        parts.append(_mean_part(ct[1], dim, keepdim, input.shape))
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


def _both_tangent(
    t: Any, input: Any, result: Any, dim: Any, correction: float, keepdim: bool, root: bool
) -> Any:
    first = _var_tangent(t, input, dim, correction, keepdim)
    return _over_twice(first, result[0]) if root else first, mean(t, dim, keepdim)


@reduction(
    node="VarMeanBackward0",
    input=lambda ct, input, result, dim, correction, keepdim: _both_rule(
        ct, input, result, dim, correction, keepdim, root=False
    ),
    jvp={
        "input": lambda t, input, result, dim, correction, keepdim: _both_tangent(
            t, input, result, dim, correction, keepdim, root=False
        )
    },
    holomorphic=False,
    outputs=("*",),
    differentiable_outputs=(0, 1),
    samples=_spreads,
    places="",
)
def var_mean(
    input: Array, dim: Any = None, *, correction: float = 1, keepdim: bool = False
) -> tuple[Array, Array]:
    """Compute the variance and the mean over `dim`."""
    _check(input, "var_mean")
    return _variance(input, dim, correction, keepdim), mean(input, dim, keepdim)


@reduction(
    node="StdMeanBackward0",
    input=lambda ct, input, result, dim, correction, keepdim: _both_rule(
        ct, input, result, dim, correction, keepdim, root=True
    ),
    jvp={
        "input": lambda t, input, result, dim, correction, keepdim: _both_tangent(
            t, input, result, dim, correction, keepdim, root=True
        )
    },
    holomorphic=False,
    outputs=("*",),
    differentiable_outputs=(0, 1),
    samples=_spreads,
    places="",
)
def std_mean(
    input: Array, dim: Any = None, *, correction: float = 1, keepdim: bool = False
) -> tuple[Array, Array]:
    """Compute the standard deviation and the mean over `dim`."""
    _check(input, "std_mean")
    return np.sqrt(_variance(input, dim, correction, keepdim)), mean(input, dim, keepdim)


# ---- medians ----


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
    indices = np.expand_dims(np.apply_along_axis(_most_frequent, at, input).astype(np.int64), at)
    values = np.take_along_axis(input, indices, at)
    return (values, indices) if keepdim else (np.squeeze(values, at), np.squeeze(indices, at))
