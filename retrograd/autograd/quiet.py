"""NumPy's floating-point warnings, switched off and on: `np.errstate` without its preparations.

    before = quiet()
    try:
        ...
    finally:
        restore(before)

NumPy keeps the state in a context variable, so it is the thread's (or the coroutine's) own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any

import numpy as np


def _state_and_variable() -> tuple[Any, ContextVar[Any] | None]:
    """Return NumPy's state with all warnings off, and the context variable where it looks for it."""
    with np.errstate(all="ignore"):
        context = copy_context()
        found = [(context[v], v) for v in context if v.name.startswith("numpy.") and "extobj" in v.name]
    return found[0] if found else (None, None)


def _enter() -> Any:
    state = np.errstate(all="ignore")
    state.__enter__()
    return state


def _leave(state: Any) -> None:
    state.__exit__(None, None, None)


quiet: Callable[[], Any]
restore: Callable[[Any], None]
_IGNORE, _VARIABLE = _state_and_variable()
if _VARIABLE is None:  # a NumPy that keeps its state elsewhere
    quiet, restore = _enter, _leave
else:
    quiet, restore = partial(_VARIABLE.set, _IGNORE), _VARIABLE.reset
