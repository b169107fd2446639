"""Following a value to where it comes from: memory, a call, or a reduction."""

from __future__ import annotations

from dataclasses import dataclass

from retrograd.arrays import Instruction, Program, Value
from retrograd.arrays.ir import values
from retrograd.native.affine import Affine, Index, Looked, broadcast, is_view, offset, through
from retrograd.native.elementwise import is_elementwise
from retrograd.native.lookups import Taken, is_lookup, look
from retrograd.native.passes.canonical import REDUCTIONS
from retrograd.native.passes.pieces import is_joined
from retrograd.native.scatters import is_scatter
from retrograd.native.types import NATIVE


@dataclass(frozen=True, slots=True)
class Load:
    """An element of an array in memory."""

    value: Value
    at: Affine


@dataclass(frozen=True, slots=True)
class Call:
    """An element of what an instruction returns."""

    instruction: Instruction
    index: Index

    @property
    def value(self) -> Value:
        return self.instruction.outputs[0]


class Graph:
    """A program's values, and which of them lie in memory.

    `stored` says from which step on a value can be loaded: the one after the number.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.made_by = {v: i for i in program.instructions for v in i.outputs}
        self.constants = dict(program.constants)
        self.stored: dict[Value, int] = dict.fromkeys([*program.inputs, *self.constants], -1)

    def kind(self, value: Value) -> str:
        """Return what a value is.

        That is `stored` from the start, or what makes it: `view`, `map`, `reduce`, `joined`, `scatter`,
        `product` or `host`.
        """
        instruction = self.made_by.get(value)
        return "stored" if instruction is None else kind_of(instruction)

    def is_stored(self, value: Value, step: int) -> bool:
        """Whether a step can load a value."""
        return self.stored.get(value, step) < step

    def reach(self, value: Value, index: Index, step: int) -> Load | Call:
        """Follow views from an element of a value to a load or a call, for the step of this number.

        Raises:
            NotAffineError: a reshape that needs a division, of a value that is not in memory.
        """
        while True:
            if self.is_stored(value, step):
                return Load(value, offset(index, value.shape))
            instruction = self.made_by[value]
            if not is_view(instruction):
                return Call(instruction, index)
            source = instruction.inputs[0]
            if instruction.name == "reshape" and self.is_stored(source, step):
                return Load(source, offset(index, value.shape))
            value, index = source, through(instruction, index)

    def base(self, value: Value) -> tuple[Value, tuple[Instruction, ...]]:
        """Return the value that a chain of views starts from, and the chain, first view first."""
        chain: list[Instruction] = []
        while self.kind(value) == "view":
            chain.append(self.made_by[value])
            value = chain[-1].inputs[0]
        return value, tuple(chain[::-1])


def kind_of(instruction: Instruction) -> str:
    """Return what kind of step an instruction takes part in."""
    if len(instruction.outputs) != 1:
        return "host"
    if is_view(instruction):
        return "view"
    if is_elementwise(instruction):
        return "map"
    if instruction.name in REDUCTIONS and set(dict(instruction.params)) == {"axis"}:
        return "reduce" if _is_native(instruction) else "host"
    if is_joined(instruction):
        return "joined"
    if is_scatter(instruction):
        return "scatter"
    if instruction.name == "matmul" and all(isinstance(x, Value) for x in instruction.inputs):
        kinds = {v.dtype for v in (*instruction.operands, *instruction.outputs)}
        return "product" if len(kinds) == 1 and kinds.pop().char in "fd" else "host"
    return "host"


def _is_native(instruction: Instruction) -> bool:
    return all(v.dtype.char in NATIVE for v in (*instruction.operands, *instruction.outputs))


def operands(call: Call) -> list[tuple[Value, Index]]:
    """Return the values that an elementwise call takes, each with the index of the element."""
    if is_lookup(call.instruction):
        found = look(call.instruction, call.index)
        if isinstance(found, Taken):
            return [(found.source, found.at)]
        return [(found.source, found.at), (found.chosen, found.at)]
    return [(v, broadcast(call.index, v.shape)) for v in values(call.instruction.inputs)]


def looked(at: Affine) -> list[tuple[Value, Index]]:
    """Return the indices that a position is computed from, as elements of the arrays that they lie in."""
    return [(v.value, v.index) for v, _ in at.terms if isinstance(v, Looked)]
