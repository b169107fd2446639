"""How modules make their parameters, and spread a number over the dimensions."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat
from typing import Any

import numpy as np

from retrograd import devices, dtypes
from retrograd.functions.making import finish_absent
from retrograd.nn.parameter import Parameter
from retrograd.tensor import Tensor, wrap


def tensor(shape: Any, dtype: Any = None, device: Any = None, fill: float | None = None) -> Tensor:
    """Return a tensor of a shape, filled or not yet initialised."""
    devices.check(device, meta=True)
    kind = (dtypes.default.float if dtype is None else dtype).np
    if devices.is_meta(device):
        return finish_absent(np.broadcast_shapes(shape), kind)
    return wrap(np.empty(shape, kind) if fill is None else np.full(shape, fill, kind))


def parameter(shape: Any, dtype: Any = None, device: Any = None) -> Parameter:
    """Return a parameter of a shape, not yet initialised."""
    made: Parameter = Parameter(tensor(shape, dtype, device))
    return made


def spread(value: Any, count: int) -> tuple[Any, ...]:
    """Return a number `count` times, and a sequence as a tuple."""
    return tuple(value) if isinstance(value, Iterable) else tuple(repeat(value, count))


def options(module: Any, names: str) -> str:
    """Return `name=value` pairs of a module's attributes, for its text."""
    return ", ".join(f"{name}={getattr(module, name)}" for name in names.split())
