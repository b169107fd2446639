"""An array without elements: what a batched tensor shows of itself, its shape and dtype."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograd.errors import NotBatchableError

ITEM = (
    "vmap: It looks like you're calling .item() on a Tensor. We don't support vmap over calling .item() on a "
    "Tensor, please try to rewrite what you're doing with other operations. If error is occurring somewhere "
    "inside PyTorch internals, please file a bug report."
)
BRANCH = (
    "vmap: It looks like you're attempting to use a Tensor in some data-dependent control flow. We don't "
    "support that yet, please file an issue at https://github.com/pytorch/pytorch/issues ."
)
_MASK = (
    "vmap: We do not support batching operators that can support dynamic shape. Attempting to batch over "
    "indexing with a boolean mask."
)
NO_STORAGE = "Cannot access data pointer of Tensor that doesn't have storage"


class StandIn(np.ndarray):
    """An array that has a shape and a dtype but no elements: whoever reads it is told that vmap cannot."""

    def __array_ufunc__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotBatchableError(NO_STORAGE)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in _SHAPE_ONLY:
            return _SHAPE_ONLY[function](*args, **kwargs)
        raise NotBatchableError(NO_STORAGE)

    def __bool__(self) -> bool:
        raise NotBatchableError(BRANCH)

    def nonzero(self, *args: Any) -> Any:
        raise NotBatchableError(_MASK)


def _filled(value: Any) -> Callable[..., Any]:
    """Return zeros_like or ones_like: a new array, which does have elements."""

    def made(a: Any, dtype: Any = None, *_order: Any, **_more: Any) -> Any:
        return np.full(a.shape, value, dtype or a.dtype)

    return made


def _full_like(a: Any, value: Any, dtype: Any = None, *_order: Any, **_more: Any) -> Any:
    return np.full(a.shape, value, dtype or a.dtype)


def _share_nothing(*_arrays: Any, **_more: Any) -> bool:
    return False


_SHAPE_ONLY: dict[Any, Callable[..., Any]] = {
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
    np.size: lambda a: a.size,
    np.zeros_like: _filled(0),
    np.ones_like: _filled(1),
    np.empty_like: _filled(0),
    np.full_like: _full_like,
    np.may_share_memory: _share_nothing,
    np.shares_memory: _share_nothing,
    np.result_type: lambda *args: np.result_type(*(getattr(a, "dtype", a) for a in args)),
    np.iscomplexobj: lambda x: x.dtype.kind == "c",
    np.isrealobj: lambda x: x.dtype.kind != "c",
}


def refusing(message: str) -> Callable[..., Any]:
    def refuse(_self: Any, *_args: Any, **_kwargs: Any) -> Any:
        raise NotBatchableError(message)

    return refuse


for _name in ("item", "__int__", "__float__", "__complex__", "__index__"):
    setattr(StandIn, _name, refusing(ITEM))
for _name in [
    "all",
    "any",
    "argmax",
    "argmin",
    "argsort",
    "astype",
    "byteswap",
    "choose",
    "clip",
    "compress",
    "copy",
    "cumprod",
    "cumsum",
    "diagonal",
    "dot",
    "dump",
    "dumps",
    "fill",
    "flatten",
    "max",
    "mean",
    "min",
    "partition",
    "prod",
    "put",
    "ravel",
    "repeat",
    "reshape",
    "round",
    "searchsorted",
    "sort",
    "std",
    "sum",
    "swapaxes",
    "take",
    "tobytes",
    "tolist",
    "tofile",
    "trace",
    "transpose",
    "var",
    "squeeze",
    "__getitem__",
    "__setitem__",
    "__iter__",
    "__contains__",
    "__copy__",
    "__deepcopy__",
    "__array__",
    "__buffer__",
    "__dlpack__",
]:
    setattr(StandIn, _name, refusing(NO_STORAGE))
_NOTHING = bytes(32)  # no dtype has larger elements; never read


def stand_in(shape: Sequence[int], dtype: Any) -> Any:
    """Return an array of this shape and dtype that holds nothing."""
    return np.ndarray.__new__(StandIn, shape, dtype, _NOTHING, 0, (0,) * len(shape))
