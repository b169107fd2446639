"""A batch of arrays that looks like one of them: rules and definitions run on it for all elements at once.

Operators and NumPy's functions act on each element; underneath they are NumPy's on one array with a dimension
more, in front. Nothing is recorded, so this serves where a transform wants numbers only. What cannot be done
so raises CannotBatchError, and the caller takes a slower way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd.ops.apply import bind
from retrograd.ops.declare import NUMPY, Op

ndarray = np.ndarray


class CannotBatchError(TypeError):
    """Something was asked of a batch that has no single answer for all of its elements."""


class Batch:
    """Arrays of one shape and dtype, `value[0]`, `value[1]`, ..., which are computed with together."""

    __slots__ = ("value",)

    elements = property(lambda self: self.value)
    __hash__ = object.__hash__

    def __init__(self, value: ndarray[Any, Any]) -> None:
        self.value = value

    shape = property(lambda self: self.value.shape[1:])
    dtype = property(lambda self: self.value.dtype)
    ndim = property(lambda self: self.value.ndim - 1)
    size = property(lambda self: math.prod(self.value.shape[1:]))
    itemsize = property(lambda self: self.value.itemsize)
    real = property(lambda self: Batch(self.value.real))
    imag = property(lambda self: Batch(self.value.imag))
    T = property(lambda self: _transpose(self))  # noqa: PLW0108 - it is defined below

    def __repr__(self) -> str:
        return f"<batch of {len(self.value)} arrays of shape {self.shape}, {self.dtype}>"

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return int(self.shape[0])

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> Batch:
        return Batch(self.value[_index(index)])

    def __setitem__(self, index: Any, given: Any) -> None:
        target = self.value[_index(index)]
        if isinstance(given, Batch):
            missing = (target.ndim - 1) - given.ndim
            given = given.value.reshape((len(given.value), *(1,) * missing, *given.shape))
        self.value[_index(index)] = given

    def _cast(self, dtype: Any) -> Batch:
        return Batch(self.value.astype(dtype, copy=False))

    astype = _cast

    # ---- what other code asks of an array ----

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or set(kwargs) - {"dtype"}:
            raise CannotBatchError(f"np.{ufunc.__name__}.{method} with {sorted(kwargs)}")
        if ufunc is np.matmul:
            return _matmul(*inputs)
        made = ufunc(*aligned(inputs), **kwargs)
        return tuple(map(Batch, made)) if isinstance(made, tuple) else Batch(made)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        answer = _ANSWERS.get(function)
        if answer is not None:
            return answer(*args, **kwargs)
        found = NUMPY.get(function)
        if found is None:
            raise CannotBatchError(f"np.{function.__name__}")
        op, adapt = found
        if adapt is None:
            return run(op, bind(op, args, kwargs))
        return run(op, adapt(*args, **kwargs))

    def __retrograd_call__(self, op: Op, args: Any, kwargs: Any) -> Any:
        return run(op, bind(op, args, kwargs))

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise CannotBatchError("conversion to one NumPy array")

    def __bool__(self) -> bool:
        raise CannotBatchError("a truth value")

    def item(self, *_args: Any) -> Any:
        """Refuse: each element has its own."""
        raise CannotBatchError("item()")

    __float__ = __int__ = __complex__ = __index__ = tolist = item

    def __abs__(self) -> Any:
        return Batch(np.absolute(self.value))

    def __neg__(self) -> Any:
        return Batch(np.negative(self.value))

    def __pos__(self) -> Any:
        return self

    def __invert__(self) -> Any:
        return Batch(np.invert(self.value))

    def __matmul__(self, other: Any) -> Any:
        return _matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return _matmul(other, self)


def aligned(inputs: Any) -> list[Any]:
    """Return operands that NumPy broadcasts against each other behind the batch dimension."""
    rank = 0
    for x in inputs:
        n = x.value.ndim - 1 if x.__class__ is Batch else x.ndim if isinstance(x, ndarray) else 0
        rank = max(rank, n)
    ready = []
    for x in inputs:
        if x.__class__ is Batch:
            value = x.value
            missing = rank + 1 - value.ndim
            x = value.reshape((len(value), *(1,) * missing, *value.shape[1:])) if missing else value
        ready.append(x)
    return ready


def run(op: Op, args: Any) -> Any:
    """Run an op's batching rule on its arguments, all of them, of which some are batches."""
    size = 0
    values: list[Any] = []
    dims: list[Any] = []
    for arg in args:
        if arg.__class__ is Batch:
            size = len(arg.value)
            values.append(arg.value)
            dims.append(0)
        elif isinstance(arg, (list, tuple)) and any(x.__class__ is Batch for x in arg):
            size = next(len(x.value) for x in arg if x.__class__ is Batch)
            values.append([x.value if x.__class__ is Batch else x for x in arg])
            dims.append([0 if x.__class__ is Batch else None for x in arg])
        else:
            values.append(arg)
            dims.append([None] * len(arg) if isinstance(arg, (list, tuple)) else None)
    if not callable(op.batch):  # a composite: made of other ops, which are batched one by one
        return op.definition(*args)
    for i, parameter in enumerate(op.parameters):
        if parameter.is_static:
            dims[i] = None
    made = op.batch(op, size, values, dims)
    return tuple(map(Batch, made)) if isinstance(made, tuple) else Batch(made)


# ---- NumPy's functions that need no op ----


def _index(index: Any) -> Any:
    """Return an index behind the batch dimension."""
    items = index if isinstance(index, tuple) else (index,)
    arrays = [i for i, x in enumerate(items) if isinstance(x, (ndarray, list))]
    if any(x.__class__ is Batch for x in items):
        raise CannotBatchError("an index that is a batch")
    if arrays:  # integers count as arrays beside arrays; apart from each other they would go before the batch
        places = [i for i, x in enumerate(items) if isinstance(x, (ndarray, list, int, np.integer))]
        if places[-1] - places[0] != len(places) - 1:
            raise CannotBatchError("arrays of indices apart from each other")
    return (slice(None), *items)


def _axes(axis: Any, rank: int) -> Any:
    """Return dimensions as they are behind the batch; None stands for all of them."""
    if axis is None:
        return tuple(range(1, rank + 1))
    if isinstance(axis, (tuple, list)):
        return tuple(a + 1 if a >= 0 else a for a in axis)
    return axis + 1 if axis >= 0 else axis


def _sum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    if out is not None:
        raise CannotBatchError("sum with out=")
    return Batch(np.sum(a.value, axis=_axes(axis, a.ndim), dtype=dtype, keepdims=keepdims))


def _reshape(a: Any, shape: Any = None, *_order: Any, **more: Any) -> Any:
    if more or _order:
        raise CannotBatchError("reshape with an order")
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    if -1 in shape:
        known = math.prod(n for n in shape if n != -1)
        shape = tuple(a.size // known if n == -1 else n for n in shape)
    return Batch(a.value.reshape((len(a.value), *shape)))


def _broadcast_to(array: Any, shape: Any) -> Any:
    value = array.value
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    missing = len(shape) - array.ndim
    value = value.reshape((len(value), *(1,) * missing, *value.shape[1:])) if missing else value
    return Batch(np.broadcast_to(value, (len(value), *shape)))


def _transpose(a: Any, axes: Any = None) -> Any:
    order = range(a.ndim)[::-1] if axes is None else axes
    return Batch(np.transpose(a.value, (0, *[n % a.ndim + 1 for n in order])))


def _moveaxis(a: Any, source: Any, destination: Any) -> Any:
    return Batch(np.moveaxis(a.value, _axes(source, a.ndim), _axes(destination, a.ndim)))


def _swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    return Batch(np.swapaxes(a.value, _axes(axis1, a.ndim), _axes(axis2, a.ndim)))


def _expand_dims(a: Any, axis: Any) -> Any:
    return Batch(np.expand_dims(a.value, _axes(axis, a.ndim)))


def _squeeze(a: Any, axis: Any = None) -> Any:
    if axis is None:
        axis = tuple(i for i, n in enumerate(a.shape) if n == 1)
    return Batch(np.squeeze(a.value, _axes(axis, a.ndim)))


def _where(condition: Any, *both: Any) -> Any:
    if len(both) != 2:
        raise CannotBatchError("where without values")
    return Batch(np.where(*aligned((condition, *both))))


def _flip(m: Any, axis: Any = None) -> Any:
    return Batch(np.flip(m.value, _axes(axis, m.ndim)))


def _together(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return concatenate or stack for a sequence of which some are batches."""

    def joined(arrays: Any, axis: int = 0) -> Any:
        size = next(len(x.value) for x in arrays if x.__class__ is Batch)
        ready = [
            x.value if x.__class__ is Batch else np.broadcast_to(x, (size, *np.shape(x))) for x in arrays
        ]
        return Batch(function(ready, axis + 1 if axis >= 0 else axis))

    return joined


def _filled(value: Any) -> Callable[..., Any]:
    def made(a: Any, dtype: Any = None, **_more: Any) -> Any:
        return Batch(np.full(a.value.shape, value, dtype or a.dtype))

    return made


def _full_like(a: Any, fill_value: Any, dtype: Any = None, **_more: Any) -> Any:
    return Batch(np.full(a.value.shape, fill_value, dtype or a.dtype))


def _matmul(a: Any, b: Any) -> Any:
    """Multiply matrices; a batch of vectors by one matrix is one product of matrices."""
    if a.__class__ is not Batch:
        if b.ndim == 1 and a.ndim == 2:
            return Batch(b.value @ a.T)
        a = Batch(a[None])
    elif b.__class__ is not Batch:
        if a.ndim == 1 and b.ndim == 2:
            return Batch(a.value @ b)
        b = Batch(b[None])
    left = a.value[:, None, :] if a.ndim == 1 else a.value
    right = b.value[:, :, None] if b.ndim == 1 else b.value
    made = np.matmul(*aligned((Batch(left), Batch(right))))
    if a.ndim == 1:
        made = made[..., 0, :]
    return Batch(made[..., 0] if b.ndim == 1 else made)


_ANSWERS: dict[Any, Callable[..., Any]] = {
    np.broadcast_to: _broadcast_to, np.concatenate: _together(np.concatenate), np.empty_like: _filled(0),
    np.expand_dims: _expand_dims, np.flip: _flip, np.full_like: _full_like,
    np.imag: lambda val: val.imag, np.iscomplexobj: lambda x: x.dtype.kind == "c",
    np.isrealobj: lambda x: x.dtype.kind != "c", np.moveaxis: _moveaxis, np.ndim: lambda a: a.ndim,
    np.ones_like: _filled(1), np.real: lambda val: val.real, np.reshape: _reshape,
    np.result_type: lambda *given: np.result_type(*[x.dtype if x.__class__ is Batch else x for x in given]),
    np.shape: lambda a: a.shape, np.size: lambda a, axis=None: a.size if axis is None else a.shape[axis],
    np.squeeze: _squeeze, np.stack: _together(np.stack), np.sum: _sum, np.swapaxes: _swapaxes,
    np.transpose: _transpose, np.where: _where, np.zeros_like: _filled(0),
}  # fmt: skip


def _binary(function: Any, *, swapped: bool) -> Any:
    def operator(self: Any, other: Any) -> Any:
        mine = self.value
        if other.__class__ is Batch and other.value.ndim == mine.ndim:
            return Batch(function(other.value, mine) if swapped else function(mine, other.value))
        if other.__class__ is float or other.__class__ is int:
            return Batch(function(other, mine) if swapped else function(mine, other))
        pair = (other, self) if swapped else (self, other)
        return Batch(function(*aligned(pair)))

    return operator


_BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide,
    "floordiv": np.floor_divide, "mod": np.remainder, "pow": np.power,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
}  # fmt: skip
_COMPARISONS = {
    "eq": np.equal, "ne": np.not_equal,
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
}  # fmt: skip
for _name, _function in (*_BINARY.items(), *_COMPARISONS.items()):
    setattr(Batch, f"__{_name}__", _binary(_function, swapped=False))
for _name, _function in _BINARY.items():
    setattr(Batch, f"__r{_name}__", _binary(_function, swapped=True))
