"""What the environment switches, read once."""

from __future__ import annotations

import importlib.util
import os
from functools import cache


@cache
def kernels() -> str:
    """Return what RETROGRAD_KERNELS says: `0`, `1` or `all`; `0` too where there is no LLVM.

    0     large arrays never run as kernels compiled from the ops' definitions: everything by NumPy
    all   whatever the size, and at the first use (for tests)
    """
    asked = os.environ.get("RETROGRAD_KERNELS", "1")
    return asked if importlib.util.find_spec("llvmlite") is not None else "0"
