"""A custom Function inside transforms: its own rules, or the one made of its forward and backward."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from retrograd import dtypes
from retrograd.autograd.batched import VmapLevel
from retrograd.autograd.dual import DualLevel
from retrograd.autograd.function import Function, FunctionCtx, FunctionMeta
from retrograd.autograd.levels import OpLevel, entered
from retrograd.autograd.modes import local, no_grad
from retrograd.errors import NotBatchableError
from retrograd.tensor import Tensor, wrap

_NO_SETUP = (
    "In order to use an autograd.Function with functorch transforms (vmap, grad, jvp, jacrev, ...), it must "
    "override the "
    "setup_context staticmethod. For more details, please see https://pytorch.org/docs/main/notes/extending.func.html"
)
_NO_RULE = (
    "You tried to vmap over {name}, but it does not have vmap support. Please override and implement the "
    "vmap staticmethod or set generate_vmap_rule=True. For more details, please see "
    "https://pytorch.org/docs/main/notes/extending.func.html"
)


class VmapInfo(NamedTuple):
    """What a Function's own vmap rule is told."""

    batch_size: int
    randomness: str


def apply_inside(cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a Function inside at least one level."""
    is_ours = getattr(cls, "_made_by_vmap", False)
    if (
        any(level.is_transform for level in local.levels)
        and cls.setup_context is Function.setup_context
        and not is_ours
    ):
        raise RuntimeError(_NO_SETUP)
    level = next((x for x in reversed(local.intercepts) if isinstance(x, OpLevel)), None)
    if level is None:
        return cls._run(*args, **kwargs)
    with level.off():
        if not any(map(level.owns, args)):
            return cls.apply(*args, **kwargs)
        if isinstance(level, VmapLevel):
            return _batched(cls, level, args)
        assert isinstance(level, DualLevel)
        return _moving(cls, level, args)


# ---- vmap ----


def _batched(cls: Any, level: VmapLevel, args: tuple[Any, ...]) -> Any:
    values = [a._value if level.owns(a) else a for a in args]
    dims = tuple(a._dim if level.owns(a) else None for a in args)
    own = getattr(cls, "vmap", None)
    if own is not None and own is not Function.__dict__.get("vmap") and not _is_default(own):
        if cls.generate_vmap_rule:
            raise RuntimeError(
                f"You tried to vmap over {cls.__name__}, but it has both generate_vmap_rule=True and an "
                "overridden vmap staticmethod. Please set generate_vmap_rule=False or delete the overridden "
                "vmap staticmethod to avoid ambiguity. For more details, please see "
                "https://pytorch.org/docs/main/notes/extending.func.html"
            )
        output, places = own(VmapInfo(level.size, level.randomness), dims, *values)
        if isinstance(output, (tuple, list)):
            places = places if isinstance(places, (tuple, list)) else (places,) * len(output)
            return tuple(_hidden(level, o, d) for o, d in zip(output, places, strict=True))
        return _hidden(level, output, places[0] if isinstance(places, (tuple, list)) else places)
    if not cls.generate_vmap_rule:
        raise NotBatchableError(_NO_RULE.format(name=cls.__name__))
    output = _made_rule(cls, level, dims).apply(*values)
    if isinstance(output, tuple):
        return tuple(_hidden(level, o, 0) for o in output)
    return _hidden(level, output, 0)


def _is_default(rule: Any) -> bool:
    return getattr(rule, "__qualname__", "").startswith("Function.")


def _hidden(level: VmapLevel, value: Any, dim: int | None) -> Any:
    return value if dim is None or not isinstance(value, Tensor) else level.wrap(value, dim)


class _Context(FunctionCtx):
    """The ctx of a forward that runs on batched tensors."""

    saved_tensors: Any = ()
    to_save: Any = ()
    needs_input_grad: Any = ()


def _made_rule(cls: Any, around: VmapLevel, dims: tuple[int | None, ...]) -> Any:
    """Return the Function on whole batches whose forward and backward are those of `cls`, vmapped."""

    def forward(ctx: Any, *values: Any) -> Any:
        level, inner = VmapLevel(around.size, around.randomness), _Context()
        inner.needs_input_grad = ctx.needs_input_grad
        with entered(level):
            inputs = tuple(v if d is None else level.wrap(v, d) for v, d in zip(values, dims, strict=True))
            output = cls.forward(*inputs)
            cls.setup_context(inner, inputs, output)
        ctx.saved_dims = [t._dim if level.owns(t) else None for t in inner.to_save]
        ctx.save_for_backward(*[t._value if level.owns(t) else t for t in inner.to_save])
        ctx.inner = inner
        if isinstance(output, tuple):
            return tuple(level.spread(o) if isinstance(o, Tensor) else o for o in output)
        return level.spread(output)

    def backward(ctx: Any, *cts: Any) -> Any:
        level, inner = VmapLevel(around.size, around.randomness), ctx.inner
        with entered(level):
            inner.saved_tensors = tuple(
                t if d is None else level.wrap(t, d)
                for t, d in zip(ctx.saved_tensors, ctx.saved_dims, strict=True)
            )
            found = cls.backward(inner, *[c if c is None else level.wrap(c, 0) for c in cts])
        found = found if isinstance(found, tuple) else (found,)
        inner.saved_tensors = ()
        return tuple(_gathered(level, g, d) for g, d in zip(found, dims, strict=True))

    body = {"forward": staticmethod(forward), "backward": staticmethod(backward), "_made_by_vmap": True}
    return FunctionMeta(f"Vmapped{cls.__name__}", (Function,), body)


def _gathered(level: VmapLevel, ct: Any, dim: int | None) -> Any:
    """Return an input's cotangent: with the batch where it was, or summed over it if the input had none."""
    if not isinstance(ct, Tensor):
        return ct
    rows: Any = level.spread(ct)
    return rows.sum(0) if dim is None else rows.movedim(0, dim)


# ---- forward mode ----


def _moving(cls: Any, level: DualLevel, args: tuple[Any, ...]) -> Any:
    primals = [level.primal_alone(a) if isinstance(a, Tensor) else a for a in args]
    output = cls.apply(*primals)
    ctx = _Context()
    ctx.materialize_grads = True
    ctx.needs_input_grad = tuple(isinstance(a, Tensor) and a.requires_grad for a in primals)
    with no_grad():
        if cls.setup_context is Function.setup_context:
            cls.forward(ctx, *primals)
        else:
            cls.setup_context(ctx, tuple(primals), cls.forward(*primals))
    ctx.saved_tensors = tuple(getattr(ctx, "saved_for_forward", ()))
    tangents = [level.tangent(a) for a in args]
    if ctx.materialize_grads:
        tangents = [
            wrap(np.zeros(p._array.shape, p._array.dtype)) if t is None and isinstance(p, Tensor) else t
            for t, p in zip(tangents, primals, strict=True)
        ]
    moved = cls.jvp(ctx, *tangents)
    outputs = output if isinstance(output, tuple) else (output,)
    moved = moved if isinstance(moved, tuple) else (moved,)
    if len(moved) != len(outputs):
        raise RuntimeError(
            f"Function's jvp returned an invalid number of forward gradients (expected {len(outputs)} but "
            f"got {len(moved)})"
        )
    quiet = {id(t) for t in getattr(ctx, "non_differentiable", ())}
    made = [
        o if id(o) in quiet or not isinstance(o, Tensor) else _with_tangent(level, o, t, i)
        for i, (o, t) in enumerate(zip(outputs, moved, strict=True))
    ]
    return tuple(made) if isinstance(output, tuple) else made[0]


def _with_tangent(level: DualLevel, output: Tensor, tangent: Any, number: int) -> Tensor:
    if output.dtype.category < dtypes.FLOATING:
        return output
    if tangent is None:
        raise RuntimeError(
            f"Function's jvp returned None as the forward gradient of output {number}, which is "
            "differentiable: return zeros, or mark the output with ctx.mark_non_differentiable"
        )
    if not isinstance(tangent, Tensor):
        raise RuntimeError(  # noqa: TRY004 - torch's exception
            f"expected Variable or None (got {type(tangent).__name__}) for grad output {number}."
        )
    if tangent._array.shape != output._array.shape:
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original Tensor, "
            f"this is not supported. Tensor is of size {list(output.shape)} while the given forward gradient "
            f"is of size {list(tangent.shape)}."
        )
    return level.wrap(output, tangent)
