"""Places in memory, by sizes, strides and offset, as slices and a transposition where they can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retrograd.arrays import Value
from retrograd.native.affine import strides
from retrograd.native.passes import pieces
from retrograd.native.passes.rewrite import Rewriter
from retrograd.native.types import NATIVE

Region = tuple[tuple[Any, ...], list[int], tuple[int, ...]]
"""A basic index, which of the place's dimensions each of its slices is, and the sizes of the place."""


def region(geometry: Any, shape: tuple[int, ...]) -> Region | None:
    """Return what a place in a contiguous array of `shape` is as an index; None if it is no such region."""
    if not isinstance(geometry, tuple) or 0 in shape or 0 in geometry[0]:
        return None
    sizes, steps, rest = geometry
    own = strides(shape)
    items: list[Any] = []
    for n, stride in zip(shape, own, strict=True):
        items.append(rest // stride)
        rest %= stride
        if not 0 <= items[-1] < n:
            return None
    owners: dict[int, int] = {}
    for axis, (n, step) in enumerate(zip(sizes, steps, strict=True)):
        if n == 1:
            continue
        found = [d for d, stride in enumerate(own) if shape[d] != 1 and step and step % stride == 0]
        if not found or found[0] in owners:
            return None
        dim = found[0]
        start, by = items[dim], step // own[dim]
        last = start + (n - 1) * by
        if not 0 <= last < shape[dim]:
            return None
        stop = last + (1 if by > 0 else -1)
        items[dim], owners[dim] = slice(start, None if stop < 0 else stop, by), axis
    return tuple(items), [owners[d] for d in sorted(owners)], tuple(sizes)


def _ruled(name: str, shape_of: Callable[[Any], Any], rule: Callable[..., Any]) -> Callable[..., Any]:
    """Return a rule that leaves calls alone whose place is no region."""

    def ruled(to: Rewriter, inputs: Any, params: Any, made: Value) -> Any:
        found = region(inputs[-1], shape_of(inputs))
        if found is None or params or made.dtype.char not in NATIVE:
            return to.emit(name, inputs, made.shape, made.dtype, **params)
        return rule(to, inputs, found, made)

    return ruled


def _take(to: Rewriter, inputs: Any, found: Region, made: Value) -> Any:
    items, order, sizes = found
    wide = tuple(sizes[a] for a in order)
    x = to.emit("getitem", (inputs[0], items), wide, made.dtype)
    axes = tuple(order.index(a) for a in sorted(order))
    turned = tuple(sizes[a] for a in sorted(order))
    x = to.emit("transpose", (x,), turned, made.dtype, axes=axes)
    return to.emit("reshape", (x,), made.shape, made.dtype, shape=made.shape)


def _turned(to: Rewriter, x: Value, found: Region) -> Value:
    """Return a place's elements in the order of the dimensions of the array that it lies in."""
    _, order, sizes = found
    wide = tuple(sizes[a] for a in sorted(order))
    x = to.emit("reshape", (x,), wide, x.dtype, shape=wide)
    axes = tuple(sorted(order).index(a) for a in order)
    return to.emit("transpose", (x,), tuple(sizes[a] for a in order), x.dtype, axes=axes)


def _put(to: Rewriter, inputs: Any, found: Region, made: Value) -> Any:
    return pieces.written(to, pieces.filled(to, 0, made), found[0], _turned(to, inputs[0], found))


def _write(to: Rewriter, inputs: Any, found: Region, made: Value) -> Any:
    base, source, _ = inputs
    if source is None:
        return pieces.written(to, base, found[0], pieces.number(to, 0, made.dtype))
    if source.shape != found[2] or source.dtype != made.dtype:
        return to.emit("ops.write_place", inputs, made.shape, made.dtype)
    return pieces.written(to, base, found[0], _turned(to, source, found))


RULES: dict[str, Callable[..., Any]] = {
    "ops.take_place": _ruled("ops.take_place", lambda inputs: inputs[0].shape, _take),
    "ops.put_place": _ruled("ops.put_place", lambda inputs: inputs[1], _put),
    "ops.write_place": _ruled("ops.write_place", lambda inputs: inputs[0].shape, _write),
}
