"""The micro-kernel: a tile of the product stays in registers while one step of k after the other is added.

For each k the kernel loads one row of the tile's B (`vectors` full vectors) and multiplies it with each of
`rows` elements of A, spread over the lanes. Every multiply-add waits for nothing but the one before in its
own register.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from retrograd.native.gemm.emitting import (
    at,
    element_type,
    integer,
    internal,
    load,
    multiply_add,
    pointer,
    prefetch,
    spread,
    starting,
    store,
    sum_of,
    truth_type,
    zero,
)
from retrograd.native.gemm.loops import carried, loop

if TYPE_CHECKING:
    from llvmlite import ir


@dataclass(frozen=True)
class Kernel:
    """What distinguishes one micro-kernel from another; products of a module with equal ones share the code.

    `a_row`, `a_step`: elements from a row of A to the next, and from a k to the next. `b_step`: from a row of
    B to the next. `may_add`: whether the tile may have to be added to what C holds. `packs`: whether the rows
    of B are stored side by side as they are read, for the tiles that follow.
    """

    dtype: np.dtype[Any]
    rows: int
    vectors: int
    lanes: int
    a_row: int
    a_step: int
    b_step: int
    may_add: bool
    packs: bool

    @property
    def name(self) -> str:
        tile = f"{self.dtype.name}_{self.rows}x{self.vectors}x{self.lanes}"
        end = "_add" * self.may_add + "_pack" * self.packs
        return f"gemm_kernel_{tile}_a{self.a_row}_{self.a_step}_b{self.b_step}{end}".replace("-", "n")


def emit_kernel(module: ir.Module, kernel: Kernel) -> ir.Function:
    """Return the function `void kernel(a, b, c, k, c_row, add, packed)` of the module.

    It writes the whole tile to c, rows c_row elements apart, or adds it to what is there. A kernel that packs
    stores the rows of B to `packed`.
    """
    known = module.globals.get(kernel.name)
    if known is not None:
        return known
    element, lanes = element_type(kernel.dtype), kernel.lanes
    parameters = [pointer(), pointer(), pointer(), integer(), integer(), truth_type(), pointer()]
    function = internal(module, kernel.name, parameters)
    a, b, c, k, c_row, is_added, packed = function.args
    builder = starting(function)
    prefetch_tile(builder, kernel, element, c, c_row)
    start = [zero(element, lanes)] * (kernel.rows * kernel.vectors)
    with carried(builder, 0, k, (a, b, *start)) as (p, (a_now, b_now, *totals), state):
        row = [
            load(builder, element, at(builder, element, b_now, v * lanes), lanes)
            for v in range(kernel.vectors)
        ]
        if kernel.packs:
            for v, vector in enumerate(row):
                place = at(builder, element, packed, (p, kernel.vectors * lanes), v * lanes)
                store(builder, element, vector, place)
        sums: list[ir.Value] = []
        for i in range(kernel.rows):
            factor = load(builder, element, at(builder, element, a_now, i * kernel.a_row))
            factor = spread(builder, factor, lanes)
            own = totals[i * kernel.vectors : (i + 1) * kernel.vectors]
            sums += [multiply_add(builder, factor, v, total) for v, total in zip(row, own, strict=True)]
        a_next = at(builder, element, a_now, kernel.a_step)
        state.next = [a_next, at(builder, element, b_now, kernel.b_step), *sums]
    write_tile(builder, kernel, element, state.results[2:], c, c_row, is_added)
    builder.ret_void()
    return function


def prefetch_tile(
    builder: ir.IRBuilder, kernel: Kernel, element: ir.Type, c: ir.Value, c_row: ir.Value
) -> None:
    """Ask for the tile of C, so that it is there when the sums are."""
    per_line = max(1, 64 // kernel.dtype.itemsize)
    with loop(builder, 0, kernel.rows) as i:
        for column in range(0, kernel.vectors * kernel.lanes, per_line):
            prefetch(builder, at(builder, element, c, (i, c_row), column))


def write_tile(
    builder: ir.IRBuilder,
    kernel: Kernel,
    element: ir.Type,
    totals: Sequence[ir.Value],
    c: ir.Value,
    c_row: ir.Value,
    is_added: ir.Value,
) -> None:
    addresses = []
    row = c
    for i in range(kernel.rows):
        row = at(builder, element, row, c_row) if i else c
        addresses += [at(builder, element, row, v * kernel.lanes) for v in range(kernel.vectors)]
    if kernel.may_add:
        added, behind = builder.append_basic_block("added"), builder.append_basic_block("behind")
        before = builder.block
        builder.cbranch(is_added, added, behind)
        builder.position_at_end(added)
        sums = [
            sum_of(builder, load(builder, element, address, kernel.lanes), total)
            for total, address in zip(totals, addresses, strict=True)
        ]
        builder.branch(behind)
        builder.position_at_end(behind)
        totals = [
            joined(builder, (total, before), (both, added)) for total, both in zip(totals, sums, strict=True)
        ]
    for total, address in zip(totals, addresses, strict=True):
        store(builder, element, total, address)


def joined(builder: ir.IRBuilder, *cases: tuple[ir.Value, ir.Block]) -> ir.Value:
    """Return the value that belongs to the block that control came from."""
    phi = builder.phi(cases[0][0].type)
    for value, block in cases:
        phi.add_incoming(value, block)
    return phi
