"""What an index means: split, as in torch, into views taken one after the other and tensors of positions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import EllipsisType
from typing import Any

import numpy as np

from retrograd.ops.declare import TABLE
from retrograd.tensor import Tensor, wrap

ndarray = np.ndarray
_select: Callable[..., Tensor] = TABLE["select"].function
_slice: Callable[..., Tensor] = TABLE["slice"].function
_unsqueeze: Callable[..., Tensor] = TABLE["unsqueeze"].function
_INTEGERS = (int, np.integer)
PLAIN_ENDS = (int, type(None))


def array_of(index: Any) -> Any:
    return index._array if isinstance(index, Tensor) else index


def check_mask(array: Any, mask: Any, dim: int) -> None:
    if mask.dtype.kind != "b":
        if mask.dtype.itemsize < 4:
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
        return
    for k, n in enumerate(mask.shape):
        if dim + k >= array.ndim or array.shape[dim + k] != n:
            raise IndexError(
                f"The shape of the mask {list(mask.shape)} at index {k} does not match the shape of the "
                "indexed tensor "
                f"{list(array.shape)} at index {dim + k}"
            )


def as_tensors(indices: list[Any]) -> list[Any]:
    """Return positions as tensors, whatever they are given as."""
    return [i if isinstance(i, Tensor) else wrap(i) for i in indices]


def as_tuple(index: Any) -> tuple[Any, ...]:
    """Return an index that is no tuple as one; a list that holds sequences is one in disguise."""
    if isinstance(index, tuple):
        return tuple(index)
    if isinstance(index, list) and len(index) < 32 and any(
        isinstance(i, (Tensor, list, tuple, slice, ndarray, EllipsisType)) or i is None for i in index
    ):  # fmt: skip
        if any(isinstance(i, (list, tuple)) for i in index):
            warnings.warn(
                "Using a non-tuple sequence for multidimensional indexing is deprecated and will be changed "
                "in pytorch 2.9; use x[tuple(seq)] instead of x[seq]. In pytorch 2.9 this will be "
                "interpreted as tensor index, "
                "x[torch.tensor(seq)], which will result either in an error or a different result",
                UserWarning,
                stacklevel=3,
            )
        return tuple(index)
    return (index,)


def check_place(array: Any, dim: int, index: int) -> None:
    if array.ndim == 0 and index:
        raise IndexError(f"index {index} is out of bounds for dimension 0 with size 0")
    if array.ndim == 0:
        raise IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to "
            "convert a 0-dim tensor to a number"
        )
    size = array.shape[dim]
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {size}")


def check_single(array: Any, index: Any) -> None:
    """Raise for one number or slice that does not fit; tuples have other texts."""
    if isinstance(index, (int, np.integer)) and not isinstance(index, bool):
        check_place(array, 0, int(index))
    elif isinstance(index, slice) and array.ndim == 0:
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")


def check_step(index: slice) -> None:
    step = index.step
    if step is not None and step <= 0:
        raise ValueError("slice step cannot be zero" if step == 0 else "step must be greater than zero")


def _end(value: Any) -> Any:
    if value is None or isinstance(value, int):
        return value
    try:
        return value.__index__()
    except (AttributeError, TypeError):
        raise TypeError("slice indices must be integers or None or have an __index__ method") from None


def _length(item: Any) -> int:
    """Return how many dimensions an item of an index uses up."""
    if item is None or item is Ellipsis or isinstance(item, (bool, np.bool_)):
        return 0
    if isinstance(item, (Tensor, ndarray)):
        array = array_of(item)
        return array.ndim if array.dtype in (np.bool_, np.uint8) else 1
    return 1


def split_index(x: Tensor, items: tuple[Any, ...]) -> tuple[Tensor, list[Any], tuple[int, ...]]:
    """Apply the basic part of an index; return the view, the tensors of positions, and their dimensions."""
    rank = x._array.ndim
    items = tuple(_sequence(i) if isinstance(i, (list, tuple, range, str)) else i for i in items)
    used = sum(map(_length, items))
    if used > rank:
        raise IndexError(f"too many indices for tensor of dimension {rank}")
    view, dim = x, 0
    original = 0
    indices: list[Any] = []
    dims: list[int] = []
    for item in items:
        if isinstance(item, (bool, np.bool_)):
            view = _unsqueeze(view, dim)
            indices.append(np.zeros(int(item), np.int64))
            dims.append(dim)
            dim += 1
            original += 1
        elif isinstance(item, _INTEGERS):
            size = view._array.shape[dim]
            if not -size <= item < size:
                raise IndexError(f"index {item} is out of bounds for dimension {original} with size {size}")
            view = _select(view, dim, int(item))
            original += 1
        elif isinstance(item, slice):
            view = _sliced(view, dim, item, len(items))
            dim += 1
            original += 1
        elif item is None:
            view = _unsqueeze(view, dim)
            dim += 1
        elif item is Ellipsis:
            dim += rank - used
            original += rank - used
        elif isinstance(item, (Tensor, ndarray)):
            taken = _length(item)
            view, dim = _positions(view, dim, item, indices, dims)
            original += taken
        else:
            raise IndexError(
                "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid "
                "indices (got "
                f"{type(item).__name__})"
            )
    return view, indices, tuple(dims)


def _sequence(item: Any) -> Any:
    """Return a list in an index as an array of positions or a mask."""
    if isinstance(item, str):
        raise TypeError("new(): invalid data type 'str'")
    made = np.array([array_of(i) for i in item] if any(isinstance(i, Tensor) for i in item) else item)
    if made.dtype.kind not in "ib":
        return made.astype(np.int64)
    return made if made.dtype.kind == "b" else made.astype(np.int64, copy=False)


def is_whole(item: slice, size: int) -> bool:
    """Return whether a slice takes all of a dimension; in a tuple it is then no view of its own."""
    return (not item.start) and (item.stop is None or item.stop >= size) and item.step in (None, 1)


def _sliced(view: Tensor, dim: int, item: slice, count: int) -> Tensor:
    item = slice(_end(item.start), _end(item.stop), _end(item.step))
    check_step(item)
    if count > 1 and is_whole(item, view._array.shape[dim]):
        return view
    return _slice(view, dim, item.start, item.stop, item.step)


def _positions(view: Tensor, dim: int, item: Any, indices: list[Any], dims: list[int]) -> tuple[Tensor, int]:
    """Note a tensor of positions or a mask; a single position selects at once."""
    array = array_of(item)
    if array.dtype == np.uint8:
        warnings.warn(
            "indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool instead.",
            UserWarning,
            stacklevel=4,
        )
        array = item = array.astype(np.bool_)
    if array.dtype.kind == "b":
        if array.ndim == 0:
            view = _unsqueeze(view, dim)
            indices.append(np.zeros(int(array), np.int64))
            dims.append(dim)
            return view, dim + 1
        check_mask(view._array, array, dim)
        for k, found in enumerate(array.nonzero()):
            indices.append(found)
            dims.append(dim + k)
        return view, dim + array.ndim
    if array.dtype.kind != "i" or array.dtype.itemsize < 4:
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    if array.ndim == 0 and array.__class__ is np.ndarray:  # inside vmap it is another one for each element
        check_place(view._array, dim, int(array))
        return _select(view, dim, int(array)), dim
    indices.append(item)
    dims.append(dim)
    return view, dim + 1
