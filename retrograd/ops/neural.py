"""What the ops of neural networks share: cheap reductions, transposes, a loss's reduction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograd.ops.declare import TABLE
from retrograd.ops.numbers import number

ndarray = np.ndarray
_sum: Any = np.add.reduce
_max: Any = np.maximum.reduce


def total(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Sum over `axis`: np.sum, without its preparations on arrays."""
    if x.__class__ is ndarray:
        return _sum(x, axis, keepdims=keepdims)
    if axis == ():
        return x
    return np.sum(x, axis=axis, keepdims=keepdims)


def largest(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Take the maximum over `axis`: np.max, without its preparations on arrays."""
    if x.__class__ is ndarray:
        return _max(x, axis, keepdims=keepdims)
    if axis == ():
        return x
    return np.max(x, axis=axis, keepdims=keepdims)


def total_product(x: Any, y: Any, axis: Any) -> Any:
    """Sum x * y over `axis`, keeping it; over the last one without storing the product."""
    if axis == -1 and x.__class__ is ndarray and y.__class__ is ndarray and x.shape == y.shape:
        return np.vecdot(y.conj() if y.dtype.kind == "c" else y, x)[..., None]
    return total(x * y, axis, True)


def flip(x: Any) -> Any:
    """Transpose the last two dimensions."""
    if x.ndim == 2 and x.__class__ is ndarray:
        return x.T
    return np.swapaxes(x, -1, -2)


def rows(x: Any) -> Any:
    """Return `x` as a matrix: all dimensions but the last in one."""
    return x if x.ndim == 2 else np.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def product(x: Any, y: Any) -> Any:
    """Multiply matrices, as `x @ y` does; without the preparations of NumPy's matmul where a dot serves."""
    if x.__class__ is ndarray and y.__class__ is ndarray and 0 < x.ndim < 3 and 0 < y.ndim < 3:
        return x.dot(y)
    return x @ y


def sigmoid(x: Any) -> Any:
    """Compute 1 / (1 + e**-x); e**-x may overflow to inf, and then the result is 0 as it should be."""
    one = number(1, x)
    if x.__class__ is ndarray and x.ndim:
        made = np.exp(-x)
        np.add(made, one, made)
        return np.divide(one, made, made)
    return one / (one + np.exp(-x))


def erf(x: Any) -> Any:
    """Call the op `erf`, which another file declares."""
    return TABLE["erf"](x)


def axis_of(dim: int, ndim: int) -> Any:
    """Return a dimension as NumPy's axis: nothing to reduce in a 0-dim array.

    Raises:
        IndexError: there is no such dimension.
    """
    rank = ndim or 1
    if not -rank <= dim < rank:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-rank}, {rank - 1}], but got {dim})"
        )
    return dim if ndim else ()


# ---- the reduction of a loss ----


def reduced(loss: Any, reduction: str) -> Any:
    """Return the mean or the sum of a loss per element, or that loss itself for 'none'.

    Raises:
        ValueError: `reduction` is none of the three.
    """
    if reduction == "mean":
        count = math.prod(loss.shape)
        return total(loss) / (count or math.nan)
    if reduction == "sum":
        return total(loss)
    if reduction == "none":
        return loss
    raise ValueError(f"{reduction} is not a valid value for reduction")


def share(ct: Any, reduction: str, shape: Sequence[int]) -> Any:
    """Return a loss's cotangent per element of a loss of this shape, not yet spread over them."""
    return ct / (math.prod(shape) or math.nan) if reduction == "mean" else ct


def broadcast(*arrays: Any) -> tuple[int, ...]:
    """Return the shape that arrays have together."""
    first = arrays[0].shape
    for array in arrays:
        if array.shape != first:
            break
    else:
        return tuple(first)
    return np.broadcast_shapes(*(tuple(a.shape) for a in arrays))


# ---- sizes ----


def per_dim(value: Any, rank: int, what: str) -> tuple[int, ...]:
    """Return a size given as one int, or as a sequence of one or `rank` ints, as `rank` ints.

    Raises:
        RuntimeError: there are neither one nor `rank` ints.
    """
    if isinstance(value, int):
        return (value,) * rank
    sizes = tuple(int(v) for v in value)
    if len(sizes) == 1:
        return sizes * rank
    if len(sizes) != rank:
        raise RuntimeError(f"{what} must be one integer or {rank}; got {list(sizes)}")
    return sizes


# ---- bounds by numbers ----


def at_least(x: Any, bound: float) -> Any:
    """Return max(x, bound)."""
    return np.maximum(x, number(bound, x)) if x.__class__ is ndarray else np.clip(x, bound, None)


def at_most(x: Any, bound: float) -> Any:
    """Return min(x, bound)."""
    return np.minimum(x, number(bound, x)) if x.__class__ is ndarray else np.clip(x, None, bound)


def between(x: Any, low: float, high: float) -> Any:
    """Return x, but low where it is below and high where it is above."""
    return np.minimum(np.maximum(x, low), high) if x.__class__ is ndarray else np.clip(x, low, high)
