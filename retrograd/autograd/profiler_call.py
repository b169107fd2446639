"""What the profiler notes of a call besides its time: shapes, memory, and where it was made."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from retrograd.autograd.where import outside
from retrograd.tensor import Tensor


def shape_of(value: Any) -> list[Any]:
    """Return a tensor's shape, those of a sequence of tensors, and nothing for what is none."""
    if isinstance(value, (list, tuple)):
        return [shape_of(v) for v in value if isinstance(v, Tensor)]
    return list(value._array.shape) if isinstance(value, Tensor) else []


def _owner(array: Any) -> Any:
    """Return the array that owns the memory."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def bytes_made(result: Any, args: tuple[Any, ...]) -> int:
    """Return the bytes of those results that do not lie in memory of the arguments."""
    given = {id(_owner(a._array)) for a in args if isinstance(a, Tensor)}
    found = result if isinstance(result, (tuple, list)) else (result,)
    return sum(t._array.nbytes for t in found if isinstance(t, Tensor) and id(_owner(t._array)) not in given)


def user_frames() -> list[str]:
    """Return the user's stack of calls, innermost first."""
    frame: Any = outside(sys._getframe(1))
    lines = []
    while frame is not None:
        lines.append(f"{frame.f_code.co_filename}({frame.f_lineno}): {frame.f_code.co_name}")
        frame = frame.f_back
    return lines
