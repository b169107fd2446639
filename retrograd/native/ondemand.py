"""Functions of arrays as machine code, made once they have been used enough: eager mode on large arrays.

RETROGRAD_KERNELS=0     never: everything by NumPy
RETROGRAD_KERNELS=all   whatever the size, and at the first use (for tests)

A kernel is made for one combination of shapes, dtypes, layouts and static arguments. It is worth its making
when it has much to do, so elements are counted per combination, and a kernel is made once there were enough:
at the first or second use of large arrays, later for small ones. Counting, unlike timing, makes a program's
results the same in each run of it. A function that meets ever new shapes is given ever fewer kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from itertools import count
from typing import Any

import numpy as np

from retrograd import startup
from retrograd.arrays import Program, Traced, Value, trace
from retrograd.native.executable import build

ndarray = np.ndarray
Array = np.ndarray[Any, Any]
Function = Callable[[Any, tuple[Any, ...]], Any]
"""(form, values) -> a tuple of arrays, or None in places."""

ENOUGH = 2**22  # elements that a combination must have been used with: their work in NumPy takes 5 to 100 ms
_FREE = 8  # kernels that a function may have before each further one costs twice as many elements
_MOST = 1024  # combinations that are known at a time
_CONSTANT = (
    2**12
)  # elements of an array that a function brings along; beyond, it is not a function of its values
_SMALL_ARENA = 2**18  # bytes of temporaries that a kernel keeps from call to call

_clock = count()
_known: dict[tuple[Any, ...], Entry] = {}


def enough() -> int:
    """Return how many elements a combination must have been used with."""
    return 0 if startup.kernel_mode() == "all" else ENOUGH


class Entry:
    """What is known of one combination."""

    __slots__ = ("finish", "machine", "prepare", "refused", "run", "seen", "used")

    def __init__(self) -> None:
        self.seen = 0
        self.used = 0
        self.refused = False
        self.run: Callable[[tuple[Array, ...]], tuple[Array, ...]] | None = None
        self.machine: Any = None  # its code lives as long as it does
        self.prepare: tuple[Any, ...] | None = None  # per array: None, `_copied` or an index
        self.finish: Callable[[tuple[Array, ...], tuple[Array, ...]], tuple[Any, ...]] | None = None


class Kernels:
    """The kernels of one function.

    Args:
        name: what listings and logs call it.
        function: called with a form (whatever else than values distinguishes kernels) and the values; its
            arrays are then traced ones.
        strict: refuse arrays that do not lie in C order, instead of copying them.
    """

    def __init__(self, name: str, function: Function, *, strict: bool = False) -> None:
        self.name = name
        self.function = function
        self.strict = strict
        self.made = 0

    def __call__(self, values: tuple[Any, ...], work: int, form: Hashable = None) -> tuple[Any, ...] | None:
        """Return what the function returns, by a kernel; None if there is none, or none yet.

        Args:
            values: arrays, and static ones: numbers, strings, dtypes, tuples and lists of such, None.
            work: for how many elements, in some unit, there is something to do.
            form: likewise static.
        """
        key: list[Any] = [self, form]
        arrays: list[Array] = []
        for value in values:
            kind = value.__class__
            if kind is ndarray:
                arrays.append(value)
                key += (value.shape, value.dtype, value.strides)
            elif kind in _PLAIN:
                key += (kind, value)
            elif kind in _TEXT or isinstance(value, (tuple, np.dtype)):
                key += (kind, repr(value))  # -0.0 == 0.0, and 1.0 == 1
            else:
                return None
        whole = tuple(key)
        entry = _known.get(whole)
        if entry is None:
            entry = _enter(whole)
        entry.used = next(_clock)
        if entry.run is None:
            entry.seen += work
            if entry.refused or entry.seen < enough() << max(self.made - _FREE, 0):
                return None
            try:
                self._make(entry, form, values, arrays)
            except BaseException:  # an interrupt says nothing about the function
                entry.refused = False
                raise
        return _run(entry, arrays)

    def _make(self, entry: Entry, form: Any, values: tuple[Any, ...], arrays: list[Array]) -> None:
        """Make a kernel, or note that there is none: NumPy then says what is wrong, if anything is."""
        entry.refused = True
        prepare = [_preparation(a, strict=self.strict) for a in arrays]
        if _REFUSED in prepare:
            return
        examples = [_example(a, p) for a, p in zip(arrays, prepare, strict=True)]
        through: list[int | None] = []
        broadcasts: list[tuple[int, ...] | None] = []

        def run(*handles: Any) -> tuple[Any, ...]:
            spread = iter(
                h if h.shape == a.shape else np.broadcast_to(h, a.shape)
                for h, a in zip(handles, arrays, strict=True)
            )
            given = tuple(next(spread) if v.__class__ is ndarray else v for v in values)
            found = self.function(form, given)
            places = {id(g): i for i, g in enumerate(g for g in given if isinstance(g, Traced))}
            through.extend(None if f is None else places.get(id(f), -1) for f in found)
            return tuple(f for f, t in zip(found, through, strict=True) if t == -1)

        try:
            program = trace(run, *examples)
            if any(array.size > _CONSTANT for _, array in program.constants):
                return
            program, broadcasts[:] = _peeled(program)
            if not program.outputs or not program.instructions or len(program.inputs) != len(arrays):
                return
            machine: Any = build(program, name=self.name)
            if machine.blueprint.runs != 1 or any(v.dtype.char not in "fdl?" for v in program.outputs):
                return
        except Exception:  # noqa: BLE001 - whatever it is, the definition raises it again, in eager's words
            return
        self.made += 1
        entry.prepare = None if all(p is None for p in prepare) else tuple(prepare)
        if any(t != -1 for t in through) or any(b is not None for b in broadcasts):
            entry.finish = _finisher(through, broadcasts)
        entry.refused = False
        entry.machine = machine
        entry.run = machine.run if machine.blueprint.arena <= _SMALL_ARENA else _trimmed(machine)


def _trimmed(machine: Any) -> Any:
    """Return a machine's `run` that keeps no temporaries from call to call."""

    def run(arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        try:
            found: tuple[Array, ...] = machine.run(arrays)
        finally:
            machine.trim()
        return found

    return run


def _run(entry: Entry, arrays: list[Array]) -> tuple[Any, ...] | None:
    if entry.run is None:
        return None
    given = tuple(arrays)
    if entry.prepare is not None:
        given = tuple(
            a if p is None else np.ascontiguousarray(a if p is _COPIED else a[p])
            for a, p in zip(arrays, entry.prepare, strict=True)
        )
    try:
        found = entry.run(given)
    except IndexError:  # the definition says which index it is
        return None
    return found if entry.finish is None else entry.finish(tuple(arrays), found)


_PLAIN = frozenset({type(None), bool, int, str})
_TEXT = frozenset({float, tuple, list})
_COPIED, _REFUSED = object(), object()


def _enter(key: tuple[Any, ...]) -> Entry:
    """Make an entry; forget the half that was used longest ago when there are too many."""
    if len(_known) >= _MOST:
        entries = list(_known.items())  # another thread may enter one meanwhile
        entries.sort(key=lambda item: item[1].used)
        for old, _ in entries[: _MOST // 2]:
            _known.pop(old, None)
    return _known.setdefault(key, Entry())


def clear() -> None:
    """Forget all kernels."""
    _known.clear()


def _preparation(array: Array, *, strict: bool) -> Any:
    """Return what must be done to an array before a kernel can read it: nothing, an index, or a copy.

    What repeats itself along a dimension is read once.
    """
    if array.flags.c_contiguous:
        return None
    repeats = [n > 1 and s == 0 for n, s in zip(array.shape, array.strides, strict=True)]
    if any(repeats):
        index = tuple(slice(0, 1) if r else slice(None) for r in repeats)
        return _REFUSED if strict and not array[index].flags.c_contiguous else index
    return _REFUSED if strict else _COPIED


def _example(array: Array, prepare: Any) -> Array:
    """Return an array of the type that a kernel is given, without memory of its own."""
    shape = array[prepare].shape if isinstance(prepare, tuple) else array.shape
    return np.broadcast_to(np.empty((), array.dtype), shape)


def _peeled(program: Program) -> tuple[Program, list[tuple[int, ...] | None]]:
    """Return a program without the broadcasting of its outputs, and their shapes where there was any."""
    made_by = {v: i for i in program.instructions for v in i.outputs}
    outputs, shapes = [], []
    for value in program.outputs:
        made = made_by.get(value)
        is_broadcast = made is not None and made.name == "broadcast_to" and isinstance(made.inputs[0], Value)
        outputs.append(made.inputs[0] if made is not None and is_broadcast else value)
        shapes.append(value.shape if is_broadcast else None)
    needed = set(outputs)
    kept = []
    for instruction in reversed(program.instructions):
        if not needed.isdisjoint(instruction.outputs):
            kept.append(instruction)
            needed.update(instruction.operands)
    return Program(program.inputs, program.constants, tuple(kept[::-1]), tuple(outputs)), shapes


def _finisher(through: list[int | None], broadcasts: list[tuple[int, ...] | None]) -> Any:
    """Return what puts together a function's results from its arrays and those of a kernel."""

    def finish(arrays: tuple[Array, ...], found: tuple[Array, ...]) -> tuple[Any, ...]:
        made = iter(
            f if shape is None else np.broadcast_to(f, shape)
            for f, shape in zip(found, broadcasts, strict=True)
        )
        return tuple(None if t is None else next(made) if t == -1 else arrays[t] for t in through)

    return finish
