"""How Python and NumPy see a tensor: numbers, sequences, copies, and arrays that share its memory."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from retrograd import dtypes

_BFLOAT16 = dtypes.bfloat16.np


class PythonProtocol:
    """What Python asks of a value: its truth, its number, its items, its copies."""

    __slots__ = ()

    if TYPE_CHECKING:  # the methods and operators that public.py adds, for those who check types

        def __getattr__(self, name: str) -> Any: ...
        def __getitem__(self, index: Any) -> Any: ...
        def __setitem__(self, index: Any, value: Any) -> None: ...
        def __neg__(self) -> Any: ...
        def __eq__(self, other: object) -> Any: ...
        def __add__(self, other: Any) -> Any: ...

        __ne__ = __eq__
        __pos__ = __abs__ = __invert__ = __neg__
        __sub__ = __mul__ = __truediv__ = __floordiv__ = __mod__ = __pow__ = __matmul__ = __add__
        __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rfloordiv__ = __rmod__ = __rpow__ = __add__
        __rmatmul__ = __lshift__ = __rshift__ = __and__ = __or__ = __xor__ = __rand__ = __ror__ = __add__
        __rxor__ = __lt__ = __le__ = __gt__ = __ge__ = __add__

    def item(self: Any) -> Any:
        """Return the only element as a Python number.

        Raises:
            RuntimeError: there is not exactly one element.
        """
        array = self._array
        if array.size != 1:
            raise RuntimeError(f"a Tensor with {array.size} elements cannot be converted to Scalar")
        value = float(array.item()) if array.dtype == _BFLOAT16 else array.item()
        if self._node is not None:
            self._note_number(value, sys._getframe(1))
        return value

    def tolist(self: Any) -> Any:
        """Return the elements as nested lists of Python numbers; a number for a 0-dim tensor."""
        array = self._array
        return (array.astype(np.float32) if array.dtype == _BFLOAT16 else array).tolist()

    def __bool__(self: Any) -> bool:
        size = self._array.size
        if size == 1:
            return bool(self._array.item())
        what = "no values" if size == 0 else "more than one value"
        raise RuntimeError(f"Boolean value of Tensor with {what} is ambiguous")

    def _scalar(self: Any) -> Any:
        if self.requires_grad:
            warnings.warn(
                "Converting a tensor with requires_grad=True to a scalar may lead to unexpected behavior.\n"
                "Consider using tensor.detach() first.",
                UserWarning,
                stacklevel=3,
            )
        return self.item()

    def __float__(self: Any) -> float:
        return float(self._scalar())

    def __int__(self: Any) -> int:
        return int(self._scalar())

    def __complex__(self: Any) -> complex:
        return complex(self._scalar())

    def __index__(self: Any) -> int:
        if self._array.size != 1 or self.dtype.category > dtypes.INTEGER:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self._array.item())

    def __len__(self: Any) -> int:
        if self._array.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return len(self._array)

    def __iter__(self: Any) -> Any:
        if self._array.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __reversed__(self: Any) -> Any:
        return self if self._array.ndim == 0 else self.flip(0)

    def __contains__(self: Any, element: Any) -> bool:
        if isinstance(element, (type(self), int, float, complex, bool)) or hasattr(element, "_array"):
            other = element._array if hasattr(element, "_array") else element
            return bool((self._array == other).any())
        raise RuntimeError(
            f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}."
        )

    def __hash__(self) -> int:
        return id(self)

    def __format__(self: Any, spec: str) -> str:
        if self._array.ndim == 0 and not self.is_meta and type(self).__name__ != "Parameter":
            return format(self.item(), spec)
        return object.__format__(self, spec)

    def __copy__(self: Any) -> Any:
        return self.as_subclass(type(self)) if self.grad_fn is not None else _rebuilt(self, self._array)

    def __deepcopy__(self: Any, memo: dict[int, Any]) -> Any:
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at "
                "the moment.  If you were attempting to deepcopy a module, this may be because of a "
                "torch.nn.utils.weight_norm usage, see https://github.com/pytorch/pytorch/pull/103001"
            )
        found = memo.get(id(self))
        if found is None:
            root = self._root()
            base = memo.get(id(root._array))
            if base is None:
                base = memo[id(root._array)] = root._array.copy(order="K")
            array = base if self._array is root._array else _same_place(self._array, root._array, base)
            found = memo[id(self)] = _rebuilt(self, array)
            if self.requires_grad and self.grad is not None:
                found.grad = self.grad.__deepcopy__(memo)
        return found

    def __reduce_ex__(self: Any, protocol: Any) -> Any:
        array = self._array
        if array.dtype == _BFLOAT16:
            array = array.view(np.uint16)
        return _unpickle, (
            type(self),
            array if self.is_meta else np.ascontiguousarray(array).reshape(array.shape),
            self.dtype.name,
            self.requires_grad,
            self.__dict__,
        )


def _same_place(view: Any, old: Any, new: Any) -> Any:
    """Return the view of `new` that lies where `view` lies in `old`."""
    offset = view.__array_interface__["data"][0] - old.__array_interface__["data"][0]
    return np.ndarray(view.shape, view.dtype, new, offset, view.strides) if view.size else view.copy()


def _rebuilt(tensor: Any, array: Any) -> Any:
    made = tensor.as_subclass(type(tensor))
    made._array, made._node, made._cell, made._meta = array, None, None, None
    if made.is_meta:
        made._version_cell()
    made.__dict__.update(tensor.__dict__)
    if tensor.requires_grad:
        made.requires_grad = True
    return made


def _unpickle(cls: Any, array: Any, name: str, requires_grad: bool, attributes: dict[str, Any]) -> Any:
    from retrograd.tensor import blank  # noqa: PLC0415 - tensor.py takes this protocol from here

    made = blank(cls, array.view(_BFLOAT16) if name == "bfloat16" else array)
    if made.is_meta:
        made._version_cell()  # keeps it off the straight paths
    made.__dict__.update(attributes)
    if requires_grad:
        made.requires_grad = True
    return made


class NumpyProtocol:
    """What NumPy asks of a value.

    NumPy's own functions called on tensors are answered by our ops (see numpy_api.py).
    """

    __slots__ = ()

    __array_priority__ = 1000

    def numpy(self: Any, *, force: bool = False) -> Any:
        """Return the array that holds this tensor's elements: the same memory.

        Raises:
            RuntimeError: the tensor requires grad, whose writes and reads through NumPy nobody could record.
            TypeError: the dtype is bfloat16, which NumPy does not have.
        """
        if self.requires_grad and not force:
            raise RuntimeError(
                "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
            )
        if self._array.dtype == _BFLOAT16:
            raise TypeError("Got unsupported ScalarType BFloat16")
        if self.is_meta:
            raise TypeError(
                "can't convert meta device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host "
                "memory first."
            )
        return self._array

    def __array__(self: Any, dtype: Any = None, copy: bool | None = None) -> Any:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError(
                    f"Unable to avoid copy while creating an array of {dtype} from a tensor of {self.dtype}"
                )
            return array.astype(dtype)
        return array.copy() if copy else array

    def __array_ufunc__(self: Any, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        from retrograd.numpy_api import call_ufunc  # noqa: PLC0415 - needs every op

        return call_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self: Any, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        from retrograd.numpy_api import call_function  # noqa: PLC0415 - needs every op

        return call_function(function, args, kwargs)

    def __dlpack__(self: Any, *, stream: Any = None, **kwargs: Any) -> Any:
        if self.requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        array = self._array
        return (array if array.flags.writeable else array.copy()).__dlpack__(stream=stream, **kwargs)

    def __dlpack_device__(self: Any) -> tuple[int, int]:
        return self._array.__dlpack_device__()  # type: ignore[no-any-return]
