"""Anomaly mode: backward stops at the first NaN that a node makes, and shows where the node was recorded.

Without it every node still knows its line; with it, the whole stack of calls, and backward looks at each
value.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np

from retrograd.autograd.graph import Node, anomaly
from retrograd.autograd.modes import set_anomaly_reason
from retrograd.autograd.where import library

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


def set_anomaly_enabled(mode: bool, check_nan: bool = True) -> None:
    """Switch anomaly mode on or off."""
    set_anomaly_reason(mode)
    anomaly.on, anomaly.check_nan = mode, check_nan


class detect_anomaly:  # noqa: N801 - torch's public name
    """Look for NaN in backward, within; an error is preceded by a warning with the stack of the forward call.

    Args:
        check_nan: raise at the first NaN; otherwise only show the stack when a backward fails.
    """

    def __init__(self, check_nan: bool = True) -> None:
        self._before = anomaly.on, anomaly.check_nan
        self.check_nan = check_nan
        warnings.warn(_SLOW, UserWarning, stacklevel=2)

    def __enter__(self) -> None:
        self._before = anomaly.on, anomaly.check_nan
        set_anomaly_enabled(True, self.check_nan)

    def __exit__(self, *exc: object) -> None:
        set_anomaly_enabled(*self._before)


class set_detect_anomaly:  # noqa: N801 - torch's public name
    """Switch anomaly mode, at once when called; as context manager until its end."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._before = anomaly.on, anomaly.check_nan
        set_anomaly_enabled(mode, check_nan)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        set_anomaly_enabled(*self._before)


def remember_stack(node: Node) -> None:
    """Keep the user's stack of calls on a node."""
    import traceback  # noqa: PLC0415 - rare; it would lengthen the start-up

    frames = [f for f in traceback.extract_stack(sys._getframe(1)) if not library[f.filename]]
    node.more().metadata["traceback_"] = traceback.format_list(frames)


def check(node: Node, cts: tuple[Any, ...]) -> None:
    """Raise if a cotangent that a node made has a NaN in it.

    Raises:
        RuntimeError: names the node, which of its outputs, its line, and the first bad index.
    """
    if not anomaly.check_nan:
        return
    for i, ct in enumerate(cts):
        array = getattr(ct, "_array", ct)
        if array is None or not isinstance(array, (np.ndarray, np.generic)) or array.dtype.kind not in "fc":
            continue
        bad = np.isnan(array)
        if bad.any():
            show(node)
            first = tuple(int(k) for k in np.argwhere(bad)[0])
            raise RuntimeError(
                f"Function '{node.name()}' returned nan values in its {i}th output.\n"
                f"[shape {array.shape}, first at index {first}; recorded at {node.where()}]"
            )


def show(node: Node) -> None:
    """Warn with the stack of the forward call that made a node."""
    stack = node.extras.metadata.get("traceback_") if node.extras is not None else None
    if stack is None:
        text = (
            f"Error detected in {node.name()}. No forward pass information available. Enable detect anomaly "
            f"during forward pass for more information.\n[recorded at {node.where()}]"
        )
    else:
        text = (
            f"Error detected in {node.name()}. Traceback of forward call that caused the error:\n"
            f"{''.join(stack)}"
        )
    warnings.warn(text, UserWarning, stacklevel=2)
