"""Which dtype an op computes in, and which it answers in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.ops.declare import Op
from retrograd.ops.helpers import ARRAYS, ScalarLike

NARROW = (dtypes.float16.np, dtypes.bfloat16.np)
PROMOTED = ("tensor", "operand", "optional", "operand?", "tensors")
"""The kinds of parameter that take part in promotion."""

_MATRICES = "mat1 and mat2 must have the same dtype, but got {0.scalar_name} and {1.scalar_name}"
_MISMATCH = {
    "linear": _MATRICES,
    "addmm": _MATRICES,
    "dot": "dot : expected both vectors to have same dtype, but found {0.scalar_name} and {1.scalar_name}",
}


def common_dtype(values: Sequence[Any]) -> dtypes.dtype:
    """Return the dtype that arrays and Python scalars have in common.

    Tensors with dimensions outrank 0-dim tensors, and those outrank Python scalars: a lower rank only raises
    the category (bool < integer < floating < complex), never the width.
    """
    ranks: list[dtypes.dtype | None] = [None, None, None]
    for value in values:
        if isinstance(value, ARRAYS):
            rank, found = (0 if value.ndim else 1), dtypes.of_array(value)
        else:
            rank, found = 2, dtypes.of_scalar(value)
        held = ranks[rank]
        ranks[rank] = found if held is None else dtypes.promote_types(held, found)
    return _outrank(_outrank(ranks[0], ranks[1]), ranks[2])  # type: ignore[return-value]


def _outrank(higher: dtypes.dtype | None, lower: dtypes.dtype | None) -> dtypes.dtype | None:
    if higher is None or lower is None:
        return higher or lower
    if lower.category <= higher.category:
        return higher
    if lower.is_complex and higher.is_floating_point:
        return higher.to_complex()
    return lower


def promote(op: Op, values: list[Any], at: list[int]) -> tuple[dtypes.dtype, np.dtype[Any]]:
    """Cast the operands at `at` in place; return the dtype they have in common and the one to compute in."""
    operands = [values[i] for i in at]
    flat = [v for o in operands for v in (o if isinstance(o, list) else [o])]
    common = common_dtype(flat)
    if op.promote == "match" and any(isinstance(v, ARRAYS) and v.dtype != common.np for v in flat):
        found = [dtypes.of_array(v) for v in flat if isinstance(v, ARRAYS)]
        first, other = found[0], next(d for d in found if d is not found[0])
        text = _MISMATCH.get(
            op.name, "expected m1 and m2 to have the same dtype, but got: {0.c_name} != {1.c_name}"
        )
        raise RuntimeError(
            f"{text.format(first, other)}\n[{op.torch_name}: got {', '.join(map(str, found))}]"
        )
    if op.promote == "float" and common.category < dtypes.FLOATING:
        common = dtypes.default.float
    if common.kind not in op.kinds:
        raise NotImplementedError(f"\"{op.torch_name}_cpu\" not implemented for '{common.scalar_name}'")
    compute = np.dtype(np.float32) if common.np in NARROW else common.np
    for i in at:
        value = values[i]
        values[i] = [cast(v, compute) for v in value] if isinstance(value, list) else cast(value, compute)
    return common, compute


def cast(value: Any, to: np.dtype[Any]) -> Any:
    """Return an array in another dtype.

    A Python scalar becomes a 0-dim array, wrapping as torch's integers do.
    """
    if isinstance(value, ARRAYS):
        return value if value.dtype == to else value.astype(to)
    if isinstance(value, ScalarLike):
        return value.of(to)
    if to.kind in "ui" and isinstance(value, int):
        return np.asarray(value % (1 << 8 * to.itemsize), np.dtype(f"u{to.itemsize}")).view(to)
    return np.asarray(value).astype(to)
