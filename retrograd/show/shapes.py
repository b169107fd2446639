"""The shapes of what the operations of a graph gave, worked out from what their nodes keep anyway.

A node keeps no shapes of its own: that would cost every recorded call. But it keeps its result or its inputs
where a rule needs them, or their shapes; the leaves and the result are there; and a pointwise op gives to all
sides one shape. What cannot be told from these is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

Shape = tuple[int, ...]
Place = tuple[int, int]
"""The id of a node, and which of its results."""


def shapes_of(tensor: Any, nodes: list[Any]) -> dict[Place, Shape]:
    """Return the shapes of results, of those that are known."""
    found: dict[Place, Shape] = {}
    if tensor.grad_fn is not None:
        found[id(tensor.grad_fn), int(tensor.output_nr)] = tuple(tensor.shape)
    for node in nodes:
        found.update(_kept(node))
    _spread(nodes, found)
    return found


def _kept(node: Any) -> Iterator[tuple[Place, Shape]]:
    """Yield the shapes that a node itself keeps: of its results, and of its inputs."""
    if type(node).__name__ == "AccumulateGrad":
        yield (id(node), 0), tuple(node.variable.shape)
        return
    op = getattr(type(node), "op", None)
    if op is None:
        return
    result = _saved(node, "result")
    several = result if isinstance(result, tuple) else (result,)
    places = range(len(several)) if len(several) == 1 else op.differentiable_outputs
    for output, place in enumerate(places):
        if place < len(several) and isinstance(several[place], np.ndarray):
            yield (id(node), output), several[place].shape
    ruled = [p for p in op.parameters if p.name in op.rules]
    if any(p.kind == "tensors" for p in ruled):
        for source, shape in zip(node.next_functions, _of_sequence(node, ruled[0].name), strict=False):
            if source[0] is not None and shape is not None:
                yield (id(source[0]), source[1]), shape
        return
    for i, (parameter, (source, index)) in enumerate(zip(ruled, node.next_functions, strict=False)):
        shape = _of_input(node, parameter.name, i)
        if source is not None and shape is not None:
            yield (id(source), index), shape


def _saved(node: Any, name: str) -> Any:
    try:
        return object.__getattribute__(node, f"saved_{name}")
    except AttributeError:  # no rule needs it, or none of the rules that ran does
        return None


def _of_input(node: Any, name: str, place: int) -> Shape | None:
    value, shape = _saved(node, name), _saved(node, f"{name}_shape")
    if isinstance(value, np.ndarray):
        return tuple(value.shape)
    if shape is not None:
        return tuple(shape)
    metas = node.metas
    return tuple(metas[place][0]) if metas is not None and metas[place] is not None else None


def _of_sequence(node: Any, name: str) -> list[Shape | None]:
    values, shapes = _saved(node, name), _saved(node, f"{name}_shape")
    if values is not None:
        return [getattr(v, "shape", None) for v in values]
    return [tuple(s) for s in shapes] if shapes is not None else []


def _spread(nodes: list[Any], found: dict[Place, Shape]) -> None:
    """Add what pointwise ops tell: the result has the shape that the operands have together."""
    pointwise = []
    for node in nodes:
        op = getattr(type(node), "op", None)
        if op is not None and op.family == "pointwise" and op.promote != "none":
            if node.metas is None:  # nothing was broadcast: one shape on all sides
                pointwise.append(node)
            elif all(p.is_static or p.name in op.rules for p in op.parameters):
                shapes = [tuple(meta[0]) for meta in node.metas if meta is not None]
                found.setdefault((id(node), 0), tuple(np.broadcast_shapes(*shapes)))
    changed = True
    while changed:
        changed = False
        pointwise.reverse()  # along the walk and against it: each chain is done in two passes
        for node in pointwise:
            sides = [(id(node), 0), *((id(s), i) for s, i in node.next_functions if s is not None)]
            known = [found[side] for side in sides if side in found]
            if known and len(known) < len(sides):
                found.update(dict.fromkeys(sides, known[0]))
                changed = True
