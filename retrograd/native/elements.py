"""Code of a loop's elements: loads, calls, indices that are read, each computed once where it is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from retrograd.arrays import Value
from retrograd.native import code
from retrograd.native.affine import Affine, Index, Looked, Var
from retrograd.native.code import i64
from retrograd.native.elementwise import emit
from retrograd.native.graph import Call, Graph, Load, looked, operands
from retrograd.native.kernels import Loop
from retrograd.native.layout import Element, Layout
from retrograd.native.lookups import Taken, is_lookup, look
from retrograd.native.sweeps import Sweeps, element_of
from retrograd.native.types import convert, is_half, lanes_of, llvm, number, spread


class Slots(Protocol):
    """Where arrays lie when a program runs: numbers of places in a table of pointers."""

    def of(self, value: Value) -> int:
        """Return the place of an array."""

    def partials(self, value: Value) -> int:
        """Return the place of a reduction's parts, one per chunk."""

    status: int


class Elements:
    """The elements of a loop at the position where its function is being written.

    `variables` are the indices that have a value there. Where `lane` is a group of dimensions, elements that
    depend on it are vectors along it, and `mask` says which of their lanes there are.
    """

    def __init__(self, graph: Graph, loop: Loop, layout: Layout, step: int, slots: Slots, lanes: int) -> None:
        self.graph, self.loop, self.layout, self.step, self.slots = graph, loop, layout, step, slots
        self.lanes = lanes
        self.sweeps = Sweeps(graph, loop, step)
        self.builder: Any = None
        self.table: Any = None  # the pointer to the table of pointers, an argument of the function
        self.known: list[dict[Any, Any]] = [{}]  # values by element, the innermost loop's last
        self.pointers: dict[int, Any] = {}
        self.variables: dict[int, Any] = {}
        self.lane: int | None = None
        self.mask: Any = None
        self.rows: dict[Value, Any] = {}  # this row's reductions
        self.kept: dict[Value, Any] = {}  # memory of values that are kept from sweep to sweep
        self.now = 0  # the sweep

    def _vector(self, value: Value, index: Index) -> Any:
        return spread(self.builder, self._value(value, index), self.lanes)

    def _value(self, value: Value, index: Index) -> Any:
        """Return an element, or a vector of them; from where it has been computed before, if it has.

        What it is computed from comes first, one by one: chains are longer than Python's stack is high.
        """
        found = self._find((value, index))
        if found is not None:
            return found
        pending = [((value, index), False)]
        while pending:
            element, is_ready = pending.pop()
            if self._find(element) is not None:
                continue
            node = self.graph.reach(*element, self.step)
            if is_ready:
                self.known[-1][element] = self._made(node, *element)
                continue
            pending.append((element, True))
            if isinstance(node, Load):
                below = looked(node.at)
            elif node.value in self.rows or (node.value in self.kept and self._is_kept(node)):
                below = []
            else:
                below = operands(node)
            pending += [(e, False) for e in reversed(below)]
        return self._find((value, index))

    def _find(self, element: Element) -> Any:
        """Return an element that has been computed in this loop or around it; None if it has not been."""
        for scope in reversed(self.known):
            if element in scope:
                return scope[element]
        return None

    def _made(self, node: Load | Call, value: Value, index: Index) -> Any:
        """Emit an element, given what it is computed from."""
        if isinstance(node, Load):
            return self._load(node)
        if node.value in self.rows:
            return self.rows[node.value]
        if node.value in self.kept and self._is_kept(node):
            lanes = self.lanes if self.lane is not None else None
            return code.load(
                self.builder, self.kept[node.value], value.dtype, self._flat_inner(), lanes, self.mask
            )
        if is_lookup(node.instruction):
            return self._look(node)
        given = [self._operand(x, node) for x in node.instruction.inputs]
        return emit(self.builder, node.instruction, given)

    def _is_kept(self, node: Call) -> bool:
        """Whether a kept value has been computed by an earlier sweep, for this element."""
        element = element_of(node.value)
        return (
            node.index == element[1]
            and element not in self.known[-1]
            and self.now > self.sweeps.level(*element)
        )

    def _operand(self, given: Any, node: Call) -> Any:
        if not isinstance(given, Value):
            return given, None
        index = node.index[len(node.index) - len(given.shape) :]
        index = tuple(Affine() if n == 1 else i for i, n in zip(index, given.shape, strict=True))
        return self._value(given, index), given.dtype

    def _look(self, node: Call) -> Any:
        found = look(node.instruction, node.index)
        value = self._value(found.source, found.at)
        if isinstance(found, Taken):
            return value
        builder = self.builder
        chosen = self._checked(self._value(found.chosen, found.at), found.chosen.dtype, found.size)
        base, step, _ = self._position(found.position)
        if self.lane is not None and step:
            place: Any = code.ramp(builder, base, step, self.lanes)
        else:
            place = base
        lanes = lanes_of(place) or lanes_of(chosen) or lanes_of(value)
        here = builder.icmp_signed("==", spread(builder, place, lanes), spread(builder, chosen, lanes))
        return builder.select(here, spread(builder, value, lanes), number(node.value.dtype, 0, lanes))

    def _load(self, node: Load) -> Any:
        value = node.value
        constant = self.graph.constants.get(value)
        if constant is not None and constant.size == 1 and not is_half(value.dtype):
            return number(value.dtype, constant.flat[0])
        base, step, scattered = self._position(node.at)
        pointer = self._pointer(self.slots.of(value))
        builder = self.builder
        if scattered is not None:
            at = builder.add(scattered, code.ramp(builder, base, step, self.lanes))
            return code.gather(builder, pointer, value.dtype, at, self.mask)
        if self.lane is None or step == 0:
            return code.load(builder, pointer, value.dtype, base)
        if step == 1:
            return code.load(builder, pointer, value.dtype, base, self.lanes, self.mask)
        return code.gather(
            builder, pointer, value.dtype, code.ramp(builder, base, step, self.lanes), self.mask
        )

    def _position(self, at: Affine) -> tuple[Any, int, Any]:
        """Return a position: its first lane, how it goes on from there, and what differs in each lane."""
        builder, layout = self.builder, self.layout
        base: Any = i64(at.constant)
        step, scattered = 0, None
        for group in range(len(layout.groups)):
            factor = layout.factor(at, group)
            if factor:
                base = code.add(builder, base, code.scale(builder, self.variables[group], factor))
                if group == self.lane:
                    step = factor
        for variable, factor in at.terms:
            if isinstance(variable, Looked):
                found = self._value(variable.value, variable.index)
                found = self._checked(found, variable.value.dtype, variable.size, variable.wraps)
                if lanes_of(found) is None:
                    base = code.add(builder, base, code.scale(builder, found, factor))
                    continue
                each = number(np.dtype(np.int64), factor, self.lanes)
                part = builder.mul(found, each)
                scattered = part if scattered is None else builder.add(scattered, part)
        return base, step, scattered

    def _checked(self, index: Any, dtype: Any, size: int, wraps: bool = False) -> Any:
        """Return an index as 64 bits; one that is out of range is noted, and 0 taken in its place."""
        builder = self.builder
        lanes = lanes_of(index)
        word = np.dtype(np.int64)
        index = convert(builder, index, dtype, word)
        if wraps:
            below = builder.icmp_signed("<", index, number(word, 0, lanes))
            index = builder.select(below, builder.add(index, number(word, size, lanes)), index)
        inside = builder.icmp_unsigned("<", index, number(word, size, lanes))
        ir = llvm()
        bad = builder.not_(inside)
        if self.mask is not None and lanes is not None:
            bad = builder.and_(bad, self.mask)
        if lanes is not None:
            bits = builder.bitcast(bad, ir.IntType(lanes))
            bad = builder.icmp_unsigned("!=", bits, bits.type(0))
        with builder.if_then(bad, likely=False):
            builder.store(ir.IntType(64)(1), self._pointer(self.slots.status), align=8)
        return builder.select(inside, index, number(word, 0, lanes))

    def _flat_inner(self) -> Any:
        """Return the position among a row's inner elements."""
        found: Any = i64(0)
        for group in range(self.layout.outer, len(self.layout.groups)):
            found = code.scale(self.builder, found, self.layout.groups[group][1])
            found = code.add(self.builder, found, self.variables[group])
        return found

    # ---- what is computed before a loop ----

    def _hoist(self, given: list[Element]) -> None:
        """Compute what does not change within the loop that is about to begin."""
        seen: set[Element] = set()

        def visit(value: Value, index: Index) -> None:
            if (value, index) in seen:
                return
            seen.add((value, index))
            node = self.graph.reach(value, index, self.step)
            at = (node.at,) if isinstance(node, Load) else node.index
            if isinstance(node, Call) and node.value in self.loop.reductions and node.value not in self.rows:
                return
            if not any(self._changes(a) for a in at) and (isinstance(node, Load) or self._is_complete(node)):
                self._value(value, index)
                return
            for element in looked(node.at) if isinstance(node, Load) else operands(node):
                visit(*element)

        for element in given:
            visit(*element)

    def _is_complete(self, node: Call) -> bool:
        """Whether all reductions of the row that a call needs have been made."""
        pending = operands(node) if node.value not in self.rows else []
        seen: set[Element] = set()
        while pending:
            element = pending.pop()
            if element in seen:
                continue
            seen.add(element)
            below = self.graph.reach(*element, self.step)
            if isinstance(below, Load):
                pending += looked(below.at)
            elif below.value in self.loop.reductions:
                if below.value not in self.rows:
                    return False
            else:
                pending += operands(below)
        return True

    def _changes(self, at: Affine) -> bool:
        """Whether a position depends on a variable that has no value yet."""
        for variable, _ in at.terms:
            if isinstance(variable, Looked):
                if any(self._changes(a) for a in variable.index):
                    return True
            elif self._group_of(variable) not in self.variables:
                return True
        return False

    def _group_of(self, variable: Var) -> int:
        return next(g for g, (dims, _) in enumerate(self.layout.groups) if variable.dim in dims)

    @contextmanager
    def _scope(self) -> Iterator[None]:
        before = dict(self.variables)
        self.known.append({})
        yield
        self.known.pop()
        self.variables = before

    def _pointer(self, place: int) -> Any:
        """Return a pointer from the table, loaded when the function begins."""
        found = self.pointers.get(place)
        if found is None:
            pointer = llvm().PointerType()
            with self.builder.goto_entry_block():
                address = self.builder.gep(self.table, [i64(place)], source_etype=pointer)
                found = self.pointers[place] = self.builder.load(address, typ=pointer, align=8)
        return found

    def _partials(self, value: Value) -> Any:
        return self._pointer(self.slots.partials(value))
