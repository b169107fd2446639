"""Norms of vectors: all elements of a tensor, or those along some dimensions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import samples
from retrograd.ops.axes import axes, largest, reduction, smallest, spread, total
from retrograd.ops.declare import Array, ErrorSample, Sample, error, sample
from retrograd.ops.families import composite
from retrograd.ops.helpers import cast, name_of, numpy_dtype, wrap_dim
from retrograd.ops.reduce import same_type


def _orders() -> Iterator[Sample]:
    x = samples.ramp(-1.9, 3.1, 2, 3, 2)
    yield sample(x)
    for order in (1, 2, 3.5, 0.5, -1.5, float("inf"), -float("inf")):
        yield sample(x, order, 1)
    yield sample(x, 0, 1)
    yield sample(x, 2, (0, -1), True)
    yield sample(np.zeros((2, 3)), 2, 1, grad=False)
    yield sample(np.array(1.7))


def _partial(input: Any, result: Any, ord: float) -> Any:
    """Return the derivative of a norm (in the input's shape) by each element; 0 where undefined."""
    if ord == 0:
        return input * 0
    direction = np.sign(input)
    if ord == 1:
        return direction
    if ord == 2:
        return np.where(result == 0, 0, input / np.where(result == 0, 1, result))
    size = np.absolute(input)
    if ord < 1:  # an element of 0 has an infinite slope, and is given none
        safe = np.where(size == 0, 1, size)
        return np.where(size == 0, 0, direction * safe ** (ord - 1)) * result ** (1 - ord)
    whole = np.where(result == 0, 1, result)
    return np.where(result == 0, 0, direction * (size / whole) ** (ord - 1))


def _evenly(input: Any, result: Any, axis: Any) -> Any:
    """Return the derivative of the largest (or smallest) magnitude: those that have it share it."""
    size = np.absolute(input)
    ties = (size == result) | (np.isnan(size) & np.isnan(result))
    ties = cast(ties, numpy_dtype(size.dtype))
    return np.sign(input) * ties / np.sum(ties, axis=axis, keepdims=True)


def _slope(input: Any, result: Any, ord: float, dim: Any, keepdim: bool) -> Any:
    axis = axes(dim, input.ndim)
    over = spread(result, axis, keepdim, input.shape)
    return _evenly(input, over, axis) if np.isinf(ord) else _partial(input, over, ord)


def _norm_rule(ct: Any, input: Any, result: Any, ord: float, dim: Any, keepdim: bool, dtype: Any) -> Any:
    if dtype is not None:
        input, to = cast(input, numpy_dtype(dtype)), numpy_dtype(input.dtype)
        return cast(_norm_rule(ct, input, result, ord, dim, keepdim, None), to)
    return spread(ct, axes(dim, input.ndim), keepdim, input.shape) * _slope(input, result, ord, dim, keepdim)


def _norm_tangent(t: Any, input: Any, result: Any, ord: float, dim: Any, keepdim: bool, dtype: Any) -> Any:
    slope = np.conjugate(
        _slope(same_type(input, numpy_dtype(dtype or input.dtype)), result, ord, dim, keepdim)
    )
    return np.sum(np.real(slope * t), axis=axes(dim, input.ndim), keepdims=keepdim)


@reduction(
    node="LinalgVectorNormBackward0",
    input=_norm_rule,
    jvp={"input": _norm_tangent},
    holomorphic=False,
    samples=_orders,
    places="linalg",
)
def vector_norm(
    input: Array, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Array:
    """Compute (sum |x|**ord)**(1/ord); ord inf and -inf give the largest and smallest magnitude, 0 counts.

    Numerics: the largest magnitude is not taken out first, so squares may overflow, as in torch.

    Raises:
        RuntimeError: the input is neither floating nor complex.
    """
    if input.dtype.kind in "biu":
        raise RuntimeError(
            "linalg.vector_norm: Expected a floating point or complex tensor as input. Got " + name_of(input)
        )
    x = input if dtype is None else cast(input, np.dtype(numpy_dtype(dtype)))
    axis = axes(dim, x.ndim)
    if ord == 2 and x.dtype.kind == "f":
        return np.sqrt(total(x * x, axis, keepdim))
    size = np.absolute(x)
    if ord == 1:
        return total(size, axis, keepdim)
    if ord == 2:
        return np.sqrt(total(size * size, axis, keepdim))
    if ord == 0:
        return np.sum(size != 0, axis, dtype=size.dtype, keepdims=keepdim)
    if np.isinf(ord):
        return (largest if ord > 0 else smallest)(size, axis, keepdim)
    return total(size**ord, axis, keepdim) ** (1 / ord)


# ---- norms held below a bound ----


def _bounded() -> Iterator[Sample]:
    x = samples.ramp(-1.9, 3.1, 2, 3, 2)
    yield sample(x, 2, 0, 2.5)
    yield sample(x, 1, -2, 4.0)
    yield sample(x[0], 3, 1, 1.25)
    yield sample(x, 3.5, 1, 0.0)


def _unbounded() -> Iterator[ErrorSample]:
    x = np.ones((2, 3))
    yield error(RuntimeError, "renorm: non-positive-norm not supported", x, 0, 0, 1.0)
    yield error(RuntimeError, "renorm: expected maxnorm to be >= 0 but got -1", x, 2, 0, -1)
    yield error(RuntimeError, "renorm: input needs at least 2 dimensions, got 1 dimensions", x[0], 2, 0, 1.0)
    yield error(IndexError, "Dimension out of range", x, 2, 3, 1.0)


@composite(samples=_bounded, errors=_unbounded)
def renorm(input: Array, p: float, dim: int, maxnorm: float) -> Array:
    """Scale each slice along `dim` whose p-norm exceeds `maxnorm` down to it."""
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm:g}")
    if input.ndim < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {input.ndim} dimensions")
    kept_dim = wrap_dim(dim, input.ndim)
    norms = vector_norm(input, p, tuple(d for d in range(input.ndim) if d != kept_dim), True)
    # The small number is torch's, against division by zero.
    return input * np.where(norms > maxnorm, maxnorm / (norms + 1e-7), 1)
