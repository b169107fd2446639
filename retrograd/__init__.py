"""retrograd: PyTorch's autograd in Python. `import retrograd as torch` runs torch programs unchanged.

Example:
    >>> import retrograd as torch
    >>> x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> y = (x * x).sum()
    >>> y.backward()
    >>> x.grad
    tensor([2., 4., 6.])
"""

from __future__ import annotations

import math
import warnings
from importlib import import_module
from typing import Any

import retrograd.startup  # before NumPy is imported
from retrograd import dtypes, errors, later, public
from retrograd.autograd.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from retrograd.devices import (
    Size,
    channels_last,
    channels_last_3d,
    contiguous_format,
    device,
    layout,
    memory_format,
    preserve_format,
    sparse_coo,
    sparse_csr,
    strided,
)
from retrograd.dtypes import can_cast, dtype, finfo, iinfo, promote_types
from retrograd.tensor import Tensor

__version__ = "0.1.0"

# NumPy warns of overflow and division by zero at the line that computes: ours, where torch says nothing.
warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"retrograd\b")

inf, nan, pi, e = math.inf, math.nan, math.pi, math.e
newaxis = None
OutOfMemoryError, LinAlgError = errors.OutOfMemoryError, errors.LinAlgError

globals().update(dtypes.BY_NAME)
globals().update(dtypes._ALIASES)

public.attach()
globals().update(public.functions("torch"))

from retrograd import functions  # noqa: E402 - they take ops by their public functions, attached above

globals().update(functions.FUNCTIONS)
for _name, _method in functions.METHODS.items():
    setattr(Tensor, _name, _method)


for _name, _module in later.METHODS.items():
    setattr(Tensor, _name, later.method(_name, _module))


def __getattr__(name: str) -> Any:
    if name in later.MODULES:
        return import_module(f"retrograd.{name}")
    if name in later.NAMES:
        return getattr(import_module(f"retrograd.{later.NAMES[name]}"), name)
    raise AttributeError(f"module 'torch' has no attribute '{name}'")


def is_tensor(obj: Any) -> bool:
    """Return whether `obj` is a Tensor."""
    return isinstance(obj, Tensor)


def set_default_dtype(d: dtypes.dtype) -> None:
    """Set the dtype that Python floats become (float32 at first)."""
    dtypes.default.set(d)


def get_default_dtype() -> dtypes.dtype:
    """Return the dtype that Python floats become."""
    return dtypes.default.float


__all__ = [
    "Size", "Tensor", "can_cast", "channels_last", "channels_last_3d", "contiguous_format", "device", "dtype",
    "enable_grad", "finfo", "iinfo", "inference_mode", "is_grad_enabled", "is_inference_mode_enabled",
    "layout", "memory_format", "no_grad", "preserve_format", "promote_types", "set_grad_enabled",
    "sparse_coo", "sparse_csr", "strided",
]  # fmt: skip

retrograd.startup.finish()
