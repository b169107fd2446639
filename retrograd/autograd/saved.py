"""Tensors that a node keeps by the user's wish: memory and history, checked by version when unpacked."""

from __future__ import annotations

from typing import Any

from retrograd import dtypes
from retrograd.autograd.graph import Node, Version, Witness, raise_freed, raise_modified
from retrograd.autograd.modes import local, modes
from retrograd.autograd.pull import made_by
from retrograd.autograd.saved_hooks import Packed
from retrograd.tensor import Tensor, blank, history


class SavedTensor:
    """One tensor saved for backward.

    A tensor that is a result of the saving node itself is kept without its history, which is that node.
    """

    __slots__ = ("_array", "_cell", "_class", "_edge", "_is_result", "_leaf", "_packed", "_version")

    def __init__(self, tensor: Tensor, *, is_result: bool) -> None:
        self._array: Any = tensor._array
        self._class = type(tensor)
        self._is_result = is_result
        self._edge = None if is_result else history(tensor)
        self._cell: Version = tensor._version_cell()
        self._version = self._cell.count
        self._leaf = tensor if not is_result and tensor.is_leaf else None
        self._packed: Packed | None = None
        if modes.special and local.saved_hooks:
            self._packed = Packed(tensor, *local.saved_hooks[-1])
            self._array = self._leaf = None

    def unpack(self, node: Node, edge: Any = None) -> Tensor:
        """Return the tensor as it was.

        Raises:
            RuntimeError: it was freed by an earlier backward, or has been written to since.
        """
        array = self._array if self._packed is None else self._packed.array()
        if array is None:
            raise_freed(node)
        if self._packed is None and self._cell.count != self._version:
            what = made_by(self._leaf) if self._leaf is not None else ""
            raise_modified(
                node,
                Witness(self._cell),
                self._array.shape,
                dtypes.of_array(self._array),
                self._version,
                what,
            )
        if self._leaf is not None:
            return self._leaf
        tensor: Tensor = blank(self._class, array)
        tensor._node = edge if self._is_result else self._edge
        if self._packed is None:
            tensor._cell = self._cell
        return tensor

    def free(self) -> None:
        """Drop the memory."""
        self._array = self._edge = self._leaf = self._packed = None
