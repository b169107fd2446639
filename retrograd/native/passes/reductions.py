"""Reductions over any dimensions as reductions over the last ones and over the first ones."""

from __future__ import annotations

from typing import Any

from retrograd.arrays import Value
from retrograd.native.passes.rewrite import Rewriter


def reduced(to: Rewriter, name: str, x: Value, axes: set[int], dtype: Any) -> Value:
    """Reduce the last dimensions, then the first ones; what lies between is moved to the end before."""
    rank = len(x.shape)
    wide = [i for i in range(rank) if x.shape[i] != 1]
    last: list[int] = []
    while wide and wide[-1] in axes:
        last.append(wide.pop())
    if last:
        kept = tuple(n for i, n in enumerate(x.shape) if i not in last)
        x = to.emit(name, (x,), kept, dtype, axis=tuple(sorted(last)))
        axes = {a - sum(i < a for i in last) for a in axes - set(last)}
        return reduced(to, name, x, axes, dtype)
    if not axes:
        return x
    if {*wide[: len(axes)]} == axes:
        kept = tuple(n for i, n in enumerate(x.shape) if i not in axes)
        return to.emit(name, (x,), kept, dtype, axis=tuple(sorted(axes)))
    order = (*(i for i in range(rank) if i not in axes), *sorted(axes))
    turned = to.emit("transpose", (x,), tuple(x.shape[i] for i in order), x.dtype, axes=order)
    return reduced(to, name, turned, set(range(rank - len(axes), rank)), dtype)
