"""Sparse tensors: the numbers that are not zero, and their places.

A sparse tensor is a Tensor for `isinstance`, but keeps no strided array: `_stored` is an ordinary tensor of
the stored numbers, whose history and gradient are the sparse tensor's own. So every sparse op is composed of
dense ops on the stored numbers and needs no rule for its gradient; its node has their names, not torch's.
Whatever asks for the array is told that there is none: ops by `calls.py`, which knows what is supported,
other code by an error.
"""

from __future__ import annotations

import copy
from typing import Any, NoReturn, Self

import numpy as np

import retrograd
from retrograd import devices, dtypes
from retrograd.autograd.modes import modes
from retrograd.sparse.text import sparse_str
from retrograd.tensor import Tensor, wrap

Size = devices.Size


class NoStridedArrayError(AttributeError, NotImplementedError):
    """Something was asked for that only a strided tensor has."""


class SparseTensor(Tensor):
    """What the two kinds of sparse tensors have in common."""

    __slots__ = ("_size", "_stored")

    _stored: Tensor
    _size: Size
    is_meta = False

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG004 - they are for __init__
        return object.__new__(cls)

    def _begin(self, values: Tensor, size: Any) -> None:
        from retrograd.sparse import calls  # noqa: PLC0415 - it needs this file

        if calls.call not in modes.elsewhere:
            modes.elsewhere.append(calls.call)
        self._cell = self._meta = None
        self._stored, self._size = values, Size(size)

    def _with(self, values: Tensor) -> Self:
        """Return a tensor with other numbers at the same places."""
        raise NotImplementedError

    def _state(self) -> tuple[Any, ...]:
        """Return what the class is called with to make the same tensor."""
        raise NotImplementedError

    def __reduce_ex__(self, protocol: Any) -> Any:
        return type(self), self._state()

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            memo[id(self)] = type(self)(*copy.deepcopy(self._state(), memo))
        return memo[id(self)]

    @property
    def _array(self) -> NoReturn:  # type: ignore[override]
        raise NoStridedArrayError(
            f"Could not run this on a tensor of layout {self.layout}, which keeps no strided array: use "
            "to_dense() first"
        )

    @property
    def _node(self) -> Any:
        return self._stored._node

    # ---- facts ----

    @property
    def shape(self) -> Size:
        return self._size

    @property
    def dtype(self) -> dtypes.dtype:
        return self._stored.dtype

    @property
    def device(self) -> devices.device:
        return devices.CPU

    @property
    def ndim(self) -> int:
        return len(self._size)

    def dim(self) -> int:
        """Return the number of dimensions."""
        return len(self._size)

    def size(self, dim: int | None = None) -> Any:
        """Return the sizes of the dimensions, or of one."""
        return self._size if dim is None else self._size[dim]

    def numel(self) -> int:
        """Return the number of elements, zeros included."""
        return self._size.numel()

    def _nnz(self) -> int:
        return self._stored.shape[0]

    def is_floating_point(self) -> bool:
        """Return whether the dtype is a floating type."""
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Return whether the dtype is a complex type."""
        return self.dtype.is_complex

    def __len__(self) -> int:
        return self._size[0]

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return sparse_str(self)

    def __format__(self, spec: str) -> str:
        return object.__format__(self, spec)

    def __bool__(self) -> bool:
        if self.numel() == 1:
            return bool(self.to_dense())
        raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")

    def item(self) -> Any:
        """Return the only element as a Python number."""
        if self.numel() != 1:
            raise RuntimeError(f"a Tensor with {self.numel()} elements cannot be converted to Scalar")
        return self.to_dense().item()

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError(
            f"can't convert {'Sparse' if self.is_sparse else 'SparseCsr'} layout tensor to numpy. Use "
            "Tensor.to_dense() first."
        )

    # ---- the place in the graph: that of the stored numbers ----

    @property  # type: ignore[misc]
    def grad_fn(self) -> Any:
        return self._stored.grad_fn

    @property  # type: ignore[misc]
    def is_leaf(self) -> bool:
        return self._stored.is_leaf

    @property
    def requires_grad(self) -> bool:
        return self._stored.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self._stored.requires_grad = value

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set whether gradients flow to the stored numbers, and return the tensor."""
        self._stored.requires_grad_(requires_grad)
        return self

    @property
    def grad(self) -> Any:
        """The gradient of the stored numbers at their places, as a sparse tensor."""
        found = self._stored.grad
        return None if found is None else self._with(found)

    @grad.setter
    def grad(self, value: Any) -> None:
        self._stored.grad = None if value is None else value._stored

    def detach(self) -> Self:
        """Return a tensor on the same numbers without history."""
        return self._with(self._stored.detach())

    @property  # type: ignore[misc]
    def data(self) -> Self:  # type: ignore[override]
        """A tensor on the same numbers without history."""
        return self.detach()

    def backward(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError("grad can be implicitly created only for scalar outputs")

    # ---- conversions ----

    def to_dense(self, dtype: Any = None, *, masked_grad: Any = None) -> Any:
        """Return a strided tensor with zeros where nothing is stored."""
        raise NotImplementedError

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Return the tensor with its numbers in another dtype."""
        return self._with(self._stored.to(*args, **kwargs))

    def double(self) -> Self:
        """Return the tensor in float64."""
        return self.to(dtypes.float64)

    def float(self) -> Self:
        """Return the tensor in float32."""
        return self.to(dtypes.float32)

    def cpu(self) -> Self:
        """Return the tensor itself."""
        return self

    def clone(self, *, memory_format: Any = None) -> Self:
        """Return a copy."""
        return self._with(self._stored.clone())

    def __matmul__(self, other: Any) -> Any:
        return retrograd.matmul(self, other)


def indices_of(given: Any) -> np.ndarray[Any, Any]:
    """Return indices given as a tensor or nested lists, as an int64 array of our own."""
    array = given._array if isinstance(given, Tensor) else np.asarray(given)
    if array.dtype.kind not in "iu" and array.size:
        raise RuntimeError(f"indices must be an int64 tensor, but got: {array.dtype}")
    return np.array(array, np.int64)


def values_of(given: Any, dtype: Any, requires_grad: bool) -> Tensor:
    """Return stored numbers given as a tensor (whose history they keep) or nested lists."""
    if isinstance(given, Tensor):
        values = given if dtype is None else given.to(dtype)
        values = values if values.requires_grad and not requires_grad else values.detach()
    else:
        values = retrograd.as_tensor(given, dtype=dtype).clone()
    return values.requires_grad_() if requires_grad else values


def wrapped(array: Any) -> Tensor:
    """Return an array of indices as a tensor."""
    return wrap(np.ascontiguousarray(array))
