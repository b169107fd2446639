"""float16 and bfloat16 in registers: widened to float32, and rounded from it to the nearest even."""

from __future__ import annotations

from typing import Any

import numpy as np

Dtype = np.dtype[Any]


def _like(value: Any, element: Any) -> Any:
    """Return a type: of a scalar, or a vector of as many lanes as a value has."""
    from llvmlite import ir  # noqa: PLC0415 - optional, and slow to load

    lanes = getattr(value.type, "count", None)
    return element if lanes is None else ir.VectorType(element, lanes)


def _bits(value: Any, width: int) -> Any:
    from llvmlite import ir  # noqa: PLC0415 - optional, and slow to load

    return _like(value, ir.IntType(width))


def _whole(value: Any, width: int, number: int) -> Any:
    from llvmlite import ir  # noqa: PLC0415 - optional, and slow to load

    kind = _bits(value, width)
    lanes = getattr(value.type, "count", None)
    return kind(number) if lanes is None else ir.Constant(kind, [ir.IntType(width)(number)] * lanes)


def widened(builder: Any, value: Any, dtype: Dtype) -> Any:
    """Return the bits of a half type as a float32."""
    from llvmlite import ir  # noqa: PLC0415 - optional, and slow to load

    single = _like(value, ir.FloatType())
    if dtype.kind == "f":
        return builder.fpext(builder.bitcast(value, _like(value, ir.HalfType())), single)
    bits = builder.shl(builder.zext(value, _bits(value, 32)), _whole(value, 32, 16))
    return builder.bitcast(bits, single)


def narrowed(builder: Any, value: Any, dtype: Dtype) -> Any:
    """Return a float32 as the bits of a half type."""
    from llvmlite import ir  # noqa: PLC0415 - optional, and slow to load

    if dtype.kind == "f":
        return builder.bitcast(builder.fptrunc(value, _like(value, ir.HalfType())), _bits(value, 16))
    bits = builder.bitcast(value, _bits(value, 32))
    upper = builder.lshr(bits, _whole(value, 32, 16))
    last = builder.and_(upper, _whole(value, 32, 1))
    rounded = builder.add(bits, builder.add(last, _whole(value, 32, 0x7FFF)))
    rounded = builder.lshr(rounded, _whole(value, 32, 16))
    quiet = builder.or_(upper, _whole(value, 32, 0x40))  # what is no number must not be rounded to infinity
    found = builder.select(builder.fcmp_unordered("uno", value, value), quiet, rounded)
    return builder.trunc(found, _bits(value, 16))


def rounded_to_odd(builder: Any, value: Any) -> Any:
    """Return a float64 as a float32 whose last bit says that something was cut off.

    So rounding it again gives what rounding once would have given.
    """
    from llvmlite import ir  # noqa: PLC0415 - optional, and slow to load

    single, double = _like(value, ir.FloatType()), value.type
    near = builder.fptrunc(value, single)
    back = builder.fpext(near, double)
    bits = builder.bitcast(near, _bits(value, 32))
    sign = _whole(value, 64, (1 << 63) - 1)
    size = builder.and_(builder.bitcast(value, _bits(value, 64)), sign)
    found = builder.and_(builder.bitcast(back, _bits(value, 64)), sign)
    beyond = builder.icmp_unsigned(">", found, size)
    cut = builder.select(beyond, builder.sub(bits, _whole(value, 32, 1)), bits)
    odd = builder.or_(cut, _whole(value, 32, 1))
    exact = builder.fcmp_unordered("ueq", back, value)
    return builder.bitcast(builder.select(exact, bits, odd), single)
