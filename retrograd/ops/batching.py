"""Batching rules: how an op runs at once, not in a loop, on arguments with an extra dimension each.

A batching rule takes the op, the batch size, the op's arguments and, per argument, where its batch dimension
is (None where it has none), and returns the result (or results) with the batch in dimension 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Dims = Sequence[Any]


def front(value: Any, dim: int | None) -> Any:
    """Return a value with its batch dimension moved to the front; as it is if it has none."""
    return value if not dim else np.moveaxis(value, dim, 0)


def spread(value: Any, dim: int | None, size: int) -> Any:
    """Return a value with a batch dimension in front, repeated without copying if it had none."""
    return np.broadcast_to(value, (size, *np.shape(value))) if dim is None else front(value, dim)


def call(op: Any, args: Sequence[Any]) -> Any:
    """Run an op on all its arguments, in the declared order, on arrays of any kind."""
    given = list(zip(op.parameters, args, strict=True))
    return op(*[a for p, a in given if not p.keyword_only], **{p.name: a for p, a in given if p.keyword_only})


def pointwise(op: Any, size: int, args: Sequence[Any], dims: Dims) -> Any:
    """Align the operands behind the batch dimension; NumPy broadcasts the rest."""
    tensors = [i for i, p in enumerate(op.parameters) if not p.is_static and args[i] is not None]
    rank = max(np.ndim(args[i]) - (dims[i] is not None) for i in tensors)
    ready = list(args)
    for i in tensors:
        if dims[i] is not None:
            value = ready[i] = front(args[i], dims[i])
            missing = rank - (value.ndim - 1)
            if missing:
                ready[i] = np.reshape(value, (value.shape[0], *(1,) * missing, *value.shape[1:]))
    return call(op, ready)


def reduction(op: Any, size: int, args: Sequence[Any], dims: Dims) -> Any:
    """Move the batch to the front and shift the reduced dimensions behind it."""
    ready = [
        a if p.is_static else spread(a, d, size) for p, a, d in zip(op.parameters, args, dims, strict=True)
    ]
    rank = next(np.ndim(a) for p, a in zip(op.parameters, ready, strict=True) if not p.is_static) - 1
    for i, parameter in enumerate(op.parameters):
        if parameter.name == "dim":
            ready[i] = shifted(ready[i], rank)
    return call(op, ready)


def shifted(dim: Any, rank: int) -> Any:
    """Return dimensions of a tensor of `rank` dimensions as they are behind a batch dimension.

    None means all of them.
    """
    if dim is None:
        return tuple(range(1, rank + 1))
    if isinstance(dim, (tuple, list)):
        return tuple(range(1, rank + 1)) if len(dim) == 0 else tuple(d + 1 if d >= 0 else d for d in dim)
    return dim + 1 if dim >= 0 and rank else (dim if rank else ())


def loop(op: Any, size: int, args: Sequence[Any], dims: Dims) -> Any:
    """Run the op once per element of the batch and stack: for ops that treat their elements as one whole."""
    rows = []
    for k in range(size):
        row = []
        for p, a, d in zip(op.parameters, args, dims, strict=True):
            if d is None:
                row.append(a)
            elif p.kind == "tensors":
                row.append([x if e is None else np.take(x, k, axis=e) for x, e in zip(a, d, strict=True)])
            else:
                row.append(np.take(a, k, axis=d))
        rows.append(call(op, row))
    if isinstance(rows[0], tuple):
        return tuple(np.stack(column) for column in zip(*rows, strict=True))
    return np.stack(rows)
