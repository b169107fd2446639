"""Parameters and buffers: the tensors that a module registers when they are assigned to it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.tensor import Tensor, blank, wrap


class _ParameterType(type(Tensor)):  # type: ignore[misc]
    """Also counts a tensor subclass marked `_is_param` as a Parameter."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return super().__instancecheck__(instance) or (
            cls is Parameter and isinstance(instance, Tensor) and getattr(instance, "_is_param", False)
        )


class Parameter(Tensor, metaclass=_ParameterType):
    """A tensor that a module owns and an optimizer updates: assigning it to a module registers it.

    It shares memory and version with `data`, and has no history.

    Example:
        >>> import retrograd as torch
        >>> torch.nn.Parameter(torch.ones(2))
        Parameter containing:
        tensor([1., 1.], requires_grad=True)
    """

    __slots__ = ()

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Any:
        if data is None:
            data = wrap(np.empty(0, dtypes.default.float.np))
        elif type(data) is not Tensor and type(data) is not Parameter:
            return _of_subclass(cls, data, requires_grad)
        made = blank(cls, data._array)
        made._cell = data._version_cell()
        if requires_grad:
            if made.dtype.category < dtypes.FLOATING:
                raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
            made.requires_grad = True
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        found = memo.get(id(self))
        if found is None:
            found = memo[id(self)] = type(self)(wrap(self._array.copy(order="K")), self.requires_grad)
        return found


def _of_subclass(cls: Any, data: Any, requires_grad: bool) -> Any:
    """Return data of a user's Tensor class as a Parameter that keeps this class."""
    made = data.detach()
    if type(made) is not type(data):
        made = made.as_subclass(type(data)) if isinstance(data, Tensor) else blank(cls, made._array)
    made.requires_grad_(requires_grad)
    if not isinstance(made, cls):
        made._is_param = True
    return made


def __getattr__(name: str) -> Any:
    if name in ("UninitializedBuffer", "UninitializedParameter", "UninitializedTensorMixin", "is_lazy"):
        return getattr(import_module("retrograd.nn.lazy_tensors"), name)
    raise AttributeError(f"module 'torch.nn.parameter' has no attribute '{name}'")


class _BufferType(type(Tensor)):  # type: ignore[misc]
    """Makes `isinstance(t, Buffer)` ask for the mark that `Buffer(t)` sets."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and getattr(instance, "_is_buffer", False)


class Buffer(Tensor, metaclass=_BufferType):
    """A tensor that a module registers as a buffer when it is assigned; an ordinary Tensor with a mark.

    Args:
        data: the tensor, whose memory is shared.
        persistent: whether state_dict includes it.
    """

    __slots__ = ()

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Any:
        made: Any = wrap(np.empty(0, dtypes.default.float.np)) if data is None else data.detach()
        made.persistent = persistent
        made._is_buffer = True
        return made
