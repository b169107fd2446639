"""Packing: a panel of an operand is copied into the order in which the micro-kernel reads it.

A panel is `width` lines of the operand (rows of A, columns of B); packed, the elements of one k stand side by
side, and the next k's follow. An operand may have fewer lines than a panel: what stands in the places of the
missing ones gives columns of a tile that are never stored.
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
    minimum,
    pointer,
    shuffle,
    starting,
    store,
    subtract,
)
from retrograd.native.gemm.loops import loop, when

if TYPE_CHECKING:
    from llvmlite import ir


@dataclass(frozen=True)
class Packing:
    """How the panels of one operand are packed.

    Attributes:
        width: lines in a panel.
        line: elements of the operand from one line to the next.
        step: elements of the operand from one k to the next.
        lines: what the operand has of them, where that is less than a panel.
        lanes: elements of a vector.
    """

    dtype: np.dtype[Any]
    width: int
    line: int
    step: int
    lines: int
    lanes: int

    @property
    def name(self) -> str:
        shape = f"{self.lines}in{self.width}x{self.lanes}_l{self.line}_s{self.step}"
        return f"gemm_pack_{self.dtype.name}_{shape}".replace("-", "n")

    def size(self, depth: int) -> int:
        """Return the elements that a packed panel takes, with room for the last store's spare lanes."""
        return -(-(self.width * depth + self.lanes) // self.lanes) * self.lanes


def emit_packing(module: ir.Module, packing: Packing) -> ir.Function:
    """Return the function `void pack(source, target, k)` of the module."""
    known = module.globals.get(packing.name)
    if known is not None:
        return known
    function = internal(module, packing.name, [pointer(), pointer(), integer()])
    builder = starting(function)
    if packing.line == 1:
        copy_rows(builder, packing, *function.args)
    elif packing.step == 1 and packing.lanes > 1:
        transpose_blocks(builder, packing, *function.args)
    else:
        copy_elements(builder, packing, *function.args)
    builder.ret_void()
    return function


def copy_rows(
    builder: ir.IRBuilder, packing: Packing, source: ir.Value, target: ir.Value, k: ir.Value
) -> None:
    """Copy the lines' elements of each k, which lie side by side, as one vector."""
    element = element_type(packing.dtype)
    with loop(builder, 0, k) as p:
        row = load(builder, element, at(builder, element, source, (p, packing.step)), packing.lines)
        store(builder, element, row, at(builder, element, target, (p, packing.width)))


def copy_elements(
    builder: ir.IRBuilder, packing: Packing, source: ir.Value, target: ir.Value, k: ir.Value
) -> None:
    element = element_type(packing.dtype)
    with loop(builder, 0, packing.lines) as i:
        first = at(builder, element, source, (i, packing.line))
        goal = at(builder, element, target, i)
        with loop(builder, 0, k) as p:
            value = load(builder, element, at(builder, element, first, (p, packing.step)))
            store(builder, element, value, at(builder, element, goal, (p, packing.width)))


def transpose_blocks(
    builder: ir.IRBuilder, packing: Packing, source: ir.Value, target: ir.Value, k: ir.Value
) -> None:
    """Read 16 bytes of each of `lanes` lines and turn the block around in registers.

    The last block of each direction overlaps the one before. With fewer lines than lanes a store writes
    behind its row: into the next one, which is stored after it, or into the spare lanes at the end of the
    panel.
    """
    element, lanes = element_type(packing.dtype), packing.lanes
    lines, piece = min(lanes, packing.lines), min(lanes, 16 // packing.dtype.itemsize)
    whole = builder.icmp_signed(">=", k, i64(piece))
    with when(builder, whole), loop(builder, 0, packing.lines, lanes) as group:
        first = minimum(builder, group, packing.lines - lines)
        line = at(builder, element, source, (first, packing.line))
        goal = at(builder, element, target, first)
        with loop(builder, 0, k, piece) as block:
            p = minimum(builder, block, subtract(builder, k, piece))
            start = at(builder, element, line, p)
            places = [min(i, lines - 1) * packing.line for i in range(lanes)]
            pieces = [load(builder, element, at(builder, element, start, place), piece) for place in places]
            column = at(builder, element, goal, (p, packing.width))
            for j, vector in enumerate(transpose(builder, pieces, piece)):
                store(builder, element, vector, at(builder, element, column, j * packing.width))
    with when(builder, builder.not_(whole)):
        copy_elements(builder, packing, source, target, k)


def transpose(builder: ir.IRBuilder, lines: list[ir.Value], n: int) -> list[ir.Value]:
    """Turn lines of n elements around: lane i of vector j is element j of line i.

    Vectors of whole pieces are put together first, by loading; then the n of them are interleaved pair by
    pair, within pieces, which machines do in one step each.
    """
    rows = [joined(builder, lines[i::n]) for i in range(n)]
    width, half = len(lines), n // 2
    low = [start + x + y for start in range(0, width, n) for x in range(half) for y in (0, width)]
    high = [lane + half for lane in low]
    for _ in range(n.bit_length() - 1):
        rows = [
            shuffle(builder, rows[i], rows[i + half], lanes) for i in range(half) for lanes in (low, high)
        ]
    return rows


def joined(builder: ir.IRBuilder, vectors: list[ir.Value]) -> ir.Value:
    """Put vectors side by side in one."""
    while len(vectors) > 1:
        lanes = list(range(2 * vectors[0].type.count))
        vectors = [shuffle(builder, *pair, lanes) for pair in zip(vectors[::2], vectors[1::2], strict=True)]
    return vectors[0]
