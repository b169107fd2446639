"""Loops in IR whose counters and sums are phi nodes.

Nothing is kept in stack slots that a pass would have to promote: the code is good as it is emitted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from retrograd.native.gemm.emitting import Number, i64

if TYPE_CHECKING:
    from llvmlite import ir


@contextmanager
def loop(builder: ir.IRBuilder, begin: Number, end: Number, step: int = 1) -> Iterator[ir.Value]:
    """Emit what is in the `with` block for each index in range(begin, end, step)."""
    with carried(builder, begin, end, (), step) as (index, _, _):
        yield index


@contextmanager
def steps(builder: ir.IRBuilder, begin: Number, end: Number, step: int) -> Iterator[Number]:
    """Emit a loop, or what is in it once where it has at most one round that is known."""
    if isinstance(begin, int) and isinstance(end, int) and end - begin <= max(1, step):
        yield begin
        return
    with loop(builder, begin, end, step) as index:
        yield index


class Carried:
    """Values that a loop hands from one round to the next: set `next` inside, read `results` behind it."""

    def __init__(self, values: Sequence[ir.Value]) -> None:
        self.next: Sequence[ir.Value] = values
        self.results: Sequence[ir.Value] = ()


@contextmanager
def carried(
    builder: ir.IRBuilder, begin: Number, end: Number, initial: Sequence[ir.Value], step: int = 1
) -> Iterator[tuple[ir.Value, Sequence[ir.Value], Carried]]:
    """Emit a loop over range(begin, end, step) that carries values in registers.

    Yields the index, the values at the start of a round, and where to put those at its end. After the block
    `results` of the latter holds the values behind the loop.
    """
    before = builder.block
    body, behind = builder.append_basic_block("loop"), builder.append_basic_block("behind")
    begin, end = i64(begin), i64(end)
    builder.cbranch(builder.icmp_signed("<", begin, end), body, behind)
    builder.position_at_end(body)
    index = builder.phi(begin.type)
    index.add_incoming(begin, before)
    values = []
    for value in initial:
        phi = builder.phi(value.type)
        phi.add_incoming(value, before)
        values.append(phi)
    state = Carried(values)
    yield index, values, state
    following = builder.add(index, i64(step))
    last = builder.block
    index.add_incoming(following, last)
    for phi, value in zip(values, state.next, strict=True):
        phi.add_incoming(value, last)
    builder.cbranch(builder.icmp_signed("<", following, end), body, behind)
    builder.position_at_end(behind)
    results = []
    for start, value in zip(initial, state.next, strict=True):
        phi = builder.phi(value.type)
        phi.add_incoming(start, before)
        phi.add_incoming(value, last)
        results.append(phi)
    state.results = results


@contextmanager
def when(builder: ir.IRBuilder, condition: ir.Value) -> Iterator[None]:
    """Emit what is in the `with` block to be run only if the condition holds."""
    inside, behind = builder.append_basic_block("then"), builder.append_basic_block("endif")
    builder.cbranch(condition, inside, behind)
    builder.position_at_end(inside)
    yield
    builder.branch(behind)
    builder.position_at_end(behind)
