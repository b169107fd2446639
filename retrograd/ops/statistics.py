"""Variance and standard deviation over dimensions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import samples
from retrograd.ops.axes import average, axes, reduction, size_along, spread, total
from retrograd.ops.declare import Array, ErrorSample, Sample, error, sample
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
    return input - average(input, dim)


def _freedom(shape: Any, dim: Any, correction: float) -> float:
    """Return by what a sum of squares is divided; it may be 0, and then gives infinity or NaN."""
    left = size_along(dim, shape) - correction
    return max(left, 0)


def _check(input: Any, name: str) -> None:
    if input.dtype.kind in "biu":
        raise RuntimeError(f"{name} only support floating point and complex dtypes")


def _variance(input: Any, dim: Any, correction: float, keepdim: bool) -> Any:
    centred = _centred(input, dim)
    if input.dtype.kind == "c":
        centred = np.absolute(centred)
    squares = total(centred * centred, axes(dim, input.ndim), keepdim)
    return squares / _freedom(input.shape, dim, correction)


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
