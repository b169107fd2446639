"""Code of a loop: a function that does some chunks of it.

    for each chunk:
        for each row:                      (in a flat loop: for each tile)
            for each sweep:                as many as reductions of the row that wait for each other
                for each vector of inner elements: load, compute, store, accumulate
            what there is once per row
        what is reduced over rows, into the chunk's own place

What does not change within a loop is computed before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from retrograd.arrays import Value
from retrograd.native import code
from retrograd.native.affine import Affine, Index, Looked, Var
from retrograd.native.code import COMBINE, across, counted, i64, identity
from retrograd.native.elementwise import cost, emit
from retrograd.native.graph import Call, Graph, Load, looked, operands
from retrograd.native.kernels import Loop, Store, canonical_index, squeezed
from retrograd.native.layout import TILE, Element, Layout
from retrograd.native.lookups import Taken, is_lookup, look
from retrograd.native.types import convert, lanes_of, llvm, number, spread

_UNROLL = 4  # vectors in flight, so that a sum does not wait for the addition before
_DEAR = 6  # what a value costs, in additions, that is kept for the next sweep instead of computed again
_KEPT = 32 << 10  # bytes of the stack for such values


class Slots(Protocol):
    """Where arrays lie when a program runs: numbers of places in a table of pointers."""

    def of(self, value: Value) -> int:
        """Return the place of an array."""

    def partials(self, value: Value) -> int:
        """Return the place of a reduction's parts, one per chunk."""

    status: int


class Writer:
    """Emits one loop as a function `void name(ptr table, i64 begin, i64 end)` over chunks."""

    def __init__(
        self,
        module: Any,
        name: str,
        graph: Graph,
        loop: Loop,
        layout: Layout,
        step: int,
        slots: Slots,
        lanes: int,
    ) -> None:
        ir = llvm()
        word, pointer = ir.IntType(64), ir.PointerType()
        self.function = ir.Function(module, ir.FunctionType(ir.VoidType(), (pointer, word, word)), name)
        self.function.linkage = "internal"
        self.graph, self.loop, self.layout, self.step, self.slots = graph, loop, layout, step, slots
        self.lanes = lanes
        self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.known: list[dict[Any, Any]] = [{}]  # values by element, the innermost loop's last
        self.pointers: dict[int, Any] = {}
        self.variables: dict[int, Any] = {}  # group: its index
        self.lane: int | None = None  # the group that vectors run along
        self.mask: Any = None
        self.rows: dict[Value, Any] = {}  # this row's reductions
        self.kept: dict[Value, Any] = {}  # memory of values kept from sweep to sweep
        self.levels: dict[Element, int] = {}
        self._write()

    # ---- the function ----

    def _write(self) -> None:
        loop, layout = self.loop, self.layout
        self.wide = [s for s in loop.stores if self._is_inner(s.value)]
        self.narrow = [s for s in loop.stores if not self._is_inner(s.value)]
        self.swept = [v for v, kind in loop.reductions.items() if kind != "rows"]
        self.sweeps = 1 + max((self._level(*self._source(v)) for v in self.swept), default=-1)
        self.sweeps = max(self.sweeps, *(1 + self._level(*_element(s.value)) for s in self.wide), 0)
        self._plan_kept()
        self.totals = {
            v: code.slot(self.builder, v.dtype, self.lanes if kind == "full" and layout.inner else None)
            for v, kind in loop.reductions.items()
            if kind in ("full", "rows")
        }
        _, begin, end = self.function.args
        first = self.builder.append_basic_block("first")
        entry, self.builder = self.builder.block, llvm().IRBuilder(first)
        with counted(self.builder, begin, end) as chunk:
            self._chunk(chunk)
        self.builder.ret_void()
        self.builder.position_at_end(entry)
        self.builder.branch(first)

    def _chunk(self, chunk: Any) -> None:
        builder, layout = self.builder, self.layout
        self.chunk = chunk
        with self._scope():
            self._hoist([*self._all_sinks()])
            for value, total in self.totals.items():
                name = self.loop.members[value].name
                builder.store(identity(name, value.dtype, lanes_of_pointer(total)), total)
            for value in self._of_kind("column"):
                self._clear_column(value)
            each = i64(layout.rows_each)
            start = code.scale(builder, chunk, layout.rows_each)
            stop = builder.add(start, each)
            if layout.chunks == 1:
                start, stop = i64(0), i64(layout.rows)
            elif layout.rows % layout.rows_each:
                most = i64(layout.rows)
                stop = builder.select(builder.icmp_signed("<", stop, most), stop, most)
            with counted(builder, start, stop) as row:
                self._row(row)
            for value, total in self.totals.items():
                self._finish_total(value, total)

    def _finish_total(self, value: Value, total: Any) -> None:
        builder = self.builder
        found = builder.load(total, typ=total.allocated_type)
        if lanes_of(found) is not None:
            found = across(builder, self.loop.members[value].name, value.dtype, found)
        code.store(builder, self._partials(value), value.dtype, self.chunk, found)

    def _row(self, row: Any) -> None:
        builder, layout = self.builder, self.layout
        with self._scope():
            rest = row
            for group in range(layout.outer - 1, -1, -1):
                size = i64(layout.groups[group][1])
                if group:
                    self.variables[group] = builder.urem(rest, size)
                    rest = builder.udiv(rest, size)
                else:
                    self.variables[group] = rest
            self.rows = {}
            self.row = row
            for level in range(self.sweeps):
                self._sweep(level)
            for store in self.narrow:
                self._value(*_element(store.value))
            for store in self.narrow:
                self._store(store)
            for value in self._of_kind("rows"):
                self._accumulate(value, self.totals[value], self._reduced(value))

    # ---- sweeps ----

    def _sweep(self, level: int) -> None:
        builder = self.builder
        self.now = level
        stores = [s for s in self.wide if self._level(*_element(s.value)) == level]
        reductions = [v for v in self.swept if self._level(*self._source(v)) == level]
        keep = [v for v in self.kept if self._level(*_element(v)) == level]
        given = [_element(s.value) for s in stores] + [self._source(v) for v in reductions]
        self._hoist([*given, *map(_element, keep)])
        sums = [v for v in reductions if self.loop.reductions[v] != "column"]
        inner = bool(self.layout.inner)
        unroll = _UNROLL if sums and inner else 1
        slots = {
            v: [code.slot(builder, v.dtype, self.lanes if inner else None) for _ in range(unroll)]
            for v in sums
        }
        for value, places in slots.items():
            for place in places:
                builder.store(
                    identity(self.loop.members[value].name, value.dtype, lanes_of_pointer(place)), place
                )

        def body(copy: int) -> None:
            for element in given:  # before anything is written: it may lie where an input does
                self._vector(*element) if self.lane is not None else self._value(*element)
            for value in keep:
                code.store(
                    builder,
                    self.kept[value],
                    value.dtype,
                    self._flat_inner(),
                    self._vector(*_element(value)),
                    self.mask,
                )
            for store in stores:
                self._store(store)
            for value in reductions:
                if self.loop.reductions[value] == "column":
                    self._accumulate_column(value)
                else:
                    self._accumulate(value, slots[value][copy], self._reduced(value))

        self._inner_loops(body, unroll)
        for value, places in slots.items():
            self._join(value, places)

    def _join(self, value: Value, places: list[Any]) -> None:
        """Join the parts of a sweep's reduction, and keep it for the row or add it to the chunk's."""
        builder, name = self.builder, self.loop.members[value].name
        parts = [builder.load(p, typ=p.allocated_type) for p in places]
        while len(parts) > 1:
            parts = [
                COMBINE[name](builder, value.dtype, a, b)
                for a, b in zip(parts[::2], parts[1::2], strict=True)
            ]
        found = parts[0]
        if self.loop.reductions[value] == "full":
            total = self.totals[value]
            before = builder.load(total, typ=total.allocated_type)
            builder.store(COMBINE[name](builder, value.dtype, before, found), total)
        else:
            self.rows[value] = found if lanes_of(found) is None else across(builder, name, value.dtype, found)

    def _inner_loops(self, body: Any, unroll: int) -> None:
        """Run over the inner groups: the last one in vectors, the others one by one."""
        layout, builder = self.layout, self.builder
        groups = range(layout.outer, len(layout.groups))
        if not groups:
            with self._scope():
                body(0)
            return
        *others, last = groups
        with self._nest(others):
            size = layout.groups[last][1]
            start, stop = i64(0), i64(size)
            if layout.flat and layout.rows > 1:
                start = builder.mul(self.row, i64(TILE))
                stop = builder.add(start, i64(TILE))
                if size % TILE:
                    stop = builder.select(
                        builder.icmp_signed("<", stop, stop.type(size)), stop, stop.type(size)
                    )
            self.lane = last
            for count in (unroll, 1) if unroll > 1 else (1,):
                start = self._vectors(body, start, stop, count)
            self._tail(body, start, stop)
            self.lane = None

    @contextmanager
    def _nest(self, groups: list[int]) -> Iterator[None]:
        if not groups:
            yield
            return
        with counted(self.builder, i64(0), i64(self.layout.groups[groups[0]][1])) as index:
            with self._scope():
                self.variables[groups[0]] = index
                with self._nest(groups[1:]):
                    yield

    def _vectors(self, body: Any, start: Any, stop: Any, count: int) -> Any:
        """Run over whole vectors, `count` at a time, and return where they end."""
        builder, lane = self.builder, self.lane
        assert lane is not None
        step = self.lanes * count
        if code.known(stop) is not None and code.known(start) is not None:
            first, last = code.known(start), code.known(stop)
            end: Any = i64(first + (last - first) // step * step)  # type: ignore[operator]
        else:
            length = builder.sub(stop, start)
            end = builder.add(start, builder.sub(length, builder.urem(length, i64(step))))
        if code.known(end) is not None and code.known(end) == code.known(start):
            return start
        with counted(builder, start, end, step) as index:
            for copy in range(count):
                with self._scope():
                    self.variables[lane] = code.add(builder, index, i64(copy * self.lanes))
                    body(copy)
        return end

    def _tail(self, body: Any, start: Any, stop: Any) -> None:
        """Do what is left of the last vector, under a mask."""
        builder = self.builder
        if code.known(start) is not None and code.known(start) == code.known(stop):
            return
        assert self.lane is not None
        with counted(builder, start, stop, self.lanes) as index:
            self.mask = code.below(builder, index, stop, self.lanes)
            with self._scope():
                self.variables[self.lane] = index
                body(0)
            self.mask = None

    # ---- sinks ----

    def _store(self, store: Store) -> None:
        value = store.value
        found = self._vector(*_element(value)) if self.lane is not None else self._value(*_element(value))
        self._write_at(self._pointer(self.slots.of(store.target)), value.dtype, store.at, found)

    def _write_at(self, pointer: Any, dtype: Any, at: Affine, value: Any) -> None:
        base, step, scattered = self._position(at)
        assert scattered is None
        if step == 1 or self.lane is None:
            code.store(self.builder, pointer, dtype, base, value, self.mask)
        else:
            code.scatter(
                self.builder,
                pointer,
                dtype,
                code.ramp(self.builder, base, step, self.lanes),
                value,
                self.mask,
            )

    def _reduced(self, value: Value) -> Any:
        """Return an element of what a reduction joins, in the dtype of its result."""
        source, index = self._source(value)
        found = self._vector(source, index) if self.lane is not None else self._value(source, index)
        return convert(self.builder, found, source.dtype, value.dtype)

    def _accumulate(self, value: Value, place: Any, found: Any) -> None:
        builder, name = self.builder, self.loop.members[value].name
        if self.mask is not None and lanes_of(found) is not None:
            found = builder.select(self.mask, found, identity(name, value.dtype, self.lanes))
        before = builder.load(place, typ=place.allocated_type)
        builder.store(COMBINE[name](builder, value.dtype, before, found), place)

    def _column_at(self, value: Value) -> Any:
        """Return the place of a column's part: the chunk's, at the inner position."""
        size = math.prod(self.layout.inner)
        return code.add(self.builder, code.scale(self.builder, self.chunk, size), self._flat_inner())

    def _accumulate_column(self, value: Value) -> None:
        builder = self.builder
        found, at, pointer = self._reduced(value), self._column_at(value), self._partials(value)
        before = code.load(builder, pointer, value.dtype, at, lanes_of(found), self.mask)
        made = COMBINE[self.loop.members[value].name](builder, value.dtype, before, found)
        code.store(builder, pointer, value.dtype, at, made, self.mask)

    def _clear_column(self, value: Value) -> None:
        name = self.loop.members[value].name

        def body(copy: int) -> None:
            del copy
            nothing = identity(name, value.dtype, self.lanes if self.lane is not None else None)
            code.store(
                self.builder, self._partials(value), value.dtype, self._column_at(value), nothing, self.mask
            )

        self._inner_loops(body, 1)

    def _flat_inner(self) -> Any:
        """Return the position among a row's inner elements."""
        found: Any = i64(0)
        for group in range(self.layout.outer, len(self.layout.groups)):
            found = code.scale(self.builder, found, self.layout.groups[group][1])
            found = code.add(self.builder, found, self.variables[group])
        return found

    # ---- values ----

    def _vector(self, value: Value, index: Index) -> Any:
        return spread(self.builder, self._value(value, index), self.lanes)

    def _value(self, value: Value, index: Index) -> Any:
        """Return an element, or a vector of them; from where it has been computed before, if it has."""
        key = (value, index)
        for scope in reversed(self.known):
            if key in scope:
                return scope[key]
        node = self.graph.reach(value, index, self.step)
        if isinstance(node, Load):
            found = self._load(node)
        elif node.value in self.rows:
            found = self.rows[node.value]
        elif node.value in self.kept and self._is_kept(node):
            lanes = self.lanes if self.lane is not None else None
            found = code.load(
                self.builder, self.kept[node.value], value.dtype, self._flat_inner(), lanes, self.mask
            )
        elif is_lookup(node.instruction):
            found = self._look(node)
        else:
            given = [self._operand(x, node) for x in node.instruction.inputs]
            found = emit(self.builder, node.instruction, given)
        self.known[-1][key] = found
        return found

    def _is_kept(self, node: Call) -> bool:
        """Whether a kept value has been computed by an earlier sweep, for this element."""
        element = _element(node.value)
        return node.index == element[1] and element not in self.known[-1] and self.now > self._level(*element)

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
        if constant is not None and constant.size == 1:
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
        """Return a position: its first lane, how it goes on from lane to lane, and what differs in each lane."""
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
                found = self._checked(found, variable.value.dtype, variable.size)
                if lanes_of(found) is None:
                    base = code.add(builder, base, code.scale(builder, found, factor))
                    continue
                each = number(np.dtype(np.int64), factor, self.lanes)
                part = builder.mul(found, each)
                scattered = part if scattered is None else builder.add(scattered, part)
        return base, step, scattered

    def _checked(self, index: Any, dtype: Any, size: int) -> Any:
        """Return an index as 64 bits; one that is out of range is noted, and 0 taken in its place."""
        builder = self.builder
        lanes = lanes_of(index)
        word = np.dtype(np.int64)
        index = convert(builder, index, dtype, word)
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
        while pending:
            value, index = pending.pop()
            below = self.graph.reach(value, index, self.step)
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

    # ---- levels: which sweep an element belongs to ----

    def _level(self, value: Value, index: Index) -> int:
        """Return the sweep in which an element can be computed: after the row's reductions that it needs."""
        key = (value, index)
        if key not in self.levels:
            node = self.graph.reach(value, index, self.step)
            if isinstance(node, Load):
                level = max((self._level(*e) for e in looked(node.at)), default=0)
            elif node.value in self.loop.reductions:
                level = 1 + self._level(*self._source(node.value))
            else:
                level = max((self._level(*e) for e in operands(node)), default=0)
            self.levels[key] = level
        return self.levels[key]

    def _plan_kept(self) -> None:
        """Choose the values that are kept in memory between sweeps: dear ones, where a later sweep meets them."""
        self.now = 0
        if self.layout.flat or self.sweeps < 2:  # noqa: PLR2004 - with one sweep there is nothing to keep for
            return
        size = math.prod(self.layout.inner)
        room = _KEPT
        given = [_element(s.value) for s in self.wide] + [self._source(v) for v in self.swept]
        for element in given:
            for value in self._met_later(element):
                needed = (size + self.lanes) * value.dtype.itemsize
                if value not in self.kept and needed <= room:
                    room -= needed
                    self.kept[value] = code.slot(self.builder, value.dtype, count=size + self.lanes)

    def _met_later(self, element: Element) -> Iterator[Value]:
        """Give the dear values of earlier sweeps that an element is computed from, those nearest to it."""
        level = self._level(*element)
        pending = [element]
        while pending:
            value, index = pending.pop()
            node = self.graph.reach(value, index, self.step)
            if isinstance(node, Load) or node.value in self.loop.reductions:
                continue
            own = _element(node.value)
            if self._is_inner(node.value) and node.index == own[1] and self._level(*own) < level:
                if self._price(*own) >= _DEAR:
                    yield node.value
                continue
            pending += operands(node)

    def _price(self, value: Value, index: Index) -> int:
        """Return what computing an element costs, in additions, loads and the row's reductions being there."""
        total = 0
        pending, seen = [(value, index)], set()
        while pending:
            element = pending.pop()
            node = self.graph.reach(*element, self.step)
            if element not in seen and isinstance(node, Call) and node.value not in self.loop.reductions:
                total += cost(node.instruction)
                pending += operands(node)
            seen.add(element)
        return total

    # ---- small things ----

    def _source(self, value: Value) -> Element:
        return _element(self.loop.members[value].inputs[0])

    def _is_inner(self, value: Value) -> bool:
        return len(squeezed(value.shape)) == len(self.loop.frame)

    def _of_kind(self, kind: str) -> list[Value]:
        return [v for v, k in self.loop.reductions.items() if k == kind]

    def _all_sinks(self) -> Iterator[Element]:
        yield from (_element(s.value) for s in self.loop.stores)
        yield from (self._source(v) for v in self.loop.reductions)

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
                address = self.builder.gep(self.function.args[0], [i64(place)], source_etype=pointer)
                found = self.pointers[place] = self.builder.load(address, typ=pointer, align=8)
        return found

    def _partials(self, value: Value) -> Any:
        return self._pointer(self.slots.partials(value))


def _element(value: Value) -> Element:
    """Return the element of a value at the frame's position."""
    return value, canonical_index(value.shape)


def lanes_of_pointer(place: Any) -> int | None:
    """Return the lanes of what lies in a reserved place."""
    return getattr(place.allocated_type, "count", None)
