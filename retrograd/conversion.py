"""What a tensor says of its size and memory, and its copies in another dtype or order."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd import devices, dtypes
from retrograd.ops.declare import TABLE
from retrograd.ops.helpers import wrap_dim
from retrograd.storage import TypedStorage, UntypedStorage
from retrograd.tensor import Tensor, wrap

_clone = TABLE["clone"].function
_to_copy = TABLE["to_copy"].function
Size = devices.Size


# ---- size and memory ----


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
        "TypedStorage is deprecated. It will be removed in the future and UntypedStorage will be the only storage class. "
        "This should only matter to you if you are using storages directly.  To access UntypedStorage directly, use "
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
    return input._array.shape == other._array.shape


def get_device(input: Tensor) -> int:
    """Return the number of the device: -1, the CPU."""
    return -1


# ---- copies ----


def contiguous(input: Tensor, memory_format: Any = devices.contiguous_format) -> Tensor:
    """Return the tensor itself if its elements lie in memory in this order, otherwise a copy of which that is true."""
    if memory_format is devices.contiguous_format:
        if input._array.flags.c_contiguous:
            return input
    elif memory_format is devices.preserve_format:
        raise RuntimeError("preserve memory format is unsupported by the contiguous operator")
    elif is_contiguous(input, memory_format):
        return input
    return _clone(input, memory_format=memory_format)  # type: ignore[no-any-return]


def to(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return the tensor in a dtype, on a device, or like another tensor: itself if it is so and `copy` is not asked for.

    Raises:
        AssertionError, NotImplementedError: the device is not the CPU.
    """
    dtype, copy, memory_format = None, False, None
    if len(args) == 1 and not kwargs and args[0].__class__ is dtypes.dtype:
        (dtype,) = args
    else:
        dtype, copy, memory_format = _parse_to(args, kwargs)
    return _converted(input, dtype, copy, memory_format)


def _parse_to(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, bool, Any]:
    dtype, rest = None, list(args)
    other = rest.pop(0) if rest and isinstance(rest[0], Tensor) else kwargs.pop("other", None)
    if other is not None:
        dtype = other.dtype
    else:
        device = kwargs.pop("device", None)
        if rest and (rest[0] is None or isinstance(rest[0], (str, devices.device))):
            device = rest.pop(0)
        elif rest and isinstance(rest[0], int) and not isinstance(rest[0], bool):
            raise RuntimeError("Cannot access accelerator device when none is available.")
        devices.check(device)
        dtype = rest.pop(0) if rest and (rest[0] is None or isinstance(rest[0], dtypes.dtype)) else kwargs.pop("dtype", None)
    kwargs.pop("non_blocking", None)
    copy = bool(kwargs.pop("copy", rest[1] if len(rest) > 1 else False))
    memory_format = kwargs.pop("memory_format", None)
    if kwargs or any(not isinstance(x, bool) for x in rest):
        names = ", ".join([type(x).__name__ for x in args] + [f"{k}={type(v).__name__}" for k, v in kwargs.items()])
        raise TypeError(
            f"to() received an invalid combination of arguments - got ({names}), but expected one of:\n"
            " * (torch.device device = None, torch.dtype dtype = None, bool non_blocking = False, bool copy = False, *, "
            "torch.memory_format memory_format = None)\n * (torch.dtype dtype, bool non_blocking = False, bool copy = "
            "False, *, torch.memory_format memory_format = None)\n * (Tensor tensor, bool non_blocking = False, bool copy "
            "= False, *, torch.memory_format memory_format = None)\n"
        )
    return dtype, copy, memory_format


def _converted(input: Tensor, dtype: Any, copy: bool = False, memory_format: Any = None) -> Tensor:
    have = input._array.dtype
    wanted = have if dtype is None else dtype.np
    if not copy and wanted == have:
        if memory_format is None or memory_format is devices.preserve_format or is_contiguous(input, memory_format):
            return input
    if have.kind == "c" and wanted.kind not in "cb":
        warnings.warn("Casting complex values to real discards the imaginary part", UserWarning, stacklevel=3)
    return _to_copy(input, wanted, memory_format)  # type: ignore[no-any-return]


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
    elif not isinstance(dtype, dtypes.dtype):
        raise TypeError(f"dtype must be a type, str, or dtype object; got {type(dtype).__name__}")
    return _converted(input, dtype)


def type_as(input: Tensor, other: Tensor) -> Tensor:
    """Return the tensor in the dtype of `other`."""
    return _converted(input, other.dtype)


def cpu(input: Tensor, memory_format: Any = None) -> Tensor:
    """Return the tensor on the CPU: itself."""
    return _converted(input, None, memory_format=memory_format)


def cuda(input: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Tensor:
    """Raise: there is no CUDA device."""
    raise AssertionError("Torch not compiled with CUDA enabled")


def resize_(input: Tensor, *sizes: Any, memory_format: Any = None) -> Tensor:
    """Give the tensor another shape; its memory grows if it must, and what is new there is anything.

    Raises:
        RuntimeError: the tensor requires grad.
    """
    from retrograd.shapes import ints  # noqa: PLC0415 - shapes.py takes its functions from here

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


def alias_copy(input: Tensor) -> Tensor:
    """Copy everything."""
    return _clone(input)  # type: ignore[no-any-return]


def is_storage(obj: Any) -> bool:
    """Return whether `obj` is a storage."""
    return isinstance(obj, (UntypedStorage, TypedStorage))


def resize_as_(input: Tensor, the_template: Tensor, *, memory_format: Any = None) -> Tensor:
    """Give the tensor the shape of another one."""
    return resize_(input, the_template._array.shape)


def _shallow(input: Tensor) -> Tensor:
    return input


_CASTS = {
    "float": dtypes.float32, "double": dtypes.float64, "half": dtypes.float16, "bfloat16": dtypes.bfloat16,
    "long": dtypes.int64, "int": dtypes.int32, "short": dtypes.int16, "char": dtypes.int8, "byte": dtypes.uint8,
    "bool": dtypes.bool_, "cfloat": dtypes.complex64, "cdouble": dtypes.complex128,
}  # fmt: skip

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "is_complex": is_complex, "is_floating_point": is_floating_point, "is_nonzero": is_nonzero,
    "is_same_size": is_same_size, "is_signed": is_signed, "is_storage": is_storage, "numel": numel,
    "resize_as_": resize_as_,
}  # fmt: skip
METHODS: dict[str, Any] = {
    "_cast": lambda self, dtype: _converted(self, dtypes.OF_NUMPY[dtype]),
    **{name: _caster(name, dtype) for name, dtype in _CASTS.items()},
    "contiguous": contiguous, "cpu": cpu, "cuda": cuda, "data_ptr": data_ptr, "dim": dim, "element_size": element_size,
    "get_device": get_device, "is_contiguous": is_contiguous, "is_pinned": lambda self, device=None: False,
    "is_shared": lambda self: False, "is_conj": lambda self: False, "is_neg": lambda self: False,
    "ndimension": dim, "nelement": numel, "pin_memory": _shallow, "resize_": resize_, "resize_as_": resize_as_, "set_": set_,
    "share_memory_": _shallow, "size": size, "storage": storage, "storage_offset": storage_offset, "stride": stride,
    "to": to, "type": type_, "type_as": type_as, "untyped_storage": untyped_storage,
}  # fmt: skip


def scalar(value: Any) -> Tensor:
    """Return a 0-dim tensor of a Python number, in the dtype that it becomes."""
    return wrap(np.asarray(value, dtypes.of_scalar(value).np))
