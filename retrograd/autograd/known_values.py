"""What the values in a graph were: taken from what its nodes keep, or computed again from that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.autograd.dispatch import plain
from retrograd.autograd.graph import AccumulateGrad, Node, Output, Witness
from retrograd.autograd.levels import contents
from retrograd.autograd.modes import no_grad
from retrograd.autograd.pull import edge_of
from retrograd.autograd.saved_hooks import Packed
from retrograd.ops.declare import Op, Parameter
from retrograd.tensor import Tensor, wrap

MISSING: Any = object()
"""Stands for a value that nobody kept."""


class Values:
    """The values of the nodes below a tensor, as far as they can be known.

    notes: what was missing, has been changed since, or was assumed.
    """

    def __init__(self, root: Node, array: Any) -> None:
        self.known: dict[Any, Any] = {root: array}
        self.notes: dict[str, None] = {}
        self._changed: set[Any] = set()  # leaves written to after a node kept them
        for node in nodes_below(root):
            self._take(node)

    def _take(self, node: Any) -> None:
        """Take what a node keeps of its inputs and its result as the values of the nodes that made them."""
        if type(node) is AccumulateGrad:
            self.known[node] = MISSING if node in self._changed else node._array
            return
        if node.op is None:
            return
        if node.freed:
            self.notes["parts of the graph were freed by backward; call it with retain_graph=True"] = None
            return
        for parameter in node.op.parameters:
            if not parameter.is_static and parameter.kind != "tensors":
                edge, value = edge_of(node, parameter.name), self._kept(node, parameter)
                if edge is not None and value is not MISSING:
                    self.known.setdefault(edge, value)
        result = _unpacked(getattr(node, "saved_result", None))
        if result is not None:
            cells, counts = node.saved_result_cell, node.saved_result_version
            pairs = zip(cells, counts, strict=True) if isinstance(cells, list) else [(cells, counts)]
            if all(cell.count == count for cell, count in pairs):
                self.known.setdefault(node, _of_node(node.op, result))

    def _kept(self, node: Any, parameter: Parameter) -> Any:
        """Return the array that a node keeps of a tensor parameter."""
        slot = f"saved_{parameter.name}"
        value = _unpacked(getattr(node, slot, MISSING))
        owner = getattr(node, f"{slot}_of", None)
        if value is None and owner is None:  # freed
            return MISSING
        owners = owner if isinstance(owner, list) else [owner]
        versions = getattr(node, f"{slot}_version", 0)
        for o, n in zip(owners, versions if isinstance(versions, list) else [versions], strict=True):
            cell = o._cell if isinstance(o, (Tensor, Witness)) else None
            if cell is not None and cell.count != n:
                self.notes[f"{parameter.name} of {node.name()} at {node.where()} was written to since"] = None
                self._changed.add(edge_of(node, parameter.name))
                return MISSING
        return value

    def operands(self, node: Any) -> list[Any]:
        """Return the arguments that a node's op was called with; MISSING for what is not known."""
        found = []
        for parameter in node.op.parameters:
            value = getattr(node, f"saved_{parameter.name}", MISSING) if parameter.is_static else MISSING
            if parameter.is_static:
                if value is MISSING and not parameter.is_required:
                    value = parameter.default
            elif parameter.kind == "tensors":
                value = self._sequence(node, parameter)
            else:
                value = MISSING if node.freed else self._kept(node, parameter)
                if value is MISSING:
                    value = self.known.get(edge_of(node, parameter.name), MISSING)
            found.append(value)
        return found

    def _sequence(self, node: Any, parameter: Parameter) -> Any:
        edges = node.edges[: len(node.edges) - (len(node.op.rules) - 1)]
        values = [self.known.get(e, MISSING) for e in edges]
        return MISSING if any(v is MISSING for v in values) else values

    def find(self, node: Any) -> Any:
        """Return a node's value, computed again from older ones if need be; MISSING if they are not known."""
        if node is None:
            return MISSING
        if node not in self.known:
            wanted, stack = {node}, [node]
            while stack:
                for edge in stack.pop().edges:
                    if edge is not None and edge not in self.known and edge not in wanted:
                        wanted.add(edge)
                        stack.append(edge)
            for older in sorted(wanted, key=lambda n: n.seq):
                self.known[older] = self.computed(older)
        return self.known[node]

    def computed(self, node: Any) -> Any:
        """Return a node's value, computed from the known values of those right below it."""
        if type(node) is Output:
            inner, op = self.known.get(node.edges[0], MISSING), node.edges[0].op
            if op is None or not isinstance(inner, tuple):
                return MISSING
            return inner[node.index if op.outputs == ("*",) else op.differentiable_outputs[node.index]]
        if node.op is None:
            self.notes[f"what {node.name()} at {node.where()} computes cannot be computed again"] = None
            return MISSING
        given = self.operands(node)
        lost = [p.name for p, v in zip(node.op.parameters, given, strict=True) if v is MISSING]
        if lost:
            self.notes[f"{node.name()} at {node.where()} keeps no {', '.join(lost)}"] = None
            return MISSING
        with no_grad(), np.errstate(all="ignore"):
            made = plain(node.op, tuple(_as_tensors(v) for v in given))
        return _of_node(node.op, tuple(m._array for m in made) if isinstance(made, tuple) else made._array)


def _of_node(op: Op, result: Any) -> Any:
    """Return what the node itself stands for: of several results the only differentiable one, or all."""
    if not isinstance(result, tuple) or op.outputs == ("*",) or len(op.differentiable_outputs) > 1:
        return result
    return result[op.differentiable_outputs[0]]


def _as_tensors(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_tensors(v) for v in value]
    return wrap(value) if isinstance(value, np.ndarray) else value


def _unpacked(value: Any) -> Any:
    """Return what was saved, out of the hands of the user's hooks."""
    if isinstance(value, Packed):
        return value.array()
    if isinstance(value, (list, tuple)):
        return type(value)(v.array() if isinstance(v, Packed) else v for v in value)
    return value


def parts_of(t: Tensor) -> Iterator[Tensor]:
    """Yield the plain tensors that a tensor consists of: inside of transforms, and a sparse one's numbers."""
    for part in contents(t):
        yield getattr(part, "_stored", part)


def nodes_below(root: Node) -> list[Any]:
    """Return a node and all that its cotangent can reach, youngest first."""
    found, stack = {root}, [root]
    while stack:
        for edge in stack.pop().edges:
            if edge is not None and edge not in found:
                found.add(edge)
                stack.append(edge)
    return sorted(found, key=lambda n: -n.seq)


def op_name(node: Any) -> str:
    """Return an op's name as users call it; of a Function and of what users cannot call, the node's."""
    op: Op | None = node.op
    return node.name() if op is None or not op.places else op.torch_name
