"""An optimizer's `update` as machine code, for large parameters.

A kernel is traced from `update` itself, for one size, and writes the parameter and its state where they lie.
It is made once the elements updated are many (native/ondemand.py says how many).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from retrograd.arrays import Program, trace
from retrograd.native import build, ondemand
from retrograd.ops.helpers import cast
from retrograd.optim.numbers import Numbers
from retrograd.switches import kernels

if TYPE_CHECKING:
    from retrograd.optim.flat import FlatOptimizer

Array = np.ndarray[Any, Any]

LARGE = 2**14  # elements from which a kernel's call costs less than it saves (benchmarks/kernels.py)
_MOST = 16  # kernels of a cohort, which has one per size; and how often they may be made anew


class Kernel:
    """The update of parameters of one size."""

    def __init__(
        self, optimizer: FlatOptimizer, numbers: Any, probes: list[Any], arrays: tuple[Array, ...]
    ) -> None:
        found: list[Numbers] = []
        examples = [np.broadcast_to(np.empty((), a.dtype), a.shape) for a in arrays]

        def run(p: Any, g: Any, *buffers: Any) -> tuple[Any, ...]:
            found.append(Numbers(p._recorder, numbers, probes))
            made = optimizer.update(found[0].given, p, g, *buffers)
            return tuple(cast(value, p.dtype) for value in made)

        program: Program = trace(run, *examples)
        (self.numbers,) = found
        self.numbers.close()
        written = [0, *range(2, len(arrays))]
        name = f"{type(optimizer).__name__}.update"
        machine: Any = build(program, dict(enumerate(written)), name=name)
        if machine.blueprint.runs != 1:
            raise TypeError("NumPy makes some of the calls")
        self._machine = machine  # its code lives as long as it does
        self._run = machine.run

    def fill(self, numbers: Any) -> bool:
        """Take the numbers of a step; False if the kernel was not made for such."""
        return self.numbers.fill(numbers)

    def __call__(self, *arrays: Array) -> None:
        """Update a parameter and its state, in place."""
        self._run((*arrays, *self.numbers.arrays))


class Kernels:
    """The kernels of a cohort."""

    def __init__(self) -> None:
        self.seen: dict[int, int] = {}
        self.made: dict[int, Kernel] = {}
        self.left = _MOST

    def find(self, size: int, make: Any, numbers: Any) -> Kernel | None:
        """Return the kernel for a parameter of a size, ready for a step; None if there is none, or none yet.

        Args:
            size: elements of the parameter.
            make: returns a new kernel.
            numbers: of this step.
        """
        kernel = self.made.get(size)
        if kernel is not None and kernel.fill(numbers):
            return kernel
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
    mode = kernels()
    if not array.flags.writeable:
        return False  # NumPy refuses it
    return mode != "0" and array.dtype.char in "fd" and array.size >= (1 if mode == "all" else LARGE)
