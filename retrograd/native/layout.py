"""How a loop runs over its frame: dimensions merged, rows and inner ones told apart, rows cut into chunks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from retrograd.arrays import Value
from retrograd.native import scatters
from retrograd.native.affine import Affine, Index, Var, offset
from retrograd.native.elementwise import cost
from retrograd.native.graph import Call, Graph, Load, looked, operands
from retrograd.native.kernels import Loop, canonical_index
from retrograd.native.lookups import Put, is_lookup, look

TILE = 4096  # elements: what is summed in one go, and stays in the first-level cache
_MOST = 64  # chunks: enough for any number of threads to be busy to the end

# What a loop takes, roughly, to tell whether threads are worth waking (benchmarks/threads.py: a region in
# which helpers have gone to sleep breaks even near 20 us).
_PER_ADDITION = 1 / 40  # ns per element: 16 lanes at 2.5 GHz
_PER_BYTE = 1 / 30  # ns: from and to the second-level cache
_WORTH = 30_000  # ns of a loop from which it is divided
_CHUNK = 5_000  # ns of a chunk, at least

Element = tuple[Value, Index]


@dataclass(frozen=True, slots=True)
class Layout:
    """A loop's dimensions after merging.

    `groups` are runs of the frame's dimensions that are walked as one, with their sizes; the first `outer` of
    them number the rows. In a `flat` loop rows are tiles of the one group. `chunks` are runs of `rows_each`
    rows.
    """

    groups: tuple[tuple[range, int], ...]
    outer: int
    flat: bool
    rows: int
    chunks: int
    rows_each: int

    def factor(self, at: Affine, group: int) -> int:
        """Return the factor of a group's variable in a position."""
        last = self.groups[group][0][-1]
        return next((f for v, f in at.terms if v == Var(last)), 0)

    @property
    def inner(self) -> tuple[int, ...]:
        """The sizes of the inner groups."""
        return tuple(n for _, n in self.groups[self.outer :])


def sinks(loop: Loop) -> list[Element]:
    """Return the elements that a loop computes for their own sake: what it stores and what it reduces."""
    found = [(s.value, canonical_index(s.value.shape)) for s in loop.stores]
    for value, kind in loop.reductions.items():
        source = loop.members[value].inputs[0]
        found.append((source, canonical_index(source.shape)))
        if kind == "scatter":
            found += looked(scattered_to(loop, value))
    return found


def scattered_to(loop: Loop, value: Value) -> Affine:
    """Return the position to which a loop's scatter adds the element at the frame's position."""
    return offset(scatters.target(loop.members[value]), value.shape)


def walk(graph: Graph, loop: Loop, number: int, given: Iterable[Element]) -> Iterator[Load | Call]:
    """Give every load and call that the given elements are computed from within a loop."""
    pending = list(given)
    seen: set[Element] = set()
    while pending:
        element = pending.pop()
        if element in seen:
            continue
        seen.add(element)
        node = graph.reach(*element, number)
        yield node
        if isinstance(node, Load):
            pending += looked(node.at)
        elif node.value not in loop.reductions:
            pending += operands(node)


def plan(graph: Graph, loop: Loop, number: int) -> Layout:
    """Decide how a loop runs."""
    positions = [store.at for store in loop.stores]
    positions += [scattered_to(loop, v) for v, kind in loop.reductions.items() if kind == "scatter"]
    time = sum(s.value.dtype.itemsize for s in loop.stores) * _PER_BYTE  # of an element
    for node in walk(graph, loop, number, sinks(loop)):
        if isinstance(node, Load):
            positions.append(node.at)
            if node.at.terms and Var(len(loop.frame) - 1) in dict(node.at.terms):
                time += node.value.dtype.itemsize * _PER_BYTE
        else:
            time += _PER_ADDITION * (1 if node.value in loop.reductions else cost(node.instruction))
            if is_lookup(node.instruction):
                found = look(node.instruction, node.index)
                positions += [found.position] if isinstance(found, Put) else []
    groups = _merge(loop, positions)
    if loop.split is None:
        outer = max(len(groups) - 1, 0)
    else:
        outer = next((i for i, (dims, _) in enumerate(groups) if dims[0] >= loop.split), len(groups))
    flat = outer == 0 and loop.split is None
    inner = math.prod(n for _, n in groups[outer:])
    rows = -(-inner // TILE) if flat else math.prod(n for _, n in groups[:outer])
    whole = math.prod(loop.frame) * time
    wanted = min(_MOST, rows, int(whole / _CHUNK)) if whole >= _WORTH and not loop.is_serial else 1
    each = -(-rows // max(wanted, 1)) if rows else 0
    return Layout(groups, outer, flat, rows, -(-rows // each) if rows else 1, each)


def _merge(loop: Loop, positions: list[Affine]) -> tuple[tuple[range, int], ...]:
    groups: list[tuple[range, int]] = []
    for dim, size in enumerate(loop.frame):
        last = groups[-1] if groups else None
        if last is not None and dim != loop.split and all(_runs_on(at, dim, size) for at in positions):
            groups[-1] = (range(last[0].start, dim + 1), last[1] * size)
        else:
            groups.append((range(dim, dim + 1), size))
    return tuple(groups)


def _runs_on(at: Affine, dim: int, size: int) -> bool:
    """Whether a position advances from the dimension before as it would at this dimension's end."""
    terms = dict(at.terms)
    return terms.get(Var(dim - 1), 0) == terms.get(Var(dim), 0) * size
