"""From steps to a module of LLVM IR: where every array lies, a function per loop, and one per run of steps.

A running program finds its arrays through a table of pointers: the status word, inputs, constants, outputs,
and the temporaries, which lie in an arena. `table` fills it from a tuple of NumPy arrays; `run0`, `run1` ...
do the steps between calls that NumPy makes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from retrograd.arrays import Program, Value
from retrograd.native import code, gemm, target
from retrograd.native.affine import offset
from retrograd.native.arena import Arena
from retrograd.native.code import i64
from retrograd.native.epilogue import Epilogue, absorbed
from retrograd.native.fuse import Fused
from retrograd.native.graph import Load
from retrograd.native.join import emit_join
from retrograd.native.kernels import Host, Loop, Product, canonical_index
from retrograd.native.layout import Layout, plan, sinks, walk
from retrograd.native.lookups import is_lookup
from retrograd.native.loops import Writer
from retrograd.native.products import describe
from retrograd.native.scatters import is_scatter
from retrograd.native.stays import leave
from retrograd.native.types import llvm

_ITEMS, _DATA = (
    24,
    16,
)  # bytes: where CPython's tuple has its items, and NumPy's array the address of its data
HEAD = 64  # bytes at the arena's beginning, for the status word
_MOST_LANES = 32


class Assembly:
    """A program's module as it is put together."""

    def __init__(self, program: Program, fused: Fused, updates: Mapping[int, int], name: str) -> None:
        self.program, self.fused, self.graph, self.updates = program, fused, fused.graph, updates
        self.module = llvm().Module(name)
        self.host = target.host()
        for output, place in updates.items():
            leave(fused, program.outputs[output], program.inputs[place])
        self.layouts: dict[int, Layout] = {
            n: plan(self.graph, s, n) for n, s in enumerate(fused.steps) if isinstance(s, Loop)
        }
        self.products = {
            n: describe(self.graph, s, n) for n, s in enumerate(fused.steps) if isinstance(s, Product)
        }
        written = {program.outputs[o] for o in updates}
        self.absorbed = absorbed(self.graph, fused.steps, written)
        for number in self.absorbed.values():
            del self.layouts[number]
        self.loads = {n: self._loads(n) for n in range(len(fused.steps))}
        self.places: dict[Value, int] = {}
        self.parts: dict[Value, int] = {}
        self.offsets: list[
            tuple[int, int]
        ] = []  # places in the table, and the offsets in the arena that go there
        self.copies: list[tuple[Value, int]] = []  # temporaries that are copied to an input in the end
        self.status = 0
        self.has_lookups = any(is_lookup(i) or is_scatter(i) for i in program.instructions)
        self.arena = Arena()
        self._give_places()
        self.runs: list[list[int]] = [[]]
        for number, step in enumerate(fused.steps):
            if isinstance(step, Host):
                self.runs.append([])
            else:
                self.runs[-1].append(number)
        self._emit()

    # ---- places ----

    def _loads(self, number: int) -> dict[Value, set[Any]]:
        """Return the arrays that a step reads, each with the positions."""
        step = self.fused.steps[number]
        found: dict[Value, set[Any]] = {}
        if isinstance(step, Loop):
            for node in walk(self.graph, step, number, sinks(step)):
                if isinstance(node, Load):
                    found.setdefault(node.value, set()).add(node.at)
            return found
        if isinstance(step, Product):
            for node in self.products[number][1:]:
                found.setdefault(node.value, set()).add(node.at)
            return found
        for value in step.instruction.operands:
            found.setdefault(self.graph.base(value)[0], set()).add(None)
        return found

    def of(self, value: Value) -> int:
        """Return the place of an array."""
        return self.places[value]

    def partials(self, value: Value) -> int:
        """Return the place of a reduction's parts, one per chunk."""
        return self.parts.get(value, self.places[value])

    def _give_places(self) -> None:
        count = 1  # the status word
        for value in (*self.program.inputs, *self.graph.constants):
            self.places[value] = count
            count += 1
        self.outputs: list[Value] = []
        targets = {self.program.outputs[o]: self.program.inputs[i] for o, i in self.updates.items()}
        for value in self.program.outputs:
            if value not in targets:
                self.places[value] = count
                self.outputs.append(value)
                count += 1
            elif self._may_overwrite(value, targets[value]):
                self.places[value] = self.places[targets[value]]
        last = len(self.fused.steps)
        takes_in = {loop: product for product, loop in self.absorbed.items()}
        for value, step in self.graph.stored.items():
            if value in self.places or step < 0 or step in self.absorbed:
                continue  # a product that takes in a loop is never in memory itself
            step = takes_in.get(step, step)
            is_update = value in targets
            dead = (
                last
                if is_update
                else max((n for n, read in self.loads.items() if value in read), default=step)
            )
            self._temporary(value, count, 1, self.fused.begun.get(value, step), dead)
            count += 1
            if is_update:
                self.copies.append((value, self.places[targets[value]]))
        for number, layout in self.layouts.items():
            loop = self.fused.steps[number]
            assert isinstance(loop, Loop)
            for value, kind in loop.reductions.items():
                if kind != "row" and layout.chunks > 1:
                    at = self.arena.reserve(layout.chunks * _bytes(value), number, number)
                    self.parts[value] = count
                    self.offsets.append((count, at))
                    count += 1
        self.scratch: dict[int, int] = {}
        for number, (spec, _, _) in self.products.items():
            self.scratch[number] = count
            self.offsets.append((count, self.arena.reserve(gemm.workspace(spec, self.host), number, number)))
            count += 1
        self.table = count

    def _temporary(self, value: Value, place: int, copies: int, first: int, last: int) -> None:
        self.places[value] = place
        self.offsets.append((place, self.arena.reserve(copies * _bytes(value), first, last)))

    def _may_overwrite(self, value: Value, old: Value) -> bool:
        """Whether a value may be written where an input lies: nothing reads the input's elements later."""
        home = self.graph.stored[value]
        begun = self.fused.begun.get(value)
        if begun is not None:
            return not any(old in read for number, read in self.loads.items() if number >= begun)
        if any(old in read for number, read in self.loads.items() if number > home):
            return False
        read = self.loads[home].get(old, set())
        step = self.fused.steps[home]
        if not isinstance(step, Loop):
            return not read
        if value in step.reductions:
            return not read or self.layouts[home].chunks > 1
        own = offset(canonical_index(value.shape), value.shape)
        sweeps = any(kind == "row" for kind in step.reductions.values())
        return not read or (read == {own} and not sweeps)

    # ---- code ----

    def _emit(self) -> None:
        ir = llvm()
        pointer, word = ir.PointerType(), ir.IntType(64)
        self.loop_type = ir.FunctionType(ir.VoidType(), (pointer, word, word))
        self.parallel = ir.Function(
            self.module, ir.FunctionType(ir.VoidType(), (pointer, pointer, word, word)), "retrograd_parallel"
        )
        functions = {}
        for number, layout in self.layouts.items():
            loop = self.fused.steps[number]
            assert isinstance(loop, Loop)
            lanes = self._lanes(number, loop)
            writer = Writer(self.graph, loop, layout, number, self, lanes)
            functions[number] = writer.write(self.module, f"loop{number}")
        for index, run in enumerate(self.runs):
            function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), (pointer,)), f"run{index}")
            builder = ir.IRBuilder(function.append_basic_block("entry"))
            for number in run:
                step = self.fused.steps[number]
                if isinstance(step, Loop) and number in functions:
                    self._call_loop(builder, function.args[0], number, functions[number])
                elif isinstance(step, Product):
                    self._call_product(builder, function.args[0], number, step)
            if index == len(self.runs) - 1:
                for value, place in self.copies:
                    self._copy(builder, function.args[0], self.places[value], place, _bytes(value))
            builder.ret_void()
        self._emit_entry()

    def _lanes(self, number: int, loop: Loop) -> int:
        """Return the elements of a loop's vectors: as many of its widest numbers as fill a register."""
        kinds = [v.dtype for v in (*loop.members, *self.loads[number])]
        floats = [d.itemsize for d in kinds if d.kind == "f"]
        widest = max(floats or [d.itemsize for d in kinds if d.kind != "b"] or [1])
        return min(self.host.vector_bytes // widest, _MOST_LANES)

    def _call_loop(self, builder: Any, table: Any, number: int, function: Any) -> None:
        layout, loop = self.layouts[number], self.fused.steps[number]
        if layout.chunks == 1:
            builder.call(function, (table, i64(0), i64(1)))
            return
        builder.call(self.parallel, (function, table, i64(layout.chunks), i64(1)))
        assert isinstance(loop, Loop)
        for value in loop.reductions:
            if value in self.parts:
                self._join(builder, table, value, loop.members[value].name, layout.chunks)

    def _join(self, builder: Any, table: Any, value: Value, name: str, chunks: int) -> None:
        """Emit the call that joins the parts of a reduction."""
        lanes = self.host.vector_bytes // value.dtype.itemsize
        function = emit_join(self.module, f"join{self.parts[value]}", value, name, chunks, lanes)
        parts = self.pointer(builder, table, self.parts[value])
        builder.call(function, (parts, self.pointer(builder, table, self.places[value])))

    def _call_product(self, builder: Any, table: Any, number: int, step: Product) -> None:
        spec, left, right = self.products[number]
        made = step.instruction.outputs[0]
        loop = self.fused.steps[self.absorbed[number]] if number in self.absorbed else None
        epilogue = None
        if isinstance(loop, Loop):
            epilogue = Epilogue(self.graph, loop, made, self.absorbed[number], self)
            made = loop.stores[0].target
        function = gemm.emit(
            self.module, spec, f"product{number}",
            target=self.host, epilogue=epilogue, parallel=self.parallel,
        )  # fmt: skip
        given = []
        for node in (left, right):
            base = self.pointer(builder, table, self.places[node.value])
            given.append(code.element(builder, base, node.value.dtype, i64(node.at.constant)))
        result = self.pointer(builder, table, self.places[made])
        scratch = self.pointer(builder, table, self.scratch[number])
        builder.call(function, (*given, result, scratch, table))

    def pointer(self, builder: Any, table: Any, place: int) -> Any:
        """Return the address that a place of the table holds."""
        ir = llvm()
        address = builder.gep(table, [i64(place)], source_etype=ir.PointerType())
        return builder.load(address, typ=ir.PointerType(), align=8)

    def _copy(self, builder: Any, table: Any, source: int, place: int, size: int) -> None:
        ir = llvm()
        pointer = ir.PointerType()
        function = self.module.globals.get("llvm.memcpy.p0.p0.i64") or ir.Function(
            self.module,
            ir.FunctionType(ir.VoidType(), (pointer, pointer, ir.IntType(64), ir.IntType(1))),
            "llvm.memcpy.p0.p0.i64",
        )
        to, of = self.pointer(builder, table, place), self.pointer(builder, table, source)
        builder.call(function, (to, of, i64(size), ir.IntType(1)(0)))

    def _emit_entry(self) -> None:
        """Emit `table(tuple, table)`, and `call(tuple)`, which has a table of its own and does the first run.

        `call` returns the status word, and clears it.
        """
        ir = llvm()
        pointer = ir.PointerType()
        fill = ir.Function(self.module, ir.FunctionType(ir.VoidType(), (pointer, pointer)), "table")
        builder = ir.IRBuilder(fill.append_basic_block("entry"))
        given, table = fill.args

        def put(place: int, address: Any) -> None:
            builder.store(address, builder.gep(table, [i64(place)], source_etype=pointer), align=8)

        def data(item: int) -> Any:
            byte = ir.IntType(8)
            array = builder.load(
                builder.gep(given, [i64(_ITEMS + 8 * item)], source_etype=byte), typ=pointer, align=8
            )
            return builder.load(builder.gep(array, [i64(_DATA)], source_etype=byte), typ=pointer, align=8)

        given_arrays = (*self.program.inputs, *self.graph.constants, *self.outputs)
        arena = data(len(given_arrays))
        put(self.status, arena)
        for item, value in enumerate(given_arrays):
            put(self.places[value], data(item))
        for place, at in self.offsets:
            put(place, builder.gep(arena, [i64(at + HEAD)], source_etype=ir.IntType(8)))
        builder.ret_void()
        word = ir.IntType(64)
        call = ir.Function(self.module, ir.FunctionType(word, (pointer,)), "call")
        builder = ir.IRBuilder(call.append_basic_block("entry"))
        own = builder.alloca(pointer, ir.IntType(32)(self.table))
        builder.call(fill, (call.args[0], own))
        builder.call(self.module.globals["run0"], (own,))
        if self.has_lookups:
            status = self.pointer(builder, own, self.status)
            failed = builder.load(status, typ=word, align=8)
            builder.store(word(0), status, align=8)
            builder.ret(failed)
        else:
            builder.ret(word(0))


def _bytes(value: Value) -> int:
    return max(math.prod(value.shape), 1) * value.dtype.itemsize
