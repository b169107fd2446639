"""Sums, means and products over dimensions, and tests of all or any."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import samples
from retrograd.ops.axes import axes, largest, narrow, reduction, size_along, spread, total
from retrograd.ops.declare import Array, ErrorSample, Sample, error, sample
from retrograd.ops.helpers import cast, name_of, numpy_dtype
from retrograd.ops.pointwise import zeros_as

_INT64 = np.dtype(np.int64)


def _numpy_reduction(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
) -> Any:
    """Turn NumPy's arguments into ours: input, dim, keepdim, dtype."""
    return a, axis, keepdims, dtype


def _typed() -> Iterator[Sample]:
    yield from samples.reducible()
    yield sample(np.arange(6).reshape(2, 3), 0)
    yield sample(np.zeros((0, 2)))
    yield sample(np.zeros((2, 0)), 1)


def _bad_dims() -> Iterator[ErrorSample]:
    x = np.ones((2, 3))
    yield error(IndexError, "Dimension out of range (expected to be in range of [-2, 1], but got 2)", x, 2)
    yield error(RuntimeError, "dim 0 appears multiple times in the list of dims", x, (0, -2))


def _summed(input: Any, dim: Any, keepdim: bool, dtype: Any) -> Any:
    """Return the sum in the dtype asked for; int64 for integers, narrow floats rounded once."""
    axis = axes(dim, input.ndim)
    if dtype is None:
        if input.dtype.kind == "f" and input.dtype.itemsize > 2:
            return total(input, axis, keepdim)
        if input.dtype.kind in "biu":
            return np.sum(input, axis, dtype=_INT64, keepdims=keepdim)
        if narrow(input):
            return cast(np.sum(cast(input, np.float32), axis, keepdims=keepdim), input.dtype)
        return np.sum(input, axis, keepdims=keepdim)
    to = np.dtype(numpy_dtype(dtype))
    return cast(_summed(cast(input, to), dim, keepdim, None), to)


def _sum_rule(ct: Any, input_shape: Any, input_dtype: Any, dim: Any, keepdim: bool) -> Any:
    return spread(same_type(ct, input_dtype), dim, keepdim, input_shape)


def _sum_tangent(t: Any, dim: Any, keepdim: bool, dtype: Any) -> Any:
    return sum(t, dim, keepdim, dtype=dtype)


def same_type(ct: Any, dtype: Any) -> Any:
    """Return a cotangent in the dtype of the operand that it is for."""
    return ct if ct.dtype is dtype or numpy_dtype(ct.dtype) == dtype else cast(ct, dtype)


@reduction(
    node=lambda dim: "SumBackward0" if dim is None else "SumBackward1",
    input=_sum_rule,
    jvp={"input": _sum_tangent},
    promote="none",
    samples=_typed,
    errors=_bad_dims,
    places="torch Tensor",
    numpy={np.sum: _numpy_reduction},
)
def sum(input: Array, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Array:
    """Add up over `dim` (all dimensions when None).

    Dtype: integers and bool give int64; `dtype` says otherwise.
    """
    if dim is None and dtype is None and input.__class__ is np.ndarray and input.dtype.char in "fd":
        return total(input, None, keepdim)
    return _summed(input, dim, keepdim, dtype)


def _with_nan() -> Iterator[Sample]:
    x = np.array([[1.5, np.nan, -2.0], [0.5, 4.0, np.nan]])
    yield sample(x, grad=False)
    yield sample(x, 1, True, grad=False)
    yield sample(samples.ramp(0.4, 3.0, 2, 3), (0, 1))


@reduction(
    node="NansumBackward0",
    input=lambda ct, input, dim, keepdim, input_dtype: np.where(
        np.isnan(input), 0, spread(same_type(ct, input_dtype), dim, keepdim, input.shape)
    ),
    jvp={
        "input": lambda t, input, dim, keepdim, dtype: sum(
            np.where(np.isnan(input), 0, t), dim, keepdim, dtype=dtype
        )
    },
    promote="none",
    samples=_with_nan,
    numpy={np.nansum: _numpy_reduction},
)
def nansum(input: Array, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Array:
    """Add up over `dim`, leaving out NaN."""
    if input.dtype.kind == "c":
        raise RuntimeError("nansum does not support complex inputs")
    if input.dtype.kind in "fV":
        input = np.where(np.isnan(input), input.dtype.type(0), input)
    return _summed(input, dim, keepdim, dtype)


def _means() -> Iterator[Sample]:
    yield from samples.reducible()
    yield sample(np.zeros((0, 2)), grad=False)


def _of_integers() -> Iterator[ErrorSample]:
    yield error(
        RuntimeError, "mean(): could not infer output dtype. Input dtype must be either", np.arange(3)
    )
    yield from _bad_dims()


def _mean_rule(ct: Any, input_shape: Any, input_dtype: Any, dim: Any, keepdim: bool) -> Any:
    return spread(same_type(ct / size_along(dim, input_shape), input_dtype), dim, keepdim, input_shape)


def _mean_tangent(t: Any, dim: Any, keepdim: bool, dtype: Any) -> Any:
    return mean(t, dim, keepdim, dtype=dtype)


@reduction(
    node=lambda dim: "MeanBackward0" if dim is None else "MeanBackward1",
    input=_mean_rule,
    jvp={"input": _mean_tangent},
    promote="none",
    samples=_means,
    errors=_of_integers,
    numpy={np.mean: _numpy_reduction},
)
def mean(input: Array, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Array:
    """Compute the mean over `dim` (all dimensions when None).

    Raises:
        RuntimeError: the input is neither floating nor complex, and no `dtype` is given.
    """
    if dim is None and dtype is None and input.__class__ is np.ndarray and input.dtype.char in "fd":
        return total(input, None, keepdim) / input.size
    if dtype is not None:
        input = cast(input, np.dtype(numpy_dtype(dtype)))
    if input.dtype.kind in "biu":
        what = "Optional" if dtype is not None else "Input"
        raise RuntimeError(
            "mean(): could not infer output dtype. "
            f"{what} dtype must be either a floating point or complex dtype. Got: {name_of(input)}"
        )
    if narrow(input):
        wide = cast(input, np.float32)
        return cast(_summed(wide, dim, keepdim, None) / np.float32(size_along(dim, input.shape)), input.dtype)
    return _summed(input, dim, keepdim, None) / size_along(dim, input.shape)


def _factors() -> Iterator[Sample]:
    x = samples.ramp(0.4, 3.0, 2, 3, 2)
    yield sample(x)
    yield sample(x, 1)
    yield sample(x, -1, True)
    yield sample(np.array([[1.5, 0.0, -2.0], [0.0, 2.5, 0.0]]), 1)
    yield sample(np.array([1.5, 0.0, -2.0]))
    yield sample(np.array(1.7))
    yield sample(np.arange(1, 5))


def others(x: Any, dim: int) -> Any:
    """Return, per element, the product of the others along `dim`: exact with zeros among them."""
    before = np.cumprod(_shifted_in(x, dim), dim)
    return before * np.flip(np.cumprod(_shifted_in(np.flip(x, dim), dim), dim), dim)


def _shifted_in(x: Any, dim: int) -> Any:
    """Return `x` moved on by one along `dim`, with ones coming in."""
    head = (slice(None),) * (dim % x.ndim)
    first = x[(*head, slice(0, 1))]
    return np.concatenate((zeros_as(first) + 1, x[(*head, slice(0, -1))]), dim)


def adjoint(x: Any) -> Any:
    """Return the complex conjugate of a factor; the factor itself if it is real."""
    return np.conjugate(x) if x.dtype.kind == "c" else x


def _prod_rule(ct: Any, input: Any, dim: Any, keepdim: bool, input_dtype: Any) -> Any:
    ct = same_type(ct, input_dtype)
    if input.ndim == 0:
        return np.reshape(ct, ())
    if dim is None:
        flat = np.reshape(input, (-1,))
        return np.reshape(ct * adjoint(others(flat, 0)), input.shape)
    return spread(ct, dim, keepdim, input.shape) * adjoint(others(input, dim))


def _prod_tangent(t: Any, input: Any, dim: Any, keepdim: bool, dtype: Any) -> Any:
    if input.ndim == 0:
        return t
    if dim is None:
        return sum(np.reshape(t, (-1,)) * others(np.reshape(input, (-1,)), 0), dtype=dtype)
    return sum(t * others(input, dim), dim, keepdim, dtype=dtype)


@reduction(
    node=lambda dim: "ProdBackward0" if dim is None else "ProdBackward1",
    input=_prod_rule,
    jvp={"input": _prod_tangent},
    promote="none",
    holomorphic=False,
    samples=_factors,
    numpy={np.prod: _numpy_reduction},
)
def prod(input: Array, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Array:
    """Multiply over one dimension, or all.

    Dtype: integers and bool give int64; `dtype` says otherwise.
    """
    to = (
        np.dtype(numpy_dtype(dtype))
        if dtype is not None
        else _INT64
        if input.dtype.kind in "biu"
        else input.dtype
    )
    x = cast(input, np.dtype(np.float32) if to.itemsize == 2 and to.kind in "fV" else to)
    return cast(np.prod(x, axes(dim, x.ndim), dtype=x.dtype, keepdims=keepdim), to)


def _flags() -> Iterator[Sample]:
    x = np.array([[True, False, True], [True, True, True]])
    yield sample(x)
    yield sample(x, 1)
    yield sample(x, (0, 1), True)
    yield sample(np.array([[0.0, 1.5], [2.0, np.nan]]), -1, True)
    yield sample(np.zeros((2, 0)), 1)


def _tested(test: Any, input: Any, dim: Any, keepdim: bool) -> Any:
    # Unlike in sums, an empty list of dimensions reduces none.
    none = dim is not None and not isinstance(dim, int) and len(dim) == 0
    found = test(cast(input, np.bool_), () if none else axes(dim, input.ndim), keepdims=keepdim)
    return cast(found, np.uint8) if input.dtype == np.uint8 else found


def _numpy_test(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return a, axis, keepdims


@reduction(promote="none", samples=_flags, numpy={np.all: _numpy_test})
def all(input: Array, dim: Any = None, keepdim: bool = False) -> Array:
    """Test that none is 0."""
    return _tested(np.all, input, dim, keepdim)


@reduction(promote="none", samples=_flags, numpy={np.any: _numpy_test})
def any(input: Array, dim: Any = None, keepdim: bool = False) -> Array:
    """Test that one at least is not 0."""
    return _tested(np.any, input, dim, keepdim)


@reduction(
    promote="none",
    samples=lambda: [sample(*s.args[:2]) for s in _flags()],  # there is no keepdim
    numpy={np.count_nonzero: lambda a, axis=None: (a, axis)},
)
def count_nonzero(input: Array, dim: Any = None) -> Array:
    """Count what is not 0."""
    return np.sum(input != 0, axes(dim, input.ndim), dtype=_INT64)


def _exponents() -> Iterator[Sample]:
    x = samples.ramp(-1.9, 3.1, 2, 3, 2)
    yield sample(x, 1)
    yield sample(x, (0, 2), True)
    yield sample(x * 400, -1)
    yield sample(np.array(1.7), 0)
    yield sample(np.array([[-np.inf, 1.0]]), 1, grad=False)


@reduction(
    node="LogsumexpBackward0",
    input=lambda ct, input, result, dim, keepdim: (
        spread(ct, dim, keepdim, input.shape) * np.exp(input - spread(result, dim, keepdim, input.shape))
    ),
    jvp={
        "input": lambda t, input, result, dim, keepdim: sum(
            t * np.exp(input - spread(result, dim, keepdim, input.shape)), dim, keepdim
        )
    },
    promote="float",
    samples=_exponents,
    places="torch Tensor special",
)
def logsumexp(input: Array, dim: Any, keepdim: bool = False) -> Array:
    """Compute log(sum(e**input)) over `dim`, without overflow: the largest is taken out first."""
    axis = axes(dim, input.ndim)
    if input.size == 0:
        return np.log(np.sum(np.exp(input), axis, keepdims=keepdim))
    top = largest(np.real(input), axis, True)
    top = np.where(np.isfinite(top), top, 0)
    summed = np.log(total(np.exp(input - top), axis, keepdim))
    return summed + np.reshape(top, summed.shape)
