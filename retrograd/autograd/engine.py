"""Backward: carry cotangents from the results of a graph to its leaves.

    1. Walk the graph once and count, for every node, the edges that lead to it: its cotangent is complete
       when as many contributions have arrived.
    2. Take the youngest complete node, turn its cotangent into cotangents for its inputs (`pullback`), and
       hand each to its edge: the first is kept, later ones are added.
    3. A leaf (AccumulateGrad) adds its complete cotangent to `.grad` at once.

Nothing recurses, so graphs may be of any depth. The state of a run is local to it: several threads may run
backward at once, and hooks may run it again.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush, heappushpop
from typing import Any

import numpy as np

from retrograd import devices
from retrograd.autograd.anomaly import show
from retrograd.autograd.graph import AccumulateGrad, Node, anomaly
from retrograd.autograd.modes import local, modes
from retrograd.autograd.run_hooks import (
    run_post_accumulate,
    run_post_hooks,
    run_pre_hooks,
    run_tensor_hooks,
)
from retrograd.autograd.watch import is_watching, pull_watched
from retrograd.ops.helpers import ArrayLike
from retrograd.tensor import wrap


class Run:
    """A backward in progress.

    It knows the nodes that it reaches; those that it runs for, if it captures instead of accumulating; and
    what the user wants called at its end.
    """

    __slots__ = ("__weakref__", "callbacks", "needed", "waiting")

    def __init__(self, waiting: dict[Node, int], needed: set[Node] | None) -> None:
        self.waiting = waiting
        self.needed = needed
        self.callbacks: list[Callable[[], Any]] = []

    def will_execute(self, node: Any) -> bool:
        """Return whether this run gives a node its cotangent."""
        return node in (self.waiting if self.needed is None else self.needed)


class _Running(threading.local):
    def __init__(self) -> None:
        self.stack: list[Run] = []


running = _Running()
"""The backwards that this thread is in, innermost last (a hook may start another)."""


def run(
    roots: Sequence[tuple[Node, Any]], keep: bool, recorded: bool, captured: dict[Node, Any] | None = None
) -> None:
    """Carry the cotangents of `roots` through their graph.

    Args:
        roots: (node, cotangent) pairs; cotangents are arrays, or Tensors when `recorded`.
        keep: keep the saved values for another run.
        recorded: compute with Tensors, so that the cotangents have a history.
        captured: nodes whose cotangents are wanted, to be filled in; nothing else is accumulated then.
    """
    if modes.special and local.nan_safe:
        from retrograd.autograd.nan_safe import run_masked  # noqa: PLC0415 - rare, and it needs this file

        run_masked(_start, roots, keep, recorded, captured)
    else:
        _start(roots, keep, recorded, captured)


def _start(
    roots: Sequence[tuple[Node, Any]], keep: bool, recorded: bool, captured: dict[Node, Any] | None
) -> None:
    if not roots:
        return
    waiting = _count_edges(roots)
    needed = None if captured is None else _needed(waiting, captured)
    stack, current = running.stack, Run(waiting, needed)
    stack.append(current)
    try:
        _run(roots, waiting, keep, recorded, captured, needed)
        for callback in current.callbacks:
            callback()
    finally:
        stack.pop()


def queue_callback(callback: Callable[[], Any]) -> None:
    """Call `callback()` when the innermost backward of this thread has ended.

    Raises:
        RuntimeError: no backward is running.
    """
    if not running.stack:
        raise RuntimeError("Final callbacks can only be installed during backward pass.")
    running.stack[-1].callbacks.append(callback)


def _run(
    roots: Sequence[tuple[Node, Any]],
    waiting: dict[Node, int],
    keep: bool,
    recorded: bool,
    captured: Any,
    needed: set[Node] | None,
) -> None:
    watching = is_watching()
    usual = captured is None and not recorded and not watching
    held: dict[Any, Any] = {}  # cotangents that are still growing
    owned: set[Any] = set()  # those of them that are our own sums, which may be added to in place
    ready: list[tuple[int, Node, Any]] = []  # complete nodes and their cotangents, by age, youngest first
    leaves: list[tuple[AccumulateGrad, Any]] = []  # whose cotangents have just been completed
    following: Any
    ct: Any
    edges, cts = zip(*roots)  # noqa: B905 - the roots are reached as if from a node above them

    while True:
        following = ct = None
        for edge, part in zip(edges, cts):  # noqa: B905 - as many by construction; strict= costs on the hot path
            if edge is None:
                continue
            if edge in held:
                part = _sum(held.pop(edge), part, edge, owned)
            left = waiting[edge] - 1
            if left:
                waiting[edge] = left
                if part is not None:
                    held[edge] = part
            elif edge.__class__ is AccumulateGrad:
                leaves.append((edge, part))
            elif following is None:
                following, ct = edge, part
            else:
                heappush(ready, (-edge.seq, edge, part))
        part = cts = None  # type: ignore[assignment] # they are in one place now: a leaf may keep its own
        if leaves:
            for leaf, whole in leaves:
                _finish_leaf(leaf, whole, recorded, captured)
            whole = None
            leaves.clear()

        if following is None:
            if not ready:
                return
            _, node, ct = heappop(ready)
        elif ready:
            _, node, ct = heappushpop(ready, (-following.seq, following, ct))
        else:
            node = following  # a chain: no need to queue

        if usual and node.extras is None and ct is not None:
            edges = node.edges
            try:
                cts = node.pullback(ct, keep)
            except Exception as error:
                _note(error, node)
                raise
        else:
            edges, cts = _look_closer(node, ct, keep, recorded, captured, needed, watching)


def _look_closer(
    node: Node, ct: Any, keep: bool, recorded: bool, captured: Any, needed: Any, watching: bool
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Pull a cotangent back through a node where hooks, captures, recording or anomaly mode may matter.

    Returns:
        The edges to follow, None for the others, and their cotangents.
    """
    edges, extras = node.edges, node.extras
    if extras is not None:
        ct = run_tensor_hooks(node, ct, recorded)
    if captured is not None:
        if node in captured:
            captured[node] = ct
        edges = tuple(edge if edge in needed else None for edge in edges)
        if not any(edges):
            return edges, (None,) * len(edges)
    if extras is not None and extras.pre:
        ct = run_pre_hooks(node, ct, recorded)
    cts: tuple[Any, ...] = (None,) * len(edges)
    if ct is not None or node.runs_without:
        cts = _pulled(node, ct, keep, recorded, watching)
    if extras is not None and extras.post:
        cts = run_post_hooks(node, cts, ct, recorded)
    return edges, cts


def _pulled(node: Node, ct: Any, keep: bool, recorded: bool, watching: bool) -> tuple[Any, ...]:
    """Run a node's pullback; an error says where it came up."""
    try:
        if watching:
            return pull_watched(node, ct, keep, recorded)  # type: ignore[no-any-return]
        return node.pullback_recorded(ct, keep) if recorded else node.pullback(ct, keep)
    except Exception as error:
        _note(error, node)
        raise


def _note(error: Exception, node: Node) -> None:
    """Add to an error where it came up: the node, and the user's line that recorded it."""
    error.add_note(f"[in the backward of {node.name()}, recorded at {node.where()}]")
    if anomaly.on:
        show(node)


def _sum(have: Any, part: Any, edge: Any, owned: set[Any]) -> Any:
    """Add a contribution to those that an edge has: in place, if their memory is nobody else's."""
    if part is None:
        return have
    if edge in owned:
        return np.add(have, part, out=have)
    if (
        have.__class__ is np.ndarray
        and sys.getrefcount(have) <= _ALONE
        and have.base is None
        and have.flags.writeable
        and have.dtype == part.dtype
        and have.shape == part.shape
        and part.__class__ is np.ndarray
    ):
        owned.add(edge)
        return np.add(have, part, out=have)
    found = have + part
    if found.__class__ is np.ndarray:
        owned.add(edge)
    return found


def _count_edges(roots: Sequence[tuple[Node, Any]]) -> dict[Node, int]:
    """Return, for every node at or below the roots, how many contributions its cotangent has."""
    waiting: dict[Node, int] = {}
    stack: list[Node] = []
    for root, _ in roots:
        if root in waiting:
            waiting[root] += 1
        else:
            waiting[root] = 1
            stack.append(root)
    while stack:
        for edge in stack.pop().edges:
            if edge is None:
                continue
            if edge in waiting:
                waiting[edge] += 1
            else:
                waiting[edge] = 1
                stack.append(edge)
    return waiting


def _needed(waiting: dict[Node, int], captured: Mapping[Node, Any]) -> set[Node]:
    """Return the nodes through which a captured one is reached."""
    needed = set(captured)
    # A node is younger than its inputs: oldest first.
    for node in sorted(waiting, key=lambda n: n.seq):
        if node not in needed and any(edge in needed for edge in node.edges):
            needed.add(node)
    return needed


def _finish_leaf(node: AccumulateGrad, ct: Any, recorded: bool, captured: dict[Node, Any] | None) -> None:
    """Give a leaf its complete cotangent: hooks, then `.grad`, then hooks."""
    extras = node.extras
    if extras is not None:
        ct = run_tensor_hooks(node, ct, recorded)
    if captured is not None:
        if node in captured:
            captured[node] = ct
        return
    if extras is not None and extras.pre:
        ct = run_pre_hooks(node, ct, recorded)
    if ct is not None:
        if recorded and not local.grad:  # Tensors, but no history is wanted of them
            ct, recorded = ct._array, False
        accumulate(node, ct, recorded)
    if node.post:
        run_post_accumulate(node)
    if extras is not None and extras.post:
        run_post_hooks(node, (), ct, recorded)


def accumulate(node: AccumulateGrad, ct: Any, recorded: bool) -> None:
    """Add a cotangent to a leaf's gradient, in place unless recorded; keep a first one, copied if shared."""
    have = node.grad
    if recorded:
        node.grad = ct if have is None else have + ct
        return
    array = node._array
    if have is None:
        mine = (
            type(array) is np.ndarray
            and type(ct) is np.ndarray
            and ct.base is None
            and ct.flags.writeable
            and sys.getrefcount(ct) <= _MINE
        )
        if not mine or (ct.strides != array.strides and array.size):
            ct = _copy_like(ct, array)
        node.grad = wrap(ct)
    elif have.requires_grad and have.grad_fn is not None:
        node.grad = wrap(have._array + ct)
    else:
        grad = have._array
        np.add(grad, ct, out=grad, casting="unsafe")
        cell = have._version_cell()
        cell.count += 1
        cell.code = None  # no line of the user's wrote this


def _count_own_references() -> int:
    for leaf, whole in [(None, np.empty(1))]:
        return _probe_leaf(leaf, whole)
    raise AssertionError


def _probe_leaf(node: Any, ct: Any) -> int:
    return _probe_accumulate(node, ct)


def _probe_accumulate(node: Any, ct: Any) -> int:  # noqa: ARG001 - called as `accumulate` is
    return sys.getrefcount(ct)


_MINE = _count_own_references()
_ALONE = _probe_accumulate(None, {0: np.empty(1)}.pop(0))
"""The references that `accumulate` and `_sum` count to an array which nobody else holds, measured through the
same loop and calls: how many the interpreter itself makes differs between Python versions.
(tests/autograd/test_engine.py checks what depends on it.)
"""


def _copy_like(ct: Any, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a copy of a cotangent that lies in memory as its leaf does."""
    if array.__class__ is devices.Absent:
        return array
    if isinstance(array, ArrayLike):
        return array.of(ct)  # type: ignore[no-any-return]
    if array.flags.c_contiguous and ct.__class__ is np.ndarray:
        return ct.copy()
    dense = array.flags.forc or 0 not in array.strides
    made = np.empty_like(array, dtype=ct.dtype) if dense else np.empty(array.shape, ct.dtype)
    made[...] = ct
    return made
