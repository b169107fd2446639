"""Calls that choose elements by indices from another array, or compare indices with positions.

`take_class`, `embedding`, `index_select`, `gather`, `index` and indexing itself read `x[..., i[...], ...]`:
their element is one of x's, at an index that is itself read. `put_class` is the transpose of the first, where
no two elements meet: its element is the given one where the position is the index, and 0 elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from retrograd.arrays import Instruction, Value
from retrograd.native.affine import Affine, Index, Looked, broadcast, of
from retrograd.native.scatters import is_run, spread_index

_NAMES = frozenset({
    "getitem", "ops.index", "ops.index_many", "ops.gather", "ops.embedding", "ops.index_select",
    "ops.take_class", "ops.put_class",
})  # fmt: skip


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
    if name not in _NAMES or any(0 in v.shape for v in instruction.operands):
        return False
    if name in ("getitem", "ops.index", "ops.index_many"):
        return not params and _positions(instruction) is not None
    if name == "ops.gather":
        index = inputs[2] if len(inputs) > 2 else None
        return isinstance(index, Value) and len(index.shape) == len(inputs[0].shape) > 0
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


def _positions(instruction: Instruction) -> tuple[tuple[Value, ...], tuple[int, ...]] | None:
    """Return the arrays of positions that a call takes elements at, and along which dimensions."""
    source = instruction.inputs[0]
    if not isinstance(source, Value):
        return None
    if instruction.name == "getitem":
        given = instruction.inputs[1]
        items = list(given) if isinstance(given, tuple) else [given]
        if Ellipsis in items:
            at = items.index(Ellipsis)
            items[at : at + 1] = [slice(None)] * (len(source.shape) - len(items) + 1)
        if not all(isinstance(i, Value) or i == slice(None) for i in items):
            return None
        dims = tuple(d for d, i in enumerate(items) if isinstance(i, Value))
        indices = tuple(i for i in items if isinstance(i, Value))
    elif len(instruction.inputs) != 3:
        return None
    elif instruction.name == "ops.index":
        indices, dims = (instruction.inputs[1],), (instruction.inputs[2],)
    else:
        indices, dims = tuple(instruction.inputs[1]), tuple(instruction.inputs[2])
    if not indices or not is_run(dims):
        return None
    return (indices, dims) if all(isinstance(i, Value) and i.dtype.kind == "i" for i in indices) else None


def look(instruction: Instruction, index: Index) -> Taken | Put:
    """Return what the element at an index of the call's result is."""
    inputs = instruction.inputs
    if instruction.name in ("getitem", "ops.index", "ops.index_many"):
        positions = _positions(instruction)
        assert positions is not None
        return Taken(inputs[0], spread_index(index, inputs[0].shape, *positions))
    if instruction.name == "ops.gather":
        source, dim, indices = inputs[:3]
        dim %= len(source.shape)
        chosen = of(Looked(indices, index, source.shape[dim]))
        return Taken(source, (*index[:dim], chosen, *index[dim + 1 :]))
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
