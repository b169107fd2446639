"""x[index] = value, and the same by name: values written at an index."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd.autograd.inplace import check_target, inplace
from retrograd.autograd.modes import local, modes
from retrograd.functions.subscript import (
    PLAIN_ENDS,
    array_of,
    as_tensors,
    as_tuple,
    check_mask,
    check_single,
    split_index,
)
from retrograd.ops.declare import TABLE
from retrograd.ops.index import put_into
from retrograd.ops.masks import as_number
from retrograd.tensor import Tensor, history, wrap

_reshape: Callable[..., Tensor] = TABLE["reshape"].function
_expand: Callable[..., Tensor] = TABLE["expand"].function

ndarray = np.ndarray
_index_put = TABLE["index_put"]
_copy = TABLE["copy"]
_zero = TABLE["zero"]


def setitem(self: Tensor, index: Any, value: Any) -> None:
    """Write into the elements at an index."""
    kind = index.__class__
    if (
        (self._meta is None or self._meta.cut is self._meta)
        and (self._node is None or not local.grad)
        and not (modes.special and local.careful)
        and self.__class__ is Tensor
        and _write_plainly(self._array, kind, index, value)
    ):
        self._version_cell().bump()
        if value.__class__ is Tensor and value._meta is not None:
            self._meta = value._meta
        return
    given = _value(self, value)
    dims: tuple[int, ...]
    if (
        kind is Tensor
        and index._array.ndim
        and index._array.dtype.kind in "ib"
        and index._array.dtype.itemsize != 2
    ):
        view, indices, dims = self, [index], (0,)
        if self._array.ndim == 0:
            raise IndexError("too many indices for tensor of dimension 0")
        check_mask(self._array, index._array, 0)
    else:
        check_single(self._array, index)
        view, indices, dims = split_index(self, index if kind is tuple else as_tuple(index))
    plain = not (modes.special and local.careful)
    recording = local.grad and (
        history(self) is not None or (given.__class__ is Tensor and history(given) is not None)
    )
    if not dims:
        _write_view(view, given, plain and not recording)
        return
    if index is False:
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
        put_into(view._array, [array_of(i) for i in indices], values, dims, False)
        view._version_cell().bump()
        return
    inplace(_index_put, (view, as_tensors(indices), given, dims, False))


def _write_plainly(array: Any, kind: Any, index: Any, value: Any) -> bool:
    """Let NumPy do the write where its meaning of index and value is torch's; return whether it did."""
    if value.__class__ is Tensor:
        meta = value._meta
        if value._node is not None or value._array.dtype != array.dtype:
            return False
        if meta is not None and meta.cut is not meta:
            return False
        value = value._array
        if value.base is array or value is array:
            return False
    elif value.__class__ is not float or array.dtype.kind != "f":
        return False
    if kind is Tensor:
        index = index._array
        if (
            index.dtype.kind not in "ib"
            or index.ndim == 0
            or (index.dtype.kind == "i" and index.dtype.itemsize < 4)
        ):
            return False
    elif kind is tuple:
        for item in index:
            if item.__class__ is slice:
                if (
                    item.step is not None
                    or type(item.start) not in PLAIN_ENDS
                    or type(item.stop) not in PLAIN_ENDS
                ):
                    return False
            elif item.__class__ is not int and item is not None and item is not Ellipsis:
                return False
    elif kind is slice:
        if (
            index.step is not None
            or type(index.start) not in PLAIN_ENDS
            or type(index.stop) not in PLAIN_ENDS
        ):
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
    return _reshape(value, shape[extra:]) if extra else value


def _write_view(view: Tensor, given: Any, plain: bool) -> None:
    if given.__class__ is not ndarray:
        given = _without_ones(given, view._array.ndim)
        have, new = view._array.shape, given._array.shape
        if new != have:
            given = _expand(given, have)
    if plain:
        check_target(view, recording=False)
        values = given if given.__class__ is ndarray else given._array
        if values.dtype.kind == "c" and view._array.dtype.kind != "c":
            warnings.warn(
                "Casting complex values to real discards the imaginary part", UserWarning, stacklevel=3
            )
            values = values.real
        np.copyto(view._array, values, casting="unsafe")
        view._version_cell().bump()
        return
    inplace(_copy, (view, wrap(given) if given.__class__ is ndarray else given))


def zero_(input: Tensor) -> Tensor:
    """Write zeros into the tensor."""
    return inplace(_zero, (input,))


def index_put_(self: Tensor, indices: Any, values: Any, accumulate: bool = False) -> Tensor:
    """Write (or, with `accumulate`, add) values at positions along the first dimensions."""
    view, found, dims = _put_arguments(self, indices, values)
    inplace(_index_put, (view, as_tensors(found), values, dims, accumulate))
    return self


def index_put(input: Tensor, indices: Any, values: Any, accumulate: bool = False) -> Tensor:
    """Return a copy with values written (or added) at positions along the first dimensions."""
    view, found, dims = _put_arguments(input, indices, values)
    made: Tensor = _index_put.function(view, as_tensors(found), values, dims, accumulate)
    return made


def _put_arguments(x: Tensor, indices: Any, values: Any) -> Any:
    if not isinstance(indices, (tuple, list)):
        raise TypeError(
            "index_put(): argument 'indices' (position 1) must be tuple of Tensors, not "
            f"{type(indices).__name__}"
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
            check_mask(x._array, array.astype(bool), dim)
            for k, p in enumerate(array.nonzero()):
                found.append(p)
                dims.append(dim + k)
            dim += array.ndim
        else:
            found.append(item._array)
            dims.append(dim)
            dim += 1
    return x, found, tuple(dims)
