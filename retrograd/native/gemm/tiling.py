"""How a product is cut: the tile in registers, the blocks in caches, the chunks that threads take.

All of it follows from the product's shape and the machine's registers and caches, none of it from the number of
threads: the same sums are added in the same order whatever runs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from retrograd.native.gemm.kernel import Kernel
from retrograd.native.gemm.packing import Packing
from retrograd.native.gemm.product import Product, Target

CHUNK_OPERATIONS = 1_500_000  # about 10 us of one core: a thread's claim of a chunk must not be felt
MOST_CHUNKS = 16  # of a product that fits the caches: enough to even out threads that come late
MOST_SLOTS = 64  # pieces of scratch for what tasks pack on their own


class Place(Enum):
    """Where the micro-kernel reads an operand."""

    DIRECT = "where it lies"
    TASK = "packed by the task that needs it"
    AHEAD = "packed before the tasks start, since several need it"


@dataclass(frozen=True)
class Plan:
    """A product cut into pieces.

    Attributes:
        rows, vectors, lanes: of the tile that stays in registers.
        a, b: where the operands are read.
        depth: k's of one block, whose panel of B stays in the first cache.
        packed_depth: k's that are packed ahead at a time.
        chunk_rows, chunk_columns: panels of A and of B in one chunk.
        is_by_item: whether a chunk is a whole matrix of the batch.
        grain: chunks that one call of the threads' body takes.
    """

    spec: Product
    rows: int
    vectors: int
    lanes: int
    a: Place
    b: Place
    depth: int
    packed_depth: int
    chunk_rows: int
    chunk_columns: int
    is_by_item: bool
    grain: int

    @property
    def columns(self) -> int:
        """Columns of the tile."""
        return self.vectors * self.lanes

    @property
    def row_panels(self) -> int:
        return -(-self.spec.m // self.rows)

    @property
    def column_panels(self) -> int:
        return -(-self.spec.n // self.columns)

    @property
    def grid(self) -> tuple[int, int]:
        """Chunks along the rows and the columns of one matrix."""
        return -(-self.row_panels // self.chunk_rows), -(-self.column_panels // self.chunk_columns)

    @property
    def chunks(self) -> int:
        """Chunks of one call of the threads."""
        return self.spec.items if self.is_by_item else self.grid[0] * self.grid[1]

    @property
    def slots(self) -> int:
        return -(-self.chunks // self.grain)

    @property
    def a_packing(self) -> Packing:
        row, column = self.spec.a_strides
        return Packing(self.spec.dtype, self.rows, row, column, min(self.rows, self.spec.m), self.lanes)

    @property
    def b_packing(self) -> Packing:
        row, column = self.spec.b_strides
        return Packing(self.spec.dtype, self.columns, column, row, min(self.columns, self.spec.n), self.lanes)

    @property
    def kernel(self) -> Kernel:
        a_row, a_step = self.spec.a_strides if self.a is Place.DIRECT else (1, self.rows)
        b_step = self.spec.b_strides[0] if self.b is Place.DIRECT else self.columns
        may_add = self.spec.accumulate or self.depth < self.spec.k
        return Kernel(self.spec.dtype, self.rows, self.vectors, self.lanes, a_row, a_step, b_step, may_add)

    @property
    def a_elements(self) -> int:
        """Elements of scratch for A."""
        sizes = {
            Place.DIRECT: 0,
            Place.TASK: self.slots * self.chunk_rows * self.a_packing.size(self.depth),
            Place.AHEAD: self.row_panels * self.a_packing.size(self.packed_depth),
        }
        return sizes[self.a]

    @property
    def b_elements(self) -> int:
        """Elements of scratch for B."""
        sizes = {
            Place.DIRECT: 0,
            Place.TASK: self.slots * self.b_packing.size(self.depth),
            Place.AHEAD: self.column_panels * self.b_packing.size(self.packed_depth),
        }
        return sizes[self.b]


PACKED_BYTES = 32 << 20  # what is packed ahead at a time, unless one block of k is more


def plan(spec: Product, target: Target) -> Plan:
    """Cut a product that has elements."""
    size = spec.dtype.itemsize
    lanes = max(1, target.vector_bytes // size)
    rows, vectors = tile(spec, lanes, target.vector_registers)
    columns = vectors * lanes
    row_panels, column_panels = -(-spec.m // rows), -(-spec.n // columns)

    deepest = max(64, int(0.7 * target.l1) // (columns * size))
    blocks = max(1, -(-spec.k // deepest))
    depth = -(-spec.k // (blocks * lanes)) * lanes if blocks > 1 else spec.k

    wanted = min(MOST_CHUNKS, max(1, spec.operations // CHUNK_OPERATIONS))
    is_by_item = spec.items > 1 and (spec.items >= wanted or wanted == 1)
    if is_by_item:
        down = across = 1
        grain = max(1, -(-spec.items // wanted))
    else:
        wanted = min(MOST_CHUNKS, max(1, spec.operations // spec.items // CHUNK_OPERATIONS))
        # A task goes through its rows of A once for each of its panels of B: they should stay in the second cache.
        down = max(1, -(-2 * spec.m * depth * size // target.l2))
        across = max(1, min(column_panels, -(-wanted // down)))
        down = min(row_panels, max(down, -(-wanted // across)))
        grain = -(-down * across // MOST_SLOTS)
    chunk_rows, chunk_columns = -(-row_panels // down), -(-column_panels // across)

    a, b = a_place(spec, columns, across), b_place(spec, columns, row_panels, down, target)
    packed = (b is Place.AHEAD) * spec.n + (a is Place.AHEAD) * spec.m
    most = max(1, PACKED_BYTES // max(1, depth * size * packed))
    packed_depth = min(spec.k, depth * most)
    return Plan(
        spec, rows, vectors, lanes, a, b, depth, packed_depth, chunk_rows, chunk_columns, is_by_item, grain
    )


def tile(spec: Product, lanes: int, registers: int) -> tuple[int, int]:
    """Return the rows and vectors of the tile that computes C in the fewest cycles.

    One k of a tile takes a cycle for two multiply-adds or two loads, and at least 4, the time until a sum may be
    added to again. Two registers besides the sums and the row of B hold the elements of A.
    """
    best: tuple[float, int, int] | None = None
    for vectors in (2, 1, 3, 4):
        most = (registers - vectors - 1) // vectors
        most = min(most, 28)
        panels = -(-spec.m // most)
        rows = -(-spec.m // panels)
        cycles = max(rows * vectors / 2, (rows + vectors) / 2, 4.0)
        total = cycles * panels * -(-spec.n // (vectors * lanes))
        if best is None or total < 0.98 * best[0]:
            best = total, rows, vectors
    assert best is not None
    return best[1:]


def a_place(spec: Product, columns: int, across: int) -> Place:
    """Say where A is read: the kernel can take its elements from anywhere, but caches cannot hold any pattern."""
    row, column = spec.a_strides
    has_reuse = spec.n > 2 * columns
    if not has_reuse or (column == 1 and row * spec.dtype.itemsize % 2048):
        return Place.DIRECT
    return Place.TASK if across == 1 else Place.AHEAD


def b_place(spec: Product, columns: int, row_panels: int, down: int, target: Target) -> Place:
    """Say where B is read: in place only if its rows hold whole tiles."""
    is_small = spec.k * spec.n * spec.dtype.itemsize <= target.l1 // 2
    if spec.b_strides[1] == 1 and spec.n >= columns and (row_panels <= 3 or is_small):
        return Place.DIRECT
    return Place.TASK if down == 1 else Place.AHEAD
