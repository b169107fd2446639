"""What happens to a tile after the micro-kernel: it is cut to size, added to C and given to the epilogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from retrograd.native.gemm.emitting import (
    add,
    at,
    element_type,
    i64,
    integer,
    internal,
    load,
    pointer,
    starting,
    store,
    sum_of,
    truth_type,
)
from retrograd.native.gemm.loops import loop

if TYPE_CHECKING:
    from llvmlite import ir

# (builder, value, row, column, context) -> value. `value` is a scalar or a vector of as many neighbouring
# columns as it has lanes, all of them columns of C; the row is counted through the whole batch; `column` is
# the first lane's.
Epilogue = Callable[["ir.IRBuilder", "ir.Value", "ir.Value", "ir.Value", "ir.Value"], "ir.Value"]


@dataclass(frozen=True)
class Finish:
    """How tiles of one product are finished.

    `edge`: columns of the last tile, 0 if it is whole. `is_aside`: the tile is not in C yet. `may_add`: C may
    have something that the tile is to be added to.
    """

    dtype: np.dtype[Any]
    columns: int
    lanes: int
    edge: int
    c_row: int
    is_aside: bool
    may_add: bool

    def pieces(self, columns: int) -> list[tuple[int, int]]:
        """Cut a row into vectors: where each begins and how wide it is."""
        return [(at, min(self.lanes, columns - at)) for at in range(0, columns, self.lanes)]


def emit_finish(module: ir.Module, name: str, finish: Finish, epilogue: Epilogue | None) -> ir.Function:
    """Return the function `void finish(tile, c, rows, columns, is_added, is_last, row, column, context)`."""
    name += "_aside" if finish.is_aside else "_there"
    known = module.globals.get(name)
    if known is not None:
        return known
    flag = truth_type()
    parameters = [pointer(), pointer(), integer(), integer(), flag, flag, integer(), integer(), pointer()]
    function = internal(module, name, parameters)
    builder = starting(function)
    columns, is_last = function.args[3], function.args[5]

    def rows_of(width: int) -> None:
        if epilogue is None or not finish.is_aside:
            emit_rows(builder, finish, function, width, epilogue)
            return
        with builder.if_else(is_last) as (last, early):
            with last:
                emit_rows(builder, finish, function, width, epilogue)
            with early:
                emit_rows(builder, finish, function, width, None)

    if finish.edge:
        with builder.if_else(builder.icmp_signed("==", columns, i64(finish.columns))) as (full, part):
            with full:
                rows_of(finish.columns)
            with part:
                rows_of(finish.edge)
    else:
        rows_of(finish.columns)
    builder.ret_void()
    return function


def emit_rows(
    builder: ir.IRBuilder, finish: Finish, function: ir.Function, width: int, epilogue: Epilogue | None
) -> None:
    tile, c, rows, _, is_added, _, row, column, context = function.args
    element = element_type(finish.dtype)
    tile_row = finish.columns if finish.is_aside else finish.c_row
    with loop(builder, 0, rows) as i:
        for offset, lanes in finish.pieces(width):
            goal = at(builder, element, c, (i, finish.c_row), offset)
            value = load(builder, element, at(builder, element, tile, (i, tile_row), offset), lanes)
            if finish.may_add:
                before = load(builder, element, goal, lanes)
                value = builder.select(is_added, sum_of(builder, before, value), value)
            if epilogue is not None:
                value = epilogue(builder, value, add(builder, row, i), add(builder, column, offset), context)
            store(builder, element, value, goal)
