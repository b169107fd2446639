"""x[index] and x[index] = value, split into views and one indexing op as torch does it."""

from __future__ import annotations

import warnings
from types import EllipsisType
from typing import Any

import numpy as np

from retrograd import selection
from retrograd.autograd.dispatch import as_view
from retrograd.autograd.inplace import check_target, inplace
from retrograd.autograd.modes import local, modes
from retrograd.ops.declare import TABLE
from retrograd.ops.index import put_into
from retrograd.ops.masks import as_number
from retrograd.tensor import Tensor, history, wrap

ndarray = np.ndarray
_select = TABLE["select"].function
_slice = TABLE["slice"].function
_unsqueeze = TABLE["unsqueeze"].function
_alias = TABLE["alias"].function
_index = TABLE["index"].function
_index_many = TABLE["index_many"].function
_index_put = TABLE["index_put"]
_copy = TABLE["copy"]
_WHOLE = slice(None)
_INTEGERS = (int, np.integer)


def getitem(self: Tensor, index: Any) -> Tensor:
    """Return the elements at an index: a view unless a tensor, list or mask picks them."""
    kind = index.__class__
    if kind is int:
        if (self._node is not None and local.grad) or modes.special or (self._cell is not None and self._cell.rebased):
            _check_place(self._array, 0, index)
            return _select(self, 0, index)  # type: ignore[no-any-return]
        try:
            made = wrap(self._array[index, ...])
        except IndexError:
            _check_place(self._array, 0, index)
            raise
        as_view(made, self)
        return made
    if kind is Tensor and index._array.ndim:
        if index._array.dtype.kind in "ib" and self._array.ndim:
            return _index_one(self, index, 0)
    elif kind is slice and type(index.start) in _PLAIN_ENDS and type(index.stop) in _PLAIN_ENDS and self._array.ndim:
        _check_step(index)
        return _slice(self, 0, index.start, index.stop, index.step)  # type: ignore[no-any-return]
    elif index is None:
        return _unsqueeze(self, 0)  # type: ignore[no-any-return]
    elif kind is tuple:
        found = _basic(self, index)
        if found is not None:
            return found
    view, indices, dims = _split(self, index if kind is tuple else _as_tuple(index))
    if not dims:
        return _alias(self) if view is self else view  # type: ignore[no-any-return]
    if len(dims) == 1:
        return _index_one(view, indices[0], dims[0])
    return _index_many(view, _expanded(view, indices, dims), dims)  # type: ignore[no-any-return]


_PLAIN_ENDS = (int, type(None))


def _basic(x: Tensor, items: tuple[Any, ...]) -> Tensor | None:
    """Return the elements at an index of whole numbers, slices, None and `...` only; None if it is anything else.

    Where nothing is recorded, NumPy applies it in one go; otherwise each item is a view of its own, as in torch.
    """
    dots = False
    for item in items:
        kind = item.__class__
        if kind is slice:
            if item.step is not None or type(item.start) not in _PLAIN_ENDS or type(item.stop) not in _PLAIN_ENDS:
                return None
        elif kind is EllipsisType:
            if dots:
                return None
            dots = True
        elif kind is not int and item is not None:
            return None
    if not items:
        return None
    if (x._node is None or not local.grad) and not modes.special and (x._cell is None or not x._cell.rebased):
        try:
            made = wrap(x._array[items if dots else (*items, ...)])
        except IndexError:
            return None
        as_view(made, x)
        return made
    return None if dots else _step_by_step(x, items)


def _step_by_step(x: Tensor, items: tuple[Any, ...]) -> Tensor | None:
    """Apply whole numbers, slices and None one after the other."""
    shape = x._array.shape
    if len(items) - items.count(None) > len(shape):
        return None
    dim = used = 0
    view = x
    for item in items:
        if item is None:
            view = _unsqueeze(view, dim)
            dim += 1
            continue
        if item.__class__ is int:
            if not -shape[used] <= item < shape[used]:
                return None
            view = _select(view, dim, item)
        else:
            if item.start is not None or item.stop is not None:
                view = _slice(view, dim, item.start, item.stop, None)
            dim += 1
        used += 1
    return None if view is x else view


def _index_one(x: Tensor, index: Any, dim: int) -> Tensor:
    _check_mask(x._array, _array(index), dim)
    return _index(x, index, dim)  # type: ignore[no-any-return]


def _array(index: Any) -> Any:
    return index._array if isinstance(index, Tensor) else index


def _check_mask(array: Any, mask: Any, dim: int) -> None:
    if mask.dtype.kind != "b":
        if mask.dtype.itemsize < 4:
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
        return
    for k, n in enumerate(mask.shape):
        if dim + k >= array.ndim or array.shape[dim + k] != n:
            raise IndexError(
                f"The shape of the mask {list(mask.shape)} at index {k} does not match the shape of the indexed tensor "
                f"{list(array.shape)} at index {dim + k}"
            )


def _expanded(view: Tensor, indices: list[Any], dims: tuple[int, ...]) -> list[Any]:
    """Return several indices as positions: a mask becomes one list of positions per dimension."""
    return [i if isinstance(i, Tensor) else wrap(i) for i in indices]


def _as_tuple(index: Any) -> tuple[Any, ...]:
    """Return an index that is no tuple as one; a list that holds sequences is one in disguise."""
    if isinstance(index, tuple):
        return tuple(index)
    if isinstance(index, list) and len(index) < 32 and any(
        isinstance(i, (Tensor, list, tuple, slice, ndarray, EllipsisType)) or i is None for i in index
    ):  # fmt: skip
        if any(isinstance(i, (list, tuple)) for i in index):
            warnings.warn(
                "Using a non-tuple sequence for multidimensional indexing is deprecated and will be changed in pytorch "
                "2.9; use x[tuple(seq)] instead of x[seq]. In pytorch 2.9 this will be interpreted as tensor index, "
                "x[torch.tensor(seq)], which will result either in an error or a different result",
                UserWarning,
                stacklevel=3,
            )
        return tuple(index)
    return (index,)


def _check_place(array: Any, dim: int, index: int) -> None:
    if array.ndim == 0:
        raise IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a "
            "0-dim tensor to a number"
        )
    size = array.shape[dim]
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {size}")


def _check_step(index: slice) -> None:
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
        array = _array(item)
        return array.ndim if array.dtype in (np.bool_, np.uint8) else 1
    return 1


def _split(x: Tensor, items: tuple[Any, ...]) -> tuple[Tensor, list[Any], tuple[int, ...]]:
    """Apply the basic part of an index; return the view, the tensors of positions, and their dimensions."""
    rank = x._array.ndim
    items = tuple(_sequence(i) if isinstance(i, (list, tuple, range, str)) else i for i in items)
    used = sum(map(_length, items))
    if used > rank:
        if rank == 0:
            _check_place(x._array, 0, 0)
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
                "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got "
                f"{type(item).__name__})"
            )
    return view, indices, tuple(dims)


def _sequence(item: Any) -> Any:
    """Return a list in an index as an array of positions or a mask."""
    if isinstance(item, str):
        raise TypeError("new(): invalid data type 'str'")
    made = np.array([_array(i) for i in item] if any(isinstance(i, Tensor) for i in item) else item)
    if made.dtype.kind not in "ib":
        return made.astype(np.int64)
    return made if made.dtype.kind == "b" else made.astype(np.int64, copy=False)


def _sliced(view: Tensor, dim: int, item: slice, count: int) -> Tensor:
    if item.start is None and item.stop is None and item.step is None and count > 1:
        return view
    item = slice(_end(item.start), _end(item.stop), _end(item.step))
    _check_step(item)
    return _slice(view, dim, item.start, item.stop, item.step)  # type: ignore[no-any-return]


def _positions(view: Tensor, dim: int, item: Any, indices: list[Any], dims: list[int]) -> tuple[Tensor, int]:
    """Note a tensor of positions or a mask; a single position selects at once."""
    array = _array(item)
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
        _check_mask(view._array, array, dim)
        for k, found in enumerate(array.nonzero()):
            indices.append(found)
            dims.append(dim + k)
        return view, dim + array.ndim
    if array.dtype.kind != "i" or array.dtype.itemsize < 4:
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    if array.ndim == 0:
        _check_place(view._array, dim, int(array))
        return _select(view, dim, int(array)), dim
    indices.append(item)
    dims.append(dim)
    return view, dim + 1


# ---- writing ----


def setitem(self: Tensor, index: Any, value: Any) -> None:
    """Write into the elements at an index."""
    kind = index.__class__
    if (
        self._meta is None
        and (self._node is None or not local.grad)
        and not (modes.special and local.careful)
        and self.__class__ is Tensor
        and _write_plainly(self._array, kind, index, value)
    ):
        self._version_cell().bump()
        return
    given = _value(self, value)
    if kind is Tensor and index._array.ndim and index._array.dtype.kind in "ib" and index._array.dtype.itemsize != 2:
        view, indices, dims = self, [index], (0,)
        if self._array.ndim == 0:
            raise IndexError("too many indices for tensor of dimension 0")
        _check_mask(self._array, index._array, 0)
    else:
        view, indices, dims = _split(self, index if kind is tuple else _as_tuple(index))
    plain = not (modes.special and local.careful)
    recording = local.grad and (history(self) is not None or (given.__class__ is Tensor and history(given) is not None))
    if not dims:
        _write_view(view, given, plain and not recording)
        return
    if given.__class__ is Tensor and given._array.dtype != self._array.dtype:
        if given._array.ndim:
            raise RuntimeError(
                "Index put requires the source and destination dtypes match, got "
                f"{self.dtype.scalar_name} for the destination and {given.dtype.scalar_name} for the source."
            )
        given = given.to(self.dtype)
    if given.__class__ is Tensor:
        given = _without_ones(given, None)
    if plain and not recording:
        check_target(view, recording=False)
        values = given._array if given.__class__ is Tensor else given
        if given.__class__ is Tensor and np.may_share_memory(values, view._array):
            values = values.copy()
        put_into(view._array, [_array(i) for i in indices], values, dims, False)
        view._version_cell().bump()
        return
    inplace(_index_put, (view, _expanded(view, indices, dims), given, dims, False))


def _write_plainly(array: Any, kind: Any, index: Any, value: Any) -> bool:
    """Let NumPy do the write where its meaning of index and value is torch's; return whether it did."""
    if value.__class__ is Tensor:
        if value._node is not None or value._array.dtype != array.dtype or value._meta is not None:
            return False
        value = value._array
        if value.base is array or value is array:
            return False
    elif value.__class__ is not float or array.dtype.kind != "f":
        return False
    if kind is Tensor:
        index = index._array
        if index.dtype.kind not in "ib" or index.ndim == 0 or (index.dtype.kind == "i" and index.dtype.itemsize < 4):
            return False
    elif kind is tuple:
        for item in index:
            if item.__class__ is slice:
                if item.step is not None or type(item.start) not in _PLAIN_ENDS or type(item.stop) not in _PLAIN_ENDS:
                    return False
            elif item.__class__ is not int and item is not None and item is not Ellipsis:
                return False
    elif kind is slice:
        if index.step is not None or type(index.start) not in _PLAIN_ENDS or type(index.stop) not in _PLAIN_ENDS:
            return False
    elif kind is not int and index is not Ellipsis:
        return False
    if not array.flags.forc:
        return False
    try:
        array[index] = value
    except (IndexError, ValueError):
        return False  # said in torch's words further on
    return True


def _value(self: Tensor, value: Any) -> Any:
    """Return what is to be written: a tensor, or a number as a 0-dim array of the target's dtype."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (bool, int, float, complex, np.number, np.bool_)):
        if isinstance(value, (np.number, np.bool_)):
            value = value.item()
        return as_number(value, self._array.dtype)
    raise TypeError(f"can't assign a {_type_name(value)} to a {self.type()}")


def _type_name(value: Any) -> str:
    return "numpy.ndarray" if isinstance(value, ndarray) else type(value).__name__


def _without_ones(value: Tensor, rank: int | None) -> Tensor:
    """Return a value without its leading dimensions of size 1, down to `rank` (None: all of them)."""
    shape = value._array.shape
    extra = 0
    while extra < len(shape) and shape[extra] == 1 and (rank is None or len(shape) - extra > rank):
        extra += 1
    return TABLE["reshape"].function(value, shape[extra:]) if extra else value  # type: ignore[no-any-return]


def _write_view(view: Tensor, given: Any, plain: bool) -> None:
    if given.__class__ is not ndarray:
        given = _without_ones(given, view._array.ndim)
        have, new = view._array.shape, given._array.shape
        if new != have:
            given = TABLE["expand"].function(given, have)
    if plain:
        check_target(view, recording=False)
        values = given if given.__class__ is ndarray else given._array
        if values.dtype.kind == "c" and view._array.dtype.kind != "c":
            warnings.warn("Casting complex values to real discards the imaginary part", UserWarning, stacklevel=3)
            values = values.real
        np.copyto(view._array, values, casting="unsafe")
        view._version_cell().bump()
        return
    inplace(_copy, (view, wrap(given) if given.__class__ is ndarray else given))


def index_put_(self: Tensor, indices: Any, values: Any, accumulate: bool = False) -> Tensor:
    """Write (or, with `accumulate`, add) values at positions along the first dimensions."""
    view, found, dims = _put_arguments(self, indices, values)
    inplace(_index_put, (view, _expanded(view, found, dims), values, dims, accumulate))
    return self


def index_put(input: Tensor, indices: Any, values: Any, accumulate: bool = False) -> Tensor:
    """Return a copy with values written (or added) at positions along the first dimensions."""
    view, found, dims = _put_arguments(input, indices, values)
    return _index_put.function(view, _expanded(view, found, dims), values, dims, accumulate)  # type: ignore[no-any-return]


def _put_arguments(x: Tensor, indices: Any, values: Any) -> Any:
    if not isinstance(indices, (tuple, list)):
        raise TypeError(
            f"index_put(): argument 'indices' (position 1) must be tuple of Tensors, not {type(indices).__name__}"
        )
    if len(indices) > x._array.ndim:
        raise IndexError(f"too many indices for tensor of dimension {x._array.ndim} (got {len(indices)})")
    for i, item in enumerate(indices):
        if item is not None and not isinstance(item, Tensor):
            raise TypeError(f"expected Tensor as element {i} in argument 0, but got {type(item).__name__}")
    if values._array.dtype != x._array.dtype:
        raise RuntimeError(
            "Index put requires the source and destination dtypes match, got "
            f"{x.dtype.scalar_name} for the destination and {values.dtype.scalar_name} for the source."
        )
    found: list[Any] = []
    dims: list[int] = []
    dim = 0
    for item in indices:
        array = None if item is None else np.atleast_1d(item._array)
        if array is None:
            dim += 1
            continue
        if array.dtype.kind == "b" or array.dtype == np.uint8:
            _check_mask(x._array, array.astype(bool), dim)
            for k, p in enumerate(array.nonzero()):
                found.append(p)
                dims.append(dim + k)
            dim += array.ndim
        else:
            found.append(item._array)
            dims.append(dim)
            dim += 1
    return x, found, tuple(dims)


def delitem(self: Tensor, index: Any) -> None:
    """Raise: a tensor's size does not change."""
    raise TypeError("Tensor does not support deleting items")


FUNCTIONS: dict[str, Any] = {"index_put": index_put, "index_put_": index_put_, **selection.FUNCTIONS}
METHODS: dict[str, Any] = {
    "__getitem__": getitem, "__setitem__": setitem, "__delitem__": delitem, "index_put_": index_put_,
    **selection.METHODS,
}  # fmt: skip
