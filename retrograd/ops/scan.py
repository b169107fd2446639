"""Running sums and products along a dimension."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import batching, samples
from retrograd.ops.axes import narrow
from retrograd.ops.declare import Array, ErrorSample, Sample, error, sample
from retrograd.ops.families import general
from retrograd.ops.helpers import cast, numpy_dtype, wrap_dim
from retrograd.ops.pointwise import zeros_as
from retrograd.ops.reduce import adjoint, same_type

_INT64 = np.dtype(np.int64)


def behind(op: Any, size: int, args: Any, dims: Any) -> Any:
    """Batch an op along `dim`: the batch goes to the front, the dimension moves behind it."""
    ready = [
        a if p.is_static else batching.spread(a, d, size)
        for p, a, d in zip(op.parameters, args, dims, strict=True)
    ]
    rank = next(np.ndim(a) for p, a in zip(op.parameters, ready, strict=True) if not p.is_static) - 1
    at = next(i for i, p in enumerate(op.parameters) if p.name == "dim")
    if rank == 0:  # a scalar is scanned along a dimension of its own
        ready = [
            a if p.is_static else np.expand_dims(a, 1) for p, a in zip(op.parameters, ready, strict=True)
        ]
        ready[at] = 1
        result = batching.call(op, ready)
        return tuple(np.squeeze(r, 1) for r in result) if isinstance(result, tuple) else np.squeeze(result, 1)
    ready[at] = batching.shifted(ready[at], rank)
    return batching.call(op, ready)


def along() -> Iterator[Sample]:
    yield from samples.along_one()
    yield sample(np.zeros((2, 0)), 1)


def bad_dim() -> Iterator[ErrorSample]:
    yield error(IndexError, "Dimension out of range", np.ones((2, 3)), 2)


def _accumulated(ufunc: Any, input: Any, dim: int, dtype: Any) -> Any:
    """Return ufunc.accumulate along `dim`, in int64 for integers; narrow floats are rounded once."""
    dim = wrap_dim(dim, input.ndim)
    to = (
        np.dtype(numpy_dtype(dtype))
        if dtype is not None
        else _INT64
        if input.dtype.kind in "biu"
        else input.dtype
    )
    x = cast(cast(input, to), np.dtype(np.float32)) if narrow(np.empty(0, to)) else cast(input, to)
    found = ufunc.accumulate(x, dim, x.dtype) if x.ndim else x.copy()
    return cast(found, to)


def _reversed_sum(ct: Any, dim: int) -> Any:
    return np.flip(np.cumsum(np.flip(ct, dim), dim), dim) if ct.ndim else ct


@general(
    node="CumsumBackward0",
    input=lambda ct, dim, input_dtype: _reversed_sum(same_type(ct, input_dtype), dim),
    jvp="linear",
    batch=behind,
    samples=along,
    errors=bad_dim,
    inplace=True,
    primitive=True,
    numpy={np.cumsum: lambda a, axis=None, dtype=None, out=None: (a, axis, dtype)},
)
def cumsum(input: Array, dim: int, *, dtype: Any = None) -> Array:
    """Compute running sums along a dimension.

    Dtype: integers and bool give int64; `dtype` says otherwise.
    """
    return _accumulated(np.add, input, dim, dtype)


# ---- the recurrence that the other scans' rules are made of ----


def _recurrences() -> Iterator[Sample]:
    x, factor = samples.ramp(-1.9, 3.1, 2, 3), samples.ramp(-0.8, 0.9, 2, 3)
    yield sample(factor, x, 1, False)
    yield sample(factor, x, 0, True)


def _neighbour(x: Any, dim: int, reverse: bool) -> Any:
    """Return each element's predecessor (its successor when `reverse`), 0 where there is none."""
    head = (slice(None),) * wrap_dim(dim, x.ndim)
    edge = zeros_as(x[(*head, slice(0, 1))])
    if reverse:
        return np.concatenate((x[(*head, slice(1, None))], edge), dim)
    return np.concatenate((edge, x[(*head, slice(0, -1))]), dim)


def _back(ct: Any, factor: Any, dim: int, reverse: bool) -> Any:
    """Return the recurrence run against its direction, which is its transpose."""
    return recurrence(_neighbour(factor, dim, not reverse), ct, dim, not reverse)


def _recurrence_tangent(t: Any, factor: Any, result: Any, dim: int, reverse: bool) -> Any:
    return recurrence(factor, t * _neighbour(result, dim, reverse), dim, reverse)


def _recurrence_input_tangent(t: Any, factor: Any, dim: int, reverse: bool) -> Any:
    return recurrence(factor, t, dim, reverse)


@general(
    node="RecurrenceBackward0",
    factor=lambda ct, factor, result, dim, reverse: (
        _back(ct, factor, dim, reverse) * _neighbour(result, dim, reverse)
    ),
    input=lambda ct, factor, dim, reverse: _back(ct, factor, dim, reverse),
    jvp={
        "factor": _recurrence_tangent,
        "input": _recurrence_input_tangent,
    },
    promote="same",
    batch=behind,
    samples=_recurrences,
    primitive=True,
    places="",
)
def recurrence(factor: Array, input: Array, dim: int, reverse: bool) -> Array:
    """Solve y[k] = factor[k] * y[k-1] + input[k] along `dim`; from the end, with k+1, when `reverse`.

    The first factor has nothing to multiply. It is the inverse of a bidiagonal matrix, so its rules are
    recurrences again.
    """
    f, y = np.moveaxis(factor, dim, 0), np.array(np.moveaxis(input, dim, 0))
    order = range(len(y) - 2, -1, -1) if reverse else range(1, len(y))
    before = 1 if reverse else -1
    for k in order:
        y[k] += f[k] * y[k + before]
    return np.moveaxis(y, 0, dim)


# ---- products ----


def _factors() -> Iterator[Sample]:
    yield from along()
    yield sample(np.array([[1.5, 0.0, -2.0], [0.0, 2.5, 0.0]]), 1)


def _products_before(input: Any, result: Any, dim: int) -> Any:
    """Return the product of all elements before each along `dim`: 1 at the first."""
    head = (slice(None),) * wrap_dim(dim, input.ndim)
    first = zeros_as(input[(*head, slice(0, 1))]) + 1
    return np.concatenate((first, result[(*head, slice(0, -1))]), dim)


def _cumprod_rule(ct: Any, input: Any, result: Any, dim: int, input_dtype: Any) -> Any:
    """Return, per element, the product before it times what comes after: exact with zeros among them."""
    ct, result = same_type(ct, input_dtype), same_type(result, input_dtype)
    if input.ndim == 0 or 0 in input.shape:
        return ct
    after = recurrence(adjoint(_neighbour(input, dim, True)), ct, dim, True)
    return adjoint(_products_before(input, result, dim)) * after


def _cumprod_tangent(t: Any, input: Any, result: Any, dim: int, dtype: Any) -> Any:
    if input.ndim == 0:
        return t
    return recurrence(input, t * _products_before(input, result, dim), dim, False)


@general(
    node="CumprodBackward0",
    input=_cumprod_rule,
    jvp={"input": _cumprod_tangent},
    promote="none",
    holomorphic=False,
    batch=behind,
    samples=_factors,
    errors=bad_dim,
    inplace=True,
    primitive=True,
    numpy={np.cumprod: lambda a, axis=None, dtype=None, out=None: (a, axis, dtype)},
)
def cumprod(input: Array, dim: int, *, dtype: Any = None) -> Array:
    """Compute running products along a dimension.

    Dtype: integers and bool give int64; `dtype` says otherwise.
    """
    return _accumulated(np.multiply, input, dim, dtype)


def _logs() -> Iterator[Sample]:
    yield from along()
    yield sample(samples.ramp(-300.0, 300.0, 2, 3), 1)


def _shrinking(result: Any, dim: int, reverse: bool) -> Any:
    """Return exp(result[k - 1] - result[k]), for the predecessor; in its place, for the successor, `reverse`.

    It is at most 1. The differences are taken inside only: one with the edge would overflow.
    """
    head = (slice(None),) * wrap_dim(dim, result.ndim)
    inside = np.exp(result[(*head, slice(None, -1))] - result[(*head, slice(1, None))])
    edge = zeros_as(result[(*head, slice(0, 1))])
    return np.concatenate((inside, edge) if reverse else (edge, inside), dim)


def _logcumsumexp_rule(ct: Any, input: Any, result: Any, dim: int) -> Any:
    """Return sum over k >= i of ct[k] * exp(input[i] - result[k]), every factor of which is at most 1."""
    if input.ndim == 0 or 0 in input.shape:
        return ct
    return np.exp(input - result) * recurrence(_shrinking(result, dim, True), ct, dim, True)


def _logcumsumexp_tangent(t: Any, input: Any, result: Any, dim: int) -> Any:
    if input.ndim == 0 or 0 in input.shape:
        return t
    return recurrence(_shrinking(result, dim, False), t * np.exp(input - result), dim, False)


@general(
    node="LogcumsumexpBackward0",
    input=_logcumsumexp_rule,
    jvp={"input": _logcumsumexp_tangent},
    promote="same",
    kinds="fc",
    batch=behind,
    samples=_logs,
    errors=bad_dim,
    primitive=True,
)
def logcumsumexp(input: Array, dim: int) -> Array:
    """Compute log of running sums of e**input along a dimension, without overflow."""
    dim = wrap_dim(dim, input.ndim)
    if input.ndim == 0:
        return input.copy()
    if input.dtype.kind == "f":
        return np.logaddexp.accumulate(input, dim)
    x = np.moveaxis(input, dim, 0)
    y = np.array(x)
    for k in range(1, len(y)):
        first = np.where(np.real(y[k - 1]) >= np.real(x[k]), y[k - 1], x[k])
        second = np.where(np.real(y[k - 1]) >= np.real(x[k]), x[k], y[k - 1])
        y[k] = first + np.log1p(np.exp(second - first))
    return np.moveaxis(y, 0, dim)
