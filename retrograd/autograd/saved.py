"""Tensors that a node keeps by the user's wish: memory and history, checked by version when unpacked."""

from __future__ import annotations

import weakref
from typing import Any

from retrograd import dtypes
from retrograd.autograd.graph import Node, Version, Witness, raise_freed, raise_modified
from retrograd.autograd.modes import local, modes
from retrograd.autograd.pull import made_by
from retrograd.autograd.saved_hooks import Packed
from retrograd.tensor import Tensor, blank, history


class Kept:
    """One tensor saved for backward.

    A tensor that is a result of the saving node itself is kept without its history, which is that node.
    """

    __slots__ = ("_cell", "_class", "_edge", "_leaf", "_owner", "_version", "array", "is_result", "packed")

    def __init__(self, tensor: Tensor, *, is_result: bool) -> None:
        self.array: Any = tensor._array
        self.is_result = is_result
        self.packed: Packed | None = None
        self._class = type(tensor)
        self._edge = None if is_result else history(tensor)
        self._cell: Version = tensor._version_cell()
        self._version = self._cell.count
        self._owner = weakref.ref(tensor)
        self._leaf = tensor if not is_result and tensor.is_leaf else None
        if modes.special and local.saved_hooks:
            self.packed = Packed(tensor, *local.saved_hooks[-1])
            self.array = self._leaf = None

    @property
    def is_freed(self) -> bool:
        """Whether an earlier backward has dropped the memory."""
        return self.array is None and self.packed is None

    def unpack(self, node: Node, edge: Any = None) -> Tensor:
        """Return the tensor as it was.

        Raises:
            RuntimeError: it was freed by an earlier backward, or has been written to since.
        """
        array = self.array if self.packed is None else self.packed.array()
        if array is None:
            raise_freed(node)
        if self.packed is None and self._cell.count != self._version:
            owner = self._owner()
            what = "" if owner is None else made_by(owner)
            shape, dtype = array.shape, dtypes.of_array(array)
            raise_modified(node, Witness(self._cell), shape, dtype, self._version, what)
        if self._leaf is not None:
            return self._leaf
        tensor: Tensor = blank(self._class, array)
        tensor._node = edge if self.is_result else self._edge
        if self.packed is None:
            tensor._cell = self._cell
        return tensor

    def pack(self, pack_hook: Any, unpack_hook: Any, node: Node, edge: Any = None) -> None:
        """Keep what a hook makes of the tensor instead of it."""
        self.packed = Packed(self.unpack(node, edge), pack_hook, unpack_hook)
        self.array = self._leaf = None

    def free(self) -> None:
        """Drop the memory."""
        self.array = self._edge = self._leaf = self.packed = None
