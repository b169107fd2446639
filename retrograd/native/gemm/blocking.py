"""The loops around the micro-kernel: blocks of k, panels of both operands, chunks that threads take.

A product is at most two parallel regions: what several tasks need is packed; then tasks take chunks of C.
"""

from __future__ import annotations

from collections.abc import Iterator
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
)
from retrograd.native.gemm.finish import Epilogue
from retrograd.native.gemm.loops import loop, steps
from retrograd.native.gemm.packing import Packing, emit_packing
from retrograd.native.gemm.task import Task
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
        """Emit a loop over panels, and around it one over k's if the elements of a k lie side by side.

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
