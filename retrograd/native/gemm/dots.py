"""Dot products of a matrix's lines with one vector or a few, several lines at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retrograd.native.gemm.emitting import (
    Number,
    add,
    at,
    load,
    load_padded,
    minimum,
    multiply_add,
    store,
    subtract,
    sum_of,
    sum_of_lanes,
    zero,
)
from retrograd.native.gemm.loops import carried, steps

if TYPE_CHECKING:
    from llvmlite import ir

    from retrograd.native.gemm.vector import Body

LINES = 4  # at a time
SUMS = 8  # in registers, at least: as many as hide the latency of a multiply-add


def emit_dots(body: Body, first: Number, last: Number) -> None:
    """Compute y[first:last] of each vector; with fewer lines than at a time, the last one's repeatedly."""
    plan, builder, element = body.plan, body.builder, body.element
    count = min(LINES, plan.size)
    with steps(builder, first, last, count) as i:
        places = [minimum(builder, add(builder, i, j), subtract(builder, last, 1)) for j in range(count)]
        lines = [at(builder, element, body.matrix, (place, plan.line)) for place in places]
        where = [(place, j) for place in places for j in range(plan.vectors)]
        goals = [body.goal(*pair) for pair in where]
        values = products(body, lines)
        if plan.spec.accumulate:
            before = [load(builder, element, goal) for goal in goals]
            values = [sum_of(builder, old, value) for old, value in zip(before, values, strict=True)]
        for pair, goal, value in zip(where, goals, values, strict=True):
            store(builder, element, body.finished(value, *pair), goal)


def products(body: Body, lines: list[ir.Value]) -> list[ir.Value]:
    """Return the products of each line with each vector."""
    plan, builder, element, lanes = body.plan, body.builder, body.element, body.plan.lanes
    x_step, x_gap = (1, plan.spec.k) if plan.has_copy else (plan.x_step, plan.x_gap)
    k, count = plan.spec.k, len(lines) * plan.vectors
    turns = max(1, SUMS // count)  # each with sums of its own
    stride = turns * lanes
    whole = k // stride * stride

    def more(totals: list[ir.Value], p: Number, width: int) -> list[ir.Value]:
        """Add the products of `width` elements, from p on."""

        def loaded(base: ir.Value, *place: Number | tuple[Number, Number]) -> ir.Value:
            return load_padded(builder, element, at(builder, element, base, *place), width, lanes)

        vectors = [loaded(body.x, (p, x_step), j * x_gap) for j in range(plan.vectors)]
        factors = [(row, x) for row in (loaded(line, p) for line in lines) for x in vectors]
        return [multiply_add(builder, *pair, total) for pair, total in zip(factors, totals, strict=True)]

    sums: list[list[ir.Value]]
    with carried(builder, 0, whole, [zero(element, lanes)] * (count * turns), stride) as (p, totals, state):
        sums = [list(totals[turn * count : (turn + 1) * count]) for turn in range(turns)]
        state.next = [
            value for turn in range(turns) for value in more(sums[turn], add(builder, p, turn * lanes), lanes)
        ]
    sums = [list(state.results[turn * count : (turn + 1) * count]) for turn in range(turns)]
    for turn, p in enumerate(range(whole, k, lanes)):
        sums[turn] = more(sums[turn], p, min(lanes, k - p))
    results = sums[0]
    for others in sums[1:]:
        results = [sum_of(builder, x, y) for x, y in zip(results, others, strict=True)]
    return [sum_of_lanes(builder, result) for result in results]
