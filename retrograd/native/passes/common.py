"""Common subexpressions: what is computed twice is computed once."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograd.arrays import Program, Value
from retrograd.native.passes.rewrite import Rewriter


def common(program: Program) -> Program:
    """Let equal calls on equal operands share one value."""
    to = Rewriter(program)
    found: dict[Any, tuple[Value, ...]] = {}
    held: dict[Any, Value] = {}
    for value, array in program.constants:
        key = (array.shape, array.dtype.str, array.tobytes()) if array.size <= 1 else id(array)
        first = held.setdefault(key, value)
        if first is not value:
            to.now[value] = first
    for instruction in program.instructions:
        key = _key((instruction.name, to.operand(instruction.inputs), to.operand(instruction.params)))
        before = found.get(key)
        if before is None:
            to.copy(instruction)
            found[key] = instruction.outputs
        else:
            to.now.update(zip(instruction.outputs, before, strict=True))
    return to.finish()


def _key(tree: Any) -> Any:
    """Return a tree as something that can be compared and hashed: numbers differ by type and sign of zero."""
    if isinstance(tree, (tuple, list)):
        return tuple(_key(x) for x in tree)
    if isinstance(tree, slice):
        return ("slice", _key(tree.start), _key(tree.stop), _key(tree.step))
    if isinstance(tree, (bool, int, float, complex, np.generic)):
        return type(tree), repr(tree)
    return tree if tree.__hash__ is not None else id(tree)
