"""Single elements of arrays, as messages name them: the first bad one, and the operands that met there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograd.ops.declare import Op


def array_in(value: Any) -> Any:
    """Return the array of floating or complex numbers that a value is or holds; None for all else."""
    value = getattr(value, "_array", value)
    if isinstance(value, (float, complex)):
        value = np.asarray(value)
    if type(value) is not np.ndarray and not isinstance(value, np.generic):  # Absent has no numbers
        return None
    if value.dtype.kind not in "fcV":
        return None
    return value if value.dtype.kind != "V" else value.astype(np.float32)


def has_nan(value: Any) -> bool:
    """Return whether a value holds a NaN."""
    array = array_in(value)
    return array is not None and bool(np.isnan(array).any())


def has_bad(value: Any) -> bool:
    """Return whether a value holds a NaN or an infinity."""
    array = array_in(value)
    return array is not None and not bool(np.isfinite(array).all())


def first(mask: Any) -> tuple[int, ...]:
    """Return the index of the first true element."""
    return tuple(int(k) for k in np.argwhere(mask)[0])


def number(array: Any, index: tuple[int, ...]) -> str:
    """Return an element as text."""
    value = np.asarray(array)[index].item()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def operands_at(
    op: Op, values: Sequence[Any], index: tuple[int, ...], shape: tuple[int, ...]
) -> dict[str, str]:
    """Return, by parameter, the numbers that a pointwise op made the element at `index` from.

    Of an op of another family, whose elements have many operands, nothing. A missing value is None.
    """
    found: dict[str, str] = {}
    if op.family != "pointwise":
        return found
    for parameter, value in zip(op.parameters, values, strict=True):
        value = getattr(value, "_array", value)
        if parameter.is_static:
            continue
        if isinstance(value, (int, float, complex)):
            found[parameter.name] = str(value)
        elif isinstance(value, (np.ndarray, np.generic)):
            found[parameter.name] = number(np.broadcast_to(value, shape), index)
    return found
