"""The kernels of optimizers: which parameters have one, and from when on.

A kernel (kernel.py) is made once the elements updated are many (native/ondemand.py says how many).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from retrograd import startup

if TYPE_CHECKING:
    from retrograd.optim.kernel import Kernel

Array = np.ndarray[Any, Any]

LARGE = 2**14  # elements from which a kernel's call costs less than it saves (benchmarks/kernels.py)
_MOST = 16  # kernels of a cohort, which has one per size; and how often they may be made anew


class Kernels:
    """The kernels of a cohort."""

    def __init__(self) -> None:
        self.seen: dict[int, int] = {}
        self.made: dict[int, Kernel] = {}
        self.left = _MOST

    def find(self, size: int, make: Callable[[], Kernel], numbers: Any) -> Kernel | None:
        """Return the kernel for a parameter of a size, ready for a step; None if there is none, or none yet.

        Args:
            size: elements of the parameter.
            make: returns a new kernel.
            numbers: of this step.
        """
        kernel = self.made.get(size)
        if kernel is not None and kernel.fill(numbers):
            return kernel
        from retrograd.native import ondemand  # noqa: PLC0415 - with the first large parameter

        seen = self.seen[size] = self.seen.get(size, 0) + size
        if seen < ondemand.enough() or not self.left:
            return None
        self.left -= 1
        try:
            kernel = self.made[size] = make()
        except Exception:  # noqa: BLE001 - the update itself then says what is wrong, if anything is
            self.left = 0
            return None
        return kernel if kernel.fill(numbers) else None


def is_worth(array: Array) -> bool:
    """Whether a parameter's update is worth a kernel."""
    mode = startup.kernel_mode()
    if not array.flags.writeable:
        return False  # NumPy refuses it
    return mode != "0" and array.dtype.char in "fd" and array.size >= (1 if mode == "all" else LARGE)
