"""Arrays put together from pieces: every such call becomes `concatenate`, whose pieces lie in place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograd.arrays import Program, Value
from retrograd.native.affine import is_basic, is_view
from retrograd.native.elementwise import is_elementwise
from retrograd.native.passes.rewrite import Rewriter
from retrograd.native.types import NATIVE

Span = tuple[int, int, int]
"""Along one dimension: where a region starts, how many elements it has, and how far they lie apart."""


def pieces(program: Program) -> Program:
    """Let an elementwise call of its own make each piece, or a `concatenate` that nothing else reads."""
    to = Rewriter(program)
    for instruction in program.instructions:
        if not is_joined(instruction):
            to.copy(instruction)
            continue
        found = [_own(to, part) for part in to.operand(instruction.inputs[0])]
        (made,) = instruction.outputs
        to.now[made] = to.emit(
            "concatenate", (tuple(found),), made.shape, made.dtype, **dict(instruction.params)
        )
    return to.finish()


def _own(to: Rewriter, part: Value) -> Value:
    made = to.made_by.get(part)
    if made is not None and not is_view(made) and (is_elementwise(made) or is_joined(made)):
        return part
    return to.emit("copy", (part,), part.shape, part.dtype)


def is_joined(instruction: Any) -> bool:
    """Whether a call joins arrays in a form that there is code for."""
    if instruction.name != "concatenate" or not isinstance(instruction.inputs[0], tuple):
        return False
    parts, (made,) = instruction.inputs[0], instruction.outputs
    return (
        made.dtype.char in NATIVE
        and set(dict(instruction.params)) <= {"axis"}
        and all(isinstance(p, Value) and p.dtype == made.dtype and 0 not in p.shape for p in parts)
    )


# ---- calls that are written as concatenate ----


def concatenate(to: Rewriter, inputs: Any, params: Any, made: Value) -> Any:
    """Bring the parts to one dtype, and leave out those that are empty."""
    if not all(isinstance(p, Value) for p in inputs[0]):
        return to.emit("concatenate", inputs, made.shape, made.dtype, **params)
    axis, parts = params.get("axis", 0), inputs[0]
    if axis is None:
        parts, axis = [_reshaped(to, p, (math.prod(p.shape),)) for p in parts], 0
    return join(to, [_as(to, p, made.dtype) for p in parts], axis % len(made.shape), made.shape)


def stack(to: Rewriter, inputs: Any, params: Any, made: Value) -> Any:
    """Give the parts a dimension of size 1 to join them along."""
    if not all(isinstance(p, Value) for p in inputs[0]):
        return to.emit("stack", inputs, made.shape, made.dtype, **params)
    axis = params.get("axis", 0) % len(made.shape)
    shape = tuple(1 if i == axis else n for i, n in enumerate(made.shape))
    return join(to, [_as(to, _reshaped(to, p, shape), made.dtype) for p in inputs[0]], axis, made.shape)


def roll(to: Rewriter, inputs: Any, params: Any, made: Value) -> Any:
    """Let two blocks change places along each dimension."""
    shift, axis = params.get("shift", inputs[1] if len(inputs) > 1 else None), params.get("axis")
    x = inputs[0]
    if not isinstance(shift, (int, tuple)) or 0 in made.shape or not made.shape:
        return to.emit("roll", inputs, made.shape, made.dtype, **params)
    if axis is None:
        total = sum(shift) if isinstance(shift, tuple) else shift
        flat = _rolled(to, _reshaped(to, x, (math.prod(x.shape),)), total, 0)
        return _reshaped(to, flat, made.shape)
    for s, a in np.broadcast(shift, axis):
        x = _rolled(to, x, int(s), int(a) % len(made.shape))
    return x


def _rolled(to: Rewriter, x: Value, shift: int, axis: int) -> Value:
    cut = -shift % x.shape[axis]
    return join(to, [_part(to, x, axis, cut, None), _part(to, x, axis, 0, cut)], axis, x.shape)


def pad(to: Rewriter, inputs: Any, params: Any, made: Value) -> Any:
    """Put a number around an array, and cut where that is asked."""
    x, given, *rest = inputs
    fill = params.get("value", rest[0] if rest else 0)
    if isinstance(fill, Value) or made.dtype.char not in NATIVE or 0 in made.shape or 0 in x.shape:
        return to.emit("ops.constant_pad_nd", inputs, made.shape, made.dtype, **params)
    spans: list[Span] = []
    for dim, n in enumerate(made.shape):
        back = 2 * (len(made.shape) - 1 - dim)
        before, after = given[back : back + 2] if back < len(given) else (0, 0)
        x = _part(to, x, dim, max(0, -before), x.shape[dim] - max(0, -after))
        spans.append((max(0, before), n - max(0, before) - max(0, after), 1))
    if 0 in x.shape:
        return filled(to, fill or 0, made)
    return write(to, filled(to, fill or 0, made), x, spans)


def place(to: Rewriter, inputs: Any, params: Any, made: Value) -> Any:
    """Write an array into zeros."""
    x, _, index = inputs
    if made.dtype.char not in NATIVE or not is_basic(index):
        return to.emit("ops.place", inputs, made.shape, made.dtype, **params)
    return written(to, filled(to, 0, made), index, x)


def setitem(to: Rewriter, inputs: Any, params: Any, made: Value) -> Any:
    """Write an array, or a number, where a basic index says."""
    x, index, value = inputs
    known = isinstance(value, (Value, bool, int, float, np.generic))
    if made.dtype.char not in NATIVE or not is_basic(index) or not known or x.dtype != made.dtype:
        return to.emit("setitem", inputs, made.shape, made.dtype, **params)
    if not isinstance(value, Value):
        value = number(to, value, made.dtype)
    return written(to, x, index, _as(to, value, made.dtype))


def written(to: Rewriter, base: Value, index: Any, value: Value) -> Value:
    """Return `base` with a value where a basic index says."""
    spans, flipped, shape = _region(index, base.shape)
    if 0 in shape:
        return base
    if len(value.shape) > len(shape):
        value = _reshaped(to, value, value.shape[len(value.shape) - len(shape) :])
    if value.shape != shape:
        value = to.emit("broadcast_to", (value,), shape, value.dtype, shape=shape)
    value = _reshaped(to, value, tuple(count for _, count, _ in spans))
    if flipped:
        value = to.emit("flip", (value,), value.shape, value.dtype, axis=flipped)
    return write(to, base, value, spans)


def _region(index: Any, shape: tuple[int, ...]) -> tuple[list[Span], tuple[int, ...], tuple[int, ...]]:
    """Return what an index means along each dimension, which of them backwards, and the index's own shape."""
    items = list(index) if isinstance(index, tuple) else [index]
    items = [i for i in items if i is not None]
    if Ellipsis not in items:
        items.append(Ellipsis)
    at = items.index(Ellipsis)
    items[at : at + 1] = [slice(None)] * (len(shape) - len(items) + 1)
    spans: list[Span] = []
    flipped: list[int] = []
    for dim, (item, n) in enumerate(zip(items, shape, strict=True)):
        if not isinstance(item, slice):
            spans.append((int(item) % n, 1, 1))
            continue
        found = range(n)[item]
        if found.step < 0:
            found = found[::-1]
            flipped.append(dim)
        spans.append((found.start, len(found), found.step if len(found) > 1 else 1))
    return spans, tuple(flipped), np.broadcast_to(np.int8(0), shape)[index].shape


def write(to: Rewriter, base: Value, value: Value, spans: list[Span], dim: int = 0) -> Value:
    """Return `base` with a region, from dimension `dim` on, that has the elements of `value`."""
    if dim == len(spans):
        return value
    start, count, step = spans[dim]
    n = base.shape[dim]
    if (start, count, step) == (0, n, 1):
        return write(to, base, value, spans, dim + 1)
    last = start + (count - 1) * step
    inner = write(to, _part(to, base, dim, start, last + 1, step), value, spans, dim + 1)
    parts = [_part(to, base, dim, 0, start), _part(to, base, dim, last + 1, None)]
    if step == 1:
        return join(to, [parts[0], inner, parts[1]], dim, base.shape)
    between = _between(to, base, inner, spans[dim], dim)
    return join(to, [parts[0], between, _part(to, inner, dim, count - 1, None), parts[1]], dim, base.shape)


def _between(to: Rewriter, base: Value, inner: Value, span: Span, dim: int) -> Value:
    """Return all but the last of a region's elements, each with those of `base` up to the next."""
    start, count, step = span
    groups = count - 1

    def split(x: Value, size: int) -> Value:
        return _reshaped(to, x, (*x.shape[:dim], groups, size, *x.shape[dim + 1 :]))

    mine = split(_part(to, inner, dim, 0, groups), 1)
    whole = split(_part(to, base, dim, start, start + groups * step), step)
    shape = whole.shape
    joined = join(to, [mine, _part(to, whole, dim + 1, 1, None)], dim + 1, shape)
    return _reshaped(to, joined, (*shape[:dim], groups * step, *shape[dim + 2 :]))


# ---- small things ----


def join(to: Rewriter, parts: list[Value], axis: int, shape: tuple[int, ...]) -> Value:
    """Join parts along a dimension."""
    found = [p for p in parts if p.shape[axis]] or parts[:1]
    if len(found) == 1:
        return found[0]
    return to.emit("concatenate", (tuple(found),), shape, parts[0].dtype, axis=axis)


def _part(to: Rewriter, x: Value, dim: int, start: int, stop: int | None, step: int = 1) -> Value:
    stop = x.shape[dim] if stop is None else stop
    count = len(range(start, stop, step))
    if count == x.shape[dim]:
        return x
    index = (*[slice(None)] * dim, slice(start, stop, step))
    shape = (*x.shape[:dim], count, *x.shape[dim + 1 :])
    return to.emit("getitem", (x, index), shape, x.dtype)


def _reshaped(to: Rewriter, x: Value, shape: tuple[int, ...]) -> Value:
    return x if x.shape == shape else to.emit("reshape", (x,), shape, x.dtype, shape=shape)


def _as(to: Rewriter, x: Value, dtype: Any) -> Value:
    return x if x.dtype == dtype else to.emit("cast", (x,), x.shape, dtype, dtype=dtype)


def number(to: Rewriter, value: Any, dtype: Any) -> Value:
    """Return a number as a constant."""
    return to.constant(np.array(value).astype(dtype))


def filled(to: Rewriter, value: Any, made: Value) -> Value:
    """Return one number in the shape and dtype of a value."""
    fill = number(to, value, made.dtype)
    return to.emit("broadcast_to", (fill,), made.shape, made.dtype, shape=made.shape)
