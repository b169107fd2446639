"""Tensor types by their older names: FloatTensor, LongTensor, ...; and setting the default by them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from retrograd import devices, dtypes
from retrograd.functions.creation import tensor
from retrograd.tensor import Tensor, wrap


class _TensorType(type):
    """The type of the older tensor types: what they are of is a question of dtype, not of class."""

    dtype: Any

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and instance.dtype is cls.dtype

    def __call__(cls, *args: Any, device: Any = None) -> Tensor:
        """Return a tensor: of the elements of a sequence or a tensor; of given sizes, with anything in it."""
        devices.check(device)
        kind = cls.dtype.np
        if len(args) == 1 and isinstance(args[0], Tensor):
            if args[0].dtype is not cls.dtype:
                raise TypeError(
                    f"expected {cls.dtype.tensor_type} (got {args[0].dtype.tensor_type}); convert it by .to()"
                )
            return args[0].detach()
        if len(args) == 1 and not isinstance(args[0], (int, devices.Size)):
            return tensor(args[0], dtype=cls.dtype)
        sizes = args[0] if args and isinstance(args[0], devices.Size) else args
        return wrap(np.zeros(sizes or (0,), kind))

    def __repr__(cls) -> str:
        return f"<class 'torch.{cls.__name__}'>"


def _type(name: str, dtype: Any) -> Any:
    return _TensorType(
        name, (), {"dtype": dtype, "__module__": "torch", "__doc__": f"Tensors of {dtype.name}."}
    )


BFloat16Tensor = _type("BFloat16Tensor", dtypes.bfloat16)
BoolTensor = _type("BoolTensor", dtypes.bool_)
ByteTensor = _type("ByteTensor", dtypes.uint8)
CharTensor = _type("CharTensor", dtypes.int8)
DoubleTensor = _type("DoubleTensor", dtypes.float64)
FloatTensor = _type("FloatTensor", dtypes.float32)
HalfTensor = _type("HalfTensor", dtypes.float16)
IntTensor = _type("IntTensor", dtypes.int32)
LongTensor = _type("LongTensor", dtypes.int64)
ShortTensor = _type("ShortTensor", dtypes.int16)


def set_default_tensor_type(t: Any) -> None:
    """Set the dtype that Python floats become by a tensor type, or its name.

    Raises:
        TypeError: it is no type of floating tensors.
    """
    warnings.warn(
        "torch.set_default_tensor_type() is deprecated as of PyTorch 2.1, please use "
        "torch.set_default_dtype() "
        "and torch.set_default_device() as alternatives.",
        UserWarning,
        stacklevel=2,
    )
    found = (
        next((d for d in dtypes.ALL if d.tensor_type == t), None)
        if isinstance(t, str)
        else getattr(t, "dtype", None)
    )
    if found is None:
        raise TypeError(f"invalid type object: {t!r}")
    if not found.is_floating_point:
        raise TypeError("only floating-point types are supported as the default type")
    dtypes.default.set(found)
