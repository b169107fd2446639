"""Sweeps of a loop's rows: which of them an element belongs to, and what is worth keeping for the next."""

from __future__ import annotations

from collections.abc import Iterator

from retrograd.arrays import Value
from retrograd.native.affine import Index
from retrograd.native.elementwise import cost
from retrograd.native.graph import Call, Graph, Load, looked, operands
from retrograd.native.kernels import Loop, canonical_index, squeezed
from retrograd.native.layout import Element

_DEAR = 6  # what a value costs, in additions, that is kept for the next sweep instead of computed again


def element_of(value: Value) -> Element:
    """Return the element of a value at the frame's position."""
    return value, canonical_index(value.shape)


class Sweeps:
    """A loop's elements by sweep: one that needs a reduction of the row comes in the sweep after it."""

    def __init__(self, graph: Graph, loop: Loop, step: int) -> None:
        self.graph, self.loop, self.step = graph, loop, step
        self._levels: dict[Element, int] = {}
        self.wide = [s for s in loop.stores if self.is_inner(s.value)]
        self.narrow = [s for s in loop.stores if not self.is_inner(s.value)]
        self.reduced = [v for v, kind in loop.reductions.items() if kind != "rows"]
        self.count = 1 + max((self.level(*e) for e in self.sinks()), default=-1)

    def is_inner(self, value: Value) -> bool:
        """Whether a value has an element for each of the frame's, not one for each row."""
        return len(squeezed(value.shape)) == len(self.loop.frame)

    def source(self, value: Value) -> Element:
        """Return the element that a reduction joins."""
        return element_of(self.loop.members[value].inputs[0])

    def sinks(self) -> Iterator[Element]:
        """Give the elements that sweeps store or join."""
        yield from (element_of(s.value) for s in self.wide)
        yield from (self.source(v) for v in self.reduced)

    def level(self, value: Value, index: Index) -> int:
        """Return the sweep in which an element can be computed: after the row's reductions that it needs."""
        key = (value, index)
        if key not in self._levels:
            node = self.graph.reach(value, index, self.step)
            if isinstance(node, Load):
                level = max((self.level(*e) for e in looked(node.at)), default=0)
            elif node.value in self.loop.reductions:
                level = 1 + self.level(*self.source(node.value))
            else:
                level = max((self.level(*e) for e in operands(node)), default=0)
            self._levels[key] = level
        return self._levels[key]

    def met_again(self) -> Iterator[Value]:
        """Give the dear values that later sweeps need too, those nearest to what needs them."""
        for sink in self.sinks():
            level = self.level(*sink)
            pending, seen = [sink], set()
            while pending:
                element = pending.pop()
                node = self.graph.reach(*element, self.step)
                if element in seen or isinstance(node, Load) or node.value in self.loop.reductions:
                    continue
                seen.add(element)
                own = element_of(node.value)
                if self.is_inner(node.value) and node.index == own[1] and self.level(*own) < level:
                    if self._price(*own) >= _DEAR:
                        yield node.value
                    continue
                pending += operands(node)

    def _price(self, value: Value, index: Index) -> int:
        """Return what computing an element costs, in additions, given loads and the row's reductions."""
        total = 0
        pending, seen = [(value, index)], set()
        while pending:
            element = pending.pop()
            if element in seen:
                continue
            seen.add(element)
            node = self.graph.reach(*element, self.step)
            if isinstance(node, Call) and node.value not in self.loop.reductions:
                total += cost(node.instruction)
                pending += operands(node)
        return total
