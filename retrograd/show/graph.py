"""Draw the computational graph of a tensor, with nothing but the standard library.

Leaves stand at the top, the tensor itself at the bottom; arrows run the way the data went, so backward()
visits the picture from the bottom up. Only the graph's public face is used: `grad_fn`, `next_functions`,
`variable`; and for the shapes in the boxes (shapes.py), what nodes keep.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retrograd.show.shapes import shapes_of
from retrograd.show.svg import Box, Kind, draw

RESULT = Kind("result", "#fef3c7", "#b45309")
OPERATION = Kind("operation", "#f1f5f9", "#64748b")
NAMED = Kind("named leaf", "#dcfce7", "#15803d")
LEAF = Kind("leaf", "#e0f2fe", "#0369a1")


def graph_svg(tensor: Any, params: Any = None, path: str | os.PathLike[str] | None = None) -> str:
    """Draw the computational graph that ends in `tensor` and return it as SVG.

    `params` names the leaves: a mapping from names to tensors, or a Module. With `path` the picture is
    written there as well.

    Raises:
        ValueError: when the tensor has no history to draw.

    Example:
        >>> import retrograd
        >>> w = retrograd.ones(3, requires_grad=True)
        >>> picture = graph_svg((w * w).sum(), {"w": w})
        >>> picture.startswith("<svg"), ">Mul<" in picture, ">w<" in picture
        (True, True, True)
    """
    if not tensor.requires_grad:
        raise ValueError(
            f"graph_svg: expected a tensor with a history; got one of shape {tuple(tensor.shape)} that does "
            "not require grad; compute it from a leaf that requires grad, outside no_grad()"
        )
    if params is not None and not isinstance(params, Mapping):
        params = dict(params.named_parameters())
    names = {id(leaf): str(name) for name, leaf in (params or {}).items()}
    boxes, edges, outputs = _walk(tensor, names)
    hints = [f"output {output}" if output else "" for output in outputs]
    svg = draw(boxes, edges, hints, f"Computational graph of {len(boxes)} nodes")
    if path is not None:
        Path(path).write_text(svg, encoding="utf-8")
    return svg


def _walk(tensor: Any, names: dict[int, str]) -> tuple[list[Box], list[tuple[int, int]], list[int]]:
    """Walk back from the tensor, depth first and without recursion, so that any depth will do.

    Returns the boxes, the edges in the direction of the data, and per edge the output of its source it
    carries.
    """
    if tensor.grad_fn is None:
        return [_leaf_box(tensor, names)], [], []
    boxes = [Box("result", _shape(tensor), RESULT, "the tensor that was asked for")]
    edges, outputs = [], []
    known: dict[int, int] = {}
    alive = []  # keeps each node, and with it its id, until the walk is over
    todo = [(tensor.grad_fn, int(tensor.output_nr), 0)]
    while todo:
        node, output, target = todo.pop()
        number = known.get(id(node))
        if number is None:
            number = known[id(node)] = len(boxes)
            alive.append(node)
            boxes.append(_node_box(node, names, ""))
            inputs = [(source, index, number) for source, index in node.next_functions if source is not None]
            todo.extend(reversed(inputs))
        edges.append((number, target))
        outputs.append(output)
    shapes: dict[int, list[str]] = {}
    for (owner, _), shape in sorted(shapes_of(tensor, alive).items()):
        shapes.setdefault(owner, []).append(_sizes(shape))
    for node in alive:
        boxes[known[id(node)]] = _node_box(node, names, ", ".join(shapes.get(id(node), ())))
    return boxes, edges, outputs


def _node_box(node: Any, names: dict[int, str], shapes: str) -> Box:
    name = type(node).__name__
    if name == "AccumulateGrad":
        return _leaf_box(node.variable, names)
    return Box(re.sub(r"Backward\d*$", "", name) or name, shapes, OPERATION, name)


def _leaf_box(leaf: Any, names: dict[int, str]) -> Box:
    name = names.get(id(leaf))
    if name is None:
        return Box("leaf", _shape(leaf), LEAF, "a leaf that requires grad")
    return Box(name, _shape(leaf), NAMED, f"leaf {name}")


def _shape(described: Any) -> str:
    return _sizes(tuple(described.shape))


def _sizes(sizes: tuple[int, ...]) -> str:
    return " × ".join(map(str, sizes)) if sizes else "scalar"
