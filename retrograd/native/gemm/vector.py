"""Products with a vector, or a few: the matrix is read once, as fast as memory gives it, and never packed.

Both A @ x and x @ B are y[i] = sum over p of M[i, p] x[p]. Where M's elements of one i lie side by side, each
y is a dot product (dots.py), and a few vectors can be met at once; where those of one p do, rows of M are
added up, several at a time (sums.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrograd.native.gemm.dots import LINES, emit_dots
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
    minimum,
    multiply,
    pointer,
    remainder,
    starting,
    store,
)
from retrograd.native.gemm.finish import Epilogue
from retrograd.native.gemm.loops import loop
from retrograd.native.gemm.product import Product, Target
from retrograd.native.gemm.sums import emit_sums

if TYPE_CHECKING:
    from llvmlite import ir

CHUNK_BYTES = 128 << 10  # of the matrix: about 10 us from the second cache
MOST_CHUNKS = 16
FEW_ELEMENTS = 4096  # of a matrix: with fewer, the packed product of a few vectors is as fast
ROW_BYTES = 2048  # of a row that is added: shorter pieces of rows are read slowly
MOST_VECTORS = 4  # that dot products meet at once: their sums fill the registers


@dataclass(frozen=True)
class VectorPlan:
    """A product with a vector or a few, cut into pieces.

    Attributes:
        size: elements of y.
        line, step: elements of M from one i to the next, and from one p to the next.
        x_step, y_step: elements from one to the next.
        vectors, x_gap, y_gap: how many x and y there are, and elements from one to the next.
        is_row: whether y is a row of C.
        is_dot: whether y's elements are computed as dot products.
        lanes: elements of a vector register.
        part: elements of y in one chunk.
        grain: chunks that one call of the threads' body takes.
    """

    spec: Product
    size: int
    line: int
    step: int
    x_step: int
    y_step: int
    vectors: int
    x_gap: int
    y_gap: int
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
        """Elements of scratch: a copy of each x for each call of the threads' body."""
        return -(-self.chunks // self.grain) * self.vectors * self.spec.k if self.has_copy else 0


def vector_plan(spec: Product, target: Target) -> VectorPlan | None:
    """Cut a product with a vector or a few; None for others, and for a matrix whose lines are scattered."""
    is_row = spec.m < spec.n
    vectors = min(spec.m, spec.n)
    if is_row:
        size, (step, line), (x_gap, x_step) = spec.n, spec.b_strides, spec.a_strides
        y_step, y_gap = 1, spec.c_row
    else:
        size, (line, step), (x_step, x_gap) = spec.m, spec.a_strides, spec.b_strides
        y_step, y_gap = spec.c_row, 1
    is_dot = step == 1
    if vectors > (MOST_VECTORS if is_dot else 1) or not (is_dot or line == y_step == 1):
        return None
    if vectors > 1 and size * spec.k < FEW_ELEMENTS:
        return None
    lanes = max(1, target.vector_bytes // spec.dtype.itemsize)
    unit = LINES if is_dot else max(4 * lanes, ROW_BYTES // spec.dtype.itemsize)
    wanted = min(MOST_CHUNKS, max(1, spec.items * size * spec.k * spec.dtype.itemsize // CHUNK_BYTES))
    parts = max(1, min(-(-size // unit), -(-wanted // spec.items)))
    part = -(-size // (parts * unit)) * unit
    grain = max(1, spec.items * -(-size // part) // wanted)
    steps = line, step, x_step, y_step
    return VectorPlan(
        spec, size, *steps, vectors, x_gap, y_gap, is_row, is_dot, lanes, min(part, size), grain
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
        """Emit the loop over the chunks."""
        plan, builder = self.plan, self.builder
        block, begin, end = self.function.args
        told = [builder.load(at(builder, pointer(), block, position), typ=pointer()) for position in range(5)]
        *operands, scratch, self.context = told
        slot = divide(builder, begin, plan.grain)
        copy = at(builder, self.element, scratch, (slot, plan.vectors * plan.spec.k))
        with loop(builder, begin, end) as index:
            self.item = divide(builder, index, plan.parts) if plan.spec.items > 1 else 0
            part = remainder(builder, index, plan.parts)
            a, b, self.y = self.places(operands)
            self.matrix, self.x = (b, a) if plan.is_row else (a, b)
            first = multiply(builder, part, plan.part)
            last = minimum(builder, add(builder, first, plan.part), plan.size)
            if plan.has_copy:
                self.copy_x(copy)
            emit_part = emit_dots if plan.is_dot else emit_sums
            emit_part(self, first, last)
        builder.ret_void()
        return self.function

    def places(self, operands: list[ir.Value]) -> list[ir.Value]:
        """Return where A, B and C of the item start."""
        builder = self.builder
        offsets: list[Number] = [0, 0, 0]
        inner = self.plan.spec.items
        for size, *strides in self.plan.spec.batch:
            inner //= size
            index = remainder(builder, divide(builder, self.item, inner), size)
            offsets = [
                add(builder, o, multiply(builder, index, s)) for o, s in zip(offsets, strides, strict=True)
            ]
        return [at(builder, self.element, p, offset) for p, offset in zip(operands, offsets, strict=True)]

    def copy_x(self, copy: ir.Value) -> None:
        builder, plan = self.builder, self.plan
        for j in range(plan.vectors):
            x = at(builder, self.element, self.x, j * plan.x_gap)
            goal = at(builder, self.element, copy, j * plan.spec.k)
            with loop(builder, 0, plan.spec.k) as p:
                value = load(builder, self.element, at(builder, self.element, x, (p, plan.x_step)))
                store(builder, self.element, value, at(builder, self.element, goal, p))
        self.x = copy

    def goal(self, i: Number, vector: int = 0) -> ir.Value:
        """Return where y[i] of a vector lies."""
        offsets = [(i, self.plan.y_step), vector * self.plan.y_gap]
        return at(self.builder, self.element, self.y, *offsets)

    def finished(self, value: ir.Value, i: Number, vector: int = 0) -> ir.Value:
        """Return what the epilogue makes of y[i] of a vector, or of that and its neighbours."""
        if self.epilogue is None:
            return value
        row, column = (vector, i) if self.plan.is_row else (i, vector)
        flat = add(self.builder, multiply(self.builder, self.item, self.plan.spec.m), row)
        return self.epilogue(self.builder, value, i64(flat), i64(column), self.context)
