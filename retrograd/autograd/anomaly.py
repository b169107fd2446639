"""Anomaly mode: backward stops at the first NaN that a node makes, and shows where the node was recorded.

Without it every node still knows its line; with it, the whole stack of calls, and the node whose backward
made it; and backward looks at each value. On request so does every op.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from retrograd.autograd import where
from retrograd.autograd.elements import array_in, first, has_bad, has_nan, number, operands_at
from retrograd.autograd.graph import Cotangents, Node, anomaly
from retrograd.autograd.modes import set_anomaly_reason
from retrograd.autograd.where import library
from retrograd.ops.declare import Op

_SLOW = (
    "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for "
    "debugging."
)


def is_anomaly_enabled() -> bool:
    """Return whether anomaly mode is on."""
    return anomaly.on


def is_anomaly_check_nan_enabled() -> bool:
    """Return whether anomaly mode looks for NaN."""
    return anomaly.check_nan


def set_anomaly_enabled(mode: bool, check_nan: bool = True, check_forward: bool = False) -> None:
    """Switch anomaly mode on or off."""
    set_anomaly_reason(mode)
    anomaly.on, anomaly.check_nan, anomaly.check_forward = mode, check_nan, mode and check_forward


def _state() -> tuple[bool, bool, bool]:
    return anomaly.on, anomaly.check_nan, anomaly.check_forward


class detect_anomaly:  # noqa: N801 - torch's public name
    """Look for NaN in backward, within; an error is preceded by a warning with the stack of the forward call.

    Args:
        check_nan: raise at the first NaN; otherwise only show the stack when a backward fails.
        check_forward: raise also where an op of the forward makes a NaN of operands that have none, or an
            infinity of finite ones.

    Example:
        >>> import retrograd as torch, warnings
        >>> warnings.simplefilter("ignore")
        >>> with torch.autograd.detect_anomaly(check_forward=True):
        ...     torch.tensor([1.0, 0.0]).log()
        Traceback (most recent call last):
        RuntimeError: log made -inf of finite operands
        [result of shape (2,), first at index (1,), where input is 0; at <doctest ...>:2 in <module>]
    """

    def __init__(self, check_nan: bool = True, check_forward: bool = False) -> None:
        self._before = _state()
        self.check_nan = check_nan
        self.check_forward = check_forward
        warnings.warn(_SLOW, UserWarning, stacklevel=2)

    def __enter__(self) -> None:
        self._before = _state()
        set_anomaly_enabled(True, self.check_nan, self.check_forward)

    def __exit__(self, *exc: object) -> None:
        set_anomaly_enabled(*self._before)


class set_detect_anomaly:  # noqa: N801 - torch's public name
    """Switch anomaly mode, at once when called; as context manager until its end."""

    def __init__(self, mode: bool, check_nan: bool = True, check_forward: bool = False) -> None:
        self._before = _state()
        set_anomaly_enabled(mode, check_nan, check_forward)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        set_anomaly_enabled(*self._before)


class _Pulling(threading.local):
    node: Node | None = None


pulling = _Pulling()
"""The node whose pullback this thread runs, while somebody watches (see watch.py)."""


def remember_stack(node: Node) -> None:
    """Keep the user's stack of calls on a node, and the node whose backward makes it, if one does."""
    import traceback  # noqa: PLC0415 - rare; it would lengthen the start-up

    frames = [f for f in traceback.extract_stack(sys._getframe(1)) if not library[f.filename]]
    node.more().metadata["traceback_"] = traceback.format_list(frames)
    if pulling.node is not None:
        node.more().metadata["parent_"] = pulling.node


def _parents(node: Node) -> Iterator[Node]:
    """Yield the nodes whose backward made a node, the nearest first."""
    while node.extras is not None and "parent_" in node.extras.metadata:
        node = node.extras.metadata["parent_"]
        yield node


def check(node: Node, ct: Any, cts: tuple[Any, ...]) -> None:
    """Raise if a cotangent that a node made has a NaN in it.

    Raises:
        RuntimeError: names the node, which of its outputs, its line, the first bad index and the cotangent
            that came in there; and the nodes whose backward made this one.
    """
    if not anomaly.check_nan:
        return
    parts = cts[0] if len(cts) == 1 and type(cts[0]) is Cotangents else cts
    for i, part in enumerate(parts):
        array = array_in(part)
        if array is None or not has_nan(array):
            continue
        index = first(np.isnan(array))
        came = array_in(ct)
        facts = [f"shape {array.shape}, first at index {index}"]
        if came is not None and came.shape == array.shape:
            facts.append(f"where the cotangent {number(came, index)} came in")
        facts.append(f"recorded at {node.where()}")
        facts += [f"in the backward of {p.name()}, recorded at {p.where()}" for p in _parents(node)]
        raise RuntimeError(
            f"Function '{node.name()}' returned nan values in its {i}th output.\n[{'; '.join(facts)}]"
        )


def check_forward(op: Op, values: Sequence[Any], made: Any) -> None:
    """Raise if an op has made a NaN of operands without one, or an infinity of finite ones.

    What backward computes is left to `check`, and so are ops that only choose or move what is there.

    Raises:
        RuntimeError: names the op, the first bad index, the operands there, and the user's line.
    """
    if pulling.node is not None:
        return
    given = [x for v in values for x in (v if isinstance(v, (list, tuple)) else (v,))]
    for result in made if isinstance(made, tuple) else (made,):
        array = array_in(result)
        if array is None or not has_bad(array):
            continue
        if has_nan(array) and not any(map(has_nan, given)):
            mask = np.isnan(array)
            of = "operands without one" if any(map(has_bad, given)) else "finite operands"
        elif not any(map(has_bad, given)):
            mask, of = ~np.isfinite(array), "finite operands"
        else:
            continue
        index = first(mask)
        there = operands_at(op, values, index, array.shape)
        text = ", ".join(f"{name} is {value}" for name, value in there.items())
        raise RuntimeError(
            f"{op.torch_name} made {number(array, index)} of {of}\n[result of shape {array.shape}, first at "
            f"index {index}{', where ' if text else ''}{text}; at {where.describe(*where.here())}]"
        )


def show(node: Node) -> None:
    """Warn with the stack of the forward call that made a node, and of those whose backward made it."""
    stack = _stack(node)
    if stack is None:
        text = (
            f"Error detected in {node.name()}. No forward pass information available. Enable detect anomaly "
            f"during forward pass for more information.\n[recorded at {node.where()}]"
        )
    else:
        text = f"Error detected in {node.name()}. Traceback of forward call that caused the error:\n{stack}"
    warnings.warn(text, UserWarning, stacklevel=2)
    for parent in _parents(node):
        stack = _stack(parent) or f"  recorded at {parent.where()}\n"
        warnings.warn(
            f"\n\nPrevious calculation was induced by {parent.name()}. Traceback of forward call that "
            f"induced the previous calculation:\n{stack}",
            UserWarning,
            stacklevel=2,
        )


def _stack(node: Node) -> str | None:
    frames = None if node.extras is None else node.extras.metadata.get("traceback_")
    return None if frames is None else "".join(frames)
