"""What array Python data becomes: its shape and its dtype, as torch.tensor infers them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.tensor import Tensor

ndarray = np.ndarray
_LISTS = (list, tuple)
_NUMBERS = (int, float, complex, bool)
_INT64 = np.dtype(np.int64)
_FLOAT64 = np.dtype(np.float64)


def array_from(data: Any, dtype: Any, copy: bool) -> Any:
    """Return the array of `data`, in `dtype` or the one it implies; a new one where `copy` or needed.

    Raises:
        ValueError, TypeError, RuntimeError: with torch's texts, for what is ragged or no number.
    """
    kind = data.__class__
    if kind is list and data:
        first = data[0]
        while first.__class__ is list and first:
            first = first[0]
        if first.__class__ in _NUMBERS:
            return _from_numbers(data, dtype)
    elif kind in _NUMBERS:
        return _from_numbers(data, dtype)
    if isinstance(data, Tensor):
        return _cast(data._array, dtype, copy)
    if isinstance(data, (ndarray, np.generic)):
        return _from_array(np.asarray(data), dtype, copy)
    if hasattr(data, "__array_interface__") or (hasattr(data, "__array__") and not isinstance(data, _LISTS)):
        return _from_array(np.asarray(data), dtype, copy)
    return _from_anything(data, dtype)


def _cast(array: Any, dtype: Any, copy: bool) -> Any:
    if dtype is not None and array.dtype != dtype.np:
        return array.astype(dtype.np)
    return array.copy() if copy else array


def _from_array(array: Any, dtype: Any, copy: bool) -> Any:
    if array.dtype not in dtypes.OF_NUMPY:
        if array.dtype.newbyteorder("=") in dtypes.OF_NUMPY:
            raise ValueError(
                "given numpy array has byte order different from the native byte order. Conversion between "
                "byte orders is currently not supported."
            )
        raise TypeError(
            f"can't convert np.ndarray of type numpy.{array.dtype.type.__name__}. The only supported types "
            "are: float64, float32, float16, complex64, complex128, int64, int32, int16, int8, uint64, "
            "uint32, uint16, uint8, and bool."
        )
    if not array.flags.c_contiguous and any(s < 0 for s in array.strides) and array.size:
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative strides are "
            "not currently supported. (You can probably work around this by making a copy of your array  "
            "with array.copy().) "
        )
    return _cast(array, dtype, copy)


def _from_numbers(data: Any, dtype: Any) -> Any:
    """Return the array of Python numbers in nested lists: NumPy finds the shape."""
    try:
        array = np.array(data)
    except (ValueError, OverflowError):
        return _from_anything(data, dtype)
    found = array.dtype
    if found is _FLOAT64 or found == _FLOAT64:
        if dtype is None:
            if _holds_numpy(data):
                return _from_anything(data, None)
            return array.astype(dtypes.default.float.np)
    elif found == _INT64 or found.kind == "b":
        if dtype is None:
            return _from_anything(data, None) if _holds_numpy(data) else array
    elif found.kind == "c":
        if dtype is None:
            return array.astype(dtypes.default.float.to_complex().np)
    else:
        return _from_anything(data, dtype)
    return _checked_cast(array, dtype)


def _holds_numpy(data: Any) -> bool:
    """Return whether nested lists end in NumPy scalars or tensors, whose dtypes count; asks the last one."""
    while isinstance(data, _LISTS) and data:
        last = data[-1]
        if isinstance(last, (np.generic, Tensor, ndarray)):
            return True
        data = last
    return False


def _checked_cast(array: Any, dtype: Any) -> Any:
    """Return numbers in a dtype that was asked for; integers too large for it are refused."""
    to = dtype.np
    if to.kind in "iu" and array.size:
        limits = np.iinfo(to)
        low = -int(limits.max) - 1 if to.kind == "u" else int(limits.min)
        if (
            (array.dtype.kind == "f" and not np.isfinite(array).all())
            or array.max() > limits.max
            or array.min() < low
        ):
            raise RuntimeError(f"value cannot be converted to type {dtype.name} without overflow")
    if array.dtype.kind == "c" and to.kind != "c":
        raise TypeError("must be real number, not complex")
    return array.astype(to)


def _shape_of(data: Any) -> tuple[int, ...]:
    """Return the shape of nested sequences, as their first elements have it."""
    shape: list[int] = []
    while True:
        if isinstance(data, str):
            raise (
                ValueError("too many dimensions 'str'")
                if shape
                else TypeError("new(): invalid data type 'str'")
            )
        if isinstance(data, Tensor):
            shape += data._array.shape
            break
        if isinstance(data, ndarray):
            shape += data.shape
            break
        if isinstance(data, (np.generic, *_NUMBERS)):
            break
        if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")) or isinstance(data, dict):
            raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")
        shape.append(len(data))
        if not len(data):
            break
        data = data[0]
    return tuple(shape)


def _from_anything(data: Any, dtype: Any) -> Any:
    """Return the array of nested sequences of whatever, element by element."""
    shape = _shape_of(data)
    leaves: list[Any] = []
    kinds: list[dtypes.dtype] = []
    _collect(data, shape, 0, leaves, kinds)
    if dtype is None:
        dtype = dtypes.default.float if not kinds else kinds[0]
        for kind in kinds[1:]:
            dtype = dtypes.promote_types(dtype, kind)
    if dtype.name != "uint64" and any(isinstance(v, int) and not -(2**63) <= v < 2**63 for v in leaves):
        raise ValueError("Overflow when unpacking long long")
    if dtype.np.kind in "iu":
        whole = np.array([v if isinstance(v, int) else int(v) for v in leaves], object)
        if dtype.name == "uint64" or not leaves:
            return whole.astype(dtype.np).reshape(shape)
        return _checked_cast(whole.astype(np.int64), dtype).reshape(shape)
    if dtype.np.kind != "c" and any(isinstance(v, complex) for v in leaves):
        raise TypeError("must be real number, not complex")
    return np.array(leaves, None if leaves else np.float64).astype(dtype.np).reshape(shape)


def _collect(data: Any, shape: tuple[int, ...], depth: int, leaves: list[Any], kinds: list[Any]) -> None:
    if isinstance(data, Tensor):
        if data._array.size != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        leaves.append(data.item())
        kinds.append(data.dtype)
        return
    if isinstance(data, ndarray):
        if depth == 1:
            warnings.warn(
                "Creating a tensor from a list of numpy.ndarrays is extremely slow. Please consider "
                "converting the list to "
                "a single numpy.ndarray with numpy.array() before converting to a tensor.",
                UserWarning,
                stacklevel=6,
            )
        kinds.append(dtypes.of_array(data))
        leaves += data.reshape(-1).tolist()
        return
    if depth == len(shape):
        _leaf(data, leaves, kinds)
        return
    if isinstance(data, str) or not hasattr(data, "__len__"):
        raise TypeError("not a sequence")
    if len(data) != shape[depth]:
        raise ValueError(f"expected sequence of length {shape[depth]} at dim {depth} (got {len(data)})")
    for item in data:
        _collect(item, shape, depth + 1, leaves, kinds)


def _leaf(value: Any, leaves: list[Any], kinds: list[Any]) -> None:
    if isinstance(value, np.generic):
        leaves.append(value.item())
        kinds.append(dtypes.of_array(value))
    elif isinstance(value, _NUMBERS):
        leaves.append(value)
        kinds.append(dtypes.of_scalar(value))
    elif isinstance(value, str):
        raise TypeError("new(): invalid data type 'str'")
    elif isinstance(value, (list, tuple)):
        raise TypeError(f"'{type(value).__name__}' object cannot be interpreted as an integer")
    else:
        raise RuntimeError(f"Could not infer dtype of {type(value).__name__}")  # noqa: TRY004 - torch's type
