"""An optimizer's `update` as machine code: traced from `update` itself, for one size, writing in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from retrograd.arrays import Program, Recorder, tidy
from retrograd.native import build
from retrograd.ops.helpers import cast
from retrograd.optim.numbers import Numbers

if TYPE_CHECKING:
    from retrograd.optim.flat import FlatOptimizer

Array = np.ndarray[Any, Any]


class Kernel:
    """The update of parameters of one size."""

    def __init__(
        self, optimizer: FlatOptimizer, numbers: Any, probes: list[Any], arrays: tuple[Array, ...]
    ) -> None:
        recorder = Recorder()
        self.numbers = Numbers(recorder, numbers, probes)
        p, g, *buffers = [recorder.input(np.broadcast_to(np.empty((), a.dtype), a.shape)) for a in arrays]
        made = optimizer.update(self.numbers.given, p, g, *buffers)
        outputs = recorder.operand(tuple(cast(value, p.dtype) for value in made))
        constants = tuple(recorder.constants.values())
        inputs, instructions = tuple(recorder.inputs), tuple(recorder.instructions)
        program = tidy(Program(inputs, constants, instructions, outputs))
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
