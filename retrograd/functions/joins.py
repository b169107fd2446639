"""Putting tensors together: one after the other, stacked, as blocks, as grids."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograd.autograd.modes import local, modes
from retrograd.devices import Size
from retrograd.ops.declare import TABLE
from retrograd.ops.masks import common_shape
from retrograd.tensor import Tensor, wrap

_transpose: Callable[..., Tensor] = TABLE["transpose"].function
_take: Callable[..., Tensor] = TABLE["take"].function
_cat: Callable[..., Tensor] = TABLE["cat"].function
_expand: Callable[..., Tensor] = TABLE["expand"].function
_reshape: Callable[..., Tensor] = TABLE["reshape"].function
_stack: Callable[..., Tensor] = TABLE["stack"].function
_unsqueeze: Callable[..., Tensor] = TABLE["unsqueeze"].function


def _sequence(name: str, tensors: Any) -> Sequence[Tensor]:
    if not isinstance(tensors, (tuple, list)):
        raise TypeError(
            f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not "
            f"{type(tensors).__name__}"
        )
    return tensors


def cat(tensors: Any, dim: int = 0, *, axis: int | None = None, out: Tensor | None = None) -> Tensor:
    """Join tensors along a dimension that they have."""
    if axis is not None:
        dim = axis
    if out is not None:
        return _cat(tensors, dim, out=out)
    arrays = _plain(tensors)
    if arrays:
        try:
            return _joined(np.concatenate(arrays, dim), tensors)
        except ValueError:
            pass  # the op says what is wrong
    elif not _sequence("cat", tensors):
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    return _cat(tensors, dim)


def stack(tensors: Any, dim: int = 0, *, out: Tensor | None = None) -> Tensor:
    """Join tensors of one shape along a new dimension."""
    if out is None:
        arrays = _plain(tensors)
        if arrays:
            try:
                if dim == 0:
                    return _joined(np.concatenate([a[None] for a in arrays]), tensors)
            except ValueError:
                pass  # the op says what is wrong
        elif not _sequence("stack", tensors):
            raise RuntimeError("stack expects a non-empty TensorList")
    return _stack(tensors, dim, out=out)


def _joined(array: Any, tensors: Any) -> Tensor:
    """Return a tensor that says where the tensors it was joined from lost their history."""
    made = wrap(array)
    for x in tensors:
        if x._meta is not None and x._meta.cut is not None:
            made._meta = x._meta.cut
    return made


_LISTS = (list, tuple)


def _plain(tensors: Any) -> list[Any] | None:
    """Return the arrays of tensors of one dtype that need no recording; None if they are anything else."""
    if (modes.special and local.careful) or tensors.__class__ not in _LISTS:
        return None
    arrays: list[Any] = []
    dtype = None
    for x in tensors:
        if x.__class__ is not Tensor or x._node is not None or (x._cell is not None and x._cell.rebased):
            return None
        array = x._array
        if array.dtype is not dtype:
            if arrays:
                return None
            dtype = array.dtype
        arrays.append(array)
    return arrays


def hstack(tensors: Any, *, out: Tensor | None = None) -> Tensor:
    """Join tensors side by side: along dimension 1, vectors along their only one."""
    tensors = atleast_1d(_sequence("hstack", tensors))
    if not tensors:
        raise RuntimeError("hstack expects a non-empty TensorList")
    return cat(tensors, 0 if tensors and tensors[0]._array.ndim == 1 else 1, out=out)


def vstack(tensors: Any, *, out: Tensor | None = None) -> Tensor:
    """Join tensors one above the other: along dimension 0, vectors as rows."""
    if not _sequence("vstack", tensors):
        raise RuntimeError("vstack expects a non-empty TensorList")
    return cat(atleast_2d(tensors), 0, out=out)


def dstack(tensors: Any, *, out: Tensor | None = None) -> Tensor:
    """Join tensors one behind the other: along dimension 2."""
    if not _sequence("dstack", tensors):
        raise RuntimeError("dstack expects a non-empty TensorList")
    return cat(atleast_3d(tensors), 2, out=out)


def column_stack(tensors: Any, *, out: Tensor | None = None) -> Tensor:
    """Join tensors side by side, vectors as columns."""
    columns = [
        _reshape(t, (t._array.size, 1)) if t._array.ndim <= 1 else t
        for t in _sequence("column_stack", tensors)
    ]
    return cat(columns, 1, out=out)


def block_diag(*tensors: Any) -> Tensor:
    """Return the matrix with these blocks on its diagonal."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        (tensors,) = tensors
    blocks = []
    for i, x in enumerate(tensors):
        if x._array.ndim > 2:
            raise RuntimeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {i} has "
                f"{x._array.ndim} dimensions"
            )
        blocks.append(_reshape(x, (1, -1)) if x._array.ndim < 2 else x)
    width = sum(b._array.shape[1] for b in blocks)
    rows, start = [], 0
    for b in blocks:
        height, columns = b._array.shape
        empty = [wrap(np.zeros((height, n), b._array.dtype)) for n in (start, width - start - columns)]
        rows.append(cat([empty[0], b, empty[1]], 1))
        start += columns
    return cat(rows, 0) if rows else wrap(np.zeros((1, 0), np.float32))


def _at_least(rank: int) -> Callable[..., Any]:
    def function(*tensors: Any) -> Any:
        if len(tensors) == 1 and isinstance(tensors[0], Tensor):
            return raised(tensors[0])
        if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
            (tensors,) = tensors
        return tuple(raised(t) for t in tensors)

    def raised(x: Tensor) -> Tensor:
        have = x._array.ndim
        if have == 0:
            return _reshape(x, (1,) * rank)
        if have == 1 and rank > 1:
            x = _unsqueeze(x, 0)
        return _unsqueeze(x, -1) if have < 3 <= rank else x

    function.__name__ = function.__qualname__ = f"atleast_{rank}d"
    function.__doc__ = f"Return tensors with dimensions of size 1 added until they have {rank}."
    return function


atleast_1d, atleast_2d, atleast_3d = (_at_least(n) for n in (1, 2, 3))


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Return the coordinates of a grid: each vector expanded along all the others."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        (tensors,) = tensors
    if indexing is None:
        warnings.warn(
            "torch.meshgrid: in an upcoming release, it will be required to pass the indexing argument.",
            UserWarning,
            stacklevel=2,
        )
        indexing = "ij"
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    if not tensors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    for x in tensors:
        if x._array.ndim > 1:
            raise RuntimeError(f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {x}")
        if x._array.dtype != tensors[0]._array.dtype:
            raise RuntimeError("meshgrid expects all tensors to have the same dtype")
    sizes = tuple(x._array.size for x in tensors)
    made = [
        _expand(_reshape(x, tuple(-1 if d == i else 1 for d in range(len(sizes)))), sizes)
        for i, x in enumerate(tensors)
    ]
    if indexing == "xy" and len(tensors) > 1:
        made = [_transpose(x, 0, 1) for x in made]
    return tuple(made)


def broadcast_shapes(*shapes: Any) -> Any:
    """Return the shape that tensors of these shapes broadcast to."""
    result: list[int] = []
    for place, shape in enumerate(shapes):
        sizes = (shape,) if isinstance(shape, int) else tuple(shape)
        result = [1] * (len(sizes) - len(result)) + result
        for k in range(-1, -1 - len(sizes), -1):
            if sizes[k] < 0:
                raise RuntimeError(
                    f"Trying to create tensor with negative dimension ({sizes[k]}): ({sizes[k]})"
                )
            if sizes[k] not in (1, result[k]):
                if result[k] != 1:
                    raise RuntimeError(
                        f"Attempting to broadcast a dimension of length {sizes[k]} at {k}! Mismatching "
                        "argument at index "
                        f"{place} had {sizes}; but expected shape should be broadcastable to {result}"
                    )
                result[k] = sizes[k]
    return Size(result)


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """Expand tensors to the shape that they broadcast to."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        (tensors,) = tensors
    shape: tuple[int, ...] = ()
    for x in tensors:
        shape = common_shape(shape, x._array.shape)
    return tuple(x if x._array.shape == shape else _expand(x, shape) for x in tensors)


def _vector(x: Tensor) -> Tensor:
    if x._array.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(x._array.shape)}")
    return x


def cartesian_prod(*tensors: Any) -> Tensor:
    """Return every combination of one element from each vector, a row each."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        (tensors,) = tensors
    if len(tensors) == 1:
        return _vector(tensors[0])
    return _stack([_reshape(g, (-1,)) for g in meshgrid(*map(_vector, tensors), indexing="ij")], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """Return every selection of r elements of a vector, a row each."""
    _vector(input)
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return wrap(np.zeros(0, input._array.dtype))
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = np.array(list(choose(range(input._array.size), r)), np.int64).reshape(-1, r)
    return _take(input, rows)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "atleast_1d": atleast_1d, "atleast_2d": atleast_2d, "atleast_3d": atleast_3d, "block_diag": block_diag,
    "broadcast_shapes": broadcast_shapes, "broadcast_tensors": broadcast_tensors,
    "cartesian_prod": cartesian_prod,
    "cat": cat, "column_stack": column_stack, "combinations": combinations, "concat": cat, "concatenate": cat,
    "dstack": dstack, "hstack": hstack, "meshgrid": meshgrid, "row_stack": vstack, "stack": stack,
    "vstack": vstack,
}  # fmt: skip
"""torch's functions; none of them is a method."""
