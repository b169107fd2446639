"""Hooks on what is saved for backward: packed when a node saves it, unpacked when a rule needs it.

While hooks are set, dispatch takes the readable path, and what a node saves of tensors becomes `Packed`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd.autograd.graph import UNSHARED, Version, new_version
from retrograd.autograd.modes import local, no_grad, set_saved_hooks
from retrograd.tensor import Tensor, wrap

_MUTATES = (
    "A saved tensor pack hook is modifying its input in place. Tensors provided as input to pack hook cannot "
    "be modified by in-place operations as this can lead to unexpected side-effects. Please open an issue if "
    "you need to perform in-place operations on the input to a pack hook."
)


class Packed:
    """What a pack hook made of a saved tensor, and the hook that undoes it."""

    __slots__ = ("unpack_hook", "value")

    def __init__(
        self, tensor: Tensor, pack: Callable[[Tensor], Any], unpack: Callable[[Any], Tensor]
    ) -> None:
        self.unpack_hook = unpack
        hooks = local.saved_hooks
        set_saved_hooks(())
        try:
            version = tensor._version
            with no_grad():
                self.value = pack(tensor)
            if tensor._version != version:
                raise RuntimeError(_MUTATES)
        finally:
            set_saved_hooks(hooks)

    def array(self) -> np.ndarray[Any, Any]:
        """Return the memory of what the unpack hook gives back."""
        return self.tensor()._array

    def tensor(self) -> Tensor:
        """Return what the unpack hook gives back.

        Raises:
            TypeError: it is no tensor.
        """
        found = self.unpack_hook(self.value)
        if not isinstance(found, Tensor):
            raise TypeError(
                "Output of saved tensor unpack_hook expected to be a Tensor but got result of type "
                f"{type(found).__name__}"
            )
        return found


def pack_saved(node: Any, names: list[str], edges: dict[str, Any]) -> None:
    """Replace what a node saved of tensors by what the thread's innermost hooks make of it.

    The node then holds neither the tensors nor their versions: what the hooks give back is taken as it is.
    """
    pack, unpack = local.saved_hooks[-1]
    for name in names:
        slot = f"saved_{name}"
        value: Any = getattr(node, slot, None)
        several = isinstance(value, (list, tuple)) and bool(value) and isinstance(value[0], np.ndarray)
        owners = getattr(node, f"{slot}_cell" if name == "result" else f"{slot}_of", None)
        if isinstance(value, np.ndarray):
            setattr(node, slot, Packed(_handle(value, edges.get(name), owners), pack, unpack))
        elif several:
            pairs = zip(value, owners, strict=True)  # type: ignore[arg-type]  # as many, by construction
            setattr(node, slot, type(value)(Packed(_handle(v, None, o), pack, unpack) for v, o in pairs))
        else:
            continue
        owner, version = (new_version(), 0) if name == "result" else (UNSHARED, 0)
        count = len(value) if several else 0
        setattr(
            node, f"{slot}_cell" if name == "result" else f"{slot}_of", [owner] * count if several else owner
        )
        setattr(node, f"{slot}_version", [version] * count if several else version)


def pack_one(node: Any, name: str, number: int | None, tensor: Tensor, hooks: tuple[Any, Any]) -> None:
    """Replace one value that a node has saved by what hooks make of it."""
    from retrograd.autograd.record import read_aloud  # noqa: PLC0415 - rare, and it needs this file

    packed = Packed(tensor, *hooks)
    slot = f"saved_{name}"
    owners = f"{slot}_cell" if name == "result" else f"{slot}_of"
    nobody: Any = new_version() if name == "result" else UNSHARED
    for place, value in ((slot, packed), (owners, nobody), (f"{slot}_version", 0)):
        if number is None:
            setattr(node, place, value)
        else:
            items = list(getattr(node, place))
            items[number] = value
            setattr(node, place, type(getattr(node, place))(items))
    read_aloud(node)


def _handle(array: Any, edge: Any, owner: Any) -> Tensor:
    """Return what a pack hook is given: a tensor on the memory and the version of the one that was saved."""
    tensor = wrap(array)
    tensor._node = edge
    if isinstance(owner, Tensor):
        tensor._cell = owner._version_cell()
    elif isinstance(owner, Version):
        tensor._cell = owner
    return tensor


class saved_tensors_hooks:  # noqa: N801 - torch's public name
    """Run `pack_hook(tensor)` on each tensor saved within, and `unpack_hook(packed)` where it is needed.

    Example:
        >>> import retrograd as torch
        >>> with torch.autograd.graph.saved_tensors_hooks(lambda t: t.numpy(), torch.from_numpy):
        ...     x = torch.ones(2)
        ...     y = x * torch.ones(2, requires_grad=True)
    """

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def __enter__(self) -> None:
        if local.saved_hooks_refused is not None:
            raise RuntimeError(local.saved_hooks_refused)
        set_saved_hooks((*local.saved_hooks, (self.pack_hook, self.unpack_hook)))

    def __exit__(self, *exc: object) -> None:
        set_saved_hooks(local.saved_hooks[:-1])


class save_on_cpu(saved_tensors_hooks):  # noqa: N801 - torch's public name
    """Keep what is saved in CPU memory: here it is always there, so nothing is copied, as in torch."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__(lambda t: t.detach(), lambda t: t)


class disable_saved_tensors_hooks:  # noqa: N801 - torch's public name
    """Refuse saved-tensor hooks within, with the given message."""

    def __init__(self, error_message: str) -> None:
        self.error_message = error_message

    def __enter__(self) -> None:
        if local.saved_hooks:
            raise RuntimeError(self.error_message)
        self._before = local.saved_hooks_refused
        local.saved_hooks_refused = self.error_message

    def __exit__(self, *exc: object) -> None:
        local.saved_hooks_refused = self._before
