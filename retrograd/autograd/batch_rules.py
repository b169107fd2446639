"""How ops run on a batch of Tensors where the declared rule is for arrays only, or would go element by element."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from retrograd.ops.declare import TABLE

DYNAMIC = {
    "nonzero": "nonzero", "masked_select": "masked_select", "unique": "_unique2", "unique_consecutive": "unique_consecutive",
    "bincount": "bincount",
}  # fmt: skip
"""Ops whose result has a size that depends on values, by what torch calls them."""

RULES: dict[str, Callable[..., Any]] = {}


def loop(op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    """Run the op once per element of the batch and stack: for ops that treat their elements as one whole."""
    select, stack = TABLE["select"].function, TABLE["stack"].function
    names = [p.name for p in op.parameters if p.keyword_only]
    rows = []
    for k in range(size):
        row = []
        for a, d in zip(args, dims, strict=True):
            if isinstance(d, (list, tuple)):
                row.append([x if e is None else select(x, e, k) for x, e in zip(a, d, strict=True)])
            else:
                row.append(a if d is None else select(a, d, k))
        count = len(row) - len(names)
        rows.append(op(*row[:count], **dict(zip(names, row[count:], strict=True))))
    if isinstance(rows[0], tuple):
        return tuple(stack(list(column), 0) for column in zip(*rows, strict=True))
    return stack(rows, 0)
