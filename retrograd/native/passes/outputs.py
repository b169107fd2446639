"""Every output is a value of its own, computed by a call: no input, constant or view, nor another output."""

from __future__ import annotations

from retrograd.arrays import Program, Value
from retrograd.native.affine import is_view
from retrograd.native.passes.rewrite import Rewriter


def outputs(program: Program) -> Program:
    """Copy the outputs that would share memory with something else."""
    to = Rewriter(program)
    for instruction in program.instructions:
        to.copy(instruction)
    found: list[Value] = []
    for value in program.outputs:
        made = to.made_by.get(value)
        if made is None or is_view(made) or value in found:
            value = to.emit("copy", (value,), value.shape, value.dtype)
        found.append(value)
    return to.finish(tuple(found))
