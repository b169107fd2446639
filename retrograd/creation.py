"""Making tensors: from data, filled with numbers, counting. Random ones are in `sampling.py`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd import devices, dtypes, sampling
from retrograd.autograd.modes import modes
from retrograd.inference import array_from
from retrograd.making import finish, numpy_type, sizes_of
from retrograd.ops.masks import as_number
from retrograd.random.distributions import _multiply_add as multiply_add
from retrograd.tensor import Tensor, wrap

ndarray = np.ndarray


def _filled(name: str, make: Callable[..., Any], doc: str) -> Callable[..., Tensor]:
    """Return zeros, ones or empty."""

    def accepting(
        *size: Any, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
        requires_grad: bool = False, pin_memory: bool = False, **named: Any,
    ) -> Tensor:  # fmt: skip
        if device is not None:
            devices.check(device)
        kind = dtypes.default.float.np if dtype is None else numpy_type(name, dtype)
        if named or not size:
            size = _named_size(name, size, named)
        for n in size:
            if n.__class__ is not int or n < 0:
                size = sizes_of(name, size)
                break
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
        devices.check(device)
    if isinstance(data, Tensor):
        warnings.warn(
            "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
            "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).",
            UserWarning,
            stacklevel=2,
        )
    return finish(array_from(data, dtype, copy=True), requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """Return `data` as a tensor, on the same memory where that is possible."""
    if device is not None:
        devices.check(device)
    if isinstance(data, Tensor):
        return data if dtype is None or dtype is data.dtype else data.to(dtype)  # type: ignore[attr-defined, no-any-return]
    return finish(array_from(data, dtype, copy=False))


def asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool = False
) -> Tensor:
    """Return `obj` as a tensor: a copy if `copy`, never one if it is False, only where needed if None.

    Raises:
        ValueError: a copy is needed and not allowed.
    """
    devices.check(device)
    if isinstance(obj, Tensor):
        if copy:
            made = obj.to(dtype or obj.dtype, copy=True)  # type: ignore[attr-defined]
        elif dtype is None or dtype is obj.dtype:
            made = obj
        elif copy is False:
            raise ValueError("can't alias tensor with dtype '" + str(obj.dtype) + "' into dtype '" + str(dtype) + "'.")
        else:
            made = obj.to(dtype)  # type: ignore[attr-defined]
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
            "The given NumPy array is not writable, and PyTorch does not support non-writable tensors. This means writing "
            "to this tensor will result in undefined behavior. You may want to copy the array to protect its data or make "
            "it writable before converting it to a tensor. This type of warning will be suppressed for the rest of this "
            "program.",
            UserWarning,
            stacklevel=2,
        )
    return finish(array_from(array, None, copy=False))


def frombuffer(buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """Return a one-dimensional tensor on the memory of a buffer."""
    array = np.frombuffer(buffer, numpy_type("frombuffer", dtype), count, offset)
    if not array.flags.writeable:
        warnings.warn(
            "The given buffer is not writable, and PyTorch does not support non-writable tensors. This means you can "
            "write to the underlying (supposedly non-writable) buffer using the tensor. You may want to copy the buffer "
            "to protect its data or make it writable before converting it to a tensor. This type of warning will be "
            "suppressed for the rest of this program.",
            UserWarning,
            stacklevel=2,
        )
    return finish(array, requires_grad)


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """Return a tensor on the memory of anything that speaks DLPack."""
    if isinstance(ext_tensor, Tensor):
        return ext_tensor.clone() if copy else wrap(ext_tensor._array)  # type: ignore[attr-defined, no-any-return]
    array = np.from_dlpack(ext_tensor)
    if copy or not array.flags.writeable:
        array = array.copy()
    return finish(array)


def scalar_tensor(
    s: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False
) -> Tensor:
    """Return a 0-dim tensor of a number, in the default floating type."""
    devices.check(device)
    return finish(np.asarray(s).astype(numpy_type("scalar_tensor", dtype)), requires_grad)


# ---- filled and counted ----


def full(
    size: Any, fill_value: Any, *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Return a tensor with every element `fill_value`."""
    devices.check(device)
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"full(): argument 'size' (position 1) must be tuple of ints, not {type(size).__name__}")
    value = fill_value._array if isinstance(fill_value, Tensor) else fill_value
    default = value.dtype if isinstance(value, ndarray) else dtypes.of_scalar(value).np
    kind = numpy_type("full", dtype, default)
    return finish(np.full(sizes_of("full", (size,)), as_number(value, kind), kind), requires_grad, out)


def _number(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.item()
    if isinstance(value, complex):
        raise RuntimeError("value cannot be converted to type double without overflow")
    return value


def arange(
    start: Any = None, end: Any = None, step: Any = 1, *, out: Any = None, dtype: Any = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Return start, start + step, ... up to but not including end.

    Numerics: element i is start + i * step in float64 (int64 for integers), rounded once.
    """
    devices.check(device)
    if end is None:
        start, end = 0, start
    start, end, step = _number(0 if start is None else start), _number(end), _number(step)
    whole = all(isinstance(v, (int, np.integer)) for v in (start, end, step))
    if not whole and not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start:g} -> {end:g}")
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    default = np.dtype(np.int64) if whole else None if out is None else out._array.dtype
    kind = numpy_type("arange", dtype, default)
    if kind.kind in "iu" and not whole:
        start, end, step = int(start), int(end), int(step)
        if step == 0:
            raise RuntimeError("step must be nonzero")
    count = -((start - end) // step) if whole else math.ceil((end - start) / step)
    if whole or kind.kind in "iu":
        array = np.arange(count) * int(step) + int(start) if (start, step) != (0, 1) else np.arange(count)
    else:
        array = np.arange(count, dtype=np.float64) * step + start
    return finish(array.astype(kind, copy=False), requires_grad, out)


def range_(
    start: Any = 0, end: Any = None, step: Any = 1, *, out: Any = None, dtype: Any = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return start, start + step, ... up to and including end; deprecated in favour of `arange`."""
    warnings.warn(
        "torch.range is deprecated and will be removed in a future release because its behavior is inconsistent with "
        "Python's range builtin. Instead, use torch.arange, which produces values in [start, end).",
        UserWarning,
        stacklevel=2,
    )
    if end is None:
        start, end = 0, start
    count = int((end - start) / step) + 1
    array = np.arange(count, dtype=np.float64) * step + start
    return finish(array.astype(numpy_type("range", dtype)), requires_grad, out)


def linspace(
    start: Any, end: Any, steps: int, *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Return `steps` numbers, evenly spaced from start to end, both included.

    Numerics: symmetric; the first half counts up from start, the second half down from end.
    """
    devices.check(device)
    start, end, kind = _ends(start, end, dtype)
    return finish(_evenly(start, end, steps, kind), requires_grad, out)


def _ends(start: Any, end: Any, dtype: Any) -> tuple[Any, Any, Any]:
    start, end = (v.item() if isinstance(v, Tensor) else v for v in (start, end))
    default = dtypes.default.float
    if isinstance(start, complex) or isinstance(end, complex):
        default = default.to_complex()
    return start, end, numpy_type("linspace", dtype, default.np)


def _evenly(start: Any, end: Any, steps: int, kind: Any) -> Any:
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    if steps < 2:
        return np.full(steps, start).astype(kind)
    if kind.kind == "f":
        return _fused(float(start), float(end), steps, kind)
    real = np.dtype(np.complex128 if kind.kind == "c" else np.float32)
    if kind.kind in "iu":
        start, end = int(start), int(end)
    step = (real.type(end) - real.type(start)) / real.type(steps - 1)
    i = np.arange(steps)
    half = steps // 2
    array = np.where(i < half, real.type(start) + step * i.astype(real), real.type(end) - step * (steps - 1 - i).astype(real))
    return (np.trunc(array) if kind.kind in "iu" else array).astype(kind)


def _fused(start: float, end: float, steps: int, kind: Any) -> Any:
    """Return evenly spaced floats, each from one multiplication and addition, rounded once."""
    if kind.itemsize < 8:  # the product of two float32 is exact in float64
        first, last = np.float32(start), np.float32(end)
        step, start, end = float((last - first) / np.float32(steps - 1)), float(first), float(last)
    else:
        step = (end - start) / (steps - 1)
    i = np.arange(steps, dtype=np.float64)
    up, down = i[: steps // 2], i[: steps - steps // 2][::-1]
    if kind.itemsize < 8:
        return np.concatenate([up * step + start, down * -step + end]).astype(np.float32).astype(kind)
    return np.concatenate([multiply_add(up, step, start), multiply_add(down, -step, end)])


def logspace(
    start: Any, end: Any, steps: int, base: float = 10.0, *, out: Any = None, dtype: Any = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Return `steps` powers of `base`, with exponents evenly spaced from start to end."""
    devices.check(device)
    start, end, kind = _ends(start, end, dtype)
    work = kind if kind.kind == "c" else np.dtype(np.float64)
    return finish(np.power(base, _evenly(start, end, steps, work)).astype(kind), requires_grad, out)


def eye(
    n: int, m: int | None = None, *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Return the matrix with ones on its diagonal."""
    devices.check(device)
    for name, count in (("n", n), ("m", n if m is None else m)):
        if count < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {count}")
    return finish(np.eye(n, m, dtype=numpy_type("eye", dtype)), requires_grad, out)


def empty_strided(
    size: Any, stride: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Return a tensor with these strides and anything in it."""
    kind = numpy_type("empty_strided", dtype)
    shape = sizes_of("empty_strided", (size,))
    reach = 0 if 0 in shape else 1 + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
    memory = np.empty(reach, kind)
    return finish(np.ndarray(shape, kind, memory, 0, tuple(s * kind.itemsize for s in stride)), requires_grad)


def _indices(name: str, lower: bool) -> Callable[..., Tensor]:
    def function(
        row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None, layout: Any = None
    ) -> Tensor:
        kept = np.tri(row, col, offset if lower else offset - 1, bool)
        found = np.stack(np.nonzero(kept if lower else ~kept))
        return finish(found.astype(numpy_type(name, dtype, np.dtype(np.int64)), copy=False))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Return the row and column of each element of the {'lower' if lower else 'upper'} triangle."
    return function


# ---- like another tensor ----


def _like(name: str, make: Callable[..., Any]) -> Callable[..., Tensor]:
    """Return NAME_like: a tensor of another one's shape, dtype and order in memory."""

    def function(
        input: Tensor, *args: Any, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
        pin_memory: bool = False, memory_format: Any = None,
    ) -> Tensor:  # fmt: skip
        if device is not None:
            devices.check(device)
        source = input._array
        kind = source.dtype if dtype is None else numpy_type(name, dtype)
        order = "K" if memory_format is None or memory_format is devices.preserve_format else "C"
        return finish(make(source, *args, kind, order), requires_grad)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Do `{name[:-5]}` in the shape and dtype of another tensor."
    return function


def _full_like(source: Any, fill_value: Any, kind: Any, order: str) -> Any:
    value = fill_value._array if isinstance(fill_value, Tensor) else fill_value
    return np.full_like(source, as_number(value, kind), kind, order)


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
        return make(*args, dtype=self.dtype if dtype is None else dtype, **options)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"Do `{name[4:]}` in this tensor's dtype."
    return method


def _new_anything(self: Tensor, *args: Any) -> Tensor:
    """Return a tensor of this dtype: with anything in it for sizes, holding `data` for a sequence."""
    if len(args) == 1 and not isinstance(args[0], (int, devices.Size)):
        return tensor(args[0], dtype=self.dtype)
    return empty(*(args or (0,)), dtype=self.dtype)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "arange": arange, "as_tensor": as_tensor, "asarray": asarray, "empty": empty, "empty_like": _empty_like,
    "empty_strided": empty_strided, "eye": eye, "from_dlpack": from_dlpack, "from_numpy": from_numpy,
    "frombuffer": frombuffer, "full": full, "full_like": full_like, "linspace": linspace, "logspace": logspace,
    "ones": ones, "ones_like": _ones_like, "range": range_, "scalar_tensor": scalar_tensor, "tensor": tensor,
    "tril_indices": _indices("tril_indices", True), "triu_indices": _indices("triu_indices", False), "zeros": zeros,
    "zeros_like": _zeros_like, **sampling.FUNCTIONS,
}  # fmt: skip
METHODS: dict[str, Callable[..., Any]] = {
    "new": _new_anything, "new_empty": _new("new_empty", empty), "new_empty_strided": _new("new_empty_strided", empty_strided),
    "new_full": _new("new_full", full), "new_ones": _new("new_ones", ones), "new_tensor": _new("new_tensor", tensor),
    "new_zeros": _new("new_zeros", zeros), **sampling.METHODS,
}  # fmt: skip
