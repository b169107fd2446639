"""The largest and the smallest over dimensions, and where they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import samples
from retrograd.ops.axes import (
    axes,
    batched_whole,
    kept,
    largest,
    reduction,
    refuse_empty,
    smallest,
    spread,
    total,
)
from retrograd.ops.declare import Array, ErrorSample, Sample, error, sample
from retrograd.ops.helpers import cast, name_of, numpy_dtype, wrap_dim


def _distinct() -> Iterator[Sample]:
    x = samples.ramp(-1.9, 3.1, 2, 3, 2)
    yield sample(x)
    yield sample(np.array(1.7))
    yield sample(np.array([1.0, 3.0, 3.0, 3.0]), grad=False)


def _empty() -> Iterator[ErrorSample]:
    yield error(RuntimeError, "Expected reduction dim to be specified for input.numel() == 0", np.zeros(0))


def _share(x: Any, result: Any, dim: Any) -> Any:
    """Return what part of a reduction's cotangent each element gets: those equal to the result, evenly."""
    chosen = (x == result) | ((x != x) & (result != result))
    return chosen / total(chosen, dim, True)


def _shared(ct: Any, input: Any, result: Any) -> Any:
    return ct * as_type(_share(input, result, None), ct)


def as_type(x: Any, like: Any) -> Any:
    """Return `x` in the dtype of `like`, which a product with it then keeps."""
    return cast(x, numpy_dtype(like.dtype))


# ---- along one dimension, with indices ----


def chosen(indices: Any, dim: int, keepdim: bool, shape: Any) -> Any:
    """Return the mask, in the input's shape, of what `indices` choose: one element per row along `dim`."""
    if not shape:
        return np.array(True)
    at = wrap_dim(dim, len(shape))
    places = np.reshape(np.arange(shape[at]), (-1, *(1,) * (len(shape) - at - 1)))
    return kept(indices, dim, keepdim, shape) == places


def selected_rule(ct: Any, result: Any, dim: int, keepdim: bool, input_shape: Any) -> Any:
    """Return the cotangent of what was selected, 0 elsewhere."""
    return np.where(chosen(result[1], dim, keepdim, input_shape), kept(ct, dim, keepdim, input_shape), 0)


def selected_tangent(t: Any, result: Any, dim: int, keepdim: bool, input_shape: Any) -> Any:
    """Return the tangent of what was selected."""
    if not input_shape:
        return t
    return np.sum(np.where(chosen(result[1], dim, keepdim, input_shape), t, 0), axis=dim, keepdims=keepdim)


def _select(input: Any, dim: int, keepdim: bool, extreme: Any, find: Any) -> tuple[Any, Any]:
    """Return the extreme along `dim`, and where it is first; NaN is more extreme than any number."""
    at = wrap_dim(dim, input.ndim)
    if input.ndim == 0:
        return np.copy(input), np.zeros((), np.int64)
    return extreme(input, at, keepdim), cast(find(input, at, keepdims=keepdim), np.int64)


def _empty_dim() -> Iterator[ErrorSample]:
    yield error(IndexError, "Expected reduction dim 1 to have non-zero size.", np.zeros((3, 0)), 1)
    yield error(IndexError, "Dimension out of range", np.zeros((3, 2)), 2)


_with_indices: dict[str, Any] = {
    "input": selected_rule,
    "jvp": {"input": selected_tangent},
    "outputs": ("values", "indices"),
    "differentiable_outputs": (0,),
    "kinds": "buif",
    "samples": samples.along_one,
    "errors": _empty_dim,
}


@reduction(node="MaxBackward0", places="", torch_name="max", **_with_indices)
def max_dim(input: Array, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
    """Find the largest along a dimension, and where it is; the gradient goes to that one."""
    refuse_empty("max", dim, input.shape)
    return _select(input, dim, keepdim, largest, np.argmax)


@reduction(node="MinBackward0", places="", torch_name="min", **_with_indices)
def min_dim(input: Array, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
    """Find the smallest along a dimension, and where it is; the gradient goes to that one."""
    refuse_empty("min", dim, input.shape)
    return _select(input, dim, keepdim, smallest, np.argmin)


# ---- of all elements ----


@reduction(
    node="MaxBackward1",
    batch=batched_whole(max_dim),
    input=_shared,
    jvp={"input": lambda t, input, result: np.sum(_shared(t, input, result))},
    kinds="buif",
    samples=_distinct,
    errors=_empty,
    places="",
    torch_name="max",
)
def max_all(input: Array) -> Array:
    """Compute the largest element; equal ones share the gradient evenly."""
    refuse_empty("max", None, input.shape)
    return largest(input, None)


@reduction(
    node="MinBackward1",
    batch=batched_whole(min_dim),
    input=_shared,
    jvp={"input": lambda t, input, result: np.sum(_shared(t, input, result))},
    kinds="buif",
    samples=_distinct,
    errors=_empty,
    places="",
    torch_name="min",
)
def min_all(input: Array) -> Array:
    """Compute the smallest element; equal ones share the gradient evenly."""
    refuse_empty("min", None, input.shape)
    return smallest(input, None)


# ---- over several dimensions ----


def _several() -> Iterator[Sample]:
    yield from samples.reducible()
    yield sample(np.array([[1.0, 3.0, 3.0]]), 1, grad=False)


def _extreme_rule(ct: Any, input: Any, result: Any, dim: Any, keepdim: bool) -> Any:
    axis = axes(dim, input.ndim)
    part = _share(input, spread(result, axis, keepdim, input.shape), axis)
    return spread(ct, axis, keepdim, input.shape) * as_type(part, ct)


def _extreme_tangent(t: Any, input: Any, result: Any, dim: Any, keepdim: bool) -> Any:
    axis = axes(dim, input.ndim)
    part = _share(input, spread(result, axis, keepdim, input.shape), axis)
    return np.sum(t * as_type(part, t), axis=axis, keepdims=keepdim)


def _numpy_extreme(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return a, () if axis is None else axis, keepdims


@reduction(
    node="AmaxBackward0",
    input=_extreme_rule,
    jvp={"input": _extreme_tangent},
    kinds="buif",
    samples=_several,
    errors=_empty,
    numpy={np.max: _numpy_extreme, np.amax: _numpy_extreme},
)
def amax(input: Array, dim: Any = (), keepdim: bool = False) -> Array:
    """Compute the largest over `dim` (all dimensions when empty); equal ones share the gradient evenly."""
    refuse_empty("amax", dim, input.shape)
    return largest(input, axes(dim, input.ndim), keepdim)


@reduction(
    node="AminBackward0",
    input=_extreme_rule,
    jvp={"input": _extreme_tangent},
    kinds="buif",
    samples=_several,
    errors=_empty,
    numpy={np.min: _numpy_extreme, np.amin: _numpy_extreme},
)
def amin(input: Array, dim: Any = (), keepdim: bool = False) -> Array:
    """Compute the smallest over `dim` (all dimensions when empty); equal ones share the gradient evenly."""
    refuse_empty("amin", dim, input.shape)
    return smallest(input, axes(dim, input.ndim), keepdim)


def _both_rule(ct: Any, input: Any, result: Any, dim: Any, keepdim: bool) -> Any:
    parts = [
        _extreme_rule(c, input, r, dim, keepdim) for c, r in zip(ct, result, strict=True) if c is not None
    ]
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


def _keyword_dims() -> Iterator[Sample]:
    x = samples.ramp(-1.9, 3.1, 2, 3, 2)
    yield sample(x)
    yield sample(x, dim=1)
    yield sample(x, dim=-1, keepdim=True)
    yield sample(np.array(1.7), dim=0)


@reduction(
    node="AminmaxBackward0",
    input=_both_rule,
    jvp={
        "input": lambda t, input, result, dim, keepdim: tuple(
            _extreme_tangent(t, input, r, dim, keepdim) for r in result
        )
    },
    outputs=("min", "max"),
    kinds="buif",
    samples=_keyword_dims,
)
def aminmax(input: Array, *, dim: int | None = None, keepdim: bool = False) -> tuple[Array, Array]:
    """Compute the smallest and the largest along a dimension, or of all."""
    if not input.size:
        if dim is None:
            raise RuntimeError(
                "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity."
            )
        refuse_empty("aminmax", dim, input.shape)
    axis = axes(dim, input.ndim)
    return smallest(input, axis, keepdim), largest(input, axis, keepdim)


# ---- indices alone ----


def _places() -> Iterator[Sample]:
    yield from samples.along_one()
    yield sample(samples.ramp(-1.9, 3.1, 2, 3))
    yield sample(samples.ramp(-1.9, 3.1, 2, 3), None, True)


def _numpy_arg(a: Any, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Any:
    return a, axis, keepdims


def _found(find: Any, name: str, input: Any, dim: int | None, keepdim: bool) -> Any:
    if input.dtype.kind == "b":
        raise RuntimeError(f"{name}(): does not support bool input")
    if input.dtype.kind == "c":
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{name_of(input)}'")
    refuse_empty(name, dim, input.shape)
    axis = None if dim is None else wrap_dim(dim, input.ndim)
    if input.ndim == 0:
        return np.zeros((), np.int64)
    return cast(find(input, axis, keepdims=keepdim), np.int64)


@reduction(promote="none", samples=_places, numpy={np.argmax: _numpy_arg})
def argmax(input: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    """Find where the largest is: along a dimension, or in the flattened tensor."""
    return _found(np.argmax, "argmax", input, dim, keepdim)


@reduction(promote="none", samples=_places, numpy={np.argmin: _numpy_arg})
def argmin(input: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    """Find where the smallest is: along a dimension, or in the flattened tensor."""
    return _found(np.argmin, "argmin", input, dim, keepdim)
