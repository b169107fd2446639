"""Whole-number division with NumPy's signs; where it has no result, NumPy's: 0, or what wraps around."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograd.native.types import lanes_of, number

Dtype = np.dtype[Any]


def _divided(builder: Any, kind: Dtype, x: Any, y: Any) -> tuple[Any, Any, Any]:
    """Return the quotient towards zero, the rest, and where y is 0: there both are those of a division by 1.

    The least number divided by -1 does not fit: that too is done as a division by 1, of its negative.
    """
    lanes = lanes_of(x)
    zero, one = number(kind, 0, lanes), number(kind, 1, lanes)
    is_zero = builder.icmp_unsigned("==", y, zero)
    if kind.kind == "u":
        y = builder.select(is_zero, one, y)
        return builder.udiv(x, y), builder.urem(x, y), is_zero
    is_minus_one = builder.icmp_signed("==", y, number(kind, -1, lanes))
    x = builder.select(is_minus_one, builder.neg(x), x)
    y = builder.select(builder.or_(is_zero, is_minus_one), one, y)
    return builder.sdiv(x, y), builder.srem(x, y), is_zero


def _other_signs(builder: Any, kind: Dtype, rest: Any, y: Any) -> Any:
    """Return where there is a rest that has not the sign of y."""
    zero = number(kind, 0, lanes_of(rest))
    differ = builder.icmp_signed("<", builder.xor(rest, y), zero)
    return builder.and_(builder.icmp_signed("!=", rest, zero), differ)


def floor_divide(builder: Any, kind: Dtype, x: Any, y: Any) -> Any:
    """Emit the quotient towards minus infinity."""
    lanes = lanes_of(x)
    quotient, rest, is_zero = _divided(builder, kind, x, y)
    if kind.kind == "i":
        less = builder.sub(quotient, number(kind, 1, lanes))
        quotient = builder.select(_other_signs(builder, kind, rest, y), less, quotient)
    return builder.select(is_zero, number(kind, 0, lanes), quotient)


def remainder(builder: Any, kind: Dtype, x: Any, y: Any) -> Any:
    """Emit the rest with the sign of y."""
    _, rest, is_zero = _divided(builder, kind, x, y)
    if kind.kind == "i":
        rest = builder.select(_other_signs(builder, kind, rest, y), builder.add(rest, y), rest)
    return builder.select(is_zero, number(kind, 0, lanes_of(x)), rest)


def fmod(builder: Any, kind: Dtype, x: Any, y: Any) -> Any:
    """Emit the rest with the sign of x."""
    _, rest, is_zero = _divided(builder, kind, x, y)
    return builder.select(is_zero, number(kind, 0, lanes_of(x)), rest)


INTEGERS = {"floor_divide": floor_divide, "remainder": remainder, "fmod": fmod}
"""Calls on integers that the library of vector functions has on floating-point numbers."""
