"""Pieces that are where they belong already: when an input is updated in part, the rest of it stays."""

from __future__ import annotations

from retrograd.arrays import Value
from retrograd.native.fuse import Fused
from retrograd.native.graph import Load
from retrograd.native.kernels import Loop, Store, canonical_index
from retrograd.native.layout import sinks, walk


def leave(fused: Fused, value: Value, old: Value) -> None:
    """Drop the pieces of an output that copy the input whose memory it is to take, if it may take it.

    It may if nothing reads the input any more once the first of the other pieces is written.
    """
    pieces = fused.joins.pieces.get(value, [])
    staying = [p for p in pieces if _stays(fused, p, old)]
    if not staying:
        return
    loops = [s for s in fused.steps if isinstance(s, Loop)]
    before = [loop.stores for loop in loops]
    for loop in loops:
        loop.stores = [s for s in loop.stores if s not in staying]
    begun = min(fused.placed[p.value] for p in pieces if p not in staying)
    if any(_reads(fused, number, old) for number in range(begun, len(fused.steps))):
        for loop, stores in zip(loops, before, strict=True):
            loop.stores = stores
    else:
        fused.begun[value] = begun


def _stays(fused: Fused, piece: Store, old: Value) -> bool:
    """Whether a piece is a copy of the input's elements at the place that it is written to."""
    made = fused.graph.made_by[piece.value]
    if made.name != "copy":
        return False
    step = fused.placed[piece.value]
    node = fused.graph.reach(made.inputs[0], canonical_index(piece.value.shape), step)
    return isinstance(node, Load) and node.value == old and node.at == piece.at


def _reads(fused: Fused, number: int, old: Value) -> bool:
    step = fused.steps[number]
    if isinstance(step, Loop):
        nodes = walk(fused.graph, step, number, sinks(step))
        return any(isinstance(node, Load) and node.value == old for node in nodes)
    return any(fused.graph.base(v)[0] == old for v in step.instruction.operands)
