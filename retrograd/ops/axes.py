"""What reductions share: which axes, how many elements, and a cotangent spread over them again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograd.ops import batching, families
from retrograd.ops.helpers import keep_dims, wrap_dim, wrap_dims

# NumPy's stubs do not know these arguments by position, which is the fast way to give them.
_ADD: Any = np.add.reduce
_MAXIMUM: Any = np.maximum.reduce
_MINIMUM: Any = np.minimum.reduce

_SMALL = 4096  # elements that are written sooner than a view of one number is made


def axes(dim: Any, ndim: int) -> Any:
    """Return `dim` as NumPy's axis: None for all, an int, or a tuple; torch's empty list means all.

    Raises:
        IndexError: there is no such dimension.
        RuntimeError: a dimension is named twice.
    """
    if dim is None or (dim.__class__ is int and -ndim <= dim < ndim):
        return dim
    if isinstance(dim, int):
        wrap_dim(dim, ndim)
        return None if ndim == 0 else dim
    found = wrap_dims(dim, ndim)
    return None if len(found) == ndim else found


def size_along(dim: Any, shape: Sequence[int]) -> int:
    """Return how many elements a reduction over `dim` puts into one."""
    if dim is None:
        return math.prod(shape)
    if dim.__class__ is int and shape:
        return shape[dim]
    return math.prod(shape[d] for d in wrap_dims(dim, len(shape))) if shape else 1


def total(x: Any, axis: Any, keepdims: bool = False) -> Any:
    """Return np.sum(x, axis); of an array without NumPy's Python layer, as slow as a small sum."""
    if x.__class__ is np.ndarray:
        return _ADD(x, axis, None, None, keepdims)
    return np.sum(x, axis=axis, keepdims=keepdims)


def largest(x: Any, axis: Any, keepdims: bool = False) -> Any:
    """Return np.max(x, axis), likewise."""
    if x.__class__ is np.ndarray:
        return _MAXIMUM(x, axis, None, None, keepdims)
    return np.max(x, axis=axis, keepdims=keepdims)


def smallest(x: Any, axis: Any, keepdims: bool = False) -> Any:
    """Return np.min(x, axis), likewise."""
    if x.__class__ is np.ndarray:
        return _MINIMUM(x, axis, None, None, keepdims)
    return np.min(x, axis=axis, keepdims=keepdims)


def average(x: Any, dim: Any) -> Any:
    """Return the mean over `dim` with the reduced dimensions as size 1."""
    return total(x, axes(dim, x.ndim), True) / size_along(dim, x.shape)


def spread(ct: Any, dim: Any, keepdim: bool, shape: Sequence[int]) -> Any:
    """Return a reduction's cotangent repeated over the reduced dimensions: a view, unless it is small."""
    made: np.ndarray[Any, Any]
    if isinstance(ct, np.generic):  # the engine begins with one, and scalars compute to scalars
        if dim is None and math.prod(shape) <= _SMALL:
            made = np.empty(shape, ct.dtype)
            made.fill(ct)
            return made
        ct = np.asarray(ct)
    if ct.__class__ is np.ndarray and ct.flags.c_contiguous:
        # What np.broadcast_to does, in a fifth of its time.
        made = np.ndarray(shape, ct.dtype, ct, 0, _strides(ct, dim, keepdim, len(shape)))
        made.flags.writeable = False
        return made
    return np.broadcast_to(kept(ct, dim, keepdim, shape), shape)


def _strides(ct: Any, dim: Any, keepdim: bool, rank: int) -> Any:
    """Return the strides of a cotangent in its input's shape: 0 along the reduced dimensions."""
    if ct.ndim == 0:
        return (0,) * rank
    reduced = wrap_dims(dim, rank)
    if keepdim:
        return [0 if d in reduced else ct.strides[d] for d in range(rank)]
    left = iter(ct.strides)
    return [0 if d in reduced else next(left) for d in range(rank)]


def kept(result: Any, dim: Any, keepdim: bool, shape: Sequence[int]) -> Any:
    """Return a reduction's result with the reduced dimensions as size 1."""
    if keepdim or dim.__class__ is not int or not shape:
        return keep_dims(result, dim, keepdim, shape)
    at = dim % len(shape)
    return np.reshape(result, (*shape[:at], 1, *shape[at + 1 :]))


def refuse_empty(name: str, dim: Any, shape: Sequence[int]) -> None:
    """Refuse to take an extreme of nothing.

    Raises:
        RuntimeError: all of an empty tensor.
        IndexError: a dimension of size 0.
    """
    if math.prod(shape):
        return
    if dim is None or (not isinstance(dim, int) and len(dim) == 0):
        hint = "" if name.startswith("arg") else " Specify the reduction dim with the 'dim' argument."
        raise (IndexError if name.startswith("arg") else RuntimeError)(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0.{hint}"
        )
    for d in wrap_dims(dim, len(shape)):
        if shape[d] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {d} to have non-zero size.")


def narrow(x: Any) -> bool:
    """Return whether an array is float16 or bfloat16: computed in float32."""
    return x.dtype.itemsize == 2 and x.dtype.kind in "fV"


# ---- batching ----


def reduction(**options: Any) -> Callable[[families.Definition], families.Declared]:
    """Declare a reduction that batches as `batched` does."""
    options.setdefault("batch", batched)
    return families.reduction(**options)


def batched(op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    """Batch a reduction; of all elements, or of a 0-dim tensor, as one of rows."""
    given = dict(zip([p.name for p in op.parameters], args, strict=True))
    dim, rank = given["dim"], np.ndim(args[0]) - 1
    everything = dim is None or (not isinstance(dim, int) and len(dim) == 0)
    if rank and not everything:
        return batching.reduction(op, size, args, dims)
    given.update({op.parameters[0].name: rows_of(args[0], dims[0], size), "dim": 1})
    keep = given.get("keepdim", False)
    if "keepdim" in given:
        given["keepdim"] = False
    result = batching.call(op, list(given.values()))
    shape = (size, *(1,) * rank) if keep else (size,)
    return (
        tuple(np.reshape(r, shape) for r in result)
        if isinstance(result, tuple)
        else np.reshape(result, shape)
    )


def rows_of(x: Any, dim: int | None, size: int) -> Any:
    """Return each element of a batch as a row: shape (size, n)."""
    return np.reshape(batching.spread(x, dim, size), (size, -1))


def batched_whole(along: Any) -> Callable[..., Any]:
    """Return how a reduction of all elements batches: the op `along` does the same along a dimension."""

    def rule(op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
        found = along(rows_of(args[0], dims[0], size), 1)
        return found[0] if isinstance(found, tuple) else found

    return rule
