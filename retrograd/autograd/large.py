"""Large arrays: definitions and rules as machine code.

What a kernel computes is traced from the very definition or rule of the declaration, so it is right when that
is. Which ops are worth it, and from how many elements on, stands in the declaration (`large=`).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from retrograd.autograd.pull import fit, free
from retrograd.autograd.record import saved_names
from retrograd.native import ondemand
from retrograd.ops.batching import call
from retrograd.ops.declare import Op

ndarray = np.ndarray
_FLOATS = frozenset("fd")


@cache
def limit(op: Op) -> int | None:
    """Return from how many elements on an op may run as a kernel; None for never."""
    mode = ondemand.mode()
    takes = op.large and "f" in op.kinds and all(p.kind != "tensors" for p in op.parameters)
    if mode == "0" or not takes or op.outputs == ("*",):
        return None
    return 0 if mode == "all" else op.large


class Forward:
    """An op's definition for large arrays."""

    def __init__(self, op: Op) -> None:
        self.op = op
        self.first = next(i for i, p in enumerate(op.parameters) if not p.is_static)
        self.kernels = ondemand.Kernels(op.name, self._traced, strict=op.family == "pointwise")

    def __call__(self, *values: Any) -> Any:
        """Run the definition on all of its arguments, in the declared order."""
        op = self.op
        first = values[self.first]
        if first.__class__ is ndarray and first.dtype.char in _FLOATS:
            if op.guard is not None:
                op.guard(*values)
            found = self.kernels(values, first.size)
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
        self.tensors = {p.name for p in op.parameters if not p.is_static}
        self.names = saved_names(op)
        self.kernels = ondemand.Kernels(f"{op.name}.rules", self._traced)

    def __call__(self, node: Any, ct: Any, keep: bool) -> tuple[Any, ...] | None:
        """Return what a node's rules give; None if there is no kernel for it."""
        needed = tuple(edge is not None for edge in node.edges)
        if ct.__class__ is not ndarray:
            ct = np.asarray(ct)
        if ct.dtype.char not in _FLOATS:
            return None
        wanted = {n for x, need in zip(self.op.rules, needed, strict=True) if need for n in self.op.needs[x]}
        values = [ct]
        size = ct.size
        for name in self.names:
            value = getattr(node, f"saved_{name}") if name in wanted else None
            values.append(value)
            if value.__class__ is ndarray:
                size = max(size, value.size)
                if not _is_unchanged(node, name):
                    return None
        found = self.kernels(tuple(values), size, (needed, node.metas))
        if found is not None and not keep:
            free(node)
        return found

    def _traced(self, form: Any, values: tuple[Any, ...]) -> tuple[Any, ...]:
        needed, metas = form
        op = self.op
        known = dict(zip(("ct", *self.names), values, strict=True))
        found: list[Any] = []
        for i, (x, rule) in enumerate(op.rules.items()):
            pulled = rule(**{n: known[n] for n in op.needs[x]}) if needed[i] else None
            found.append(pulled if metas is None or pulled is None else fit(pulled, metas[i]))
        return tuple(found)


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
