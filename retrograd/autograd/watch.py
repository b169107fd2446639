"""Backward under observation: anomaly mode looks at what each node gives, break_on stops before one runs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from retrograd.autograd.anomaly import check, pulling
from retrograd.autograd.graph import Node, anomaly
from retrograd.autograd.where import line_of

stops: list[Stop] = []
"""The breakpoints that are set."""


def is_watching() -> bool:
    """Return whether somebody wants to see each node of a backward that starts now."""
    return anomaly.on or bool(stops)


def pull_watched(node: Any, ct: Any, keep: bool, recorded: bool) -> Any:
    """Run a node's pullback as the engine does, in front of the watchers."""
    outer, pulling.node = pulling.node, node
    try:
        if sum(stop.wants(node) for stop in stops):  # each counts, so all are asked
            written(node)
            breakpoint()  # noqa: T100 - what break_on is for: step into the next line, and you are in the rule
        cts = node.pullback_recorded(ct, keep) if recorded else node.pullback(ct, keep)
    finally:
        pulling.node = outer
    if anomaly.on:
        check(node, ct, cts)
    return cts


def written(node: Any) -> None:
    """Have a node's class its own pullback, so that stepping leads into that and not into its making."""
    from retrograd.autograd.generate import write_pullback  # noqa: PLC0415 - rare, and it needs this file
    from retrograd.autograd.record import _first_pullback  # noqa: PLC0415 - likewise

    cls = type(node)
    if cls.__dict__.get("pullback") is _first_pullback:
        cls.pullback = write_pullback(cls)


class Stop:
    """One breakpoint: a name of nodes, or a file and a line."""

    def __init__(self, target: str) -> None:
        if not isinstance(target, str):
            raise TypeError(f"break_on: expected a name or 'file.py:line'; got {type(target).__name__}")
        file, colon, line = target.rpartition(":")
        if colon and not file.endswith(":") and not line.isdecimal():
            raise ValueError(f"break_on: expected 'file.py:line' with a number for the line; got {target!r}")
        if not target or target == "AccumulateGrad":
            raise ValueError(
                f"break_on: expected the name of a node that runs a rule; got {target!r}; for a leaf use "
                "register_post_accumulate_grad_hook(lambda t: breakpoint())"
            )
        by_line = bool(colon) and line.isdecimal()
        self.target = target
        self.file, self.line = (file, int(line)) if by_line else ("", 0)
        self.met: dict[str, None] = {}
        self.hits = 0

    def wants(self, node: Node) -> bool:
        """Return whether this node is one to stop at."""
        code = node.code
        if self.file:
            found = code is not None and line_of(code, node.lasti) == self.line
            hit = found and f"/{code.co_filename}".endswith(f"/{self.file}")  # type: ignore[union-attr]
        else:
            hit = self.target in _names(node)
        self.hits += hit
        self.met[node.name() if not self.file else node.where()] = None
        return hit


def _names(node: Node) -> set[str]:
    """Return what a node may be called: MulBackward0, MulBackward, mul."""
    name = node.name()
    stem = name.rstrip("0123456789")
    op = None if node.op is None else node.op.torch_name
    return {name, type(node).__name__, stem, op or name}


@contextmanager
def break_on(target: str) -> Iterator[None]:
    """Call breakpoint() in each backward within, just before the rule of a node runs.

    In pdb `s` then steps into the node's pullback, and from there into its rules; `node` and `ct` (the
    cotangent that arrives) can be looked at. PYTHONBREAKPOINT chooses the debugger, as always.

    Args:
        target: a node's name ('MulBackward0', 'MulBackward'), an op's ('mul'), or the line that recorded it
            ('train.py:12'; the path may be given in part, from the right).

    Example:
        with torch.autograd.graph.break_on("LogBackward0"):
            loss.backward()

    Raises:
        TypeError, ValueError: `target` is no name and no line.
    """
    stop = Stop(target)
    stops.append(stop)
    try:
        yield
    finally:
        stops.remove(stop)
    if not stop.hits:
        ran = ", ".join(stop.met) if stop.met else "none"
        warnings.warn(
            f"break_on: no node matched {target!r}; those that ran: {ran}", UserWarning, stacklevel=3
        )
