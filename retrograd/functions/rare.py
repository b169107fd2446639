"""Functions and methods that few programs use: loaded when one does."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd import devices
from retrograd.functions.inspection import data_ptr
from retrograd.ops.declare import TABLE
from retrograd.tensor import Tensor


def get_device(input: Tensor) -> int:
    """Return the number of the device: -1, the CPU."""
    return input.get_device()  # type: ignore[no-any-return]


def set_default_device(device: Any) -> None:
    """Set where tensors are made when nothing is said: the CPU, or `meta`; None means the CPU."""
    found = devices.CPU if device is None else devices.device(device)
    devices.check(found, meta=True)
    devices.chosen.stack[:] = [] if found == devices.CPU else [found]
    devices.chosen.device = None if found == devices.CPU else found


def unsafe_split_with_sizes(input: Tensor, split_sizes: Any, dim: int = 0) -> Any:
    """Split into pieces of the given sizes."""
    return TABLE["split_with_sizes"].function(input, split_sizes, dim)


def get_num_interop_threads() -> int:
    """Return 1: ops run one after the other."""
    return 1


def set_num_interop_threads(num: int) -> None:
    """Note nothing: ops run one after the other.

    Raises:
        RuntimeError: the number is not positive.
    """
    if num <= 0:
        raise RuntimeError("Expected positive number of threads")


def _written_by(self: Tensor, function: Callable[..., Any], others: tuple[Any, ...]) -> Tensor:
    """Put function(element, ...) into each element.

    Raises:
        RuntimeError: the tensor requires grad.
        TypeError: the others are no tensors of its dtype.
    """
    if self.requires_grad:
        raise RuntimeError("Can't call a function in place on a Variable that requires grad.")
    for other in others:
        if not isinstance(other, Tensor) or other.dtype is not self.dtype:
            raise TypeError(f"expected tensors of dtype {self.dtype}; got {other!r}")
    arrays = [np.broadcast_to(o._array, self._array.shape) for o in others]
    made = [function(*values) for values in zip(self._array.flat, *[a.flat for a in arrays], strict=True)]
    self._array[...] = np.array(made, self._array.dtype).reshape(self._array.shape)
    self._version_cell().bump()
    return self


def apply_(self: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Put callable(element) into each element."""
    return _written_by(self, lambda x: callable(x.item()), ())


def map_(self: Tensor, tensor: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
    """Put callable(element, the other tensor's) into each element."""
    return _written_by(self, lambda x, y: callable(x.item(), y.item()), (tensor,))


def map2_(self: Tensor, x: Tensor, y: Tensor, callable: Callable[[Any, Any, Any], Any]) -> Tensor:
    """Put callable(element, x's, y's) into each element."""
    return _written_by(self, lambda a, b, c: callable(a.item(), b.item(), c.item()), (x, y))


def dim_order(self: Tensor) -> tuple[int, ...]:
    """Return the dimensions from the one with the longest stride to that with the shortest."""
    strides = self._array.strides
    return tuple(sorted(range(len(strides)), key=lambda d: -strides[d]))


def reinforce(self: Tensor, *args: Any) -> None:
    """Raise: this was removed from torch.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError(
        "reinforce() was removed. Use torch.distributions instead, whose log_prob() gives the surrogate loss"
    )


def resize(self: Tensor, *sizes: Any) -> Tensor:
    """Return the elements under another shape: an older name of reshape, with a warning."""
    warnings.warn("non-inplace resize is deprecated", UserWarning, stacklevel=3)
    return TABLE["view"].function(self, sizes[0] if isinstance(sizes[0], (tuple, list)) else sizes)  # type: ignore[no-any-return]


METHODS: dict[str, Callable[..., Any]] = {
    "apply_": apply_, "const_data_ptr": data_ptr, "dim_order": dim_order, "map_": map_, "map2_": map2_,
    "reinforce": reinforce, "resize": resize, "unsafe_split_with_sizes": unsafe_split_with_sizes,
}  # fmt: skip
