"""What is done to a product's elements before they are written: a loop that a product takes in.

A bias, an activation, a factor: where one loop over the product's elements follows, stores one array and is
all that reads the product, its calls are made on the tiles that the product has in registers, and the product
itself is never in memory.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from retrograd.arrays import Value
from retrograd.native import code
from retrograd.native.affine import offset
from retrograd.native.elements import Elements, Slots
from retrograd.native.graph import Graph, Load
from retrograd.native.kernels import Loop, Product, Step, canonical_index, squeezed
from retrograd.native.layout import Layout, sinks, walk
from retrograd.native.lookups import is_lookup
from retrograd.native.types import lanes_of, spread

_WIDTH = 2  # dimensions of the frame: rows and columns


def absorbed(graph: Graph, steps: list[Step], written: Collection[Value]) -> dict[int, int]:
    """Return which products take in which loops, by the numbers of the steps.

    Args:
        graph: what lies in memory.
        steps: all of them.
        written: values that are written where inputs lie: a tile at an edge is computed, and written, twice.
    """
    found: dict[int, int] = {}
    readers: dict[Value, list[int]] = {}
    for number, step in enumerate(steps):
        for value in _read(graph, number, step):
            readers.setdefault(value, []).append(number)
    for number, step in enumerate(steps):
        if isinstance(step, Product):
            product = step.instruction.outputs[0]
            users = readers.get(product, [])
            if len(users) == 1 and product not in graph.program.outputs:
                loop = steps[users[0]]
                if isinstance(loop, Loop) and _is_simple(graph, users[0], loop, number, product, written):
                    found[number] = users[0]
    return found


def _read(graph: Graph, number: int, step: Step) -> set[Value]:
    if isinstance(step, Loop):
        nodes = walk(graph, step, number, sinks(step))
        return {n.value for n in nodes if isinstance(n, Load)}
    return {graph.base(v)[0] for v in step.instruction.operands}


def _is_simple(
    graph: Graph, number: int, loop: Loop, made: int, product: Value, written: Collection[Value]
) -> bool:
    """Whether a loop is pointwise on a product's own elements, and all else that it reads is there before."""
    shape = product.shape
    if loop.reductions or len(loop.stores) != 1 or loop.frame != squeezed(shape) or len(loop.frame) != _WIDTH:
        return False
    stored = loop.stores[0]
    if stored.value.dtype != product.dtype or stored.value in written or shape[-1] != loop.frame[-1]:
        return False
    own = offset(canonical_index(shape), shape)
    if stored.at != own:
        return False
    for node in walk(graph, loop, number, sinks(loop)):
        if not isinstance(node, Load):
            if is_lookup(node.instruction):
                return False
        elif node.value == product:
            if node.at != own:
                return False
        elif graph.stored[node.value] >= made:
            return False
    return True


class Epilogue(Elements):
    """Emits a loop's calls on the elements that a product gives."""

    def __init__(self, graph: Graph, loop: Loop, product: Value, step: int, slots: Slots) -> None:
        groups = tuple((range(dim, dim + 1), size) for dim, size in enumerate(loop.frame))
        layout = Layout(groups, outer=1, flat=False, rows=loop.frame[0], chunks=1, rows_each=1)
        super().__init__(graph, loop, layout, step, slots, 1)
        self.product = product

    def __call__(self, builder: Any, value: Any, row: Any, column: Any, context: Any) -> Any:
        """Return what is to be written in place of an element, or a vector of them, of the product."""
        count = lanes_of(value)
        self.builder, self.table, self.given, self.mask = builder, context, value, None
        self.variables = {0: row, 1: column}
        self.lane, self.lanes = (None, 1) if count is None else (1, 1 << (count - 1).bit_length())
        self.known, self.pointers = [{}], {}
        if count is not None and count < self.lanes:  # the columns of an edge: vectors of that width are none
            self.given = code.resized(builder, value, self.lanes)
            self.mask = code.below(builder, code.i64(0), code.i64(count), self.lanes)
        found = self._value(self.loop.stores[0].value, canonical_index(self.loop.stores[0].value.shape))
        if count is None:
            return found
        return code.resized(builder, spread(builder, found, self.lanes), count)

    def _load(self, node: Load) -> Any:
        return self.given if node.value == self.product else super()._load(node)
