"""Tensors with a tangent, and the level that carries tangents through ops: forward mode.

A DualTensor is an ordinary handle on its primal that also has a `_tangent`; with its level off the stack an
op treats it as the primal. (Where the primal is itself a tensor of a lower level, it is kept in `_primal`.)
Tangents are computed with ops on Tensors: they are recorded, and seen by the levels below, so forward mode
may be differentiated by either mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.arrays.batch import Batch, CannotBatchError
from retrograd.autograd.batched import COMPUTED_AS_THEY_ARE, BatchedTensor, VmapLevel
from retrograd.autograd.dispatch import as_view
from retrograd.autograd.levels import OpLevel, Wrapped, run_below, unwritten
from retrograd.autograd.modes import local, process
from retrograd.ops import apply
from retrograd.ops.declare import TABLE, Op
from retrograd.ops.helpers import as_array
from retrograd.tensor import Tensor, blank, history, wrap


class DualTensor(Wrapped):
    """A tensor and the direction that it moves in."""

    __slots__ = ()

    _primal: Tensor | None
    _tangent: Tensor

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to or through the primal."""
        return Tensor.requires_grad.fget(self) if self._primal is None else self._primal.requires_grad  # type: ignore[attr-defined]

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self._primal is None:
            Tensor.requires_grad.fset(self, value)  # type: ignore[attr-defined]
        else:
            self._primal.requires_grad = value

    def detach(self) -> Tensor:
        """Return the primal without its history; the tangent is lost, as in torch."""
        return Tensor.detach(self) if self._primal is None else self._primal.detach()

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]  # it is the same
        from retrograd.printing import tensor_str  # noqa: PLC0415 - printing is rarely needed to compute

        level = self._level
        if level.is_transform:
            return Tensor.__repr__(self)
        plain = level.primal_alone(self)
        return tensor_str(plain, tangent=level.tangent(self) if level.active else None)


class DualLevel(OpLevel):
    """One running forward pass."""

    active = True

    def __init__(self, *, is_transform: bool = True) -> None:
        self.is_transform = is_transform

    # ---- the two parts ----

    def primal(self, value: Any) -> Any:
        """Return what ops below this level take for a value; a DualTensor may stand for its own primal."""
        if isinstance(value, DualTensor) and value._level is self and value._primal is not None:
            return value._primal
        if isinstance(value, (list, tuple)) and self.owns(value):
            return [self.primal(v) for v in value]
        return value

    def tangent(self, value: Any) -> Any:
        """Return a value's tangent, None if it has none."""
        if isinstance(value, (list, tuple)):
            return [self.tangent(v) for v in value] if self.owns(value) else None
        return value._tangent if isinstance(value, DualTensor) and value._level is self else None

    def primal_alone(self, tensor: Tensor) -> Tensor:
        """Return the primal as a tensor that has nothing to do with this level."""
        if not (isinstance(tensor, DualTensor) and tensor._level is self):
            return tensor
        return tensor._primal if tensor._primal is not None else _twin(tensor)

    def wrap(self, primal: Tensor, tangent: Tensor) -> Tensor:
        """Give a tensor that nobody else holds a tangent."""
        if type(primal) is Tensor:
            made: Any = primal
            made.__class__ = DualTensor
            made._primal = None
        else:
            made = blank(DualTensor, primal._array)
            made._node, made._cell, made._meta = primal._node, primal._cell, primal._meta
            made._primal = primal
        made._level, made._tangent = self, tangent
        return made  # type: ignore[no-any-return]

    def parts(self, tensor: Any) -> list[Tensor]:
        """Return what a tensor of this level wraps."""
        return [self.primal_alone(tensor), tensor._tangent]

    def rebuilt(self, tensor: Any, parts: list[Tensor]) -> Tensor:
        """Return a tensor like this one around other parts."""
        primal, tangent = parts
        return self.wrap(_twin(primal) if type(primal) is Tensor else primal, tangent)

    def frame(self, tensor: Any) -> tuple[Tensor, str]:
        """Return what is printed of a tensor, and what stands before it."""
        return self.primal_alone(tensor), f"GradTrackingTensor(lvl={self.number}"

    # ---- ops ----

    def run(self, op: Op, args: tuple[Any, ...], out: Any) -> Any:
        if out is None:
            found = self._on_arrays(op, args)
            if found is not None:
                return found
        primals = [self.primal(a) for a in args]
        if out is not None:
            primals = list(unwritten(op, tuple(primals), self.primal(out)))
        tangents = [self.tangent(a) for a in args]
        result, tangent = apply.jvp(op, primals, tangents)
        if out is not None:
            return self._written(result, tangent, out)
        if not op.outputs:
            return self._result(op, result, tangent, tangents)
        if tangent is None:
            return result
        made = [self._result(op, r, t, tangents) for r, t in zip(result, tangent, strict=True)]
        return tuple(made) if type(result) in (tuple, list) else type(result)(*made)

    def _on_arrays(self, op: Op, args: tuple[Any, ...]) -> Any:
        """Run an op and its derivative on arrays, where it is that simple; else return None.

        It is if nobody records the op, its operands are plain arrays of one of the dtypes that are computed
        in as they are, and their tangents are so too, or batches of such in the level right below.
        """
        below: Any = local.intercepts[-1] if local.intercepts else None
        if (
            process.anomaly
            or op.view
            or op.outputs
            or "f" not in op.kinds
            or op.family == "composite"
            or op.jvp is None
        ):
            return None
        values: list[Any] = []
        tangents: list[Any] = []
        dtype: Any = None
        for parameter, arg in zip(op.parameters, args, strict=True):
            value, tangent = arg, None
            if isinstance(arg, Tensor):
                is_dual = arg.__class__ is DualTensor
                if is_dual and arg._level is self and arg._primal is None:
                    tangent = _array_of(arg._tangent, below)
                    if tangent is None:
                        return None
                elif arg.__class__ is not Tensor:
                    return None
                if parameter.is_static or parameter.kind[:5] == "plain" or _is_recorded(arg):
                    return None
                value = arg._array
                dtype = dtype or value.dtype
                if value.__class__ is not np.ndarray:
                    return None
                if value.dtype is not dtype or dtype not in COMPUTED_AS_THEY_ARE:
                    return None
            elif not parameter.is_static and arg.__class__ not in (float, int):
                return None
            values.append(value)
            tangents.append(tangent)
        try:
            result, tangent = apply.jvp(op, values, tangents)
        except (CannotBatchError, ValueError):  # the other way can, or says what is wrong in torch's words
            return None
        made = wrap(np.asarray(result))
        if tangent is None or made.dtype.category < dtypes.FLOATING:
            return made
        whole = tangent.value if isinstance(tangent, Batch) else np.asarray(tangent)
        if any(t is not None and np.may_share_memory(whole, getattr(t, "value", t)) for t in tangents):
            whole = whole.copy()  # a write into this result must leave the operand's tangent alone
        moved: Tensor = wrap(whole)
        return self.wrap(made, below.wrap(moved, 0) if isinstance(tangent, Batch) else moved)

    def _result(self, op: Op, result: Tensor, tangent: Any, tangents: Sequence[Any]) -> Tensor:
        if tangent is None or result.dtype.category < dtypes.FLOATING:
            return result
        if not isinstance(tangent, Tensor):
            tangent = wrap(as_array(tangent))
        if not op.view and _shares(tangent, tangents):
            tangent = _copy(tangent)  # a write into this result must leave the operand's tangent alone
        return self.wrap(result, tangent)

    def _written(self, result: Tensor, tangent: Any, out: Tensor) -> Tensor:
        """Write a result and its tangent into a tensor, which may get its first tangent by that."""
        if result._array.shape != out._array.shape:
            raise RuntimeError(
                f"output with shape {list(out._array.shape)} doesn't match the broadcast shape "
                f"{list(result._array.shape)}"
            )
        if not dtypes.can_cast(result.dtype, out.dtype):
            raise RuntimeError(
                f"result type {result.dtype.scalar_name} can't be cast to the desired output type "
                f"{out.dtype.scalar_name}"
            )
        if tangent is not None and not self.owns(out):
            self._give_tangent(out)
        _copy_into(self.primal(out), result)
        if self.owns(out):
            _copy_into(
                self.tangent(out), wrap(np.zeros((), result._array.dtype)) if tangent is None else tangent
            )
        return out

    def _give_tangent(self, target: Tensor) -> None:
        """Make a tensor one of this level, with tangent zero; the root first, if it is a view."""
        root = target._root()
        if isinstance(target, Wrapped) or isinstance(root, Wrapped):
            if root is not target and not self.owns(root):
                raise RuntimeError(
                    "forward AD: a view of a tensor of another level cannot take a tangent by a write"
                )
            if root is target:
                twin = blank(type(target), target._array)
                twin.__dict__.update(target.__dict__)
                target.__dict__.clear()
                self._become(target, TABLE["mul"].function(twin, 0), twin)
                return
        if not self.owns(root):
            self._become(root, wrap(np.zeros_like(root._array)), None)
        if target is not root:
            self._become(target, _same_view(root._tangent, target._array, root._array), None)

    def _become(self, target: Any, tangent: Tensor, primal: Tensor | None) -> None:
        target.__class__ = DualTensor
        target._level, target._tangent, target._primal = self, tangent, primal


def _is_recorded(tensor: Tensor) -> bool:
    return local.grad and history(tensor) is not None


def _array_of(tangent: Tensor, below: Any) -> Any:
    """Return a tangent as an array, or as the batch of arrays that the level below has; None for others."""
    if tangent.__class__ is Tensor:
        return None if _is_recorded(tangent) else tangent._array
    if isinstance(below, VmapLevel) and tangent.__class__ is BatchedTensor and tangent._level is below:
        value = tangent._value
        if value.__class__ is Tensor and not _is_recorded(value):
            return Batch(np.moveaxis(value._array, tangent._dim, 0))
    return None


def _twin(tensor: Tensor) -> Tensor:
    """Return a plain handle with the same memory, history and place among views."""
    made = blank(Tensor, tensor._array)
    made._node, made._cell, made._meta = tensor._node, tensor._version_cell(), tensor._meta
    return made


def _shares(tangent: Tensor, tangents: Sequence[Any]) -> bool:
    """Return whether a tangent may lie in the memory of another one."""
    if isinstance(tangent, Wrapped):
        return True
    for other in tangents:
        for t in other if isinstance(other, list) else [other]:
            if t is tangent or (isinstance(t, Tensor) and np.may_share_memory(t._array, tangent._array)):
                return True
    return False


def _copy(tensor: Tensor) -> Tensor:
    return TABLE["clone"].function(tensor)  # type: ignore[no-any-return]


def _copy_into(target: Tensor, source: Tensor) -> None:
    op = TABLE["copy"]
    run_below(op, (target, source, *[p.default for p in op.parameters[2:]]), target)


def _same_view(tensor: Tensor, view: Any, base: Any) -> Tensor:
    """Return the view of `tensor` that lies in it where `view` lies in `base`."""
    array = tensor._array
    if array.strides != base.strides and base.size > 1:
        raise RuntimeError(
            "forward AD: a write through a view needs a base whose elements lie densely in memory"
        )
    offset = view.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    made = wrap(np.ndarray(view.shape, array.dtype, array, offset, view.strides))
    as_view(made, tensor)
    return made
