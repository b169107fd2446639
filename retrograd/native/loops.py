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
from typing import Any

from retrograd.arrays import Value
from retrograd.native import code
from retrograd.native.affine import Affine
from retrograd.native.code import COMBINE, across, counted, i64, identity
from retrograd.native.elements import Elements
from retrograd.native.kernels import Store
from retrograd.native.layout import TILE, scattered_to, sinks
from retrograd.native.sweeps import element_of
from retrograd.native.types import convert, lanes_of, llvm, spread

_UNROLL = 4  # vectors in flight, so that a sum does not wait for the addition before
_KEPT = 32 << 10  # bytes of the stack for such values


class Writer(Elements):
    """Emits one loop as a function `void name(ptr table, i64 begin, i64 end)` over chunks."""

    # ---- the function ----

    def write(self, module: Any, name: str) -> Any:
        """Write the function into a module, and return it."""
        ir = llvm()
        word, pointer = ir.IntType(64), ir.PointerType()
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), (pointer, word, word)), name)
        function.linkage = "internal"
        self.table, begin, end = function.args
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        loop, layout = self.loop, self.layout
        self._keep_dear()
        self.totals = {
            v: code.slot(self.builder, v.dtype, self.lanes if kind == "full" and layout.inner else None)
            for v, kind in loop.reductions.items()
            if kind in ("full", "rows")
        }
        first = self.builder.append_basic_block("first")
        entry, self.builder = self.builder.block, llvm().IRBuilder(first)
        with counted(self.builder, begin, end) as chunk:
            self._chunk(chunk)
        self.builder.ret_void()
        self.builder.position_at_end(entry)
        self.builder.branch(first)
        return function

    def _keep_dear(self) -> None:
        """Reserve memory for values that are kept from sweep to sweep."""
        size = math.prod(self.layout.inner)
        room = _KEPT
        for value in () if self.layout.flat else self.sweeps.met_again():
            needed = (size + self.lanes) * value.dtype.itemsize
            if value not in self.kept and needed <= room:
                room -= needed
                self.kept[value] = code.slot(self.builder, value.dtype, count=size + self.lanes)

    def _chunk(self, chunk: Any) -> None:
        builder, layout = self.builder, self.layout
        self.chunk = chunk
        with self._scope():
            self._hoist(sinks(self.loop))
            for value, total in self.totals.items():
                name = self.loop.members[value].name
                builder.store(identity(name, value.dtype, lanes_of_pointer(total)), total)
            for value in self._of_kind("column"):
                self._clear_column(value)
            for value in self._of_kind("scatter"):
                code.clear(builder, self._pointer(self.slots.of(value)), math.prod(value.shape), value.dtype)
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
            for level in range(self.sweeps.count):
                self._sweep(level)
            for store in self.sweeps.narrow:
                self._value(*element_of(store.value))
            for store in self.sweeps.narrow:
                self._store(store)
            for value in self._of_kind("rows"):
                self._accumulate(value, self.totals[value], self._reduced(value))

    # ---- sweeps ----

    def _sweep(self, level: int) -> None:
        builder = self.builder
        self.now = level
        stores = [s for s in self.sweeps.wide if self.sweeps.level(*element_of(s.value)) == level]
        reductions = [v for v in self.sweeps.reduced if self.sweeps.level(*self.sweeps.source(v)) == level]
        keep = [v for v in self.kept if self.sweeps.level(*element_of(v)) == level]
        given = [element_of(s.value) for s in stores] + [self.sweeps.source(v) for v in reductions]
        self._hoist([*given, *map(element_of, keep)])
        sums = [v for v in reductions if self.loop.reductions[v] not in ("column", "scatter")]
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
                    self._vector(*element_of(value)),
                    self.mask,
                )
            for store in stores:
                self._store(store)
            for value in reductions:
                if self.loop.reductions[value] == "column":
                    self._accumulate_column(value)
                elif self.loop.reductions[value] == "scatter":
                    self._scatter(value)
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
        size = i64(self.layout.groups[groups[0]][1])
        with counted(self.builder, i64(0), size) as index, self._scope():
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
        found = self._vector(*element_of(value)) if self.lane is not None else self._value(*element_of(value))
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
        source, index = self.sweeps.source(value)
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

    def _scatter(self, value: Value) -> None:
        """Add an element, or a vector of them, at a position that is read; where lanes differ, one by one."""
        builder, pointer = self.builder, self._pointer(self.slots.of(value))
        found = self._reduced(value)
        base, step, scattered = self._position(scattered_to(self.loop, value))
        if self.lane is None or (scattered is None and step == 1):
            lanes = None if self.lane is None else self.lanes
            before = code.load(builder, pointer, value.dtype, base, lanes, self.mask)
            made = COMBINE["sum"](builder, value.dtype, before, spread(builder, found, lanes))
            code.store(builder, pointer, value.dtype, base, made, self.mask)
            return
        places = code.ramp(builder, base, step, self.lanes)
        places = places if scattered is None else builder.add(scattered, places)
        for lane in range(self.lanes):
            self._add_lane(value.dtype, pointer, places, spread(builder, found, self.lanes), lane)

    def _add_lane(self, dtype: Any, pointer: Any, places: Any, found: Any, lane: int) -> None:
        builder, at = self.builder, llvm().IntType(32)(lane)

        def add() -> None:
            place, each = builder.extract_element(places, at), builder.extract_element(found, at)
            before = code.load(builder, pointer, dtype, place)
            code.store(builder, pointer, dtype, place, COMBINE["sum"](builder, dtype, before, each))

        if self.mask is None:
            add()
        else:
            with builder.if_then(builder.extract_element(self.mask, at)):
                add()

    # ---- small things ----

    def _of_kind(self, kind: str) -> list[Value]:
        return [v for v, k in self.loop.reductions.items() if k == kind]


def lanes_of_pointer(place: Any) -> int | None:
    """Return the lanes of what lies in a reserved place."""
    return getattr(place.allocated_type, "count", None)
