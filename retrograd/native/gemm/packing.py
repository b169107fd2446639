"""Packing: a panel of an operand is copied into the order in which the micro-kernel reads it.

A panel is `width` lines of the operand (rows of A, columns of B); packed, the elements of one k stand side by side,
and the next k's follow. The last panel of an operand may have fewer lines: the places of the missing ones hold some
of the others' elements, since what they give is never stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from retrograd.native.gemm.emitting import (
    at,
    element_type,
    i64,
    integer,
    internal,
    load,
    loop,
    minimum,
    pointer,
    shuffle,
    store,
    subtract,
    when,
    zero,
)

if TYPE_CHECKING:
    from llvmlite import ir


@dataclass(frozen=True)
class Packing:
    """How the panels of one operand are packed.

    Attributes:
        width: lines in a panel.
        line: elements of the operand from one line to the next.
        step: elements of the operand from one k to the next.
        edge: lines in the last panel, where these are fewer.
        lanes: elements of a vector.
    """

    dtype: np.dtype[Any]
    width: int
    line: int
    step: int
    edge: int
    lanes: int

    @property
    def name(self) -> str:
        edge = f"_e{self.edge}" if self.edge != self.width and self.line == 1 else ""
        lines = f"{self.width}x{self.lanes}_l{self.line}_s{self.step}{edge}"
        return f"gemm_pack_{self.dtype.name}_{lines}".replace("-", "n")

    def size(self, depth: int) -> int:
        """Return the elements that a packed panel takes, with room for the last store's spare lanes."""
        return -(-(self.width * depth + self.lanes) // self.lanes) * self.lanes


def emit_packing(module: ir.Module, packing: Packing) -> ir.Function:
    """Return the function `void pack(source, target, k, lines)` of the module."""
    from llvmlite import ir

    known = module.globals.get(packing.name)
    if known is not None:
        return known
    function = internal(module, packing.name, [pointer(), pointer(), integer(), integer()])
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    if packing.line == 1:
        copy_rows(builder, packing, *function.args)
    elif packing.step == 1 and packing.lanes > 1:
        transpose_blocks(builder, packing, *function.args)
    else:
        copy_elements(builder, packing, *function.args, 0)
    builder.ret_void()
    return function


def copy_rows(
    builder: ir.IRBuilder, packing: Packing, source: ir.Value, target: ir.Value, k: ir.Value, lines: ir.Value
) -> None:
    """Copy the lines' elements of each k, which lie side by side, as one vector."""
    element = element_type(packing.dtype)

    def copy(width: int) -> None:
        with loop(builder, 0, k) as p:
            row = load(builder, element, at(builder, element, source, (p, packing.step)), width)
            store(builder, element, row, at(builder, element, target, (p, packing.width)))

    if packing.edge == packing.width:
        copy(packing.width)
        return
    with builder.if_else(builder.icmp_signed("==", lines, i64(packing.width))) as (full, part):
        with full:
            copy(packing.width)
        with part:
            copy(packing.edge)


def copy_elements(
    builder: ir.IRBuilder,
    packing: Packing,
    source: ir.Value,
    target: ir.Value,
    k: ir.Value,
    lines: ir.Value,
    begin: ir.Value | int,
) -> None:
    """Copy one element after the other, from k = begin on."""
    element = element_type(packing.dtype)
    with loop(builder, 0, packing.width) as i:
        line = minimum(builder, i, subtract(builder, lines, 1))
        first = at(builder, element, source, (line, packing.line))
        goal = at(builder, element, target, i)
        with loop(builder, begin, k) as p:
            value = load(builder, element, at(builder, element, first, (p, packing.step)))
            store(builder, element, value, at(builder, element, goal, (p, packing.width)))


def transpose_blocks(
    builder: ir.IRBuilder, packing: Packing, source: ir.Value, target: ir.Value, k: ir.Value, lines: ir.Value
) -> None:
    """Read `lanes` elements of each line and turn the block around in registers.

    The last block overlaps the one before. A store may write lanes behind its row: the next row's, which is
    stored after it, or the spare ones at the end of the panel.
    """
    element, lanes = element_type(packing.dtype), packing.lanes
    last = subtract(builder, lines, 1)
    starts = [
        at(builder, element, source, (minimum(builder, i64(i), last), packing.line))
        for i in range(packing.width)
    ]
    whole = builder.icmp_signed(">=", k, i64(lanes))
    with when(builder, whole):
        with loop(builder, 0, k, lanes) as block:
            p = minimum(builder, block, subtract(builder, k, lanes))
            columns = []
            for group in range(0, packing.width, lanes):
                rows = [
                    load(builder, element, at(builder, element, s, p), lanes)
                    for s in starts[group : group + lanes]
                ]
                columns.append(transpose(builder, rows + [zero(element, lanes)] * (lanes - len(rows))))
            for j in range(lanes):
                for group, vectors in enumerate(columns):
                    offset = group * lanes + j * packing.width
                    store(
                        builder, element, vectors[j], at(builder, element, target, (p, packing.width), offset)
                    )
    with when(builder, builder.not_(whole)):
        copy_elements(builder, packing, source, target, k, lines, 0)


def transpose(builder: ir.IRBuilder, rows: list[ir.Value]) -> list[ir.Value]:
    """Turn n vectors of n lanes around: lane j of vector i becomes lane i of vector j.

    Each of log2(n) rounds exchanges halves of ever larger blocks between vectors that lie as far apart.
    """
    n = len(rows)
    half = 1
    while half < n:
        turned = list(rows)
        for i in range(n):
            if i & half:
                continue
            low, high = rows[i], rows[i + half]
            turned[i] = shuffle(builder, low, high, [x + n - half if x & half else x for x in range(n)])
            turned[i + half] = shuffle(
                builder, low, high, [x + n if x & half else x + half for x in range(n)]
            )
        rows = turned
        half *= 2
    return rows
