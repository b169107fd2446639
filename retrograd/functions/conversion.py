"""Copies in another dtype or order in memory, and tensors given other memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd import devices, dtypes
from retrograd.autograd.dispatch import general
from retrograd.functions import inspection
from retrograd.functions.inspection import data_ptr, is_contiguous
from retrograd.functions.making import finish_absent, ints
from retrograd.ops.declare import TABLE
from retrograd.tensor import Tensor

_clone: Callable[..., Tensor] = TABLE["clone"].function
_to_copy: Callable[..., Tensor] = TABLE["to_copy"].function


def contiguous(input: Tensor, memory_format: Any = devices.contiguous_format) -> Tensor:
    """Return the tensor itself if its elements lie in memory in this order, otherwise a copy that does."""
    if memory_format is devices.contiguous_format:
        if input._array.flags.c_contiguous:
            return input
    elif memory_format is devices.preserve_format:
        raise RuntimeError("preserve memory format is unsupported by the contiguous operator")
    elif is_contiguous(input, memory_format):
        return input
    return _clone(input, memory_format=memory_format)


def to(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return the tensor in a dtype, on a device, or like another: itself if it is so, unless `copy`.

    Raises:
        AssertionError, NotImplementedError: the device is not the CPU.
    """
    device, dtype, copy, memory_format = None, None, False, None
    if len(args) == 1 and not kwargs and args[0].__class__ is dtypes.dtype:
        (dtype,) = args
    else:
        device, dtype, copy, memory_format = _parse_to(args, kwargs)
    if device is not None and devices.is_meta(device) is not input.is_meta:
        return _moved(input, dtype or input.dtype)
    return _converted(input, dtype, copy, memory_format)


def _moved(input: Tensor, dtype: dtypes.dtype) -> Tensor:
    """Return a tensor without data like one that has some; there is no way back."""
    if input.is_meta:
        raise NotImplementedError("Cannot copy out of meta tensor; no data!")
    return finish_absent(input._array.shape, dtype.np)


def _parse_to(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any, bool, Any]:
    device, dtype, rest = None, None, list(args)
    other = rest.pop(0) if rest and isinstance(rest[0], Tensor) else kwargs.pop("other", None)
    if other is not None:
        device, dtype = other.device, other.dtype
    else:
        device = kwargs.pop("device", None)
        if rest and (rest[0] is None or isinstance(rest[0], (str, devices.device))):
            device = rest.pop(0)
        elif rest and isinstance(rest[0], int) and not isinstance(rest[0], bool):
            raise RuntimeError("Cannot access accelerator device when none is available.")
        devices.check(device, meta=True)
        dtype = (
            rest.pop(0)
            if rest and (rest[0] is None or isinstance(rest[0], dtypes.dtype))
            else kwargs.pop("dtype", None)
        )
    kwargs.pop("non_blocking", None)
    copy = bool(kwargs.pop("copy", rest[1] if len(rest) > 1 else False))
    memory_format = kwargs.pop("memory_format", None)
    if kwargs or any(not isinstance(x, bool) for x in rest):
        names = ", ".join(
            [type(x).__name__ for x in args] + [f"{k}={type(v).__name__}" for k, v in kwargs.items()]
        )
        raise TypeError(
            f"to() received an invalid combination of arguments - got ({names}), but expected one of:\n"
            " * (torch.device device = None, torch.dtype dtype = None, bool non_blocking = False, bool copy "
            "= False, *, torch.memory_format memory_format = None)\n * (torch.dtype dtype, bool non_blocking "
            "= False, bool copy = False, *, torch.memory_format memory_format = None)\n * (Tensor tensor, "
            "bool non_blocking = False, bool copy = False, *, torch.memory_format memory_format = None)\n"
        )
    return device, dtype, copy, memory_format


def _converted(input: Tensor, dtype: Any, copy: bool = False, memory_format: Any = None) -> Tensor:
    have = input._array.dtype
    wanted = have if dtype is None else dtype.np
    if (
        not copy
        and wanted == have
        and (memory_format in (None, devices.preserve_format) or is_contiguous(input, memory_format))
    ):
        return input
    if have.kind == "c" and wanted.kind not in "cb":
        warnings.warn("Casting complex values to real discards the imaginary part", UserWarning, stacklevel=3)
    if wanted.kind in "biu":  # the straight path takes every result for one that may have a gradient
        return general(TABLE["to_copy"], (input, wanted, memory_format))  # type: ignore[no-any-return]
    return _to_copy(input, wanted, memory_format)


def _caster(name: str, dtype: dtypes.dtype) -> Callable[..., Tensor]:
    """Return the method that converts to one dtype."""
    wanted = dtype.np

    def method(input: Tensor, memory_format: Any = None) -> Tensor:
        if input._array.dtype == wanted and memory_format is None:
            return input
        return _converted(input, dtype, memory_format=memory_format)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"Return the tensor as {dtype}: itself if it is."
    return method


def type_(input: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """Return the name of the tensor's type, or the tensor in another one.

    Raises:
        ValueError: there is no such type.
    """
    if dtype is None:
        return input.dtype.tensor_type
    if isinstance(dtype, str):
        found = next((d for d in dtypes.ALL if d.tensor_type == dtype), None)
        if found is None:
            raise ValueError(f"invalid type: '{dtype}'")
        dtype = found
    elif not isinstance(dtype, dtypes.dtype) and hasattr(dtype, "dtype"):  # one of the older tensor types
        dtype = dtype.dtype
    elif not isinstance(dtype, dtypes.dtype):
        raise TypeError(f"dtype must be a type, str, or dtype object; got {type(dtype).__name__}")
    return _converted(input, dtype)


def type_as(input: Tensor, other: Tensor) -> Tensor:
    """Return the tensor in the dtype of `other`."""
    return _converted(input, other.dtype)


def cpu(input: Tensor, memory_format: Any = None) -> Tensor:
    """Return the tensor on the CPU: itself."""
    return to(input, devices.CPU, memory_format=memory_format)


def cuda(input: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Tensor:
    """Raise: there is no CUDA device."""
    raise AssertionError("Torch not compiled with CUDA enabled")


def resize_(input: Tensor, *sizes: Any, memory_format: Any = None) -> Tensor:
    """Give the tensor another shape; its memory grows if it must, and what is new there is anything.

    Raises:
        RuntimeError: the tensor requires grad.
    """
    if input.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    shape = ints("resize_", "size", sizes)
    have = input._array
    count = int(np.prod(shape))
    root = have.base if isinstance(have.base, np.ndarray) and have.base.dtype == have.dtype else have
    offset = data_ptr(input) - int(root.__array_interface__["data"][0])
    if offset + count * have.itemsize <= root.nbytes and root.flags.c_contiguous:
        input._array = np.ndarray(shape, have.dtype, root, offset)
    else:
        made = np.zeros(count, have.dtype)
        made[: have.size] = have.reshape(-1)[:count]
        input._array = made.reshape(shape)
    input._version_cell().bump()
    return input


def set_(input: Tensor, source: Any = None) -> Tensor:
    """Make the tensor look at the memory of `source`."""
    input._array = np.zeros(0, input._array.dtype) if source is None else source._array
    input._version_cell().bump()
    return input


def resize_as_(input: Tensor, the_template: Tensor, *, memory_format: Any = None) -> Tensor:
    """Give the tensor the shape of another one."""
    return resize_(input, the_template._array.shape)


def _shallow(input: Tensor) -> Tensor:
    return input


_CASTS = {
    "float": dtypes.float32, "double": dtypes.float64, "half": dtypes.float16, "bfloat16": dtypes.bfloat16,
    "long": dtypes.int64, "int": dtypes.int32, "short": dtypes.int16, "char": dtypes.int8,
    "byte": dtypes.uint8,
    "bool": dtypes.bool_, "cfloat": dtypes.complex64, "cdouble": dtypes.complex128,
}  # fmt: skip

FUNCTIONS: dict[str, Callable[..., Any]] = {"resize_as_": resize_as_, **inspection.FUNCTIONS}
METHODS: dict[str, Any] = {
    "_cast": lambda self, dtype: _converted(self, dtypes.OF_NUMPY[dtype]),
    **{name: _caster(name, dtype) for name, dtype in _CASTS.items()},
    "contiguous": contiguous, "cpu": cpu, "cuda": cuda, "pin_memory": _shallow, "resize_": resize_,
    "resize_as_": resize_as_, "set_": set_, "share_memory_": _shallow, "to": to, "type": type_,
    "type_as": type_as,
    **inspection.METHODS,
}  # fmt: skip
