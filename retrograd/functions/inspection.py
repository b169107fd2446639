"""What a tensor says of itself: its sizes, its place in memory, its kind of numbers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd import devices
from retrograd.functions.storage import TypedStorage, UntypedStorage
from retrograd.ops.helpers import wrap_dim
from retrograd.tensor import Tensor

Size = devices.Size


def size(input: Tensor, dim: Any = None) -> Any:
    """Return the sizes of the dimensions, or of one."""
    shape = input._array.shape
    if dim is None:
        return Size(shape)
    try:
        if -len(shape) <= dim < len(shape):
            return shape[dim]
    except TypeError:
        raise TypeError(f"size(): argument 'dim' must be int, not {type(dim).__name__}") from None
    return shape[_existing(dim, len(shape))]


def _existing(dim: int, rank: int) -> int:
    if rank == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    return wrap_dim(dim, rank)


def stride(input: Tensor, dim: int | None = None) -> Any:
    """Return how many elements apart the neighbours along each dimension lie in memory, or along one."""
    array = input._array
    step = array.itemsize
    strides = tuple([s // step for s in array.strides])
    return strides if dim is None else strides[_existing(dim, array.ndim)]


def numel(input: Tensor) -> int:
    """Return the number of elements."""
    return input._array.size


def dim(input: Tensor) -> int:
    """Return the number of dimensions."""
    return input._array.ndim


def element_size(input: Tensor) -> int:
    """Return the bytes of one element."""
    return input._array.itemsize


def data_ptr(input: Tensor) -> int:
    """Return the address of the first element."""
    return int(input._array.__array_interface__["data"][0])


def storage_offset(input: Tensor) -> int:
    """Return where the first element lies in the memory, in elements from its start."""
    return (data_ptr(input) - UntypedStorage(input._array).data_ptr()) // input._array.itemsize


def untyped_storage(input: Tensor) -> UntypedStorage:
    """Return the memory that the tensor looks at."""
    return UntypedStorage(input._array)


def storage(input: Tensor) -> TypedStorage:
    """Return the memory that the tensor looks at, as elements of its dtype."""
    warnings.warn(
        "TypedStorage is deprecated. It will be removed in the future and UntypedStorage will be the only "
        "storage class. This should only matter to you if you are using storages directly.  To access "
        "UntypedStorage directly, use "
        "tensor.untyped_storage() instead of tensor.storage()",
        UserWarning,
        stacklevel=2,
    )
    return TypedStorage(input._array)


def is_contiguous(input: Tensor, memory_format: Any = devices.contiguous_format) -> bool:
    """Return whether the elements lie in memory in C order, or in another format's order."""
    array = input._array
    if memory_format is devices.contiguous_format:
        return bool(array.flags.c_contiguous)
    return array.ndim == _rank(memory_format) and bool(np.moveaxis(array, 1, -1).flags.c_contiguous)


def _rank(memory_format: Any) -> int:
    return 5 if memory_format is devices.channels_last_3d else 4


def is_floating_point(input: Tensor) -> bool:
    """Return whether the dtype is a floating type."""
    return input.dtype.is_floating_point


def is_complex(input: Tensor) -> bool:
    """Return whether the dtype is a complex type."""
    return input.dtype.is_complex


def is_signed(input: Tensor) -> bool:
    """Return whether the dtype has negative numbers."""
    return input.dtype.is_signed


def is_nonzero(input: Tensor) -> bool:
    """Return whether the only element is not zero."""
    if input._array.size != 1:
        what = "no values" if input._array.size == 0 else "more than one value"
        raise RuntimeError(f"Boolean value of Tensor with {what} is ambiguous")
    return bool(input._array.item())


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Return whether two tensors have the same shape."""
    return bool(input._array.shape == other._array.shape)


def get_device(input: Tensor) -> int:
    """Return the number of the device: -1, the CPU."""
    return -1


def is_storage(obj: Any) -> bool:
    """Return whether `obj` is a storage."""
    return isinstance(obj, (UntypedStorage, TypedStorage))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "is_complex": is_complex, "is_floating_point": is_floating_point, "is_nonzero": is_nonzero,
    "is_same_size": is_same_size, "is_signed": is_signed, "is_storage": is_storage, "numel": numel,
}  # fmt: skip
METHODS: dict[str, Any] = {
    "data_ptr": data_ptr, "dim": dim, "element_size": element_size, "get_device": get_device,
    "is_conj": lambda self: False, "is_contiguous": is_contiguous, "is_neg": lambda self: False,
    "is_pinned": lambda self, device=None: False, "is_shared": lambda self: False, "ndimension": dim,
    "nelement": numel,
    "size": size, "storage": storage, "storage_offset": storage_offset, "stride": stride,
    "untyped_storage": untyped_storage,
}  # fmt: skip
