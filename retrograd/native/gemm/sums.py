"""Sums of a matrix's rows, each times an element of a vector, several rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from retrograd.native.gemm.emitting import (
    Number,
    add,
    at,
    i64,
    load,
    minimum,
    multiply_add,
    spread,
    store,
    zero,
)
from retrograd.native.gemm.loops import loop, steps, when

if TYPE_CHECKING:
    from retrograd.native.gemm.vector import Body

ROWS = 8  # added at a time: y is read and written once for so many


def emit_sums(body: Body, first: Number, last: Number) -> None:
    """Compute y[first:last]."""
    plan, builder = body.plan, body.builder
    k, rest = plan.spec.k, plan.spec.k % ROWS
    begin = 0
    if not plan.spec.accumulate:
        begin = rest or min(ROWS, k)
        add_rows(body, first, last, 0, begin, is_fresh=True)
    elif rest:
        begin = rest
        add_rows(body, first, last, 0, rest, is_fresh=False)
    if begin < k:
        with steps(builder, begin, k, ROWS) as p:
            add_rows(body, first, last, p, ROWS, is_fresh=False)
    if body.epilogue is not None:

        def finish(i: Number, width: int) -> None:
            value = load(builder, body.element, body.goal(i), width)
            store(builder, body.element, body.finished(value, i), body.goal(i))

        # What lies side by side in y are columns of C only if y is a row.
        each(body, first, last, plan.lanes if plan.is_row else 1, finish)


def add_rows(body: Body, first: Number, last: Number, p: Number, count: int, *, is_fresh: bool) -> None:
    """Add so many rows of the matrix, from p on, to y[first:last], or to zero."""
    plan, builder, element = body.plan, body.builder, body.element
    places = [add(builder, p, j) for j in range(count)]
    factors = [load(builder, element, at(builder, element, body.x, (place, plan.x_step))) for place in places]
    rows = [at(builder, element, body.matrix, (place, plan.step)) for place in places]

    def piece(i: Number, width: int) -> None:
        goal = body.goal(i)
        total = zero(element, width) if is_fresh else load(builder, element, goal, width)
        for factor, row in zip(factors, rows, strict=True):
            values = load(builder, element, at(builder, element, row, i), width)
            total = multiply_add(builder, spread(builder, factor, width), values, total)
        store(builder, element, total, goal)

    each(body, first, last, plan.lanes, piece)


def each(body: Body, first: Number, last: Number, width: int, piece: Callable[[Number, int], None]) -> None:
    """Emit `piece` for every full vector of y[first:last], and once for what remains of y."""
    builder, size = body.builder, body.plan.size
    tail = size % width
    with loop(builder, first, minimum(builder, last, size - tail), width) as i:
        piece(i, width)
    if tail:
        with when(builder, builder.icmp_signed("==", i64(last), i64(size))):
            piece(size - tail, tail)
