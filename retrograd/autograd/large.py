"""Large arrays: definitions and rules as machine code.

What a kernel computes is traced from the very definition or rule of the declaration, so it is right when that
is. Which ops are worth it, and from how many elements on, stands in the declaration (`large=`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from retrograd import startup
from retrograd.autograd.modes import local, modes
from retrograd.autograd.pull import fit, free
from retrograd.autograd.record import saved_names
from retrograd.ops.batching import call
from retrograd.ops.declare import Op
from retrograd.ops.families import SEVERAL

if TYPE_CHECKING:
    from retrograd.native.ondemand import Kernels

ndarray = np.ndarray
_FLOATS = frozenset("fd")


NOTICED = 2**13
"""Elements from which an array is noticed. An op that is worth a kernel only from there on does not look at
sizes, which would cost small tensors a few percent, before the process has had such an array.
"""


class _Noticed:
    yet = False


_sleeping: list[Callable[[], None]] = []


def notice(size: int) -> None:
    """Have all ops look at sizes from now on, if this is a large one."""
    if size >= NOTICED and not _Noticed.yet:
        _Noticed.yet = True
        limit.cache_clear()
        while _sleeping:
            _sleeping.pop()()


def is_asleep(op: Op) -> bool:
    """Whether an op's functions will have to be written again when there is a large array."""
    return not _Noticed.yet and _limit(op) is not None and limit(op) is None


def when_noticed(rewrite: Callable[[], None]) -> None:
    """Have `rewrite` called when there is a large array."""
    _sleeping.append(rewrite)


@cache
def limit(op: Op) -> int | None:
    """Return from how many elements on an op may run as a kernel; None for never, or not yet."""
    found = _limit(op)
    return None if found is not None and found >= NOTICED and not _Noticed.yet else found


def _limit(op: Op) -> int | None:
    mode = startup.kernel_mode()
    takes = op.large and "f" in op.kinds and all(p.kind != "tensors" for p in op.parameters)
    if mode == "0" or not takes or op.outputs == ("*",):
        return None
    return 0 if mode == "all" else op.large


def _dear(op: Op) -> int:
    """Return how much more an element takes than with NumPy's single calls: the fewer need be seen."""
    return max(1, SEVERAL // op.large)


class Forward:
    """An op's definition for large arrays."""

    def __init__(self, op: Op) -> None:
        self.op = op
        self.dear = _dear(op)
        self.first = next(i for i, p in enumerate(op.parameters) if not p.is_static)

    @cached_property
    def kernels(self) -> Kernels:
        """The definition's kernels."""
        from retrograd.native.ondemand import Kernels  # noqa: PLC0415 - with the first large array

        return Kernels(self.op.name, self._traced, strict=self.op.family == "pointwise")

    def __call__(self, *values: Any) -> Any:
        """Run the definition on all of its arguments, in the declared order."""
        op = self.op
        first = values[self.first]
        notice(first.size)
        if first.__class__ is ndarray and not _is_tracing() and first.dtype.char in _FLOATS:
            if op.guard is not None:
                op.guard(*values)
            found = self.kernels(values, first.size * self.dear)
            if found is not None:
                return found if op.outputs else found[0]
        return call(op, values)

    def _traced(self, form: Any, values: tuple[Any, ...]) -> tuple[Any, ...]:
        del form
        found = call(self.op, values)
        return tuple(found) if self.op.outputs else (found,)


class Backward:
    """The rules of a node for large arrays: all that are needed, in one kernel."""

    def __init__(self, op: Op) -> None:
        self.op = op
        self.dear = _dear(op)
        self.names = saved_names(op)

    @cached_property
    def kernels(self) -> Kernels:
        """The rules' kernels."""
        from retrograd.native.ondemand import Kernels  # noqa: PLC0415 - with the first large array

        return Kernels(f"{self.op.name}.rules", self._traced)

    def __call__(self, node: Any, ct: Any, keep: bool) -> tuple[Any, ...] | None:
        """Return what a node's rules give; None if there is no kernel for it."""
        needed = tuple(edge is not None for edge in node.edges)
        if isinstance(ct, np.generic):
            ct = np.asarray(ct)
        if ct.__class__ is not ndarray or ct.dtype.char not in _FLOATS or _is_tracing():
            return None
        wanted = {n for x, need in zip(self.op.rules, needed, strict=True) if need for n in self.op.needs[x]}
        values: list[Any] = [ct]
        size = ct.size
        for name in self.names:
            value = getattr(node, f"saved_{name}") if name in wanted else None
            values.append(value)
            if value.__class__ is ndarray:
                size = max(size, value.size)
                if not _is_unchanged(node, name):
                    return None
        if self.op.family == "pointwise" and node.metas is None and _is_repeated(ct):
            found = self._once(needed, ct, values)
            if found is not None:
                return found
        same = None if node.extras is not None else _same(node.edges)
        found = self.kernels(tuple(values), size * self.dear, (needed, node.metas, same))
        if found is not None and not keep:
            free(node)
        return found

    def _traced(self, form: Any, values: tuple[Any, ...]) -> tuple[Any, ...]:
        needed, metas, same = form
        op = self.op
        known = dict(zip(("ct", *self.names), values, strict=True))
        found: list[Any] = []
        for i, (x, rule) in enumerate(op.rules.items()):
            pulled = rule(**{n: known[n] for n in op.needs[x]}) if needed[i] else None
            found.append(pulled if metas is None or pulled is None else fit(pulled, metas[i]))
        if same is not None:
            first, second = same
            found[first], found[second] = found[first] + found[second], None
        return tuple(found)

    def _once(self, needed: tuple[bool, ...], ct: Any, values: list[Any]) -> tuple[Any, ...] | None:
        """Run pointwise rules on one element where all are equal, and repeat what comes out."""
        if any(v.__class__ is ndarray and v.size != 1 for v in values[1:]):
            return None
        one = ct[(slice(0, 1),) * ct.ndim]
        found = self._traced((needed, None, None), (one, *values[1:]))
        return tuple(None if f is None else np.broadcast_to(f, ct.shape) for f in found)


def _is_tracing() -> bool:
    """Whether a program of the user's is being recorded, of which all that is done shall be a part."""
    return bool(modes.special) and local.tracer is not None


def _is_repeated(array: Any) -> bool:
    return all(s == 0 or n == 1 for s, n in zip(array.strides, array.shape, strict=True)) and array.size > 1


def _same(edges: tuple[Any, ...]) -> tuple[int, int] | None:
    """Return the places of two edges that lead to one node: their cotangents may be added at once."""
    if len(edges) == 2 and edges[0] is edges[1] and edges[0] is not None:
        return 0, 1
    return None


def _is_unchanged(node: Any, name: str) -> bool:
    """Whether a saved array has not been written to since."""
    if name == "result":
        return bool(node.saved_result_cell.count == node.saved_result_version)
    cell = getattr(node, f"saved_{name}_of")._cell
    return bool(cell is None or cell.count == getattr(node, f"saved_{name}_version"))


_FORWARD: dict[str, Forward] = {}


def forward(op: Op) -> Forward:
    """Return an op's definition for large arrays: one for the op, whoever calls it."""
    found = _FORWARD.get(op.name)
    if found is None:
        found = _FORWARD[op.name] = Forward(op)
    return found


def elements(array: Any) -> int:
    """Return how many elements an array has; 1 for what is none."""
    return math.prod(getattr(array, "shape", ()))
