"""Numbers in registers: NumPy's dtypes as LLVM's types, scalars and vectors alike, and casts between them.

A truth value is one bit in a register and one byte in memory.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from retrograd.native import halves

NATIVE = frozenset("?bBhHiIlLqQfd")
"""The dtypes that machine code is made for, by NumPy's character."""


HALVES = frozenset("eE")
"""The dtypes that are only stored, float16 and bfloat16; in a register they are their bits."""


def is_half(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype is one of those that are stored narrow and computed wide."""
    return dtype.char in HALVES and dtype.itemsize == 2


@cache
def llvm() -> Any:
    """Import what builds LLVM's IR; start-up must not load it."""
    from llvmlite import ir  # noqa: PLC0415 - optional, and slow to load

    return ir


@cache
def register(dtype: np.dtype[Any], lanes: int | None = None) -> Any:
    """Return the LLVM type of a number, or of a vector of them, in a register."""
    ir = llvm()
    if is_half(dtype):
        element = ir.IntType(16)
    elif dtype.kind == "f":
        element = ir.FloatType() if dtype.itemsize == 4 else ir.DoubleType()
    else:
        element = ir.IntType(1 if dtype.kind == "b" else 8 * dtype.itemsize)
    return element if lanes is None else ir.VectorType(element, lanes)


@cache
def memory(dtype: np.dtype[Any], lanes: int | None = None) -> Any:
    """Return the LLVM type of a number, or of a vector of them, in memory."""
    return register(np.dtype(np.uint8) if dtype.kind == "b" else dtype, lanes)


def lanes_of(value: Any) -> int | None:
    """Return how many lanes an LLVM value has; None for a scalar."""
    return getattr(value.type, "count", None)


def number(dtype: np.dtype[Any], value: Any, lanes: int | None = None) -> Any:
    """Return a Python or NumPy number as a constant."""
    ir = llvm()
    if dtype.kind == "f":
        with np.errstate(all="ignore"):
            found: Any = float(np.asarray(value).astype(dtype))
    else:
        with np.errstate(all="ignore"):
            found = int(np.asarray(value).astype(dtype))
    element = ir.Constant(register(dtype), found)
    return element if lanes is None else ir.Constant(register(dtype, lanes), [element] * lanes)


def spread(builder: Any, value: Any, lanes: int | None) -> Any:
    """Return a scalar in every lane of a vector; a vector as it is."""
    if lanes is None or lanes_of(value) is not None:
        return value
    ir = llvm()
    if isinstance(value, ir.Constant):
        return ir.Constant(ir.VectorType(value.type, lanes), [value] * lanes)
    one = builder.insert_element(
        ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined), value, ir.IntType(32)(0)
    )
    mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [ir.Constant(ir.IntType(32), 0)] * lanes)
    return builder.shuffle_vector(one, one, mask)


def convert(builder: Any, value: Any, have: np.dtype[Any], want: np.dtype[Any]) -> Any:
    """Return a number in another dtype, as NumPy's astype has it."""
    if have == want:
        return value
    if is_half(have) or is_half(want):
        wide = np.dtype(np.float32)
        if is_half(have):
            return convert(builder, halves.widened(builder, value, have), wide, want)
        if have.kind == "f" and have.itemsize == 8:
            return halves.narrowed(builder, halves.rounded_to_odd(builder, value), want)
        exact = np.dtype(np.float64) if have.kind in "iu" else wide
        if have != exact:
            return convert(builder, convert(builder, value, have, exact), exact, want)
        return halves.narrowed(builder, value, want)
    lanes = lanes_of(value)
    to = register(want, lanes)
    if want.kind == "b":
        zero = number(have, 0, lanes)
        if have.kind == "f":
            return builder.fcmp_unordered("!=", value, zero)
        return builder.icmp_unsigned("!=", value, zero)
    if have.kind == "b":
        return builder.uitofp(value, to) if want.kind == "f" else builder.zext(value, to)
    if have.kind == "f" and want.kind == "f":
        return builder.fpext(value, to) if want.itemsize > have.itemsize else builder.fptrunc(value, to)
    if have.kind == "f":
        return _to_integer(builder, value, want, lanes)
    if want.kind == "f":
        return builder.sitofp(value, to) if have.kind == "i" else builder.uitofp(value, to)
    if want.itemsize > have.itemsize:
        return builder.sext(value, to) if have.kind == "i" else builder.zext(value, to)
    return builder.trunc(value, to) if want.itemsize < have.itemsize else value  # signs are in the operations


def _to_integer(builder: Any, value: Any, want: np.dtype[Any], lanes: int | None) -> Any:
    """Truncate; what does not fit gives what x86 processors give, and so NumPy there: the least number."""
    wide = np.dtype(np.int32 if want.itemsize < 4 else f"i{want.itemsize}")
    if want.kind == "u" and want.itemsize >= 4:
        return builder.fptoui(value, register(want, lanes))
    low = number(wide, np.iinfo(wide).min, lanes)
    is_double = str(getattr(value.type, "element", value.type)) == "double"
    kind = np.dtype(np.float64 if is_double else np.float32)
    edge = number(kind, 2.0 ** (8 * wide.itemsize - 1), lanes)
    below = builder.fcmp_ordered("<", value, edge)
    above = builder.fcmp_ordered(">=", value, number(kind, -(2.0 ** (8 * wide.itemsize - 1)), lanes))
    fits = builder.and_(below, above)
    # A conversion that does not fit is poison: it is not selected, but must not be computed on either.
    safe = builder.select(fits, value, number(kind, 0, lanes))
    made = builder.fptosi(safe, register(wide, lanes))
    made = builder.select(fits, made, low)
    return builder.trunc(made, register(want, lanes)) if want.itemsize < wide.itemsize else made


def intrinsic(builder: Any, name: str, *operands: Any) -> Any:
    """Call an intrinsic whose operands and result are of one type, scalar or vector."""
    ir = llvm()
    kind = operands[0].type
    lanes = lanes_of(operands[0])
    element = str(kind if lanes is None else kind.element)
    letters = {"float": "f32", "double": "f64"}.get(element, element)
    full = f"{name}.{letters}" if lanes is None else f"{name}.v{lanes}{letters}"
    found = builder.module.globals.get(full)
    if found is None:
        found = ir.Function(builder.module, ir.FunctionType(kind, [o.type for o in operands]), full)
    return builder.call(found, operands)
