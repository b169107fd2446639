"""Products with a vector: the matrix is read once, as fast as memory gives it, and nothing is packed for a kernel.

Both A @ x and x @ B are y[i] = sum over p of M[i, p] x[p]. Where M's elements of one i lie side by side, each y is a
dot product; where those of one p do, rows of M are added up, several at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
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
    load,
    load_padded,
    minimum,
    multiply,
    multiply_add,
    pointer,
    remainder,
    spread,
    starting,
    store,
    subtract,
    sum_of,
    sum_of_lanes,
    zero,
)
from retrograd.native.gemm.finish import Epilogue
from retrograd.native.gemm.loops import carried, loop, steps, when
from retrograd.native.gemm.product import Product, Target

if TYPE_CHECKING:
    from llvmlite import ir

CHUNK_BYTES = 128 << 10  # of the matrix: about 10 us from the second cache
MOST_CHUNKS = 16
DOTS = 4  # dot products at a time, each in two registers: as many sums as hide a multiply-add's latency
ADDED = 8  # rows added at a time: y is read and written once for so many


@dataclass(frozen=True)
class VectorPlan:
    """A product with a vector, cut into pieces.

    Attributes:
        size: elements of y.
        line, step: elements of M from one i to the next, and from one p to the next.
        x_step, y_step: elements from one to the next.
        is_row: whether y is a row of C.
        is_dot: whether y's elements are computed as dot products.
        lanes: elements of a vector.
        part: elements of y in one chunk.
        grain: chunks that one call of the threads' body takes.
    """

    spec: Product
    size: int
    line: int
    step: int
    x_step: int
    y_step: int
    is_row: bool
    is_dot: bool
    lanes: int
    part: int
    grain: int

    @property
    def parts(self) -> int:
        return -(-self.size // self.part)

    @property
    def chunks(self) -> int:
        return self.spec.items * self.parts

    @property
    def has_copy(self) -> bool:
        """Whether x is copied, so that its elements lie side by side."""
        return self.is_dot and self.x_step != 1 and self.lanes > 1

    @property
    def elements(self) -> int:
        """Elements of scratch: a copy of x for each call of the threads' body."""
        return -(-self.chunks // self.grain) * self.spec.k if self.has_copy else 0


def vector_plan(spec: Product, target: Target) -> VectorPlan | None:
    """Cut a product with a vector; None for other products, and for a matrix with no side that is contiguous."""
    if spec.n == 1:
        size, (line, step), x_step, y_step = spec.m, spec.a_strides, spec.b_strides[0], spec.c_row
    elif spec.m == 1:
        size, (step, line), x_step, y_step = spec.n, spec.b_strides, spec.a_strides[1], 1
    else:
        return None
    is_dot = step == 1
    if not is_dot and not (line == 1 and y_step == 1):
        return None
    lanes = max(1, target.vector_bytes // spec.dtype.itemsize)
    unit = DOTS if is_dot else 4 * lanes
    wanted = min(MOST_CHUNKS, max(1, spec.items * size * spec.k * spec.dtype.itemsize // CHUNK_BYTES))
    parts = max(1, min(-(-size // unit), -(-wanted // spec.items)))
    part = -(-size // (parts * unit)) * unit
    grain = max(1, spec.items * -(-size // part) // wanted)
    return VectorPlan(
        spec, size, line, step, x_step, y_step, spec.n != 1, is_dot, lanes, min(part, size), grain
    )


def emit_vector(
    module: ir.Module,
    plan: VectorPlan,
    function: ir.Function,
    epilogue: Epilogue | None,
    parallel: ir.Function | None,
) -> None:
    """Fill the function of a product with a vector."""
    builder = starting(function)
    body = Body(module, plan, function.name, epilogue).emit()
    block = builder.alloca(pointer(), size=i64(len(function.args)))
    for position, argument in enumerate(function.args):
        builder.store(argument, at(builder, pointer(), block, position))
    if parallel is None or plan.chunks <= plan.grain:
        builder.call(body, [block, i64(0), i64(plan.chunks)])
    else:
        builder.call(parallel, [body, block, i64(plan.chunks), i64(plan.grain)])
    builder.ret_void()


class Body:
    """The function that threads run: for each index, a part of y of one item of the batch."""

    def __init__(self, module: ir.Module, plan: VectorPlan, name: str, epilogue: Epilogue | None) -> None:
        self.plan, self.epilogue = plan, epilogue
        self.element = element_type(plan.spec.dtype)
        self.function = internal(module, f"{name}_chunks", [pointer(), integer(), integer()])
        self.builder = starting(self.function)

    def emit(self) -> ir.Function:
        plan, builder = self.plan, self.builder
        block, begin, end = self.function.args
        told = [builder.load(at(builder, pointer(), block, position), typ=pointer()) for position in range(5)]
        *operands, scratch, self.context = told
        copy = at(builder, self.element, scratch, (divide(builder, begin, plan.grain), plan.spec.k))
        with loop(builder, begin, end) as index:
            self.item = divide(builder, index, plan.parts) if plan.spec.items > 1 else 0
            part = remainder(builder, index, plan.parts)
            a, b, self.y = self.places(operands)
            self.matrix, self.x = (b, a) if plan.is_row else (a, b)
            first = multiply(builder, part, plan.part)
            last = minimum(builder, add(builder, first, plan.part), plan.size)
            if plan.has_copy:
                self.copy_x(copy)
            if plan.is_dot:
                self.dots(first, last)
            else:
                self.sums(first, last)
        builder.ret_void()
        return self.function

    def places(self, operands: list[ir.Value]) -> list[ir.Value]:
        """Return where A, B and C of the item start."""
        offsets: list[Number] = [0, 0, 0]
        inner = self.plan.spec.items
        for size, *strides in self.plan.spec.batch:
            inner //= size
            index = remainder(self.builder, divide(self.builder, self.item, inner), size)
            offsets = [
                add(self.builder, o, multiply(self.builder, index, s))
                for o, s in zip(offsets, strides, strict=True)
            ]
        return [
            at(self.builder, self.element, p, offset) for p, offset in zip(operands, offsets, strict=True)
        ]

    def copy_x(self, copy: ir.Value) -> None:
        builder = self.builder
        with loop(builder, 0, self.plan.spec.k) as p:
            value = load(builder, self.element, at(builder, self.element, self.x, (p, self.plan.x_step)))
            store(builder, self.element, value, at(builder, self.element, copy, p))
        self.x = copy

    def finished(self, value: ir.Value, index: Number) -> ir.Value:
        """Return what the epilogue makes of y[index] and its neighbours."""
        if self.epilogue is None:
            return value
        flat = add(
            self.builder,
            multiply(self.builder, self.item, self.plan.spec.m),
            0 if self.plan.is_row else index,
        )
        column = index if self.plan.is_row else 0
        return self.epilogue(self.builder, value, i64(flat), i64(column), self.context)

    def dots(self, first: Number, last: Number) -> None:
        """Compute y[first:last], a few elements at a time; of fewer than that the last is computed repeatedly."""
        plan, builder = self.plan, self.builder
        count = min(DOTS, plan.size)
        with steps(builder, first, last, count) as i:
            places = [minimum(builder, add(builder, i, j), subtract(builder, last, 1)) for j in range(count)]
            lines = [at(builder, self.element, self.matrix, (place, plan.line)) for place in places]
            values = self.dot_products(lines)
            goals = [at(builder, self.element, self.y, (place, plan.y_step)) for place in places]
            if plan.spec.accumulate:
                before = [load(builder, self.element, goal) for goal in goals]
                values = [sum_of(builder, old, value) for old, value in zip(before, values, strict=True)]
            for place, goal, value in zip(places, goals, values, strict=True):
                store(builder, self.element, self.finished(value, place), goal)

    def dot_products(self, lines: list[ir.Value]) -> list[ir.Value]:
        """Return the product of each line with x."""
        plan, builder, lanes = self.plan, self.builder, self.plan.lanes
        x_step = 1 if plan.has_copy else plan.x_step
        count, k = len(lines), plan.spec.k
        pairs = k // (2 * lanes) * (2 * lanes)

        def loaded(base: ir.Value, place: Any, width: int) -> ir.Value:
            return load_padded(builder, self.element, at(builder, self.element, base, place), width, lanes)

        def more(totals: list[ir.Value], p: Number, width: int) -> list[ir.Value]:
            x = loaded(self.x, (p, x_step), width)
            rows = [loaded(line, p, width) for line in lines]
            return [multiply_add(builder, row, x, total) for row, total in zip(rows, totals, strict=True)]

        with carried(builder, 0, pairs, [zero(self.element, lanes)] * (2 * count), 2 * lanes) as (
            p,
            totals,
            state,
        ):
            even = more(list(totals[:count]), p, lanes)
            state.next = even + more(list(totals[count:]), add(builder, p, lanes), lanes)
        results = list(state.results)
        even, odd = results[:count], results[count:]
        if k - pairs >= lanes:
            even = more(even, pairs, lanes)
        if k % lanes:
            odd = more(odd, k - k % lanes, k % lanes)
        return [sum_of_lanes(builder, sum_of(builder, x, y)) for x, y in zip(even, odd, strict=True)]

    def sums(self, first: Number, last: Number) -> None:
        """Add x[p] M[:, p] to y[first:last], for a few p in each pass over it."""
        plan, builder = self.plan, self.builder
        k, rest = plan.spec.k, plan.spec.k % ADDED
        starts_at = 0
        if not plan.spec.accumulate:
            starts_at = rest or min(ADDED, k)
            self.sum_pass(first, last, 0, starts_at, is_fresh=True)
        elif rest:
            starts_at = rest
            self.sum_pass(first, last, 0, rest, is_fresh=False)
        if starts_at < k:
            with steps(builder, starts_at, k, ADDED) as p:
                self.sum_pass(first, last, p, ADDED, is_fresh=False)
        if self.epilogue is not None:
            self.each(first, last, self.plan.lanes if plan.is_row else 1, self.finish_at)

    def sum_pass(self, first: Number, last: Number, p: Number, count: int, *, is_fresh: bool) -> None:
        plan, builder = self.plan, self.builder
        factors = [
            load(builder, self.element, at(builder, self.element, self.x, (add(builder, p, j), plan.x_step)))
            for j in range(count)
        ]
        rows = [at(builder, self.element, self.matrix, (add(builder, p, j), plan.step)) for j in range(count)]

        def piece(i: Number, width: int) -> None:
            goal = at(builder, self.element, self.y, i)
            total = zero(self.element, width) if is_fresh else load(builder, self.element, goal, width)
            for factor, row in zip(factors, rows, strict=True):
                values = load(builder, self.element, at(builder, self.element, row, i), width)
                total = multiply_add(builder, spread(builder, factor, width), values, total)
            store(builder, self.element, total, goal)

        self.each(first, last, plan.lanes, piece)

    def finish_at(self, i: Number, width: int) -> None:
        goal = at(self.builder, self.element, self.y, i)
        value = load(self.builder, self.element, goal, width)
        store(self.builder, self.element, self.finished(value, i), goal)

    def each(self, first: Number, last: Number, width: int, piece: Any) -> None:
        """Emit `piece` for every full vector of y[first:last], and once for what remains of y."""
        builder, size = self.builder, self.plan.size
        tail = size % width
        whole = minimum(builder, last, size - tail)
        with loop(builder, first, whole, width) as i:
            piece(i, width)
        if tail:
            with when(builder, builder.icmp_signed("==", i64(last), i64(size))):
                piece(size - tail, tail)
