"""x[index]: split into views and one indexing op as torch does it, on short paths for the common indices."""

from __future__ import annotations

from collections.abc import Callable
from types import EllipsisType
from typing import Any

from retrograd.autograd.dispatch import as_view
from retrograd.autograd.modes import local, modes
from retrograd.functions import selection
from retrograd.functions.assignment import index_put, index_put_, setitem, zero_
from retrograd.functions.subscript import (
    PLAIN_ENDS,
    array_of,
    as_tensors,
    as_tuple,
    check_mask,
    check_place,
    check_single,
    check_step,
    is_whole,
    split_index,
)
from retrograd.ops.declare import TABLE
from retrograd.tensor import Tensor, wrap

_select: Callable[..., Tensor] = TABLE["select"].function
_slice: Callable[..., Tensor] = TABLE["slice"].function
_unsqueeze: Callable[..., Tensor] = TABLE["unsqueeze"].function
_alias: Callable[..., Tensor] = TABLE["alias"].function
_index: Callable[..., Tensor] = TABLE["index"].function
_index_many: Callable[..., Tensor] = TABLE["index_many"].function


def getitem(self: Tensor, index: Any) -> Tensor:
    """Return the elements at an index: a view unless a tensor, list or mask picks them."""
    kind = index.__class__
    if kind is int:
        if (
            (self._node is not None and local.grad)
            or modes.special
            or (self._cell is not None and self._cell.rebased)
        ):
            check_place(self._array, 0, index)
            return _select(self, 0, index)
        try:
            made = wrap(self._array[index, ...])
        except IndexError:
            check_place(self._array, 0, index)
            raise
        as_view(made, self)
        return made
    if kind is Tensor and index._array.ndim:
        if index._array.dtype.kind in "ib" and self._array.ndim:
            return _index_one(self, index, 0)
    elif (
        kind is slice
        and type(index.start) in PLAIN_ENDS
        and type(index.stop) in PLAIN_ENDS
        and self._array.ndim
    ):
        check_step(index)
        return _slice(self, 0, index.start, index.stop, index.step)
    elif index is None:
        return _unsqueeze(self, 0)
    elif kind is tuple:
        found = _basic(self, index)
        if found is not None:
            return found
    check_single(self._array, index)
    view, indices, dims = split_index(self, index if kind is tuple else as_tuple(index))
    if not dims:
        return _alias(self) if view is self else view
    if len(dims) == 1:
        return _index_one(view, indices[0], dims[0])
    return _index_many(view, as_tensors(indices), dims)


def _basic(x: Tensor, items: tuple[Any, ...]) -> Tensor | None:
    """Return the elements at an index of whole numbers, slices, None and `...`; None for any other index.

    Where nothing is recorded, NumPy applies it in one go; otherwise each item is a view of its own.
    """
    dots = False
    for item in items:
        kind = item.__class__
        if kind is slice:
            if (
                item.step is not None
                or type(item.start) not in PLAIN_ENDS
                or type(item.stop) not in PLAIN_ENDS
            ):
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
    return _step_by_step(x, items)


def _step_by_step(x: Tensor, items: tuple[Any, ...]) -> Tensor | None:
    """Apply whole numbers, slices and None one after the other."""
    shape = x._array.shape
    spare = len(shape) - len(items) + items.count(None) + items.count(Ellipsis)
    if spare < 0:
        return None
    dim = used = 0
    view = x
    for item in items:
        if item is None:
            view = _unsqueeze(view, dim)
            dim += 1
            continue
        if item is Ellipsis:
            dim += spare
            used += spare
            continue
        if item.__class__ is int:
            if not -shape[used] <= item < shape[used]:
                return None
            view = _select(view, dim, item)
        else:
            if not is_whole(item, shape[used]) or len(items) == 1:
                view = _slice(view, dim, item.start, item.stop, None)
            dim += 1
        used += 1
    return None if view is x else view


def _index_one(x: Tensor, index: Any, dim: int) -> Tensor:
    check_mask(x._array, array_of(index), dim)
    return _index(x, index, dim)


def delitem(self: Tensor, index: Any) -> None:
    """Raise: a tensor's size does not change."""
    raise TypeError("Tensor does not support deleting items")


FUNCTIONS: dict[str, Any] = {
    "index_put": index_put,
    "index_put_": index_put_,
    "zero_": zero_,
    **selection.FUNCTIONS,
}
METHODS: dict[str, Any] = {
    "__getitem__": getitem, "__setitem__": setitem, "__delitem__": delitem, "index_put_": index_put_,
    **selection.METHODS,
}  # fmt: skip
