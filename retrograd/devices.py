"""Devices, layouts, memory formats and sizes: the small value types that tensors report about themselves.

The device `meta` holds no numbers: its tensors have a shape and a dtype, and an `Absent` for an array.
"""

from __future__ import annotations

import math
import threading
from typing import Any, Self, SupportsIndex, overload

import numpy as np

_KNOWN = (
    "cpu", "cuda", "ipu", "xpu", "mkldnn", "opengl", "opencl", "ideep", "hip", "ve", "fpga", "maia", "xla",
    "lazy", "vulkan", "mps", "meta", "hpu", "mtia", "privateuseone",
)  # fmt: skip


class device:  # noqa: N801 - torch's public name
    """Where a tensor's memory is; only `cpu` can hold one.

    Raises:
        RuntimeError: the string names no known kind of device.

    Example:
        >>> device("cpu")
        device(type='cpu')
    """

    __slots__ = ("index", "type")

    index: int | None
    type: str

    def __init__(self, type: str | device = "cpu", index: int | None = None) -> None:
        if isinstance(type, device):
            index, type = type.index, type.type
        if not isinstance(type, str):
            raise TypeError(f"device(): argument 'type' must be str, not {type.__class__.__name__}")
        name, colon, number = type.partition(":")
        if name not in _KNOWN:
            raise RuntimeError(
                f"Expected one of {', '.join(_KNOWN)} device type at start of device string: {name}"
            )
        if colon and not number.isdigit():
            raise RuntimeError(f"Invalid device string: '{type}'")
        self.type = name
        self.index = int(number) if colon else index

    def __repr__(self) -> str:
        tail = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{tail})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __reduce__(self) -> tuple[Any, ...]:
        return device, (str(self),)

    def __enter__(self) -> Self:
        check(self, meta=True)
        chosen.stack.append(self)
        chosen.device = self
        return self

    def __exit__(self, *exc: object) -> None:
        chosen.stack.pop()
        chosen.device = chosen.stack[-1] if chosen.stack else None


class _Chosen(threading.local):
    """Where this thread's tensors are made when nothing is said: `with torch.device("meta"):`."""

    def __init__(self) -> None:
        self.device: device | None = None
        self.stack: list[device] = []


chosen = _Chosen()
CPU = device("cpu")
META = device("meta")


def check(where: str | device | None, *, meta: bool = False) -> None:
    """Raise unless `where` is a device that can hold tensors; or, with `meta`, their shapes."""
    if where is None or where is CPU:
        return
    found = device(where)
    if meta and found.type == "meta":
        return
    if found.type == "cuda":
        raise AssertionError("Torch not compiled with CUDA enabled")
    if found.type != "cpu":
        raise NotImplementedError(
            f"Could not run on device '{found}': retrograd keeps tensors in CPU memory; use device='cpu'"
        )


def is_meta(where: str | device | None) -> bool:
    """Return whether a tensor made on this device, or on the chosen one for None, is one without data."""
    if where is None:
        where = chosen.device
    return where is not None and device(where).type == "meta"


class Absent(np.ndarray):
    """The array of a tensor without data: a read-only zero seen at every place, which may not be read.

    Example:
        >>> Absent.of((2, 3), np.float32).shape
        (2, 3)
    """

    @classmethod
    def of(cls, shape: tuple[int, ...], kind: Any) -> Absent:
        """Return a stand-in of a shape and dtype."""
        return np.broadcast_to(np.zeros((), kind), shape).view(cls)

    def item(self, *args: Any) -> Any:
        raise RuntimeError("Tensor.item() cannot be called on meta tensors")

    def __bool__(self) -> bool:
        return bool(self.item())

    def tolist(self) -> Any:
        raise NotImplementedError("Cannot copy out of meta tensor; no data!")

    def nonzero(self) -> Any:
        raise NotImplementedError(
            "nonzero: the result depends on numbers; got a tensor on the device meta, which has none"
        )

    def copy(self, order: Any = "C") -> Absent:
        return Absent.of(self.shape, self.dtype)

    def __reduce__(self) -> Any:
        return Absent.of, (self.shape, self.dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = (), **kwargs: Any) -> Any:
        if out and isinstance(out[0], Absent):
            return out[0]
        found = getattr(ufunc, method)(*map(numbers_of, inputs), **kwargs)
        return Absent.of(found.shape, found.dtype)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func is not np.copyto:
            return super().__array_function__(func, types, args, kwargs)
        if not isinstance(args[0], Absent):
            raise NotImplementedError("Cannot copy out of meta tensor; no data!")
        return None


def numbers_of(array: Any) -> Any:
    """Return an ordinary array of zeros in place of an absent one, without memory of its own."""
    return array.view(np.ndarray) if array.__class__ is Absent else array


class _Named:
    """A constant that prints as its public name."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name


class layout(_Named):  # noqa: N801 - torch's public name
    """How a tensor's elements are stored."""

    __slots__ = ()


class memory_format(_Named):  # noqa: N801 - torch's public name
    """The order in which a tensor's dimensions lie in memory."""

    __slots__ = ()


strided = layout("strided")
sparse_coo = layout("sparse_coo")
sparse_csr = layout("sparse_csr")
contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")


class Size(tuple[int, ...]):
    """The shape of a tensor: a tuple of ints that prints as `torch.Size([2, 3])`.

    Example:
        >>> Size([2, 3]).numel()
        6
    """

    __slots__ = ()

    def numel(self) -> int:
        """Return the number of elements of a tensor of this size."""
        return math.prod(self)

    def __repr__(self) -> str:
        return f"torch.Size([{', '.join(map(str, self))}])"

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> int: ...
    @overload
    def __getitem__(self, index: slice, /) -> Size: ...
    def __getitem__(self, index: Any, /) -> Any:
        found = tuple.__getitem__(self, index)
        return Size(found) if isinstance(index, slice) else found

    def __add__(self, other: tuple[Any, ...], /) -> Size:
        return Size(tuple.__add__(self, tuple(other)))

    def __mul__(self, times: SupportsIndex, /) -> Size:
        return Size(tuple.__mul__(self, times))

    def __reduce__(self) -> tuple[Any, ...]:
        return Size, (tuple(self),)
