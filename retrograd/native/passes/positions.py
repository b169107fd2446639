"""Calls that compare elements' positions, written with arrays of positions: tril, triu, argmax, argmin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograd.arrays import Value
from retrograd.native.passes.reductions import reduced
from retrograd.native.passes.rewrite import Rewriter
from retrograd.native.types import NATIVE


def triangle(name: str) -> Any:
    """Return the rule of tril or triu: elements on one side of a diagonal are kept."""

    def rule(to: Rewriter, inputs: Any, params: Any, made: Value) -> Any:
        k = params.get("k", inputs[1] if len(inputs) > 1 else 0)
        if made.dtype.char not in NATIVE or not isinstance(k, int) or inputs[0].shape != made.shape:
            return to.emit(name, inputs, made.shape, made.dtype, **params)
        n, m = made.shape[-2:]
        rows, columns = to.constant(np.arange(n)[:, None] + k), to.constant(np.arange(m))
        compare = "greater_equal" if name == "tril" else "less_equal"
        kept = to.emit(compare, (rows, columns), (n, m), np.bool_)
        zero = to.constant(np.zeros((), made.dtype))
        return to.emit("where", (kept, inputs[0], zero), made.shape, made.dtype)

    return rule


def extreme(name: str) -> Any:
    """Return the rule of argmax or argmin: the first position of the extreme, or of what is no number."""

    def rule(to: Rewriter, inputs: Any, params: Any, made: Value) -> Any:
        x, axis = inputs[0], params.get("axis")
        is_known = x.dtype.char in NATIVE and (axis is None or isinstance(axis, int))
        if not is_known or not set(params) <= {"axis", "keepdims"} or 0 in x.shape or not x.shape:
            return to.emit(name, inputs, made.shape, made.dtype, **params)
        if axis is None:
            shape = (math.prod(x.shape),)
            x, axis = to.emit("reshape", (x,), shape, x.dtype, shape=shape), 0
        axis %= len(x.shape)
        found = _first(to, x, axis, name.removeprefix("arg"))
        found = to.emit("cast", (found,), found.shape, made.dtype, dtype=made.dtype)
        return (
            found
            if found.shape == made.shape
            else to.emit("reshape", (found,), made.shape, made.dtype, shape=made.shape)
        )

    return rule


def _first(to: Rewriter, x: Value, axis: int, name: str) -> Value:
    n = x.shape[axis]
    kind = np.int32 if n < np.iinfo(np.int32).max else np.int64
    shape = (*x.shape[:axis], *x.shape[axis + 1 :])
    wide = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    best = _reduced(to, name, x, axis, shape)
    best = to.emit("reshape", (best,), wide, x.dtype, shape=wide)
    here = to.emit("equal", (x, best), x.shape, np.bool_)
    if x.dtype.kind == "f":
        nan = to.emit("isnan", (x,), x.shape, np.bool_)
        here = to.emit("logical_or", (here, nan), x.shape, np.bool_)
    positions = to.constant(np.arange(n, dtype=kind).reshape((n, *(1,) * (len(x.shape) - 1 - axis))))
    beyond = to.constant(np.array(n, kind))
    place = to.emit("where", (here, positions, beyond), x.shape, kind)
    return _reduced(to, "min", place, axis, shape)


def _reduced(to: Rewriter, name: str, x: Value, axis: int, shape: tuple[int, ...]) -> Value:
    found = reduced(to, name, x, {axis} if x.shape[axis] != 1 else set(), x.dtype)
    return found if found.shape == shape else to.emit("reshape", (found,), shape, x.dtype, shape=shape)
