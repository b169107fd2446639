"""`node._raw_saved_self` and the like: what a node keeps, to be looked at, and to be hooked one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd.autograd.pull import unpack
from retrograd.autograd.saved import Kept
from retrograd.autograd.saved_hooks import Packed, pack_one
from retrograd.tensor import Tensor

_FREED = (
    "Calling register_hooks on a saved tensor after it has been freed. Saved intermediate values of the "
    "graph are freed when you call .backward() or autograd.grad(). Specify retain_graph=True if you need to "
    "backward through the graph a second time or if you need to access saved variables after calling "
    "backward."
)
_TWICE = (
    "Calling register_hooks on a saved tensor whose hooks have already been set. Hint: only one pair of "
    "hooks is allowed at a time."
)
_NOTHING = "Calling register_hooks on a saved tensor with value None is forbidden."


class SavedTensor:
    """One tensor that a node keeps; hooks may be put on it after it was saved."""

    __slots__ = ()

    __module__ = "torch._C._autograd"  # its public path

    def unpack(self) -> Tensor | None:
        """Return the tensor, through the unpack hook if there is one."""
        raise NotImplementedError

    @property
    def packed(self) -> Packed | None:
        """What a pack hook made of the tensor, if one was there."""
        raise NotImplementedError

    @property
    def data(self) -> Any:
        """The tensor, or what the pack hook made of it; None once it is freed."""
        packed = self.packed
        if packed is not None:
            return packed.value
        return None if self._is_freed() else self.unpack()

    @property
    def unpack_hook(self) -> Callable[[Any], Tensor] | None:
        """The hook that gives the tensor back, None if there is none."""
        packed = self.packed
        return None if packed is None else packed.unpack_hook

    def register_hooks(
        self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]
    ) -> None:
        """Keep `pack_hook(tensor)` instead of the tensor, and give `unpack_hook` of that back.

        Raises:
            TypeError: a hook cannot be called.
            RuntimeError: the tensor is freed or has hooks, or there is none.
        """
        for hook in (pack_hook, unpack_hook):
            if not callable(hook):
                raise TypeError(
                    "register_hooks(): incompatible function arguments. Two callables are expected, got "
                    f"{type(hook).__name__}"
                )
        if self._is_freed():
            raise RuntimeError(_FREED)
        if self.packed is not None:
            raise RuntimeError(_TWICE)
        self._pack(pack_hook, unpack_hook)

    def _is_freed(self) -> bool:
        raise NotImplementedError

    def _pack(self, pack_hook: Any, unpack_hook: Any) -> None:
        raise NotImplementedError


class OfFunction(SavedTensor):
    """A tensor that a custom Function saved."""

    __slots__ = ("_edge", "_kept", "_node")

    def __init__(self, node: Any, kept: Kept, edge: Any) -> None:
        self._node, self._kept, self._edge = node, kept, edge

    def unpack(self) -> Tensor:
        return self._kept.unpack(self._node, self._edge)

    @property
    def packed(self) -> Packed | None:
        return self._kept.packed

    def _is_freed(self) -> bool:
        return self._kept.is_freed

    def _pack(self, pack_hook: Any, unpack_hook: Any) -> None:
        self._kept.pack(pack_hook, unpack_hook, self._node, self._edge)


class OfOp(SavedTensor):
    """A value that the node of an op keeps, by its name; `number` says which of several."""

    __slots__ = ("_name", "_node", "_number")

    def __init__(self, node: Any, name: str, number: int | None) -> None:
        self._node, self._name, self._number = node, name, number

    def _value(self) -> Any:
        value = getattr(self._node, f"saved_{self._name}", None)
        return value if self._number is None or value is None else value[self._number]

    def unpack(self) -> Tensor | None:
        if self._value() is None:
            return None
        found: Any = unpack(self._node, self._name, recorded=True)
        return found if self._number is None else found[self._number]  # type: ignore[no-any-return]

    @property
    def packed(self) -> Packed | None:
        value = self._value()
        return value if isinstance(value, Packed) else None

    def _is_freed(self) -> bool:
        return bool(self._node.freed)

    def _pack(self, pack_hook: Any, unpack_hook: Any) -> None:
        if self._value() is None:
            raise RuntimeError(_NOTHING)
        tensor = self.unpack()
        assert tensor is not None
        pack_one(self._node, self._name, self._number, tensor, (pack_hook, unpack_hook))


def raw_saved(node: Any, name: str) -> Any:
    """Return the SavedTensor of a value that an op's node keeps, a tuple of them for several.

    Raises:
        AttributeError: the value is no tensor.
    """
    value = getattr(node, f"saved_{name}", None)
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], (np.ndarray, Packed)):
        return tuple(OfOp(node, name, i) for i in range(len(value)))
    if value is None or isinstance(value, (np.ndarray, Packed)):
        return OfOp(node, name, None)
    raise AttributeError(f"'{type(node).__name__}' object has no attribute '_raw_saved_{name}'")
