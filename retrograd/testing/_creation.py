"""make_tensor: random tensors for tests, of any dtype and within bounds."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from retrograd import devices, dtypes
from retrograd.functions import FUNCTIONS
from retrograd.tensor import Tensor, wrap


def make_tensor(
    *shape: Any,
    dtype: dtypes.dtype,
    device: Any,
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Return a tensor of uniform random numbers in [low, high).

    Args:
        shape: the sizes, or one sequence of them.
        dtype: the dtype.
        device: the CPU.
        low: the lower bound; -9 by default, 0 for bool and uint8. Clamped to the dtype's range.
        high: the upper bound; 9 by default, 10 for integers, 2 for bool.
        requires_grad: let gradients flow to the tensor.
        noncontiguous: make it non-contiguous, if it has two or more elements.
        exclude_zero: replace zeros: by 1, or the smallest normal number.
        memory_format: how the elements lie in memory.

    Raises:
        ValueError: the bounds leave nothing; an integer tensor cannot require grad; `noncontiguous` together
            with `memory_format`.

    Example:
        >>> import retrograd as torch
        >>> torch.testing.make_tensor(2, 3, dtype=torch.float64, device="cpu").shape
        torch.Size([2, 3])
    """
    devices.check(device)
    sizes = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
    if requires_grad and dtype.category < dtypes.FLOATING:
        raise ValueError(
            f"`requires_grad=True` is not supported for boolean and integral dtypes, but got dtype={dtype}"
        )
    if noncontiguous and memory_format is not None:
        raise ValueError(
            "The parameters `noncontiguous` and `memory_format` are mutually exclusive, but got "
            f"noncontiguous={noncontiguous} and memory_format={memory_format}"
        )
    first, last = _bounds(dtype, low, high)
    if noncontiguous and math.prod(sizes) > 1:
        array = _drawn((*sizes[:-1], 2 * sizes[-1]), dtype, first, last)._array[..., 1::2]
    else:
        array = _drawn(sizes, dtype, first, last)._array
    if exclude_zero:
        array[array == 0] = 1 if dtype.category < dtypes.FLOATING else dtypes.finfo(dtype).tiny
    tensor = wrap(array)
    if memory_format is not None:
        tensor = tensor.clone(memory_format=memory_format)
    return tensor.requires_grad_() if requires_grad else tensor


def _bounds(dtype: dtypes.dtype, low: float | None, high: float | None) -> tuple[float, float]:
    """Return the bounds to draw between, within the dtype's range."""
    usual: tuple[float, float]
    limits: tuple[float, float]
    if dtype.category == dtypes.BOOL:
        usual, limits = (0, 2), (0, 2)
    elif dtype.category == dtypes.INTEGER:
        found = dtypes.iinfo(dtype)
        usual, limits = (0 if found.min == 0 else -9, 10), (found.min, found.max + 1)
    else:
        usual, limits = (-9, 9), (dtypes.finfo(dtype).min, dtypes.finfo(dtype).max)
    first = usual[0] if low is None else low
    last = usual[1] if high is None else high
    if math.isnan(first) or math.isnan(last):
        raise ValueError(f"`low` and `high` cannot be NaN, but got low={first} and high={last}")
    if first == last and dtype.category >= dtypes.FLOATING:
        warnings.warn(
            "Passing `low==high` to `torch.testing.make_tensor` for floating or complex types is "
            "deprecated since "
            "2.1 and will be removed in 2.3. Use `torch.full(...)` instead.",
            FutureWarning,
            stacklevel=3,
        )
    elif first >= last:
        raise ValueError(f"`low` must be less than `high`, but got {first} >= {last}")
    elif last < limits[0] or first >= limits[1]:
        raise ValueError(
            f"The value interval specified by `low` and `high` is [{first}, {last}), but {dtype} only "
            "supports "
            f"[{limits[0]}, {limits[1]})"
        )
    first, last = max(first, limits[0]), min(last, limits[1])
    return (first, last) if dtype.category >= dtypes.FLOATING else (math.ceil(first), math.ceil(last))


def _drawn(sizes: tuple[int, ...], dtype: dtypes.dtype, low: float, high: float) -> Tensor:
    if dtype.category < dtypes.FLOATING:
        drawn: Tensor = FUNCTIONS["randint"](int(low), int(high), sizes, dtype=dtype)
        return drawn
    if not dtype.is_complex:
        made: Any = wrap(np.empty(sizes, dtype.np))
        return _uniform(made, low, high, dtype)
    parts: Any = wrap(np.empty((*sizes, 2), np.float32 if dtype is dtypes.complex64 else np.float64))
    return wrap(_uniform(parts, low, high, dtype)._array.view(dtype.np)[..., 0])


def _uniform(tensor: Any, low: float, high: float, dtype: dtypes.dtype) -> Tensor:
    """Fill a tensor, and return it; a range that the dtype cannot span is drawn at half its size."""
    half = high - low > dtypes.finfo(dtype).max
    tensor.uniform_(low / 2 if half else low, high / 2 if half else high)
    return wrap(tensor._array * 2 if half else tensor._array)
