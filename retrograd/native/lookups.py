"""Calls that choose elements by indices from another array, or compare indices with positions.

`take_class`, `embedding` and `index_select` read `x[..., i[...], ...]`: their element is one of x's, at an
index that is itself read. `put_class` is its transpose, where no two elements meet: its element is the given
one where the position is the index, and 0 elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from retrograd.arrays import Instruction, Value
from retrograd.native.affine import Affine, Index, Looked, broadcast, of


@dataclass(frozen=True, slots=True)
class Taken:
    """The element of `source` at `at`, of which one index is read from memory."""

    source: Value
    at: Index


@dataclass(frozen=True, slots=True)
class Put:
    """The element of `source` at `at` where `position` is the element of `chosen` there; 0 elsewhere."""

    source: Value
    chosen: Value
    at: Index
    position: Affine
    size: int


def is_lookup(instruction: Instruction) -> bool:
    """Whether an instruction is one of these calls, in a form that is known here."""
    name, inputs, params = instruction.name, instruction.inputs, dict(instruction.params)
    if name == "ops.embedding":
        return (
            len(inputs) >= 2 and all(isinstance(v, Value) for v in inputs[:2]) and len(inputs[0].shape) == 2
        )
    if name == "ops.index_select" and not params:
        return (
            len(inputs) == 3
            and isinstance(inputs[1], int)
            and len(inputs[0].shape) > 0
            and len(inputs[2].shape) == 1
        )
    if name == "ops.take_class" and not params:
        return len(inputs) == 3 and isinstance(inputs[2], int)
    return name == "ops.put_class" and not params and len(inputs) == 4 and isinstance(inputs[2], int)


def look(instruction: Instruction, index: Index) -> Taken | Put:
    """Return what the element at an index of the call's result is."""
    inputs = instruction.inputs
    if instruction.name == "ops.embedding":
        table, indices = inputs[:2]
        row = of(Looked(indices, index[:-1], table.shape[0]))
        return Taken(table, (row, index[-1]))
    if instruction.name == "ops.index_select":
        source, dim, indices = inputs
        dim %= len(source.shape)
        chosen = of(Looked(indices, (index[dim],), source.shape[dim]))
        return Taken(source, (*index[:dim], chosen, *index[dim + 1 :]))
    source, indices, dim = inputs[:3]
    if instruction.name == "ops.take_class":
        dim %= len(source.shape)
        chosen = of(Looked(indices, index, source.shape[dim]))
        return Taken(source, (*index[:dim], chosen, *index[dim:]))
    shape = inputs[3]
    dim %= len(shape)
    at = (*index[:dim], *index[dim + 1 :])
    return Put(source, indices, broadcast(at, source.shape), index[dim], shape[dim])
