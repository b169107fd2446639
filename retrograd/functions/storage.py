"""Storages: the memory behind tensors, as bytes or as elements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd import devices, dtypes


class UntypedStorage:
    """The memory that a tensor looks at, as bytes.

    Two storages are the same memory if their `data_ptr()` agree.
    """

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        root = array
        while isinstance(root.base, np.ndarray):
            root = root.base
        self._array = root

    @property
    def device(self) -> devices.device:
        """Where the memory is."""
        return devices.CPU

    def data_ptr(self) -> int:
        """Return the address of the first byte."""
        return (
            int(np.lib.array_utils.byte_bounds(self._array)[0])
            if self._array.size
            else int(self._array.__array_interface__["data"][0])
        )

    def nbytes(self) -> int:
        """Return the number of bytes."""
        return int(self._array.nbytes)

    def size(self) -> int:
        """Return the number of bytes."""
        return self.nbytes()

    def __len__(self) -> int:
        return self.nbytes()

    def element_size(self) -> int:
        """Return the bytes of one element: 1."""
        return 1

    def tolist(self) -> list[int]:
        """Return the bytes as integers."""
        return list(self._array.tobytes())

    def __iter__(self) -> Iterator[int]:
        return iter(self.tolist())

    def __getitem__(self, index: int) -> int:
        return self.tolist()[index]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, UntypedStorage)
            and self.data_ptr() == other.data_ptr()
            and len(self) == len(other)
        )

    def __hash__(self) -> int:
        return hash(self.data_ptr())

    def __repr__(self) -> str:
        rows = "\n".join(f" {b}" for b in self.tolist())
        return f"{rows}\n[torch.storage.UntypedStorage(device=cpu) of size {len(self)}]"

    def is_shared(self) -> bool:
        """Return whether other processes share the memory: they never do."""
        return False


class TypedStorage(UntypedStorage):
    """The memory that a tensor looks at, as elements of its dtype."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        super().__init__(array)
        self._element: np.dtype[Any] = array.dtype

    @property
    def dtype(self) -> dtypes.dtype:
        """The type of the elements."""
        return dtypes.OF_NUMPY[self._element]

    def size(self) -> int:
        """Return the number of elements."""
        return self.nbytes() // self._element.itemsize

    def __len__(self) -> int:
        return self.size()

    def element_size(self) -> int:
        """Return the bytes of one element."""
        return self._element.itemsize

    def tolist(self) -> list[Any]:
        """Return the elements as Python numbers."""
        found: list[Any] = np.frombuffer(self._array.tobytes("K"), self._element).tolist()
        return found
