"""Ops on tensors without data (the device `meta`): the definition runs on zeros, and only the shape is kept.

What comes in is replaced by zeros that take no memory; what comes out is an ordinary result, whose array is
then let go. Gradients are recorded as for any op, so a backward over such tensors gives such tensors.

Source: torch, except that strides are not kept: a tensor without data has none.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograd.autograd.dispatch import plain
from retrograd.autograd.modes import modes
from retrograd.autograd.views import new_meta
from retrograd.devices import Absent, numbers_of
from retrograd.ops.declare import Op
from retrograd.tensor import Tensor, history, wrap

_NEEDS_NUMBERS = {
    "allclose", "bincount", "equal", "histc", "masked_select", "nonzero", "unique", "unique_consecutive",
}  # fmt: skip


def without_data(shape: tuple[int, ...], kind: Any) -> Tensor:
    """Return a tensor of a shape and NumPy dtype on the device `meta`."""
    if call not in modes.elsewhere:
        modes.elsewhere.append(call)
    made = wrap(Absent.of(tuple(shape), kind))
    made._version_cell()  # this and facts keep it off the straight paths
    made._facts()
    return made


def is_absent(value: Any) -> bool:
    """Return whether a value is a tensor without data, or a sequence that has one."""
    if isinstance(value, (list, tuple)):
        return any(map(is_absent, value))
    return isinstance(value, Tensor) and value.is_meta


def call(op: Op, args: tuple[Any, ...], target: Tensor | None) -> Any:
    """Run an op of which an argument has no data, for its shape; NotImplemented if all have.

    Raises:
        NotImplementedError: the shape of the result would depend on the numbers.
        RuntimeError: another argument, of one or more dimensions, has data.
    """
    if not any(map(is_absent, args)) and not (target is not None and is_absent(target)):
        return NotImplemented
    if op.name in _NEEDS_NUMBERS or (op.name.startswith("index") and any(map(_is_mask, args))):
        raise NotImplementedError(
            f"{op.torch_name}: the result depends on numbers; got a tensor on the device meta, which has none"
        )
    if op.name == "copy":
        if target is not None and not target.is_meta:
            raise NotImplementedError("Cannot copy out of meta tensor; no data!")
    else:
        _check_devices(args)
        if target is not None and not target.is_meta:
            raise RuntimeError(
                "Attempting to copy from device meta to device cpu, but cross-device copies are not allowed!"
            )
    result = plain(op, tuple(map(_with_zeros, args)))
    if target is not None:
        return _written(target, result)
    for made in result if isinstance(result, tuple) else (result,):
        made._array = Absent.of(made._array.shape, made._array.dtype)
        made._meta = new_meta()
        made._version_cell().rebased = -1
    return result


def _is_mask(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_is_mask, value))
    return is_absent(value) and value._array.dtype == np.bool_


def _check_devices(args: tuple[Any, ...]) -> None:
    for value in args:
        if isinstance(value, (list, tuple)):
            _check_devices(tuple(value))
        elif isinstance(value, Tensor) and value._array.ndim and not value.is_meta:
            raise RuntimeError("Tensor on device cpu is not on the expected device meta!")


def _with_zeros(value: Any) -> Any:
    """Return a tensor of zeros with the history of one without data; anything else as it is."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(_with_zeros, value)) if is_absent(value) else value
    if not is_absent(value):
        return value
    made = wrap(numbers_of(value._array))
    made._node = history(value)
    return made


def _written(target: Tensor, result: Tensor) -> Tensor:
    if target._array.shape != result._array.shape:
        raise RuntimeError(
            f"output with shape {list(target._array.shape)} doesn't match the broadcast shape "
            f"{list(result._array.shape)}"
        )
    if result._node is not None:
        target._node = result._node
    return target
