"""What creation functions share: sizes and dtypes brought into one form, an array made into a tensor."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograd import devices, dtypes
from retrograd.autograd import absent
from retrograd.autograd.dispatch import mark_inference
from retrograd.autograd.large import notice
from retrograd.autograd.modes import local, modes
from retrograd.ops.helpers import as_array
from retrograd.tensor import Tensor, wrap


def finish(array: Any, requires_grad: bool = False, out: Tensor | None = None, device: Any = None) -> Tensor:
    """Return a tensor on a new array; or put the array into `out`; or keep its shape only, for `meta`."""
    if device is not None or devices.chosen.device is not None:
        devices.check(device, meta=True)
        if devices.is_meta(device):
            return finish_absent(array.shape, array.dtype, requires_grad)
    if out is not None:
        if out._array.shape != array.shape:
            out._array = np.empty(array.shape, out._array.dtype)
        np.copyto(out._array, array, casting="unsafe")
        out._version_cell().bump()
        return out
    notice(array.size)
    made = wrap(as_array(array))  # NumPy's arithmetic makes a scalar of an array without dimensions
    if modes.special and local.inference:
        mark_inference(made)
    if requires_grad:
        made._set_requires_grad(
            True, "Only Tensors of floating point and complex dtype can require gradients"
        )
    return made


def finish_absent(shape: Any, kind: Any, requires_grad: bool = False) -> Tensor:
    """Return a tensor without data, on the device `meta`."""
    made = absent.without_data(shape, kind)
    if requires_grad:
        made._set_requires_grad(
            True, "Only Tensors of floating point and complex dtype can require gradients"
        )
    return made


def sizes_of(name: str, size: tuple[Any, ...]) -> tuple[int, ...]:
    """Return sizes given in a row or as one sequence.

    Raises:
        TypeError: something is not a whole number.
        RuntimeError: a size is negative.
    """
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        (size,) = size
    try:
        found = tuple(map(operator.index, size))
    except TypeError:
        wrong = next(n for n in size if not hasattr(n, "__index__"))
        raise TypeError(
            f"{name}(): argument 'size' (position 1) must be tuple of ints, not {type(wrong).__name__}"
        ) from None
    for n in found:
        if n < 0:
            if name in ("zeros", "ones", "empty", "full"):
                raise RuntimeError(f"{name}: Dimension size must be non-negative.\n[got size {list(found)}]")
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}: {list(found)}")
    return found


def numpy_type(name: str, dtype: Any, default: Any = None) -> np.dtype[Any]:
    """Return the NumPy dtype of a public dtype; the default floating type for None."""
    if dtype is None:
        return dtypes.default.float.np if default is None else default
    if dtype.__class__ is not dtypes.dtype:
        if dtype in (float, int, bool, complex):
            return {float: np.dtype(np.float64), int: np.dtype(np.int64), bool: np.dtype(np.bool_),
                    complex: np.dtype(np.complex128)}[dtype]  # fmt: skip
        raise TypeError(f"{name}(): argument 'dtype' must be torch.dtype, not {type(dtype).__name__}")
    return dtype.np


def ints(name: str, what: str, given: tuple[Any, ...]) -> tuple[int, ...]:
    """Return sizes or dimensions given in a row or as one sequence; 0-dim integer tensors count as ints.

    Raises:
        TypeError: something is not a whole number.
    """
    if len(given) == 1 and isinstance(given[0], (tuple, list)):
        (given,) = given
    for n in given:
        if n.__class__ is not int:
            return _converted(name, what, given)
    return tuple(given)


def _converted(name: str, what: str, given: Sequence[Any]) -> tuple[int, ...]:
    for i, n in enumerate(given):
        if not hasattr(n, "__index__"):
            kinds = ", ".join(type(x).__name__ for x in given)
            if i == 0:
                raise TypeError(
                    f"{name}() received an invalid combination of arguments - got ({kinds}), but expected "
                    "one of:\n"
                    f" * (tuple of ints {what})\n"
                )
            raise TypeError(
                f"{name}(): argument '{what}' failed to unpack the object at pos {i + 1} with error \"type "
                "must be "
                f'tuple of ints,but got {type(n).__name__}"'
            )
    return tuple(operator.index(n) for n in given)
