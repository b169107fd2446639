"""Making tensors: from data, filled with numbers, counting. Random ones are in `sampling.py`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd import devices, dtypes
from retrograd.autograd.draws import like
from retrograd.autograd.modes import local, modes
from retrograd.autograd.views import cut_here
from retrograd.functions import counting, sampling
from retrograd.functions.inference import array_from
from retrograd.functions.making import finish, finish_absent, numpy_type, sizes_of
from retrograd.ops.masks import as_number
from retrograd.tensor import Tensor, history, hold_cut, wrap

ndarray = np.ndarray


def _filled(name: str, make: Callable[..., Any], doc: str) -> Callable[..., Tensor]:
    """Return zeros, ones or empty."""

    def accepting(
        *size: Any, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
        requires_grad: bool = False, pin_memory: bool = False, **named: Any,
    ) -> Tensor:  # fmt: skip
        kind = dtypes.default.float.np if dtype is None else numpy_type(name, dtype)
        if named or not size:
            size = _named_size(name, size, named)
        for n in size:
            if n.__class__ is not int or n < 0:
                size = sizes_of(name, size)
                break
        if device is not None or devices.chosen.device is not None:
            devices.check(device, meta=True)
            if devices.is_meta(device):
                return finish_absent(size, kind, requires_grad)
        if requires_grad or out is not None or modes.special:
            return finish(make(size, kind), requires_grad, out)
        return wrap(make(size, kind))

    accepting.__name__ = accepting.__qualname__ = name
    accepting.__doc__ = doc
    return accepting


def _named_size(name: str, size: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
    """Return the sizes, given by name if not in a row."""
    if name == "empty":
        named.pop("memory_format", None)
    if not size:
        if "size" not in named:
            raise TypeError(f'{name}() missing 1 required positional arguments: "size"')
        size = (named.pop("size"),)
    if named:
        raise TypeError(f"{name}() got an unexpected keyword argument '{next(iter(named))}'")
    return size


zeros = _filled("zeros", np.zeros, "Return a tensor of zeros.")
ones = _filled("ones", np.ones, "Return a tensor of ones.")
empty = _filled("empty", np.empty, "Return a tensor with anything in it.")


# ---- from data ----


def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False
) -> Tensor:
    """Return a tensor that holds a copy of `data`: numbers, nested sequences of them, arrays, a tensor.

    Raises:
        ValueError: nested sequences are ragged.
        TypeError, RuntimeError: something in `data` is no number.
    """
    if device is not None:
        devices.check(device, meta=True)
    if isinstance(data, Tensor):
        warnings.warn(
            "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
            "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).",
            UserWarning,
            stacklevel=2,
        )
    made = finish(array_from(data, dtype, copy=True), requires_grad, device=device)
    if isinstance(data, Tensor) and data.requires_grad and not requires_grad:
        hold_cut(made, cut_here("tensor", "", history(data)))
    return made


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """Return `data` as a tensor, on the same memory where that is possible."""
    if device is not None:
        devices.check(device, meta=True)
    if isinstance(data, Tensor):
        if device is not None:
            data = data.to(device)
        return data if dtype is None or dtype is data.dtype else data.to(dtype)  # type: ignore[no-any-return]
    return finish(array_from(data, dtype, copy=False), device=device)


def asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool = False
) -> Tensor:
    """Return `obj` as a tensor: a copy if `copy`, never one if it is False, only where needed if None.

    Raises:
        ValueError: a copy is needed and not allowed.
    """
    devices.check(device, meta=True)
    if isinstance(obj, Tensor):
        if copy:
            made = obj.to(dtype or obj.dtype, copy=True)
        elif dtype is None or dtype is obj.dtype:
            made = obj
        elif copy is False:
            raise ValueError(
                "can't alias tensor with dtype '" + str(obj.dtype) + "' into dtype '" + str(dtype) + "'."
            )
        else:
            made = obj.to(dtype)
        if requires_grad:
            return made.requires_grad_()  # type: ignore[no-any-return]
        return made.detach() if obj.requires_grad else made  # type: ignore[no-any-return]
    source = obj if isinstance(obj, ndarray) else None
    array = array_from(obj, dtype, copy=bool(copy))
    if copy is False and (source is None or not np.shares_memory(array, source)):
        raise ValueError("can't alias arbitrary sequence into a tensor.")
    return finish(array, requires_grad)


def from_numpy(array: Any) -> Tensor:
    """Return a tensor on the memory of a NumPy array.

    Raises:
        TypeError: it is no array, or of a dtype that tensors do not have.
        ValueError: it has negative strides, or foreign byte order.
    """
    if not isinstance(array, ndarray):
        kind = type(array)
        name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
        raise TypeError(f"expected np.ndarray (got {name})")
    if not array.flags.writeable:
        warnings.warn(
            "The given NumPy array is not writable, and PyTorch does not support non-writable tensors. This "
            "means writing to this tensor will result in undefined behavior. You may want to copy the array "
            "to protect its data or make it writable before converting it to a tensor. This type of warning "
            "will be suppressed for the rest of this "
            "program.",
            UserWarning,
            stacklevel=2,
        )
    return finish(array_from(array, None, copy=False))


def frombuffer(
    buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Tensor:
    """Return a one-dimensional tensor on the memory of a buffer."""
    array = np.frombuffer(buffer, numpy_type("frombuffer", dtype), count, offset)
    if not array.flags.writeable:
        warnings.warn(
            "The given buffer is not writable, and PyTorch does not support non-writable tensors. This means "
            "you can write to the underlying (supposedly non-writable) buffer using the tensor. You may want "
            "to copy the buffer to protect its data or make it writable before converting it to a tensor. "
            "This type of warning will be "
            "suppressed for the rest of this program.",
            UserWarning,
            stacklevel=2,
        )
    return finish(array, requires_grad)


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """Return a tensor on the memory of anything that speaks DLPack."""
    if isinstance(ext_tensor, Tensor):
        return ext_tensor.clone() if copy else wrap(ext_tensor._array)
    array = np.from_dlpack(ext_tensor)
    if copy or not array.flags.writeable:
        array = array.copy()
    return finish(array)


def scalar_tensor(
    s: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """Return a 0-dim tensor of a number, in the default floating type."""
    devices.check(device, meta=True)
    return finish(np.asarray(s).astype(numpy_type("scalar_tensor", dtype)), requires_grad, device=device)


# ---- filled ----


def full(
    size: Any, fill_value: Any, *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Return a tensor with every element `fill_value`."""
    devices.check(device, meta=True)
    if not isinstance(size, (tuple, list)):
        raise TypeError(
            f"full(): argument 'size' (position 1) must be tuple of ints, not {type(size).__name__}"
        )
    value = fill_value._array if isinstance(fill_value, Tensor) else fill_value
    default = value.dtype if isinstance(value, ndarray) else dtypes.of_scalar(value).np
    kind = numpy_type("full", dtype, default)
    if devices.is_meta(device):
        return finish_absent(sizes_of("full", (size,)), kind, requires_grad)
    return finish(
        np.full(sizes_of("full", (size,)), as_number(value, kind), kind), requires_grad, out, device
    )


def empty_strided(
    size: Any, stride: Any, *, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Return a tensor with these strides and anything in it."""
    kind = numpy_type("empty_strided", dtype)
    shape = sizes_of("empty_strided", (size,))
    reach = 0 if 0 in shape else 1 + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
    memory = np.empty(reach, kind)
    return finish(
        np.ndarray(shape, kind, memory, 0, tuple(s * kind.itemsize for s in stride)),
        requires_grad,
        device=device,
    )


def empty_permuted(size: Any, physical_layout: Any, **options: Any) -> Tensor:
    """Return a tensor whose dimensions lie in memory in the order `physical_layout`, with anything in it."""
    shape = sizes_of("empty_permuted", (size,))
    if sorted(physical_layout) != list(range(len(shape))):
        if len(physical_layout) != len(shape):
            raise RuntimeError(
                "Number of dimensions in size does not match the length of the physical_layout; i.e. "
                f"len(size) = {len(shape)} is not equal to len(physical_layout) = {len(physical_layout)}"
            )
        if len(set(physical_layout)) != len(shape):
            raise RuntimeError("Duplicate dim not allowed")
        raise RuntimeError(
            f"Dimension out of range (expected to be between 0 and {len(shape) - 1}, but got "
            f"{max(physical_layout)})"
        )
    made = empty([shape[d] for d in physical_layout], **options)
    made._array = np.transpose(made._array, np.argsort(physical_layout))
    return made


# ---- like another tensor ----


def _like(name: str, make: Callable[..., Any]) -> Callable[..., Tensor]:
    """Return NAME_like: a tensor of another one's shape, dtype and order in memory."""

    def function(
        input: Tensor, *args: Any, dtype: Any = None, layout: Any = None, device: Any = None,
        requires_grad: bool = False,
        pin_memory: bool = False, memory_format: Any = None,
    ) -> Tensor:  # fmt: skip
        if device is not None:
            devices.check(device, meta=True)
        source = input._array
        kind = source.dtype if dtype is None else numpy_type(name, dtype)
        if input.is_meta if device is None else devices.is_meta(device):
            return finish_absent(source.shape, kind, requires_grad)
        order = "K" if memory_format is None or memory_format is devices.preserve_format else "C"
        if input.is_meta:  # its array has no elements, and another made like it would have none either
            source = np.empty(source.shape, kind)
        made = finish(make(source, *args, kind, order), requires_grad)
        return like(made, input) if modes.special and local.careful else made

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Do `{name[:-5]}` in the shape and dtype of another tensor."
    return function


def _full_like(source: Any, fill_value: Any, kind: Any, order: str) -> Any:
    value = fill_value._array if isinstance(fill_value, Tensor) else fill_value
    return np.full_like(source, as_number(value, kind), kind, order)  # type: ignore[call-overload]


_zeros_like = _like("zeros_like", np.zeros_like)
_ones_like = _like("ones_like", np.ones_like)
_empty_like = _like("empty_like", np.empty_like)
_full_named = _like("full_like", _full_like)


def full_like(input: Tensor, fill_value: Any, **options: Any) -> Tensor:
    """Return a tensor like another one with every element `fill_value`."""
    return _full_named(input, fill_value, **options)


def _new(name: str, make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return new_NAME: what NAME makes, in this tensor's dtype unless another is asked for."""

    def method(self: Tensor, *args: Any, dtype: Any = None, **options: Any) -> Tensor:
        if self.is_meta:
            options.setdefault("device", devices.META)
        made = make(*args, dtype=self.dtype if dtype is None else dtype, **options)
        return like(made, self) if modes.special and local.careful else made

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"Do `{name[4:]}` in this tensor's dtype."
    return method


def _new_anything(self: Tensor, *args: Any) -> Tensor:
    """Return a tensor of this dtype: with anything in it for sizes, holding `data` for a sequence."""
    if len(args) == 1 and not isinstance(args[0], (int, devices.Size)):
        return tensor(args[0], dtype=self.dtype)
    return empty(*(args or (0,)), dtype=self.dtype)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "as_tensor": as_tensor, "asarray": asarray, "empty": empty, "empty_like": _empty_like,
    "empty_permuted": empty_permuted, "empty_strided": empty_strided,
    "from_dlpack": from_dlpack, "from_numpy": from_numpy, "frombuffer": frombuffer, "full": full,
    "full_like": full_like,
    "ones": ones, "ones_like": _ones_like, "scalar_tensor": scalar_tensor, "tensor": tensor, "zeros": zeros,
    "zeros_like": _zeros_like, **counting.FUNCTIONS, **sampling.FUNCTIONS,
}  # fmt: skip
METHODS: dict[str, Callable[..., Any]] = {
    "new": _new_anything, "new_empty": _new("new_empty", empty),
    "new_empty_strided": _new("new_empty_strided", empty_strided),
    "new_full": _new("new_full", full), "new_ones": _new("new_ones", ones),
    "new_tensor": _new("new_tensor", tensor),
    "new_zeros": _new("new_zeros", zeros), **sampling.METHODS,
}  # fmt: skip
