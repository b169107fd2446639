"""Hooks: functions of the user's that see, and may replace, the gradients of a tensor."""

from __future__ import annotations

import itertools
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Self

from retrograd.autograd.graph import AccumulateGrad

_ids = itertools.count()


class RemovableHandle:
    """What registering a hook returns: `remove()` takes the hook off again; also a context manager."""

    __module__ = "torch.utils.hooks"  # its public path

    def __init__(self, hooks: Any, *, extra_dict: Any = None) -> None:
        self.hooks_dict_ref = (
            weakref.ref(hooks) if not isinstance(hooks, dict) or isinstance(hooks, OrderedDict) else None
        )
        self._hooks = hooks if self.hooks_dict_ref is None else None
        self.id = next(_ids)
        extras = (
            extra_dict
            if isinstance(extra_dict, (list, tuple))
            else [extra_dict]
            if extra_dict is not None
            else []
        )
        self.extra_dict_ref = tuple(weakref.ref(d) for d in extras)

    def remove(self) -> None:
        """Take the hook off; harmless when it is off already."""
        hooks = self._hooks if self.hooks_dict_ref is None else self.hooks_dict_ref()
        for held in (hooks, *(ref() for ref in self.extra_dict_ref)):
            if held is not None:
                held.pop(self.id, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def register(hooks: OrderedDict[int, Any], hook: Any) -> RemovableHandle:
    """Put a hook into a dictionary of hooks."""
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


def register_hook(self: Any, hook: Callable[[Any], Any]) -> RemovableHandle:
    """Call `hook(grad)` whenever the gradient of this tensor is computed.

    What it returns replaces the gradient.

    Raises:
        RuntimeError: the tensor does not require grad.
    """
    node = _history(self)
    if node is None:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    return register(node.more().tensor, hook)


def register_post_accumulate_grad_hook(self: Any, hook: Callable[[Any], None]) -> RemovableHandle:
    """Call `hook(tensor)` after this leaf's gradient has been accumulated.

    Raises:
        RuntimeError: the tensor is no leaf, or does not require grad.
    """
    node = _history(self)
    if node is None:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if type(node) is not AccumulateGrad:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    if node.post is None:
        node.post = OrderedDict()
    return register(node.post, hook)


def retain_grad(self: Any) -> None:
    """Keep this non-leaf's gradient in `.grad`; does nothing on a leaf.

    Raises:
        RuntimeError: the tensor does not require grad.
    """
    node = _history(self)
    if node is None:
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    if type(node) is AccumulateGrad or (self._meta is not None and self._meta.retains):
        return
    self._facts().retains = True
    node.more().retain.append(weakref.ref(self))


def _history(tensor: Any) -> Any:
    from retrograd.tensor import history  # noqa: PLC0415 - tensor.py takes its hooks from here

    return history(tensor)
