"""One task of a product: a chunk of C, block of k after block of k, tile after tile."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from retrograd.native.gemm.emitting import (
    Number,
    add,
    at,
    i64,
    minimum,
    multiply,
    subtract,
    truth,
)
from retrograd.native.gemm.finish import Finish, emit_finish
from retrograd.native.gemm.kernel import emit_kernel
from retrograd.native.gemm.loops import steps, when
from retrograd.native.gemm.tiling import Place

if TYPE_CHECKING:
    from llvmlite import ir

    from retrograd.native.gemm.blocking import Bodies


class Task:
    """One chunk of C: its tiles, block of k after block of k."""

    def __init__(
        self,
        bodies: Bodies,
        builder: ir.IRBuilder,
        told: dict[str, Any],
        item: Number,
        slot: Number,
        rest: ir.Value,
    ) -> None:
        self.bodies, self.plan, self.builder, self.told = bodies, bodies.plan, builder, told
        self.element, self.item, self.slot, self.rest = bodies.element, item, slot, rest
        self.a, self.b, self.c = bodies.matrices(builder, told, item)

    def emit(self, row: Number, column: Number) -> None:
        """Emit the loops over the chunk that lies in this row and column of the grid."""
        plan, spec, builder = self.plan, self.plan.spec, self.builder
        rows = self.panels(row, plan.chunk_rows, plan.row_panels)
        columns = self.panels(column, plan.chunk_columns, plan.column_panels)
        start = self.told["start"]
        end = minimum(builder, spec.k, add(builder, start, plan.packed_depth))
        with steps(builder, start, end, plan.depth) as k:
            depth = minimum(builder, plan.depth, subtract(builder, end, k))
            if plan.b is Place.TASK and plan.packing_kernel is None:
                with steps(builder, *columns, 1) as panel:
                    self.bodies.pack_b(builder, self.b, self.own_b(columns[0], panel), panel, k, depth)
            with steps(builder, *rows, 1) as down:
                a = self.a_panel(down, k, depth)
                is_first = builder.icmp_signed("==", i64(down), i64(rows[0]))
                with steps(builder, *columns, 1) as across:
                    kernel = self.kernel_call(is_first, columns[0], across, k, depth)
                    self.tile(kernel, a, down, across, k, depth)

    def kernel_call(
        self, is_first: ir.Value, first: Number, across: Number, k: Number, depth: Number
    ) -> Callable[..., None]:
        """Return what emits the call of the kernel: the first tiles that meet B may have to pack it."""
        plan, builder = self.plan, self.builder
        kernel, b = emit_kernel(self.bodies.module, plan.kernel), self.b_panel(first, across, k)
        packed = b
        if plan.packing_kernel is not None:
            there = at(
                builder,
                self.element,
                self.b,
                (self.bodies.first_column(builder, across), plan.spec.b_strides[1]),
                (k, plan.spec.b_strides[0]),
            )
            b = builder.select(is_first, there, b)
            kernel = builder.select(is_first, emit_kernel(self.bodies.module, plan.packing_kernel), kernel)

        def call(a: ir.Value, c: ir.Value, c_row: int, is_added: ir.Value) -> None:
            builder.call(kernel, [a, b, c, i64(depth), i64(c_row), is_added, packed])

        return call

    def panels(self, index: Number, per_chunk: int, count: int) -> tuple[Number, Number]:
        begin = multiply(self.builder, index, per_chunk)
        return begin, minimum(self.builder, add(self.builder, begin, per_chunk), count)

    def own_b(self, first: Number, panel: Number) -> ir.Value:
        """Return where this task packs one of its panels of B."""
        builder, size = self.builder, self.plan.b_packing.size(self.plan.depth)
        inside = subtract(builder, panel, first)
        place = add(builder, multiply(builder, self.slot, self.plan.chunk_columns), inside)
        return at(builder, self.element, self.told["packed_b"], (place, size))

    def a_panel(self, panel: Number, k: Number, depth: Number) -> ir.Value:
        """Return where the kernel reads a panel of A from one k on; pack it if that is this task's to do."""
        plan, builder = self.plan, self.builder
        if plan.a is Place.TASK:
            size = plan.a_packing.size(plan.depth)
            target = at(builder, self.element, self.told["packed_a"], (self.slot, size))
            self.bodies.pack_a(builder, self.a, target, panel, k, depth)
            return target
        if plan.a is Place.DIRECT:
            row, column = plan.spec.a_strides
            return at(
                builder, self.element, self.a, (self.bodies.first_row(builder, panel), row), (k, column)
            )
        size = plan.a_packing.size(plan.packed_depth)
        inside = subtract(builder, k, self.told["start"])
        return at(builder, self.element, self.told["packed_a"], (panel, size), (inside, plan.rows))

    def b_panel(self, first: Number, panel: Number, k: Number) -> ir.Value:
        """Return where the kernel reads a panel of B, from one k on."""
        plan, builder = self.plan, self.builder
        if plan.b is Place.TASK:
            return self.own_b(first, panel)
        if plan.b is Place.DIRECT:
            row, _ = plan.spec.b_strides
            return at(builder, self.element, self.b, self.bodies.first_column(builder, panel), (k, row))
        size = plan.b_packing.size(plan.packed_depth)
        inside = subtract(builder, k, self.told["start"])
        return at(builder, self.element, self.told["packed_b"], (panel, size), (inside, plan.columns))

    def tile(
        self, kernel: Callable[..., None], a: ir.Value, down: Number, across: Number, k: Number, depth: Number
    ) -> None:
        """Emit one tile of C.

        A tile at an edge goes through a full one aside: of that only what no other tile has is taken.
        """
        plan, spec, builder = self.plan, self.plan.spec, self.builder
        row, column = self.bodies.first_row(builder, down), self.bodies.first_column(builder, across)
        is_added: Any = truth(spec.accumulate)
        is_last: Any = truth(True)
        if not isinstance(k, int):
            is_last = builder.icmp_signed("==", add(builder, k, depth), i64(spec.k))
            if not spec.accumulate:
                is_added = builder.icmp_signed(">", k, i64(0))

        def finish(tile: ir.Value, skipped_rows: Number, skipped_columns: Number, *, is_aside: bool) -> None:
            here, there = add(builder, row, skipped_rows), add(builder, column, skipped_columns)
            c = at(builder, self.element, self.c, (here, spec.c_row), there)
            height = subtract(builder, plan.rows, skipped_rows)
            width = subtract(builder, min(plan.columns, spec.n), skipped_columns)
            flat_row = add(builder, multiply(builder, self.item, spec.m), here)
            numbers = [i64(height), i64(width), is_added, is_last, i64(flat_row), i64(there)]
            builder.call(self.finish(is_aside=is_aside), [tile, c, *numbers, self.told["context"]])

        def whole() -> None:
            c = at(builder, self.element, self.c, (row, spec.c_row), column)
            kernel(a, c, spec.c_row, is_added)
            if self.bodies.epilogue is not None:
                with when(builder, is_last):
                    finish(c, 0, 0, is_aside=False)

        def cut() -> None:
            kernel(a, self.rest, plan.columns, truth(False))
            above = subtract(builder, multiply(builder, down, plan.rows), row)
            left = subtract(builder, multiply(builder, across, plan.columns), column)
            tile = at(builder, self.element, self.rest, (above, plan.columns), left)
            finish(tile, above, left, is_aside=True)

        rows_cut, columns_cut = spec.m % plan.rows != 0, spec.n % plan.columns != 0
        if not (rows_cut or columns_cut):
            whole()
        elif spec.n < plan.columns:
            cut()
        else:
            is_cut: Any = truth(False)
            if rows_cut:
                is_cut = builder.icmp_signed("==", i64(down), i64(plan.row_panels - 1))
            if columns_cut:
                is_right = builder.icmp_signed("==", i64(across), i64(plan.column_panels - 1))
                is_cut = builder.or_(is_cut, is_right)
            with builder.if_else(is_cut) as (part, full):
                with part:
                    cut()
                with full:
                    whole()

    def finish(self, *, is_aside: bool) -> ir.Function:
        plan = self.plan
        may_add = is_aside and plan.kernel.may_add
        edge = plan.spec.n % plan.columns if is_aside else 0
        finish = Finish(plan.spec.dtype, plan.columns, plan.lanes, edge, plan.spec.c_row, is_aside, may_add)
        return emit_finish(self.bodies.module, f"{self.bodies.name}_finish", finish, self.bodies.epilogue)
