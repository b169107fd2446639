"""Rows of Jacobians, as arrays: batches of cotangents sent through a graph, as large as memory allows.

Only numbers come of it, without a history. Where a graph has hooks, custom Functions or a rule that cannot
take a batch, nothing does, and the caller asks for one gradient after the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from retrograd.arrays.batch import Batch, CannotBatchError
from retrograd.autograd.engine import run
from retrograd.autograd.graph import AccumulateGrad, Metas, Output, anomaly
from retrograd.autograd.levels import OpLevel
from retrograd.autograd.modes import local
from retrograd.autograd.pull import free

MEMORY = 64 << 20
"""Bytes that the largest array of a batch may have: larger ones gain nothing from being computed together."""


def reached(roots: Sequence[Any]) -> list[Any] | None:
    """Return all nodes below some; None if one has hooks, is no op's, or keeps packed values."""
    if anomaly.on or any(not isinstance(level, OpLevel) for level in local.intercepts):
        return None
    seen = set(roots)
    found = list(seen)
    for node in found:
        known = node.op is not None or node.__class__ in (Output, AccumulateGrad)
        if not known or node.extras is not None or _is_packed(node.metas):
            return None
        for edge in node.edges:
            if edge is not None and edge not in seen:
                seen.add(edge)
                found.append(edge)
    return found


def _is_packed(metas: Any) -> bool:
    """Return whether a node's values may have been packed by hooks (see record.read_aloud)."""
    return metas.__class__ is Metas and metas.compute is None and not metas.conjugate


def largest(nodes: Sequence[Any]) -> int:
    """Return the bytes of the largest array that nodes keep: what one cotangent of theirs may take."""
    most = 1
    for node in nodes:
        for slot in _kept_by(node.__class__):
            try:
                value = _plainly(node, slot)
            except AttributeError:  # no rule that this node runs needs it
                continue
            if value.__class__ is np.ndarray and value.nbytes > most:
                most = value.nbytes
    return most


_plainly = object.__getattribute__  # a node's own __getattr__ would explain at length what is missing


@cache
def _kept_by(cls: type[Any]) -> tuple[str, ...]:
    """Return the slots in which the nodes of a class keep values."""
    slots = getattr(cls, "__slots__", ())
    return tuple(
        s for s in slots if s.startswith("saved_") and not s.endswith(("_of", "_version", "_cell", "_shape"))
    )


def run_batch(
    roots: Sequence[tuple[Any, Any]], nodes: Sequence[Any], below: Sequence[Any], keep: bool
) -> list[tuple[Any, bool]] | None:
    """Run the engine on batches; return for each node an array, and whether it has the batch in front.

    Args:
        roots: (node, cotangent) pairs; some cotangents are batches.
        nodes: those whose cotangents are wanted.
        below: what `reached` said of the roots.
        keep: keep the saved values.

    Returns:
        None if some rule cannot take a batch. Nothing has been freed then.
    """
    captured: dict[Any, Any] = dict.fromkeys(nodes)
    try:
        with np.errstate(all="ignore"):
            run(roots, True, False, captured)
    except Exception as error:
        if not _is_of_a_batch(error):
            raise
        return None
    if not keep:
        for node in below:
            if node.op is not None:
                free(node)
    cts = [captured[node] for node in nodes]
    return [
        (ct.value, True) if ct.__class__ is Batch else (None if ct is None else np.asarray(ct), False)
        for ct in cts
    ]


def _is_of_a_batch(error: BaseException | None) -> bool:
    """Return whether an error comes of one that says what a batch cannot do: NumPy raises its own instead."""
    while error is not None and not isinstance(error, CannotBatchError):
        error = error.__cause__ or error.__context__
    return error is not None


def jacobian_rows(
    roots: Sequence[tuple[Any, tuple[int, ...], Any]], nodes: Sequence[Any], limit: int | None = None
) -> list[Any] | None:
    """Return per node an array of all rows of the Jacobian of the roots by it; None in the list for zeros.

    Args:
        roots: (node, shape, dtype) of each result; their elements laid in a row are the rows.
        nodes: those whose cotangents are wanted.
        limit: compute at most so many rows at a time.

    Returns:
        None if the graph or a rule cannot take a batch.

    Shape: (rows, *cotangent.shape) each
    """
    below = reached([node for node, _, _ in roots])
    if below is None:
        return None
    sizes = [math.prod(shape) for _, shape, _ in roots]
    total = sum(sizes)
    widest = max(
        [largest(below), *(n * dtype.itemsize for n, (_, _, dtype) in zip(sizes, roots, strict=True))]
    )
    step = max(1, min(total, MEMORY // widest, limit or total))
    parts: list[list[Any]] = [[] for _ in nodes]
    for start in range(0, total, step):
        count = min(step, total - start)
        blocks = identity(sizes, [dtype for _, _, dtype in roots], start, start + count)
        cts = [
            (node, Batch(block.reshape((count, *shape))))
            for (node, shape, _), block in zip(roots, blocks, strict=True)
        ]
        found = run_batch(cts, nodes, below, keep=True)
        if found is None:
            return None
        for column, (array, is_batch) in zip(parts, found, strict=True):
            if array is not None:
                column.append(array if is_batch else np.broadcast_to(array, (count, *array.shape)))
    return [_joined(column) for column in parts]


def _joined(parts: list[Any]) -> Any:
    if not parts:
        return None
    made = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return made if made.flags.c_contiguous and made.flags.writeable else made.copy()


def identity(sizes: Sequence[int], dtypes: Sequence[Any], start: int, stop: int) -> list[Any]:
    """Return rows of the identity on elements laid in a row, cut up by sizes.

    Shape: (stop - start, size) each
    """
    made, first = [], 0
    for size, dtype in zip(sizes, dtypes, strict=True):
        block = np.zeros((stop - start, size), dtype)
        rows = np.arange(max(start, first), min(stop, first + size))
        block[rows - start, rows - first] = 1
        made.append(block)
        first += size
    return made
