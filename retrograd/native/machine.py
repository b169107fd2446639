"""A program as machine code, ready to be called."""

from __future__ import annotations

import ctypes
import functools
import linecache
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from retrograd.arrays import Instruction, Program, Value
from retrograd.arrays.ir import replace
from retrograd.arrays.vocabulary import function_of
from retrograd.native import blueprint, jit, threads

if TYPE_CHECKING:
    from retrograd.native.kernels import Host

Array = np.ndarray[Any, Any]

_CALL = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.py_object)
_FILL = ctypes.CFUNCTYPE(None, ctypes.py_object, ctypes.c_void_p)
_RUN = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Machine:
    """Runs a program as machine code; calls that it has no code for are made by NumPy, in between."""

    def __init__(self, program: Program, updates: Mapping[int, int], name: str) -> None:
        self.program, self.updates, self.name = program, dict(updates), name
        threads.ensure()
        key = blueprint.fingerprint(program, updates, name)
        found = blueprint.recall(key)
        if found is None:
            blueprint.keep(key, self.drawing)
            found = self.drawing.blueprint
        self.blueprint = found
        self._library = jit.load(found.ir, key=name)
        self._constants = found.arrays(program)
        self._types = [(v.shape, v.dtype, _strides(v.shape, v.dtype)) for v in program.inputs]
        self._arenas: list[Array] = []  # not in use; a call takes one, or makes one
        self.run = self._runner()

    @functools.cached_property
    def drawing(self) -> blueprint.Drawing:
        """The fused program that the code was written from."""
        return blueprint.draw(self.program, self.updates, self.name)

    def __call__(self, *arrays: Array) -> tuple[Array, ...]:
        """Run the program. Arrays that are not in C order are copied, and copied back if they are updated.

        An array that is updated must share no memory with another input. After an IndexError, arrays that
        are updated may have been written, in whole or in part; the others are as they were.

        Raises:
            TypeError: the arrays are not of the number, shapes and dtypes of the program's inputs.
            IndexError: an index that the program reads is out of range.
        """
        if len(arrays) != len(self._types):
            raise TypeError(f"the program takes {len(self._types)} arrays; got {len(arrays)}")
        ready: list[Array] | None = None
        for i, (array, (shape, dtype, strides)) in enumerate(zip(arrays, self._types, strict=True)):
            if array.shape != shape or array.dtype != dtype:
                wanted = Value(0, shape, dtype).type
                raise TypeError(f"input {i} must be {wanted}; got {Value(0, array.shape, array.dtype).type}")
            if array.strides != strides or not isinstance(array, np.ndarray):
                ready = list(arrays) if ready is None else ready
                ready[i] = np.ascontiguousarray(array).reshape(shape)
        if ready is None:
            return self.run(arrays)
        results = list(self.run(tuple(ready)))
        for output, target in self.updates.items():
            if ready[target] is not arrays[target]:
                arrays[target][...] = ready[target]
            results[output] = arrays[target]
        return tuple(results)

    def trim(self) -> None:
        """Let go of the memory of temporaries, which is otherwise kept for the next call."""
        self._arenas.clear()

    def explain(self, *, measure: bool = False, ir: bool = False, assembly: bool = False) -> str:
        """Return what became of the program: after each pass, its steps with their work, what was not fused.

        Args:
            measure: hold the work against what the machine can do, which is measured then.
            ir: add the LLVM IR.
            assembly: add the machine code; it is compiled again for that.
        """
        from retrograd.native.explain import explain  # noqa: PLC0415 - when somebody asks

        parts = [explain(self.program, self.drawing.fused, measure)]
        parts += [self.blueprint.ir] if ir else []
        parts += [self._library.assembly()] if assembly else []
        return "\n\n".join(parts)

    # ---- running ----

    def _runner(self) -> Callable[[tuple[Array, ...]], tuple[Array, ...]]:
        """Write the function that runs the program on arrays of its shapes, its dtypes and in C order."""
        plan = self.blueprint
        program = self.program
        names: dict[str, Any] = {
            "empty": np.empty, "idle": self._arenas, "arena_of": functools.partial(_aligned, plan.arena),
            "constants": self._constants, "raise_range": _raise_range,
            "library": self._library,  # whoever holds the function holds the code
        }  # fmt: skip
        lines = ["arena = idle.pop() if idle else arena_of()"]
        for at in plan.fresh:
            value = program.outputs[at]
            names |= {f"shape{at}": value.shape, f"dtype{at}": value.dtype}
            lines.append(f"o{at} = empty(shape{at}, dtype{at})")
        fresh = "".join(f"o{at}, " for at in plan.fresh)
        constants = "*constants, " if self._constants else ""
        given = f"(*arrays, {constants}{fresh}arena)"
        if plan.runs == 1:
            names["call"] = _CALL(self._library.address("call"))
            lines.append(f"failed = call({given})")
        else:
            names["call"] = self._run_with_hosts
            lines.append(f"failed = call({given}, ({fresh}))")
        lines += ["idle.append(arena)", "if failed:", "    raise_range()"]
        results = "".join(
            f"arrays[{self.updates[i]}], " if i in self.updates else f"o{i}, "
            for i in range(len(program.outputs))
        )
        lines.append(f"return ({results})")
        body = "\n".join(f"    {line}" for line in lines)
        source, file = f"def run(arrays):\n{body}\n", f"<retrograd native {self.name}>"
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        exec(compile(source, file, "exec"), names)  # noqa: S102 - our own text, written above
        found: Callable[[tuple[Array, ...]], tuple[Array, ...]] = names["run"]
        return found

    def _run_with_hosts(self, given: tuple[Array, ...], outputs: tuple[Array, ...]) -> int:
        table = np.empty(self.blueprint.table, np.uintp)
        _FILL(self._library.address("table"))(given, table.ctypes.data)
        hosts = self.drawing.fused.hosts
        fresh = dict(zip(self.drawing.fresh, outputs, strict=True))
        for i in range(self.blueprint.runs):
            _RUN(self._library.address(f"run{i}"))(table.ctypes.data)
            if i < len(hosts):
                self._host(hosts[i], table, fresh)
        arena = given[-1]
        failed = int(arena[0])
        arena[0] = 0
        return failed

    def _host(self, step: Host, table: Array, fresh: dict[Value, Array]) -> None:
        """Let NumPy make a call, and put its results where the program looks for them."""
        places = self.drawing.places
        made: dict[Value, Array] = {}

        def array(value: Value) -> Array:
            found = made.get(value)
            return _at(int(table[places[value]]), value) if found is None else found

        for view in step.views:
            made[view.outputs[0]] = _apply(view, array)
        with np.errstate(all="ignore"):
            results = _apply(step.instruction, array)
        results = results if isinstance(results, (tuple, list)) else [results]
        for value, result in zip(step.instruction.outputs, results, strict=True):
            if value in fresh:
                fresh[value][...] = result
            elif value in places:
                _at(int(table[places[value]]), value)[...] = result


def _apply(instruction: Instruction, array: Callable[[Value], Array]) -> Any:
    params = {k: replace(v, array) for k, v in instruction.params}
    return function_of(instruction.name)(*replace(instruction.inputs, array), **params)


def _at(address: int, value: Value) -> Array:
    """Return an array on memory that the caller keeps alive."""
    size = int(np.prod(value.shape, dtype=np.int64)) * value.dtype.itemsize
    if size == 0:
        return np.empty(value.shape, value.dtype)
    memory: Any = (ctypes.c_char * size).from_address(address)
    return np.ndarray(value.shape, value.dtype, memory)


def _strides(shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, ...]:
    """Return the strides, in bytes, that NumPy gives an array in C order."""
    return (
        np.broadcast_to(np.empty((), dtype), shape).strides if 0 in shape else _dense(shape, dtype.itemsize)
    )


def _dense(shape: tuple[int, ...], step: int) -> tuple[int, ...]:
    found = []
    for n in reversed(shape):
        found.append(step)
        step *= n
    return tuple(found[::-1])


def _aligned(size: int) -> Array:
    """Return memory that begins at a line of the cache, its status word cleared."""
    raw = np.empty(size // 8 + 16, np.uint64)
    arena = raw[-raw.ctypes.data % 64 // 8 :]
    arena[0] = 0
    return arena


def _raise_range() -> None:
    raise IndexError("index out of range: an index that the compiled program reads lies outside its array")
