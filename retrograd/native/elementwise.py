"""Calls that work element by element: which they are, what they cost, and their code.

A call's code takes one element of each operand, or a vector of them, and gives one of the result. Operands
are first brought to the dtype that NumPy computes in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograd.arrays import Instruction, Value
from retrograd.arrays.ir import values
from retrograd.native import lookups, maths
from retrograd.native.integers import INTEGERS
from retrograd.native.types import NATIVE, convert, intrinsic, is_half, lanes_of, number, spread

Operand = tuple[Any, np.dtype[Any] | None]
"""An LLVM value with its dtype, or a Python number with None."""
Code = Callable[..., Any]
Dtype = np.dtype[Any]


def _comparison(sign: str) -> Code:
    def code(builder: Any, kind: Dtype, x: Any, y: Any) -> Any:
        if kind.kind == "f":
            compare = builder.fcmp_unordered if sign == "!=" else builder.fcmp_ordered
        else:
            compare = builder.icmp_signed if kind.kind == "i" else builder.icmp_unsigned
        return compare(sign, x, y)

    return code


def _either(integer: str, floating: str) -> Code:
    def code(builder: Any, kind: Dtype, x: Any, y: Any) -> Any:
        return getattr(builder, floating if kind.kind == "f" else integer)(x, y)

    return code


def _negative(builder: Any, kind: Dtype, x: Any) -> Any:
    return builder.fneg(x) if kind.kind == "f" else builder.neg(x)


def _absolute(builder: Any, kind: Dtype, x: Any) -> Any:
    if kind.kind == "f":
        return intrinsic(builder, "llvm.fabs", x)
    if kind.kind != "i":
        return x
    return builder.select(builder.icmp_signed("<", x, number(kind, 0, lanes_of(x))), builder.neg(x), x)


def larger(sign: str) -> Code:
    """Return the code of maximum (`>`) or minimum (`<`): NaN wins."""

    def code(builder: Any, kind: Dtype, x: Any, y: Any) -> Any:
        if kind.kind == "f":
            wins = builder.or_(builder.fcmp_ordered(sign, x, y), builder.fcmp_unordered("uno", x, x))
            return builder.select(wins, x, y)
        compare = builder.icmp_signed if kind.kind == "i" else builder.icmp_unsigned
        return builder.select(compare(sign, x, y), x, y)

    return code


def _sign(builder: Any, kind: Dtype, x: Any) -> Any:
    lanes = lanes_of(x)
    zero = number(kind, 0, lanes)
    if kind.kind != "f":
        compare = builder.icmp_signed if kind.kind == "i" else builder.icmp_unsigned
        up = builder.select(compare(">", x, zero), number(kind, 1, lanes), zero)
        return builder.select(compare("<", x, zero), number(kind, -1, lanes), up) if kind.kind == "i" else up
    rest = builder.select(builder.fcmp_unordered("uno", x, x), x, zero)
    up = builder.select(builder.fcmp_ordered(">", x, zero), number(kind, 1, lanes), rest)
    return builder.select(builder.fcmp_ordered("<", x, zero), number(kind, -1, lanes), up)


def _intrinsic(name: str) -> Code:
    def code(builder: Any, kind: Dtype, x: Any) -> Any:
        del kind
        return intrinsic(builder, name, x)

    return code


def _is_nan(builder: Any, kind: Dtype, x: Any) -> Any:
    return builder.fcmp_unordered("uno", x, x)


def _magnitude(sign: str) -> Code:
    def code(builder: Any, kind: Dtype, x: Any) -> Any:
        return builder.fcmp_ordered(sign, _absolute(builder, kind, x), number(kind, np.inf, lanes_of(x)))

    return code


def _not(builder: Any, kind: Dtype, x: Any) -> Any:
    return builder.not_(x)


def _library(name: str) -> Code:
    def code(builder: Any, kind: Dtype, *operands: Any) -> Any:
        del kind
        return maths.FUNCTIONS[name](builder, *operands)

    return code


def _shift(signed: str) -> Code:
    """Shift; by as many bits as the number has, or more, NumPy gives 0 (-1 for what is negative)."""

    def code(builder: Any, kind: Dtype, x: Any, y: Any) -> Any:
        lanes = lanes_of(x)
        wide = builder.icmp_unsigned(">=", y, number(kind, 8 * kind.itemsize, lanes))
        last = number(kind, 8 * kind.itemsize - 1, lanes)
        if signed == "shl":
            return builder.select(wide, number(kind, 0, lanes), builder.shl(x, builder.select(wide, last, y)))
        if kind.kind == "i":
            return builder.ashr(x, builder.select(wide, last, y))
        return builder.select(wide, number(kind, 0, lanes), builder.lshr(x, builder.select(wide, last, y)))

    return code


_SAME: dict[str, tuple[Code, str, int]] = {
    "add": (_either("add", "fadd"), "iuf", 1),
    "subtract": (_either("sub", "fsub"), "iuf", 1),
    "multiply": (_either("mul", "fmul"), "iuf", 1),
    "divide": (lambda b, kind, x, y: b.fdiv(x, y), "f", 4),
    "negative": (_negative, "iuf", 1),
    "absolute": (_absolute, "biuf", 1),
    "maximum": (larger(">"), "biuf", 1),
    "minimum": (larger("<"), "biuf", 1),
    "sign": (_sign, "iuf", 2),
    "sqrt": (_intrinsic("llvm.sqrt"), "f", 6),
    "floor": (_intrinsic("llvm.floor"), "f", 1),
    "ceil": (_intrinsic("llvm.ceil"), "f", 1),
    "trunc": (_intrinsic("llvm.trunc"), "f", 1),
    "rint": (_intrinsic("llvm.rint"), "f", 1),
    "bitwise_and": (lambda b, kind, x, y: b.and_(x, y), "biu", 1),
    "bitwise_or": (lambda b, kind, x, y: b.or_(x, y), "biu", 1),
    "bitwise_xor": (lambda b, kind, x, y: b.xor(x, y), "biu", 1),
    "invert": (_not, "biu", 1),
    "left_shift": (_shift("shl"), "iu", 2),
    "right_shift": (_shift("shr"), "iu", 2),
}
"""Calls whose operands and result have one dtype: the code, the kinds that it is for, its cost."""

_TRUTH: dict[str, tuple[Code, str, int]] = {
    "equal": (_comparison("=="), "biuf", 1),
    "not_equal": (_comparison("!="), "biuf", 1),
    "less": (_comparison("<"), "biuf", 1),
    "less_equal": (_comparison("<="), "biuf", 1),
    "greater": (_comparison(">"), "biuf", 1),
    "greater_equal": (_comparison(">="), "biuf", 1),
    "isnan": (_is_nan, "f", 1),
    "isinf": (_magnitude("=="), "f", 1),
    "isfinite": (_magnitude("<"), "f", 1),
}
"""Calls that give truth values, of operands that have one dtype."""

_LOGIC: dict[str, Code] = {
    "logical_and": lambda b, kind, x, y: b.and_(x, y),
    "logical_or": lambda b, kind, x, y: b.or_(x, y),
    "logical_xor": lambda b, kind, x, y: b.xor(x, y),
    "logical_not": _not,
}
"""Calls on truth values."""

_LIBRARY: dict[str, tuple[str, int]] = {
    **{
        name: (name, 10)
        for name in (
            "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "tanh", "sin", "cos", "tan", "sinh",
            "cosh", "arcsin", "arccos", "arctan", "arcsinh", "arccosh", "arctanh", "power", "arctan2",
            "logaddexp", "hypot", "cbrt", "copysign", "fmod", "fmax", "fmin", "remainder", "floor_divide",
        )
    },
    "ops.erf": ("erf", 12),
    "ops.erfc": ("erfc", 12),
}  # fmt: skip
"""Calls that the library of vector functions has, by the name there, and their cost; floating-point only."""


def is_elementwise(instruction: Instruction) -> bool:
    """Whether a call is one that there is code for here."""
    if len(instruction.outputs) != 1:
        return False
    (made,) = instruction.outputs
    if any(v.dtype.char not in NATIVE for v in (*instruction.operands, made)):
        stored = all(v.dtype.char in NATIVE or is_half(v.dtype) for v in (*instruction.operands, made))
        return stored and instruction.name in ("copy", "cast") and isinstance(instruction.inputs[0], Value)
    if lookups.is_lookup(instruction):
        return True
    name, params = instruction.name, dict(instruction.params)
    if not all(isinstance(x, (Value, bool, int, float, np.generic)) or x is None for x in instruction.inputs):
        return False
    if name in ("copy", "cast"):
        return isinstance(instruction.inputs[0], Value)
    if params:
        return False
    if name in _SAME:
        return made.dtype.kind in _SAME[name][1]
    if name in _TRUTH:
        common = _common(instruction)
        return common is not None and common.kind in _TRUTH[name][1]
    if name in INTEGERS and made.dtype.kind in "iu":
        return True
    if name in _LIBRARY:
        return made.dtype.kind == "f" and _LIBRARY[name][0] in maths.FUNCTIONS
    return name in _LOGIC or name == "where" or (name == "clip" and made.dtype.kind in "iuf")


def cost(instruction: Instruction) -> int:
    """Return what a call costs per element, in additions."""
    name = instruction.name
    if name in _SAME:
        return _SAME[name][2]
    return _LIBRARY[name][1] if name in _LIBRARY else 1


def _common(instruction: Instruction) -> Dtype | None:
    """Return the dtype in which operands are compared; None where a Python number does not fit into it."""
    given = [v.dtype if isinstance(v, Value) else v for v in instruction.inputs]
    try:
        with np.errstate(all="ignore"):
            found = np.result_type(*given)
    except (OverflowError, TypeError):
        return None
    return found if found.char in NATIVE else None


def emit(builder: Any, instruction: Instruction, operands: Sequence[Operand]) -> Any:
    """Emit a call on one element, or one vector, of each operand."""
    name = instruction.name
    (made,) = instruction.outputs
    lanes = max((n for v, d in operands if d is not None and (n := lanes_of(v)) is not None), default=None)

    def ready(operand: Operand, kind: Dtype) -> Any:
        value, have = operand
        if have is None:
            return number(kind, value, lanes)
        return spread(builder, convert(builder, value, have, kind), lanes)

    if name in ("copy", "cast"):
        return ready(operands[0], made.dtype)
    if name == "where":
        condition = ready(operands[0], np.dtype(bool))
        return builder.select(condition, ready(operands[1], made.dtype), ready(operands[2], made.dtype))
    if name == "clip":
        return _clip(builder, made.dtype, operands, ready)
    if name in _LOGIC:
        return _LOGIC[name](builder, made.dtype, *[ready(o, np.dtype(bool)) for o in operands])
    if name in _TRUTH:
        common = _common(instruction)
        assert common is not None
        return _TRUTH[name][0](builder, common, *[ready(o, common) for o in operands])
    if name in INTEGERS and made.dtype.kind in "iu":
        code: Code = INTEGERS[name]
    else:
        code = _SAME[name][0] if name in _SAME else _library(_LIBRARY[name][0])
    return code(builder, made.dtype, *[ready(o, made.dtype) for o in operands])


def _clip(builder: Any, kind: Dtype, operands: Sequence[Operand], ready: Any) -> Any:
    found = ready(operands[0], kind)
    for operand, sign in zip(operands[1:], "><", strict=False):
        if operand[0] is not None or operand[1] is not None:
            found = larger(sign)(builder, kind, found, ready(operand, kind))
    return found


def wide_operands(instruction: Instruction) -> list[Value]:
    """Return the values that a call reads."""
    return list(values(instruction.inputs))
