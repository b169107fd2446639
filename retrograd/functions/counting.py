"""Tensors of numbers in order: ranges, evenly spaced numbers, the places of a triangle."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd import devices, dtypes
from retrograd.functions.making import finish, numpy_type
from retrograd.random.distributions import _multiply_add as multiply_add
from retrograd.tensor import Tensor


def _number(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.item()
    if isinstance(value, complex):
        raise RuntimeError("value cannot be converted to type double without overflow")  # noqa: TRY004 - as in torch
    return value


def arange(
    start: Any = None, end: Any = None, step: Any = 1, *, out: Any = None, dtype: Any = None,
    layout: Any = None,
    device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Return start, start + step, ... up to but not including end.

    Numerics: element i is start + i * step in float64 (int64 for integers), rounded once.
    """
    devices.check(device, meta=True)
    if end is None:
        start, end = 0, start
    start, end, step = _number(0 if start is None else start), _number(end), _number(step)
    whole = all(isinstance(v, (int, np.integer)) for v in (start, end, step))
    if not whole and not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start:g} -> {end:g}")
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    default = np.dtype(np.int64) if whole else None if out is None else out._array.dtype
    kind = numpy_type("arange", dtype, default)
    if kind.kind in "iu" and not whole:
        start, end, step = int(start), int(end), int(step)
        if step == 0:
            raise ValueError("step must be nonzero")
    count = -((start - end) // step) if whole else math.ceil((end - start) / step)
    if whole or kind.kind in "iu":
        array = np.arange(count) * int(step) + int(start) if (start, step) != (0, 1) else np.arange(count)
    else:
        array = np.arange(count, dtype=np.float64) * step + start
    return finish(array.astype(kind, copy=False), requires_grad, out, device)


def range_(
    start: Any = 0, end: Any = None, step: Any = 1, *, out: Any = None, dtype: Any = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return start, start + step, ... up to and including end; deprecated in favour of `arange`."""
    warnings.warn(
        "torch.range is deprecated and will be removed in a future release because its behavior is "
        "inconsistent with "
        "Python's range builtin. Instead, use torch.arange, which produces values in [start, end).",
        UserWarning,
        stacklevel=2,
    )
    if end is None:
        start, end = 0, start
    count = int((end - start) / step) + 1
    array = np.arange(count, dtype=np.float64) * step + start
    return finish(array.astype(numpy_type("range", dtype)), requires_grad, out, device)


def linspace(
    start: Any, end: Any, steps: int, *, out: Any = None, dtype: Any = None, layout: Any = None,
    device: Any = None,
    requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Return `steps` numbers, evenly spaced from start to end, both included.

    Numerics: symmetric; the first half counts up from start, the second half down from end.
    """
    devices.check(device, meta=True)
    start, end, kind = _ends(start, end, dtype)
    return finish(_evenly(start, end, steps, kind), requires_grad, out, device)


def _ends(start: Any, end: Any, dtype: Any) -> tuple[Any, Any, Any]:
    start, end = (v.item() if isinstance(v, Tensor) else v for v in (start, end))
    default = dtypes.default.float
    if isinstance(start, complex) or isinstance(end, complex):
        default = default.to_complex()
    return start, end, numpy_type("linspace", dtype, default.np)


def _evenly(start: Any, end: Any, steps: int, kind: Any) -> Any:
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    if steps < 2:
        return np.full(steps, start).astype(kind)
    if kind.kind == "f":
        return _fused(float(start), float(end), steps, kind)
    if kind.kind in "iu":
        start, end = float(int(start)), float(int(end))
        return np.trunc(_fused(start, end, steps, np.dtype(np.float64))).astype(kind)
    step = (complex(end) - complex(start)) / (steps - 1)
    i = np.arange(steps)
    return np.where(i < steps // 2, start + step * i, end - step * (steps - 1 - i)).astype(kind)


def _fused(start: float, end: float, steps: int, kind: Any) -> Any:
    """Return evenly spaced floats, each from one multiplication and addition, rounded once."""
    if kind.itemsize < 8:  # the product of two float32 is exact in float64
        first, last = np.float32(start), np.float32(end)
        step, start, end = float((last - first) / np.float32(steps - 1)), float(first), float(last)
    else:
        step = (end - start) / (steps - 1)
    i = np.arange(steps, dtype=np.float64)
    up, down = i[: steps // 2], i[: steps - steps // 2][::-1]
    if kind.itemsize < 8:
        return np.concatenate([up * step + start, down * -step + end]).astype(np.float32).astype(kind)
    return np.concatenate([multiply_add(up, step, start), multiply_add(down, -step, end)])


def logspace(
    start: Any, end: Any, steps: int, base: float = 10.0, *, out: Any = None, dtype: Any = None,
    layout: Any = None,
    device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Return `steps` powers of `base`, with exponents evenly spaced from start to end."""
    devices.check(device, meta=True)
    start, end, kind = _ends(start, end, dtype)
    if kind.kind in "iu":
        start, end = int(start), int(end)
    work = kind if kind.kind == "c" else np.dtype(np.float64)
    return finish(np.power(base, _evenly(start, end, steps, work)).astype(kind), requires_grad, out, device)


def eye(
    n: int, m: int | None = None, *, out: Any = None, dtype: Any = None, layout: Any = None,
    device: Any = None,
    requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Return the matrix with ones on its diagonal."""
    devices.check(device, meta=True)
    for name, count in (("n", n), ("m", n if m is None else m)):
        if count < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {count}")
    return finish(np.eye(n, m, dtype=numpy_type("eye", dtype)), requires_grad, out, device)


def _indices(name: str, lower: bool) -> Callable[..., Tensor]:
    def function(
        row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None, layout: Any = None
    ) -> Tensor:
        kept = np.tri(row, col, offset if lower else offset - 1, bool)
        found = np.stack(np.nonzero(kept if lower else ~kept))
        return finish(found.astype(numpy_type(name, dtype, np.dtype(np.int64)), copy=False))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"Return the row and column of each element of the {'lower' if lower else 'upper'} triangle."
    )
    return function


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "arange": arange, "eye": eye, "linspace": linspace, "logspace": logspace, "range": range_,
    "tril_indices": _indices("tril_indices", True), "triu_indices": _indices("triu_indices", False),
}  # fmt: skip
