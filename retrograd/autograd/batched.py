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
from retrograd.autograd import modes
from retrograd.autograd.batch_rules import DYNAMIC, RULES, composition
from retrograd.autograd.dispatch import return_type
from retrograd.autograd.levels import OpLevel, Wrapped, run_below, unwritten
from retrograd.autograd.modes import local, process
from retrograd.autograd.promote import PROMOTED, promote
from retrograd.autograd.stand_in import BRANCH, ITEM, NO_STORAGE, refusing, stand_in
from retrograd.devices import contiguous_format
from retrograd.errors import NotBatchableError
from retrograd.ops.declare import TABLE, Op
from retrograd.ops.helpers import as_array
from retrograd.tensor import Tensor, blank, history

_DYNAMIC = (
    "vmap: We do not support batching operators that can output dynamic shape. Attempted to vmap over "
    "aten::{name}. Please "
    "file an issue at https://github.com/pytorch/pytorch/issues if you need this feature."
)
COMPUTED_AS_THEY_ARE = (np.dtype(np.float32), np.dtype(np.float64))
_DATA = "accessing `data` under vmap transform is not allowed"
_UNBATCHED_TARGET = (
    "vmap: inplace arithmetic(self, *extra_args) is not possible because there exists a Tensor `other` in "
    "extra_args that has more elements than `self`. This happened due to `other` being vmapped over but "
    "`self` not being vmapped over in a vmap. Please try to use out-of-place operators instead of inplace "
    "arithmetic. If said operator is being called inside the PyTorch framework, please file a bug report "
    "instead."
)


# ---- the tensor ----


class BatchedTensor(Wrapped):
    """One element of a batch, standing for all of them."""

    __slots__ = ()

    _value: Tensor
    _dim: int

    item = tolist = refusing(ITEM)
    numpy = tolist = __array__ = data_ptr = untyped_storage = storage = refusing(NO_STORAGE)
    __bool__ = is_nonzero = refusing(BRANCH)
    __deepcopy__ = __reduce_ex__ = refusing(NO_STORAGE)
    equal = refusing("Batching rule not implemented for aten::equal. We could not generate a fallback.")
    allclose = refusing(
        "vmap over torch.allclose isn't supported yet. Please file an issue at "
        "https://github.com/pytorch/pytorch/issues if you need this feature."
    )

    @property
    def data(self) -> Any:
        """Raise: what is written there would be lost."""
        raise RuntimeError(_DATA)

    @data.setter
    def data(self, value: Any) -> None:
        raise RuntimeError(_DATA)

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

    @property  # type: ignore[misc]  # it cannot be written to either way
    def grad_fn(self) -> Any:
        """The node that made the batch."""
        return self._value.grad_fn

    @property  # type: ignore[misc]  # likewise
    def is_leaf(self) -> bool:
        """Whether the batch was not made by a recorded op."""
        return self._value.is_leaf

    def detach(self) -> Tensor:
        """Return the batch without its history."""
        return self._level.wrap(self._value.detach(), self._dim)  # type: ignore[no-any-return]

    def stride(self, dim: int | None = None) -> Any:
        """Return the strides of one element of the batch."""
        strides = list(self._value.stride())
        del strides[self._dim]
        return tuple(strides) if dim is None else strides[dim]

    def is_contiguous(self, memory_format: Any = contiguous_format) -> bool:
        """Return whether each element of the batch is contiguous."""
        front = _moved(self._value, self._dim, 0)
        return bool(front.is_contiguous()) if memory_format is contiguous_format else False

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
    """One running `vmap`: its batch size, and what random functions do in it.

    `made` counts the bytes of all batched tensors that it has wrapped.
    """

    def __init__(self, size: int, randomness: str = "error") -> None:
        self.size = size
        self.randomness = randomness
        self.made = 0

    def wrap(self, value: Tensor, dim: int = 0) -> BatchedTensor:
        """Hide a dimension of a tensor of the level below."""
        array = value._array
        self.made += array.nbytes
        shape = array.shape
        made: BatchedTensor = blank(BatchedTensor, stand_in((*shape[:dim], *shape[dim + 1 :]), array.dtype))
        made._level, made._value, made._dim = self, value, dim
        return made

    def spread(self, tensor: Tensor) -> Tensor:
        """Return all elements of the batch along dimension 0; repeated without a copy if they are one."""
        if self.owns(tensor):
            assert isinstance(tensor, BatchedTensor)
            return _moved(tensor._value, tensor._dim, 0) if tensor._dim else tensor._value
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
            raise NotBatchableError(_DYNAMIC.format(name=DYNAMIC[op.name]))
        if out is not None:
            args = self._composed(unwritten, (op, args, out))
        composed = composition(op.name, [self.owns(a) for a in args])
        if composed is not None:
            result = self._composed(composed, args)
            return result if out is None else self._written(op, self.spread(result), out)
        result = self.batched(op, args)
        if out is not None:
            return self._written(op, result, out)
        if not op.outputs:
            return self.wrap(as_tensor(result))
        made = [self.wrap(as_tensor(r)) for r in result]
        return tuple(made) if op.outputs == ("*",) else return_type(op)(*made)

    def batched(self, op: Op, args: Sequence[Any]) -> Any:
        """Run an op's batching rule on the values of its arguments; the result has the batch in front."""
        found = self._on_arrays(op, args)
        if found is not None:
            return found
        args = _promoted(op, args)
        values: list[Any] = []
        dims: list[Any] = []
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
            elif parameter.kind.startswith("plain") and type(values[i]) is Tensor and not op.view:
                values[i] = values[i]._array  # nothing to record; and rules may look at indices and masks
        rule: Any = RULES.get(op.name, op.batch)
        return rule(Runnable(op), self.size, values, dims)

    def _on_arrays(self, op: Op, args: Sequence[Any]) -> Any:
        """Run the batching rule on arrays, where it is that simple; else return None.

        It is if nobody below sees or records the op, and its operands are plain arrays of one of the dtypes
        that are computed in as they are.
        """
        if (
            local.careful
            or process.anomaly
            or op.view
            or op.name in RULES
            or "f" not in op.kinds
            or not callable(op.batch)
        ):
            return None
        recording = local.grad and bool(op.rules)
        values: list[Any] = []
        dims: list[Any] = []
        dtype: Any = None
        for parameter, arg in zip(op.parameters, args, strict=True):
            value, dim = arg, None
            if parameter.is_static:
                if isinstance(arg, Tensor):
                    return None
            elif isinstance(arg, Tensor):
                if arg.__class__ is BatchedTensor and arg._level is self:
                    value, dim = arg._value, arg._dim
                if value.__class__ is not Tensor or (recording and history(value) is not None):
                    return None
                value = value._array
                if value.__class__ is not np.ndarray:
                    return None
                if parameter.kind[:5] != "plain":
                    if dtype is None:
                        dtype = value.dtype
                    if value.dtype is not dtype or dtype not in COMPUTED_AS_THEY_ARE:
                        return None
            elif arg is not None and arg.__class__ is not float and arg.__class__ is not int:
                return None
            values.append(value)
            dims.append(dim)
        if dtype is None:
            return None
        try:
            made = op.batch(op, self.size, values, dims)
        except ValueError:  # shapes that do not fit: the other way says so in torch's words
            return None
        return tuple(map(as_tensor, made)) if isinstance(made, tuple) else as_tensor(made)

    def _composed(self, function: Callable[..., Any], args: Sequence[Any]) -> Any:
        """Run ops on this level's tensors again."""
        modes.push(self)
        try:
            return function(*args)
        finally:
            modes.pop()

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
        run_below(TABLE["copy"], (out._value, _moved(result, 0, out._dim), *_defaults("copy", 2)), out._value)
        return out  # type: ignore[no-any-return]


def _defaults(name: str, start: int) -> list[Any]:
    return [p.default for p in TABLE[name].parameters[start:]]


def _refused_write(out: Tensor, args: Sequence[Any], level: VmapLevel) -> str:
    other = next((a for a in args if level.owns(a) and isinstance(a, BatchedTensor)), None)
    shape = [] if other is None else list(level.spread(other)._array.shape)
    if len(shape) > out._array.ndim:
        have = list(out._array.shape)
        return f"output with shape {have} doesn't match the broadcast shape {shape}\n[{_UNBATCHED_TARGET}]"
    return _UNBATCHED_TARGET


def as_tensor(value: Any) -> Tensor:
    """Return what a batching rule made as a Tensor."""
    return value if isinstance(value, Tensor) else blank(Tensor, as_array(value))


def _promoted(op: Op, args: Sequence[Any]) -> Sequence[Any]:
    """Return the arguments in their common dtype, which depends on ranks without the batch dimension."""
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
    common, _ = promote(op, [_rank_only(a._array) if isinstance(a, Tensor) else a for a in args], at)
    ready = list(args)
    for i in at:
        if isinstance(ready[i], Tensor):
            ready[i] = _in_dtype(ready[i], common)
    return ready


def _in_dtype(tensor: Any, dtype: Any) -> Tensor:
    if isinstance(tensor, BatchedTensor) and tensor._level not in local.intercepts:
        return tensor._level.wrap(_in_dtype(tensor._value, dtype), tensor._dim)  # type: ignore[no-any-return]
    return tensor.to(dtype)  # type: ignore[no-any-return]


def _rank_only(array: Any) -> Any:
    """Return an array of this dtype that has dimensions or not, which is all that promotion asks."""
    return np.empty((0,) * array.ndim, array.dtype)


def _moved(tensor: Any, source: int, destination: int) -> Any:
    return tensor.movedim(source, destination)


class Runnable:
    """An op as batching rules see it: its definition takes Tensors and is recorded."""

    __slots__ = ("family", "name", "op", "outputs", "parameters")

    def __init__(self, op: Op) -> None:
        self.op, self.name, self.parameters = op, op.name, op.parameters
        self.family, self.outputs = op.family, op.outputs

    def definition(self, *args: Any, **kwargs: Any) -> Any:
        """Run the op on Tensors; NumPy's scalars, which rules may make of indices, become arrays."""
        return self.op.function(*[np.asarray(a) if isinstance(a, np.generic) else a for a in args], **kwargs)

    __call__ = definition

    def index(self, name: str) -> int:
        """Return the position of the parameter called `name`."""
        return self.op.index(name)

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
            inner = restored(_moved(tensor._value, tensor._dim, -1), level)
            return above.wrap(inner, inner._array.ndim - 1)  # type: ignore[no-any-return]
        return above.rebuilt(tensor, [restored(part, level) for part in above.parts(tensor)])  # type: ignore[no-any-return]
    return level.wrap(tensor, 0)


def like(made: Tensor, source: Any) -> Tensor:
    """Return a new tensor batched as `source` is, with memory for each element, which may be written to."""
    if isinstance(source, Wrapped) and not isinstance(source, BatchedTensor):
        return like(made, source._level.primal_alone(source))
    if not isinstance(source, BatchedTensor):
        return made
    level = source._level
    inner = like(made, source._value)
    spread = TABLE["expand"].function(inner, (level.size, *made._array.shape))
    return level.wrap(TABLE["clone"].function(spread, memory_format=contiguous_format), 0)  # type: ignore[no-any-return]
