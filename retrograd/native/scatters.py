"""Calls that add elements at positions that are read: the transposes of lookups.

`ops.accumulate` adds the elements of an array along a dimension into zeros, `ops.put_along` those of an array
of the index's own shape, `ops.accumulate_many` at positions along several dimensions. One loop goes over what
is added, in order and in one thread: results are the same however many threads there are.
"""

from __future__ import annotations

import itertools

from retrograd.arrays import Instruction, Value
from retrograd.native.affine import Affine, Index, Looked, broadcast, of
from retrograd.native.kernels import canonical_index
from retrograd.native.types import NATIVE


def is_scatter(instruction: Instruction) -> bool:
    """Whether an instruction is one of these calls, in a form that is known here."""
    name, inputs = instruction.name, instruction.inputs
    if name not in ("ops.accumulate", "ops.put_along", "ops.accumulate_many") or instruction.params:
        return False
    if any(v.dtype.char not in NATIVE or 0 in v.shape for v in (*instruction.operands, *instruction.outputs)):
        return False
    source, shape, *rest = inputs
    if not isinstance(source, Value) or source.dtype.kind == "b" or not shape:
        return False
    if name == "ops.accumulate_many":
        indices, dims = rest
        return is_run(dims) and all(isinstance(i, Value) and i.dtype.kind == "i" for i in indices)
    index = rest[0] if name == "ops.accumulate" else rest[1]
    if not isinstance(index, Value) or index.dtype.kind != "i":
        return False
    return name == "ops.accumulate" or len(index.shape) == len(source.shape) == len(shape)


def is_run(dims: tuple[int, ...]) -> bool:
    """Whether dimensions follow one another: then the index's own come in their place."""
    return all(b == a + 1 for a, b in itertools.pairwise(dims))


def target(instruction: Instruction) -> Index:
    """Return where the source's element at the frame's position is added."""
    source, shape, *rest = instruction.inputs
    index = canonical_index(source.shape)
    if instruction.name == "ops.put_along":
        dim = rest[0] % len(shape)
        looked = of(Looked(rest[1], index, shape[dim]))
        return (*index[:dim], looked, *index[dim + 1 :])
    if instruction.name == "ops.accumulate":
        return spread_index(index, shape, (rest[0],), (rest[1],))
    return spread_index(index, shape, *rest)


def spread_index(
    index: Index, shape: tuple[int, ...], indices: tuple[Value, ...], dims: tuple[int, ...]
) -> Index:
    """Return the index into an array of `shape` of an element of what positions along `dims` take from it."""
    first = dims[0] % len(shape)
    rank = max(len(i.shape) for i in indices)
    own: tuple[Affine, ...] = index[first : first + rank]
    looked = tuple(
        of(Looked(i, broadcast(own, i.shape), shape[first + k], wraps=True)) for k, i in enumerate(indices)
    )
    return (*index[:first], *looked, *index[first + rank :])
