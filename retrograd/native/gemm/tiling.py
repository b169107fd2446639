"""How a product is cut: the tile in registers, the blocks in caches, the chunks that threads take.

All of it follows from the product's shape and the machine's registers and caches, none of it from the number
of threads: the same sums are added in the same order whatever runs them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from retrograd.native.gemm.kernel import Kernel
from retrograd.native.gemm.packing import Packing
from retrograd.native.gemm.product import Product, Target

CHUNK_OPERATIONS = 1_500_000  # about 10 us of one core: a thread's claim of a chunk must not be felt
MOST_CHUNKS = 16  # of a product that fits the caches: enough to even out threads that come late
MOST_SLOTS = 32  # pieces of scratch for what tasks pack on their own
MOST_ROWS = 28  # of a tile
LOAD_COST = 0.1  # cycles that a load of a tile costs besides
SMALL = 1024  # elements of A that are never packed
FEW_ROWS = 256  # of A: packing B takes a good part of the time
STREAMED_ROWS = 32  # of A: B is not packed, but read
STREAMED_DEPTH = 32  # rows at a time, by tasks of at least
STREAMED_BYTES = 2048  # of each row
PACKED_BYTES = 32 << 20  # what is packed ahead at a time, unless one block of k is more
# Nanoseconds, about as benchmarks/packing.py and benchmarks/products.py print them; only their ratios matter:
PACK = 0.3  # for an element packed into a cache that is warm when it is read,
PACK_AHEAD = 0.5  # or ahead of that,
READ_PACKED = 0.1  # and then read by a task
READ = 0.05  # for an element of A read from the third cache
REGION = 5000.0  # for a parallel region
OPERATION = 1 / 150


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
        depth: k's of one block.
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
    def packed_panels(self) -> int:
        """Panels of both operands that are packed ahead."""
        return (self.a is Place.AHEAD) * self.row_panels + (self.b is Place.AHEAD) * self.column_panels

    @property
    def packing_grain(self) -> int:
        """Panels for one task that packs ahead: enough work, and, of narrow panels, neighbours in memory."""
        width = self.rows if self.a is Place.AHEAD else self.columns
        return max(1, 16384 // max(1, self.packed_depth * width), 512 // (width * self.spec.dtype.itemsize))

    @property
    def kernel(self) -> Kernel:
        a_row, a_step = self.spec.a_strides if self.a is Place.DIRECT else (1, self.rows)
        b_step = self.spec.b_strides[0] if self.b is Place.DIRECT else self.columns
        may_add = self.spec.accumulate or self.depth < self.spec.k
        tile = self.rows, self.vectors, self.lanes
        return Kernel(self.spec.dtype, *tile, a_row, a_step, b_step, may_add, packs=False)

    @property
    def packing_kernel(self) -> Kernel | None:
        """The kernel that meets a panel of B first, where that can pack it besides."""
        row, column = self.spec.b_strides
        if self.b is Place.TASK and column == 1 and self.spec.n >= self.columns and self.chunk_rows > 1:
            return replace(self.kernel, b_step=row, packs=True)
        return None

    @property
    def a_elements(self) -> int:
        """Elements of scratch for A."""
        sizes = {
            Place.DIRECT: 0,
            Place.TASK: self.slots * self.a_packing.size(self.depth),
            Place.AHEAD: self.row_panels * self.a_packing.size(self.packed_depth),
        }
        return sizes[self.a]

    @property
    def b_elements(self) -> int:
        """Elements of scratch for B."""
        sizes = {
            Place.DIRECT: 0,
            Place.TASK: self.slots * self.chunk_columns * self.b_packing.size(self.depth),
            Place.AHEAD: self.column_panels * self.b_packing.size(self.packed_depth),
        }
        return sizes[self.b]


def plan(spec: Product, target: Target) -> Plan:
    """Cut a product that has elements."""
    size = spec.dtype.itemsize
    lanes = max(1, target.vector_bytes // size)
    rows, vectors = tile(spec, lanes, target.vector_registers)

    blocks = max(1, -(-spec.k // deepest(spec, rows, vectors * lanes, target)))
    depth = -(-spec.k // (blocks * lanes)) * lanes if blocks > 1 else spec.k

    wanted = min(MOST_CHUNKS, max(1, spec.operations // CHUNK_OPERATIONS))
    is_by_item = spec.items > 1 and (spec.items >= wanted or wanted == 1)
    if is_by_item:
        grid = Grid(1, 1, place_a(spec, 1)[0], place_b(spec, vectors * lanes, 1, target)[0])
        grain = max(1, -(-spec.items // wanted))
    else:
        grid = best_grid(spec, rows, vectors * lanes, depth, target)
        grain = -(-grid.down * grid.across // MOST_SLOTS)
    chunk_rows = -(-spec.m // (rows * grid.down))
    chunk_columns = -(-spec.n // (vectors * lanes * grid.across))

    packed = (grid.b is Place.AHEAD) * spec.n + (grid.a is Place.AHEAD) * spec.m
    most = max(1, PACKED_BYTES // max(1, depth * size * packed))
    packed_depth = min(spec.k, depth * most)
    return Plan(
        spec,
        rows,
        vectors,
        lanes,
        grid.a,
        grid.b,
        depth,
        packed_depth,
        chunk_rows,
        chunk_columns,
        is_by_item,
        grain,
    )


def deepest(spec: Product, rows: int, columns: int, target: Target) -> int:
    """Return how many k's one block may have.

    A panel of A stays in half of the first cache while it meets one panel of B after the other. With few rows
    in A, packing B takes a good part of the time, and its panels should be read before they leave that cache;
    with one panel of B, that stays there. A B that is not packed is read along few rows at a time: as many as
    have their pages at hand and are fetched in time.
    """
    if is_streamed(spec, columns, target):
        return STREAMED_DEPTH
    by_a, by_b = target.l1 // 2 // rows, int(0.85 * target.l1) // columns
    if spec.n <= columns:
        most = by_b
    else:
        most = min(by_a, by_b) if spec.m <= FEW_ROWS else by_a
    return max(64, most // spec.dtype.itemsize)


@dataclass(frozen=True)
class Grid:
    """How one matrix is divided among tasks: so many down the rows and across the columns."""

    down: int
    across: int
    a: Place
    b: Place


def best_grid(spec: Product, rows: int, columns: int, depth: int, target: Target) -> Grid:
    """Return the grid that costs least besides the multiplications.

    That is packing, reading A once for each column of tasks, and the time threads wait for the last task: a
    quarter of a task's. The part of B that a task packs stays in half of the second cache.
    """
    operations = spec.operations // spec.items
    wanted = min(MOST_CHUNKS, max(1, operations // CHUNK_OPERATIONS))
    row_panels, column_panels = -(-spec.m // rows), -(-spec.n // columns)
    row_bytes = spec.n * spec.dtype.itemsize
    fewest, most = max(1, 2 * depth * row_bytes // target.l2), column_panels
    if is_streamed(spec, columns, target):
        fewest, most, row_panels = 1, max(1, min(most, row_bytes // STREAMED_BYTES)), 1
    best: tuple[float, Grid] | None = None
    for across in range(min(fewest, most), most + 1):
        if across > max(fewest, wanted):
            break
        for down in range(1, min(row_panels, max(1, wanted // across)) + 1):
            a, a_cost = place_a(spec, across)
            b, b_cost = place_b(spec, columns, down, target)
            waiting = operations * OPERATION / 4 / (across * down) if wanted > 1 else 0.0
            cost = a_cost + b_cost + across * spec.m * spec.k * READ + waiting
            if best is None or cost < best[0]:
                best = cost, Grid(down, across, a, b)
    assert best is not None
    return best[1]


def place_a(spec: Product, across: int) -> tuple[Place, float]:
    """Say where A is read if so many tasks need each row, and what that costs.

    The kernel can take its elements from anywhere, but where a row's do not lie side by side it gets one
    useful element, or few, from each line of a cache.
    """
    row, column = spec.a_strides
    if column == 1 or spec.m * spec.k <= SMALL or (row == 1 and spec.k <= 256):
        return Place.DIRECT, 0.0
    return packed(spec.m * spec.k, across)


def place_b(spec: Product, columns: int, down: int, target: Target) -> tuple[Place, float]:
    """Say where B is read if so many tasks need each column, and what that costs: in place if it is small."""
    if is_streamed(spec, columns, target) or (has_rows(spec, columns) and is_small(spec, target)):
        return Place.DIRECT, 0.0
    return packed(spec.k * spec.n, down)


def has_rows(spec: Product, columns: int) -> bool:
    """Say whether rows of B could be read in place."""
    return spec.b_strides[1] == 1 and spec.n >= columns


def is_small(spec: Product, target: Target) -> bool:
    return spec.k * spec.n * spec.dtype.itemsize <= target.l1 // 2


def is_streamed(spec: Product, columns: int, target: Target) -> bool:
    """Say whether B is read in place though it is large: with few rows in A packing would not pay."""
    return has_rows(spec, columns) and spec.m <= STREAMED_ROWS and not is_small(spec, target)


def packed(elements: int, tasks: int) -> tuple[Place, float]:
    """Say whether an operand is packed by each of so many tasks, or once, ahead of them."""
    often, once = tasks * elements * PACK, elements * (PACK_AHEAD + tasks * READ_PACKED) + REGION
    return (Place.TASK, often) if tasks == 1 or often <= once else (Place.AHEAD, once)


def tile(spec: Product, lanes: int, registers: int) -> tuple[int, int]:
    """Return the rows and vectors of the tile that computes C in the fewest cycles.

    One k of a tile takes a cycle for two multiply-adds or two loads, and at least 4, the time until a sum may
    be added to again; each load costs a little besides, for the cache that it keeps busy, and so does each k.
    One register besides the sums and the row of B holds the elements of A.
    """
    best: tuple[float, int, int] | None = None
    for vectors in range(4, 0, -1):
        most = min((registers - vectors - 1) // vectors, MOST_ROWS, spec.m)
        for rows in range(most, most // 2, -1):
            loads = rows + vectors
            cycles = max(rows * vectors / 2, loads / 2, 4.0) + LOAD_COST * loads + 1.0
            total = cycles * -(-spec.m // rows) * -(-spec.n // (vectors * lanes))
            if best is None or total < best[0]:
                best = total, rows, vectors
    assert best is not None
    return best[1:]
