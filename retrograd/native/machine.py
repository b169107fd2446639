"""A program as machine code, ready to be called."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np

from retrograd.arrays import Instruction, Program, Value
from retrograd.arrays.ir import replace
from retrograd.arrays.vocabulary import function_of
from retrograd.native import jit, threads
from retrograd.native.assemble import _HEAD, Assembly
from retrograd.native.fuse import Fused
from retrograd.native.kernels import Host, Step
from retrograd.native.passes import prepare

Array = np.ndarray[Any, Any]

_FROM_TUPLE = ctypes.CFUNCTYPE(None, ctypes.py_object)
_FILL = ctypes.CFUNCTYPE(None, ctypes.py_object, ctypes.c_void_p)
_RUN = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Machine:
    """Runs a program as machine code; calls that it has no code for are made by NumPy, in between."""

    def __init__(self, program: Program, updates: Mapping[int, int], name: str) -> None:
        self.source = program
        self.program = prepare(program)
        self.updates = dict(updates)
        threads.ensure()
        fused = Fused(self.program)
        made = Assembly(self.program, fused, updates, name)
        self.steps: list[Step] = fused.steps
        self.ir = str(made.module)
        self._library = jit.load(self.ir, key=name)
        self._call = _FROM_TUPLE(self._library.address("call"))
        self._fill = _FILL(self._library.address("table"))
        self._runs = [_RUN(self._library.address(f"run{i}")) for i in range(len(made.runs))]
        self._hosts = [s for s in fused.steps if isinstance(s, Host)]
        self._constants = tuple(np.ascontiguousarray(a) for a in made.graph.constants.values())
        self._types = [(v.shape, v.dtype, _strides(v)) for v in self.program.inputs]
        self._fresh = [(v.shape, v.dtype) for v in made.outputs]
        self._places, self._table = made.places, made.table
        self._fresh_at = {v: k for k, v in enumerate(made.outputs)}
        self._size = made.arena.size + 2 * _HEAD
        self._arenas: list[Array] = []  # not in use; a call takes one, or makes one
        self._results = [self._fresh_at.get(v) for v in self.program.outputs]

    def __call__(self, *arrays: Array) -> tuple[Array, ...]:
        """Run the program. Arrays that do not lie in memory in C order are copied, and back if they are updated.

        Raises:
            TypeError: the arrays are not of the number, shapes and dtypes of the program's inputs.
            IndexError: an index that the program reads is out of range.
        """
        if len(arrays) != len(self._types):
            raise TypeError(f"the program takes {len(self._types)} arrays; got {len(arrays)}")
        ready = list(arrays)
        for i, (array, (shape, dtype, strides)) in enumerate(zip(arrays, self._types, strict=True)):
            if array.shape != shape or array.dtype != dtype:
                wanted = Value(0, shape, dtype).type
                raise TypeError(f"input {i} must be {wanted}; got {Value(0, array.shape, array.dtype).type}")
            if array.strides != strides or not isinstance(array, np.ndarray):
                ready[i] = np.ascontiguousarray(array)
        results = list(self.run(tuple(ready)))
        for output, target in self.updates.items():
            if ready[target] is not arrays[target]:
                arrays[target][...] = ready[target]
            results[output] = arrays[target]
        return tuple(results)

    def run(self, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        """Run the program on arrays that are known to have its shapes, its dtypes and C order."""
        outputs = [np.empty(shape, dtype) for shape, dtype in self._fresh]
        try:
            arena = self._arenas.pop()
        except IndexError:
            arena = _aligned(self._size)
        given = (*arrays, *self._constants, *outputs, arena)
        if self._hosts:
            self._run_with_hosts(given, outputs)
        else:
            self._call(given)
        failed = arena[0]
        arena[0] = 0
        self._arenas.append(arena)
        if failed:
            raise IndexError(
                "index out of range: an index that the compiled program reads lies outside its array"
            )
        return tuple(
            [arrays[self.updates[i]] if at is None else outputs[at] for i, at in enumerate(self._results)]
        )

    def _run_with_hosts(self, given: tuple[Array, ...], outputs: list[Array]) -> None:
        table = np.empty(self._table, np.uintp)
        self._fill(given, table.ctypes.data)
        alive = []
        for run, host in zip(self._runs, [*self._hosts, None], strict=True):
            run(table.ctypes.data)
            if host is not None:
                alive.append(self._host(host, table, outputs))

    def _host(self, step: Host, table: Array, outputs: list[Array]) -> list[Array]:
        """Let NumPy make a call, and put its results where the program looks for them."""
        made: dict[Value, Array] = {}

        def array(value: Value) -> Array:
            found = made.get(value)
            return _at(int(table[self._places[value]]), value) if found is None else found

        for view in step.views:
            made[view.outputs[0]] = _apply(view, array)
        with np.errstate(all="ignore"):
            results = _apply(step.instruction, array)
        results = results if isinstance(results, (tuple, list)) else [results]
        held = []
        for value, result in zip(step.instruction.outputs, results, strict=True):
            lies = np.array(result, value.dtype, order="C", copy=None)
            if value in self._fresh_at:
                outputs[self._fresh_at[value]][...] = lies
            elif value in self._places:
                _at(int(table[self._places[value]]), value)[...] = lies
            held.append(lies)
        return held


def _apply(instruction: Instruction, array: Any) -> Any:
    params = {k: replace(v, array) for k, v in instruction.params}
    return function_of(instruction.name)(*replace(instruction.inputs, array), **params)


def _at(address: int, value: Value) -> Array:
    """Return an array on memory that the caller keeps alive."""
    size = int(np.prod(value.shape, dtype=np.int64)) * value.dtype.itemsize
    if size == 0:
        return np.empty(value.shape, value.dtype)
    memory = (ctypes.c_char * size).from_address(address)
    return np.frombuffer(memory, value.dtype).reshape(value.shape)


def _strides(value: Value) -> tuple[int, ...]:
    return np.empty(value.shape, value.dtype).strides if 0 in value.shape else _dense(value)


def _dense(value: Value) -> tuple[int, ...]:
    found = []
    step = value.dtype.itemsize
    for n in reversed(value.shape):
        found.append(step)
        step *= n
    return tuple(found[::-1])


def _aligned(size: int) -> Array:
    """Return memory that begins at a line of the cache, its status word cleared."""
    raw = np.empty(size // 8 + 16, np.uint64)
    skip = -raw.ctypes.data % 64 // 8
    arena = raw[skip:]
    arena[0] = 0
    return arena
