"""Tensors with a hidden batch dimension, and the level of `vmap` that runs ops on them.

A BatchedTensor says the shape of one element of the batch; its `_value` is a tensor of the level below with
one dimension more, at `_dim`. An op on batched tensors runs the op's batching rule on the values. The rules
are written for arrays; here they are run on Tensors, so what they do is recorded, and seen by the levels
below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.autograd.batch_rules import DYNAMIC, RULES
from retrograd.autograd.dispatch import return_type
from retrograd.autograd.levels import OpLevel, Wrapped, run_below
from retrograd.autograd.modes import local
from retrograd.autograd.promote import PROMOTED, promote
from retrograd.devices import contiguous_format
from retrograd.ops.declare import TABLE, Op
from retrograd.tensor import Tensor, blank, history

_ITEM = (
    "vmap: It looks like you're calling .item() on a Tensor. We don't support vmap over calling .item() on "
    "a Tensor, please "
    "try to rewrite what you're doing with other operations. If error is occurring somewhere inside "
    "PyTorch internals, "
    "please file a bug report."
)
_BRANCH = (
    "vmap: It looks like you're attempting to use a Tensor in some data-dependent control flow. We don't "
    "support that yet, "
    "please file an issue at https://github.com/pytorch/pytorch/issues ."
)
_DYNAMIC = (
    "vmap: We do not support batching operators that can output dynamic shape. Attempted to vmap over "
    "aten::{name}. Please "
    "file an issue at https://github.com/pytorch/pytorch/issues if you need this feature."
)
_MASK = (
    "vmap: We do not support batching operators that can support dynamic shape. Attempting to batch over "
    "indexing with a "
    "boolean mask."
)
_NO_STORAGE = "Cannot access data pointer of Tensor that doesn't have storage"
_UNBATCHED_TARGET = (
    "vmap: inplace arithmetic(self, *extra_args) is not possible because there exists a Tensor `other` in "
    "extra_args that "
    "has more elements than `self`. This happened due to `other` being vmapped over but `self` not being "
    "vmapped over in a "
    "vmap. Please try to use out-of-place operators instead of inplace arithmetic. If said operator is "
    "being called inside "
    "the PyTorch framework, please file a bug report instead."
)


# ---- an array without elements ----


class StandIn(np.ndarray):
    """An array that has a shape and a dtype but no elements: whoever reads it is told that vmap cannot."""

    def __array_ufunc__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(_NO_STORAGE)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in _SHAPE_ONLY:
            return _SHAPE_ONLY[function](*args, **kwargs)
        raise RuntimeError(_NO_STORAGE)

    def __bool__(self) -> bool:
        raise RuntimeError(_BRANCH)

    def nonzero(self, *args: Any) -> Any:
        raise RuntimeError(_MASK)


def _like(value: Any) -> Callable[..., Any]:
    def made(a: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None) -> Any:
        return np.full(a.shape if shape is None else shape, value, dtype or a.dtype)

    return made


_SHAPE_ONLY: dict[Any, Callable[..., Any]] = {
    np.shape: lambda a: a.shape, np.ndim: lambda a: a.ndim, np.size: lambda a: a.size,
    np.zeros_like: _like(0), np.ones_like: _like(1), np.empty_like: _like(0),
    np.full_like: lambda a, value, dtype=None, *rest, **named: np.full(a.shape, value, dtype or a.dtype),
    np.may_share_memory: lambda a, b, max_work=None: False, np.shares_memory: lambda a, b, max_work=None: False,
    np.result_type: lambda *args: np.result_type(*(getattr(a, "dtype", a) for a in args)),
    np.iscomplexobj: lambda x: x.dtype.kind == "c", np.isrealobj: lambda x: x.dtype.kind != "c",
}  # fmt: skip


def _refusing(message: str) -> Callable[..., Any]:
    def refuse(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(message)

    return refuse


for _name in ("item", "__int__", "__float__", "__complex__", "__index__"):
    setattr(StandIn, _name, _refusing(_ITEM))
for _name in (
    "all any argmax argmin argsort astype byteswap choose clip compress copy cumprod cumsum diagonal dot "
    "dump dumps fill "
    "flatten max mean min partition prod put ravel repeat reshape round searchsorted sort std sum swapaxes "
    "take tobytes "
    "tolist tofile trace transpose var squeeze __getitem__ __setitem__ __iter__ __contains__ __copy__ "
    "__deepcopy__ "
    "__array__ __buffer__ __dlpack__"
).split():
    setattr(StandIn, _name, _refusing(_NO_STORAGE))
_NOTHING = bytes(32)  # no dtype has larger elements; never read


def stand_in(shape: Sequence[int], dtype: Any) -> Any:
    """Return an array of this shape and dtype that holds nothing."""
    return np.ndarray.__new__(StandIn, shape, dtype, _NOTHING, 0, (0,) * len(shape))


# ---- the tensor ----


class BatchedTensor(Wrapped):
    """One element of a batch, standing for all of them."""

    __slots__ = ()

    _value: Tensor
    _dim: int

    item = tolist = _refusing(_ITEM)  # type: ignore[assignment]
    numpy = tolist = __array__ = data_ptr = untyped_storage = storage = _refusing(_NO_STORAGE)  # type: ignore[assignment]
    __bool__ = is_nonzero = _refusing(_BRANCH)  # type: ignore[assignment]
    __deepcopy__ = __reduce_ex__ = _refusing(_NO_STORAGE)  # type: ignore[assignment]
    equal = _refusing("Batching rule not implemented for aten::equal. We could not generate a fallback.")
    allclose = _refusing(
        "vmap over torch.allclose isn't supported yet. Please file an issue at "
        "https://github.com/pytorch/pytorch/issues if "
        "you need this feature."
    )

    @property
    def data(self) -> Any:
        """Raise: what is written there would be lost."""
        raise RuntimeError("accessing `data` under vmap transform is not allowed")

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to or through the batch."""
        return self._value.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self._value.requires_grad = value

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set whether gradients flow to the batch."""
        self._value.requires_grad_(requires_grad)
        return self

    @property
    def grad_fn(self) -> Any:
        """The node that made the batch."""
        return self._value.grad_fn

    @property
    def is_leaf(self) -> bool:
        """Whether the batch was not made by a recorded op."""
        return self._value.is_leaf

    def detach(self) -> Tensor:
        """Return the batch without its history."""
        return self._level.wrap(self._value.detach(), self._dim)  # type: ignore[no-any-return]

    def stride(self, dim: int | None = None) -> Any:
        """Return the strides of one element of the batch."""
        strides = list(self._value.stride())  # type: ignore[attr-defined]
        del strides[self._dim]
        return tuple(strides) if dim is None else strides[dim]

    def is_contiguous(self, memory_format: Any = contiguous_format) -> bool:
        """Return whether each element of the batch is contiguous."""
        front = np.moveaxis(self._value, self._dim, 0)
        return bool(front.is_contiguous()) if memory_format is contiguous_format else False  # type: ignore[attr-defined]

    def contiguous(self, memory_format: Any = contiguous_format) -> Tensor:
        """Return the batch with contiguous elements."""
        if self.is_contiguous(memory_format):
            return self
        return TABLE["clone"].function(self, memory_format=memory_format)  # type: ignore[no-any-return]


def is_batched(tensor: Any, level: Any = None) -> bool:
    """Return whether a value is a BatchedTensor (of this level)."""
    return isinstance(tensor, BatchedTensor) and (level is None or tensor._level is level)


# ---- the level ----


class VmapLevel(OpLevel):
    """One running `vmap`: its batch size, and what random functions do in it."""

    def __init__(self, size: int, randomness: str = "error") -> None:
        self.size = size
        self.randomness = randomness

    def wrap(self, value: Tensor, dim: int = 0) -> BatchedTensor:
        """Hide a dimension of a tensor of the level below."""
        array = value._array
        shape = array.shape
        made: BatchedTensor = blank(BatchedTensor, stand_in((*shape[:dim], *shape[dim + 1 :]), array.dtype))
        made._level, made._value, made._dim = self, value, dim
        return made

    def spread(self, tensor: Tensor) -> Tensor:
        """Return all elements of the batch along dimension 0, repeated without a copy if they are the same."""
        if self.owns(tensor):
            assert isinstance(tensor, BatchedTensor)
            return np.moveaxis(tensor._value, tensor._dim, 0) if tensor._dim else tensor._value  # type: ignore[return-value]
        return TABLE["expand"].function(tensor, (self.size, *tensor._array.shape))  # type: ignore[no-any-return]

    def parts(self, tensor: Any) -> list[Tensor]:
        """Return what a tensor of this level wraps."""
        return [tensor._value]

    def rebuilt(self, tensor: Any, parts: list[Tensor]) -> Tensor:
        """Return a tensor like this one around another value."""
        return self.wrap(parts[0], tensor._dim)

    def frame(self, tensor: Any) -> tuple[Tensor, str]:
        """Return what is printed of a tensor, and what stands before it."""
        return tensor._value, f"BatchedTensor(lvl={self.number}, bdim={tensor._dim}"

    def run(self, op: Op, args: tuple[Any, ...], out: Any) -> Any:
        if out is not None and not self.owns(out):
            raise RuntimeError(_refused_write(out, args, self))
        if op.name in DYNAMIC:
            raise RuntimeError(_DYNAMIC.format(name=DYNAMIC[op.name]))
        result = self.batched(op, args)
        if out is not None:
            return self._written(op, result, out)
        if not op.outputs:
            return self.wrap(as_tensor(result))
        made = [self.wrap(as_tensor(r)) for r in result]
        return tuple(made) if op.outputs == ("*",) else return_type(op)(*made)

    def batched(self, op: Op, args: Sequence[Any]) -> Any:
        """Run the batching rule of an op on the values of its arguments; the result has the batch in front."""
        args = _promoted(op, args)
        values, dims = [], []
        for arg in args:
            if isinstance(arg, (list, tuple)) and self.owns(arg):
                values.append([x._value if self.owns(x) else x for x in arg])
                dims.append([x._dim if self.owns(x) else None for x in arg])
            elif isinstance(arg, BatchedTensor) and arg._level is self:
                values.append(arg._value)
                dims.append(arg._dim)
            else:
                values.append(arg)
                dims.append([None] * len(arg) if isinstance(arg, (list, tuple)) else None)
        for i, parameter in enumerate(op.parameters):
            if parameter.is_static:
                dims[i] = None
        rule = RULES.get(op.name, op.batch)
        return rule(Runnable(op), self.size, values, dims)

    def _written(self, op: Op, result: Any, out: Any) -> Tensor:
        if result._array.shape[1:] != out._array.shape:
            raise RuntimeError(
                f"output with shape {list(out._array.shape)} doesn't match the broadcast shape "
                f"{list(result._array.shape[1:])}"
            )
        if not dtypes.can_cast(result.dtype, out.dtype):
            raise RuntimeError(
                f"result type {result.dtype.scalar_name} can't be cast to the desired output type "
                f"{out.dtype.scalar_name}"
            )
        run_below(
            TABLE["copy"], (out._value, np.moveaxis(result, 0, out._dim), *_defaults("copy", 2)), out._value
        )
        return out  # type: ignore[no-any-return]


def _defaults(name: str, start: int) -> list[Any]:
    return [p.default for p in TABLE[name].parameters[start:]]


def _refused_write(out: Tensor, args: Sequence[Any], level: VmapLevel) -> str:
    other = next((a for a in args if level.owns(a) and isinstance(a, BatchedTensor)), None)
    shape = [] if other is None else list(level.spread(other)._array.shape)
    if len(shape) > out._array.ndim:
        return f"output with shape {list(out._array.shape)} doesn't match the broadcast shape {shape}\n[{_UNBATCHED_TARGET}]"
    return _UNBATCHED_TARGET


def as_tensor(value: Any) -> Tensor:
    """Return what a batching rule made as a Tensor."""
    return value if isinstance(value, Tensor) else blank(Tensor, np.asarray(value))  # type: ignore[no-any-return]


def _promoted(op: Op, args: Sequence[Any]) -> Sequence[Any]:
    """Return the arguments in their common dtype, where it depends on ranks that the batch dimension changes."""
    if op.promote == "none":
        return args
    at = [i for i, p in enumerate(op.parameters) if p.kind in PROMOTED and args[i] is not None]
    found = {
        x.dtype
        for i in at
        for x in (args[i] if isinstance(args[i], (list, tuple)) else [args[i]])
        if isinstance(x, Tensor)
    }
    if len(found) < 2 or any(isinstance(args[i], (list, tuple)) for i in at):
        return args
    common, _ = promote(op, [a._array if isinstance(a, Tensor) else a for a in args], at)
    ready = list(args)
    for i in at:
        if isinstance(ready[i], Tensor):
            ready[i] = ready[i].to(common)
    return ready


class Runnable:
    """An op as batching rules see it: its definition takes Tensors and is recorded."""

    __slots__ = ("family", "name", "op", "parameters", "outputs")

    def __init__(self, op: Op) -> None:
        self.op, self.name, self.parameters = op, op.name, op.parameters
        self.family, self.outputs = op.family, op.outputs

    def definition(self, *args: Any, **kwargs: Any) -> Any:
        return self.op.function(*args, **kwargs)

    __call__ = definition

    @property
    def batch(self) -> Any:
        return self.op.batch


# ---- taking a level out of the middle, and putting it in again ----


def removed(tensor: Tensor, level: VmapLevel) -> Tensor:
    """Return a tensor with a level's batch as its visible dimension 0; expanded if it has none."""
    if is_batched(tensor, level):
        return level.spread(tensor)
    if isinstance(tensor, Wrapped) and tensor._level.number > level.number:
        above = tensor._level
        parts = [removed(part, level) for part in above.parts(tensor)]
        if isinstance(tensor, BatchedTensor):
            return above.wrap(parts[0], tensor._dim + 1)  # type: ignore[no-any-return]
        return above.rebuilt(tensor, parts)  # type: ignore[no-any-return]
    return level.spread(tensor)


def restored(tensor: Tensor, level: VmapLevel) -> Tensor:
    """Return a tensor with its visible dimension 0 hidden as a level's batch."""
    if isinstance(tensor, Wrapped) and tensor._level.number > level.number:
        above = tensor._level
        if isinstance(tensor, BatchedTensor):
            inner = restored(np.moveaxis(tensor._value, tensor._dim, -1), level)  # type: ignore[arg-type]
            return above.wrap(inner, inner._array.ndim - 1)  # type: ignore[no-any-return]
        return above.rebuilt(tensor, [restored(part, level) for part in above.parts(tensor)])  # type: ignore[no-any-return]
    return level.wrap(tensor, 0)


def current() -> VmapLevel | None:
    """Return the innermost running vmap of this thread."""
    return next((level for level in reversed(local.intercepts) if isinstance(level, VmapLevel)), None)


def like(made: Tensor, source: Any) -> Tensor:
    """Return a new tensor, batched as `source` is: a copy per element of the batch, which may then be written
    to.
    """
    if not isinstance(source, BatchedTensor):
        return made
    level = source._level
    inner = like(made, source._value)
    spread = TABLE["expand"].function(inner, (level.size, *made._array.shape))
    return level.wrap(TABLE["clone"].function(spread, memory_format=contiguous_format), 0)  # type: ignore[no-any-return]


__all__ = ["BatchedTensor", "VmapLevel", "history"]
