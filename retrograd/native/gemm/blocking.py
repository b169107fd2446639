"""The loops around the micro-kernel: blocks of k, panels of both operands, chunks that threads take.

A product is at most two parallel regions: what several tasks need is packed; then each task takes a chunk of C.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from retrograd.native.gemm.emitting import (
    Number,
    add,
    at,
    divide,
    element_type,
    i64,
    integer,
    internal,
    maximum,
    minimum,
    multiply,
    pointer,
    remainder,
    starting,
    subtract,
    truth,
)
from retrograd.native.gemm.finish import Epilogue, Finish, emit_finish
from retrograd.native.gemm.kernel import emit_kernel
from retrograd.native.gemm.loops import loop, steps, when
from retrograd.native.gemm.packing import Packing, emit_packing
from retrograd.native.gemm.tiling import Place, Plan

if TYPE_CHECKING:
    from llvmlite import ir

PAGES = 32  # k's that are packed of one panel after the other
FIELDS = ("a", "b", "c", "scratch", "context", "item", "start")  # what the threads' bodies are told


def emit_blocks(
    module: ir.Module,
    plan: Plan,
    function: ir.Function,
    epilogue: Epilogue | None,
    parallel: ir.Function | None,
) -> None:
    """Fill the function of a product: it tells the bodies their arguments and has them run."""
    builder = starting(function)
    bodies = Bodies(module, plan, function.name, epilogue)
    block = builder.alloca(pointer(), size=i64(len(FIELDS)))
    for position, argument in enumerate(function.args):
        builder.store(argument, at(builder, pointer(), block, position))

    def run(body: ir.Function, count: int, grain: int) -> None:
        if parallel is None or count <= grain:
            builder.call(body, [block, i64(0), i64(count)])
        else:
            builder.call(parallel, [body, block, i64(count), i64(grain)])

    items = 1 if plan.is_by_item else plan.spec.items
    with steps(builder, 0, items, 1) as item:
        builder.store(i64(item), at(builder, pointer(), block, FIELDS.index("item")))
        with steps(builder, 0, plan.spec.k, plan.packed_depth) as start:
            builder.store(i64(start), at(builder, pointer(), block, FIELDS.index("start")))
            if Place.AHEAD in {plan.a, plan.b}:
                run(bodies.packing(), plan.packed_panels, plan.packing_grain)
            run(bodies.chunks(), plan.chunks, plan.grain)
    builder.ret_void()


class Bodies:
    """The functions that threads run for one product."""

    def __init__(self, module: ir.Module, plan: Plan, name: str, epilogue: Epilogue | None) -> None:
        self.module, self.plan, self.name, self.epilogue = module, plan, name, epilogue
        self.element = element_type(plan.spec.dtype)

    @contextmanager
    def body(self, suffix: str) -> Iterator[tuple[ir.Function, ir.IRBuilder, dict[str, Any]]]:
        """Start a body: what it was told, by name, with scratch divided into A's and B's."""
        function = internal(
            self.module, f"{self.name}_{suffix}", [pointer(), integer(), integer()], is_plain=True
        )
        builder = starting(function)
        told: dict[str, Any] = {}
        for position, field in enumerate(FIELDS):
            kind = integer() if field in {"item", "start"} else pointer()
            told[field] = builder.load(at(builder, pointer(), function.args[0], position), typ=kind)
        if self.plan.is_by_item or self.plan.spec.items == 1:
            told["item"] = 0
        if self.plan.packed_depth >= self.plan.spec.k:
            told["start"] = 0
        told["packed_a"] = told["scratch"]
        told["packed_b"] = at(builder, self.element, told["scratch"], self.plan.a_elements)
        yield function, builder, told
        builder.ret_void()

    def packing(self) -> ir.Function:
        """Emit the body that packs, for each index, one panel of A or of B."""
        plan, spec = self.plan, self.plan.spec
        with self.body("pack") as (function, builder, told):
            _, begin, end = function.args
            a, b, _ = self.matrices(builder, told, told["item"])
            depth = minimum(builder, plan.packed_depth, subtract(builder, spec.k, told["start"]))
            panels = plan.row_panels if plan.a is Place.AHEAD else 0
            if plan.a is Place.AHEAD:
                size = plan.a_packing.size(plan.packed_depth)
                with self.groups(builder, plan.a_packing, begin, minimum(builder, end, panels), depth) as (
                    panel,
                    k,
                    some,
                ):
                    target = at(builder, self.element, told["packed_a"], (panel, size), (k, plan.rows))
                    self.pack_a(builder, a, target, panel, add(builder, told["start"], k), some)
            if plan.b is Place.AHEAD:
                size = plan.b_packing.size(plan.packed_depth)
                first = subtract(builder, maximum(builder, begin, panels), panels)
                last = subtract(builder, end, panels)
                with self.groups(builder, plan.b_packing, first, last, depth) as (panel, k, some):
                    target = at(builder, self.element, told["packed_b"], (panel, size), (k, plan.columns))
                    self.pack_b(builder, b, target, panel, add(builder, told["start"], k), some)
        return function

    @contextmanager
    def groups(
        self, builder: ir.IRBuilder, packing: Packing, begin: Number, end: Number, depth: Number
    ) -> Iterator[tuple[Number, Number, Number]]:
        """Emit a loop over panels and, around it, one over k's if the panels' elements of a k lie side by side.

        They lie in one page then, often in one line of the cache, and the next k's in another page.
        """
        step = PAGES if packing.line == 1 else self.plan.packed_depth
        with steps(builder, 0, depth, step) as k, loop(builder, begin, end) as panel:
            yield panel, k, minimum(builder, step, subtract(builder, depth, k))

    def chunks(self) -> ir.Function:
        """Emit the body that computes, for each index, one chunk of C."""
        plan = self.plan
        down, across = plan.grid
        with self.body("chunks") as (function, builder, told):
            _, begin, end = function.args
            rest = builder.alloca(self.element, size=i64(plan.rows * plan.columns))
            rest.align = 64
            slot = divide(builder, begin, plan.grain) if plan.slots > 1 else 0
            with loop(builder, begin, end) as chunk:
                item = chunk if plan.is_by_item else told["item"]
                row = 0 if plan.is_by_item else divide(builder, chunk, across) if down > 1 else 0
                column = 0 if plan.is_by_item or across == 1 else remainder(builder, chunk, across)
                Task(self, builder, told, item, slot, rest).emit(row, column)
        return function

    def matrices(
        self, builder: ir.IRBuilder, told: dict[str, Any], item: Number
    ) -> tuple[ir.Value, ir.Value, ir.Value]:
        """Return where A, B and C of one matrix of the batch start."""
        offsets: list[Number] = [0, 0, 0]
        inner = self.plan.spec.items
        for size, *strides in self.plan.spec.batch:
            inner //= size
            index = remainder(builder, divide(builder, item, inner), size)
            offsets = [
                add(builder, o, multiply(builder, index, s)) for o, s in zip(offsets, strides, strict=True)
            ]
        a, b, c = (
            at(builder, self.element, told[name], offset) for name, offset in zip("abc", offsets, strict=True)
        )
        return a, b, c

    def first_row(self, builder: ir.IRBuilder, panel: Number) -> Number:
        """Return the row that a panel of A starts with; the last panel overlaps the one before."""
        return minimum(builder, multiply(builder, panel, self.plan.rows), self.plan.spec.m - self.plan.rows)

    def first_column(self, builder: ir.IRBuilder, panel: Number) -> Number:
        """Return the column that a panel of B starts with; the last panel overlaps the one before."""
        last = max(0, self.plan.spec.n - self.plan.columns)
        return minimum(builder, multiply(builder, panel, self.plan.columns), last)

    def pack_a(
        self,
        builder: ir.IRBuilder,
        a: ir.Value,
        target: ir.Value,
        panel: Number,
        start: Number,
        depth: Number,
    ) -> None:
        row, column = self.plan.spec.a_strides
        source = at(builder, self.element, a, (self.first_row(builder, panel), row), (start, column))
        builder.call(emit_packing(self.module, self.plan.a_packing), [source, target, i64(depth)])

    def pack_b(
        self,
        builder: ir.IRBuilder,
        b: ir.Value,
        target: ir.Value,
        panel: Number,
        start: Number,
        depth: Number,
    ) -> None:
        row, column = self.plan.spec.b_strides
        source = at(builder, self.element, b, (start, row), (self.first_column(builder, panel), column))
        builder.call(emit_packing(self.module, self.plan.b_packing), [source, target, i64(depth)])


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
        """Return what emits the call of the kernel that these tiles need: those that meet B first may pack it."""
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
        """Return where the kernel reads a panel of A, from one k on, packing it if that is this task's to do."""
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
