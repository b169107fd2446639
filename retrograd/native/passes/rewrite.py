"""Making a program from another, instruction by instruction."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograd.arrays import Instruction, Program, Value, tidy
from retrograd.arrays.ir import Tree, replace, values


class Rewriter:
    """A new program as it grows. `now` says what an old value has become: a value or a Python number."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.now: dict[Value, Any] = {}
        self.instructions: list[Instruction] = []
        self.constants = list(program.constants)
        self.made_by: dict[Value, Instruction] = {}
        taken = [*program.inputs, *(v for v, _ in program.constants)]
        taken += [v for i in program.instructions for v in i.outputs]
        self.count = 1 + max((v.id for v in taken), default=-1)

    def operand(self, tree: Tree) -> Any:
        """Return a tree of old values as one of new values."""
        return replace(tree, lambda v: self.now.get(v, v))

    def emit(self, name: str, inputs: tuple[Tree, ...], shape: Any, dtype: Any, /, **params: Any) -> Value:
        """Append a call with one result and return that."""
        value = Value(self.count, tuple(shape), np.dtype(dtype))
        self.count += 1
        self.append(Instruction(name, inputs, tuple(params.items()), (value,)))
        return value

    def constant(self, array: Any) -> Value:
        """Add a constant and return its value."""
        value = Value(self.count, array.shape, array.dtype)
        self.count += 1
        self.constants.append((value, array))
        return value

    def append(self, instruction: Instruction) -> None:
        """Append an instruction as it is."""
        self.instructions.append(instruction)
        for value in instruction.outputs:
            self.made_by[value] = instruction

    def copy(self, instruction: Instruction) -> None:
        """Append an instruction with its operands brought up to date."""
        params = tuple((k, self.operand(v)) for k, v in instruction.params)
        inputs = self.operand(instruction.inputs)
        self.append(Instruction(instruction.name, inputs, params, instruction.outputs))

    def finish(self, outputs: Tree = None) -> Program:
        """Return the new program, with new outputs if given, without what its outputs do not need."""
        outputs = self.operand(self.program.outputs) if outputs is None else outputs
        used = set(values(outputs)) | {v for i in self.instructions for v in i.operands}
        constants = tuple((v, a) for v, a in self.constants if v in used)
        return tidy(Program(self.program.inputs, constants, tuple(self.instructions), outputs))
