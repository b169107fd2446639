"""Half types are stored narrow and computed wide: in float32, rounded once where they are stored.

A chain of calls on float16 or bfloat16 becomes the same chain on float32 between casts. What leaves the
program, what NumPy's own calls take, and what is cast on purpose is rounded, to the nearest even.
"""

from __future__ import annotations

import numpy as np

from retrograd.arrays import Instruction, Program, Value
from retrograd.arrays.ir import replace, values
from retrograd.arrays.vocabulary import infer
from retrograd.native.passes.rewrite import Rewriter
from retrograd.native.types import is_half

_WIDE = np.dtype(np.float32)
_OPS = frozenset({
    "ops.embedding", "ops.index", "ops.index_many", "ops.index_select", "ops.gather", "ops.take",
    "ops.take_class", "ops.put_class", "ops.accumulate", "ops.accumulate_many", "ops.put_along",
    "ops.embedding_ct", "ops.constant_pad_nd", "ops.place", "ops.erf", "ops.erfc",
})  # fmt: skip
"""Ops that may be computed wide; of NumPy's functions all may be that take no dtype."""


def narrow(program: Program) -> Program:
    """Compute in float32 what is of a half type."""
    if not any(is_half(v.dtype) for i in program.instructions for v in (*i.operands, *i.outputs)):
        return program
    return _Narrow(program).rewritten()


class _Narrow:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.to = Rewriter(program)
        self.wide: dict[Value, Value] = {}  # in float32, by the value that the old program has

    def rewritten(self) -> Program:
        for instruction in self.program.instructions:
            if not self._widened(instruction):
                for value in instruction.operands:
                    self._rounded(value)
                self.to.copy(instruction)
        for value in values(self.program.outputs):
            self._rounded(value)
        return self.to.finish()

    def _widened(self, instruction: Instruction) -> bool:
        """Append a call on float32 in place of one on a half type, if there is one that gives the same."""
        name, params = instruction.name, dict(instruction.params)
        is_op = "." in name and name not in _OPS
        halves = [v for v in (*instruction.operands, *instruction.outputs) if is_half(v.dtype)]
        if not halves or name == "cast" or is_op or "dtype" in params or len(instruction.outputs) != 1:
            return False
        (made,) = instruction.outputs
        inputs = replace(instruction.inputs, self._widen)
        params = {k: replace(v, self._widen) for k, v in params.items()}
        wanted = (made.shape, _WIDE if is_half(made.dtype) else made.dtype)
        if infer(name, inputs, params, {}) != wanted:
            return False
        found = self.to.emit(name, inputs, *wanted, **params)
        if is_half(made.dtype):
            self.wide[made] = found
        else:
            self.to.now[made] = found
        return True

    def _widen(self, value: Value) -> Value:
        """Return a value in float32, if it is of a half type."""
        if not is_half(value.dtype):
            new: Value = self.to.operand(value)
            return new
        found = self.wide.get(value)
        if found is None:
            old = self.to.operand(value)
            found = self.wide[value] = self.to.emit("cast", (old,), value.shape, _WIDE, dtype=_WIDE)
        return found

    def _rounded(self, value: Value) -> None:
        """See that a value that was computed wide is there in its own dtype."""
        if value in self.wide and value not in self.to.now and value not in self.to.made_by:
            known = {*self.program.inputs, *(v for v, _ in self.program.constants)}
            if value not in known:
                wide = self.wide[value]
                self.to.now[value] = self.to.emit(
                    "cast", (wide,), value.shape, value.dtype, dtype=value.dtype
                )
