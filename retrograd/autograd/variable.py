"""torch.autograd.Variable: the name that tensors with gradients had before they were tensors.

`torch.autograd.variable` is this module; calling it raises, as in torch.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any, NoReturn

import numpy as np

from retrograd import dtypes
from retrograd.autograd.callable_module import CallableModule
from retrograd.autograd.engine import queue_callback
from retrograd.tensor import Tensor, wrap

__all__ = ["Variable", "VariableMeta"]


class VariableMeta(type):
    """Makes every tensor an instance of Variable."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor)


class _Engine:
    """The engine as torch's internals name it."""

    queue_callback = staticmethod(queue_callback)


class Variable(metaclass=VariableMeta):
    """A tensor. Calling it gives a tensor on the same memory as another, without its history.

    Example:
        >>> import retrograd as torch
        >>> torch.autograd.Variable(torch.ones(2), requires_grad=True)
        tensor([1., 1.], requires_grad=True)
        >>> isinstance(torch.ones(2), torch.autograd.Variable)
        True
    """

    _execution_engine = _Engine()

    def __new__(cls, data: Any = None, requires_grad: bool = False, volatile: Any = None) -> Any:
        if volatile is not None:
            warnings.warn(
                "volatile was removed and now has no effect. Use `with torch.no_grad():` instead.",
                UserWarning,
                stacklevel=2,
            )
        if data is None:
            data = wrap(np.empty(0, dtypes.default.float.np))
        if not isinstance(data, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        tensor = data.detach()
        return tensor.requires_grad_() if requires_grad else tensor


def variable(*args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG001 - whatever is passed
    """Raise: this function is gone; `torch.tensor` takes its place."""
    raise RuntimeError("torch.autograd.variable(...) is deprecated, use torch.tensor(...) instead")


sys.modules[__name__].__class__ = CallableModule
