"""Algebra that never changes a result: nothing is reassociated, NaN and the sign of zero are kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd.arrays import Instruction, Program, Value
from retrograd.native.passes.rewrite import Rewriter

_LARGEST_POWER = 64  # of an integer, by multiplication
_CHEAP_POWERS = {1: 0, 2: 1, 3: 2}  # exponent: multiplications


def simplify(program: Program) -> Program:
    """Rewrite calls that have a cheaper equal."""
    to = Rewriter(program)
    numbers = {v: a[()] for v, a in program.constants if a.shape == ()}
    for instruction in program.instructions:
        rule = _RULES.get(instruction.name) if len(instruction.outputs) == 1 else None
        made = None
        if rule is not None:
            made = rule(
                to, to.operand(instruction.inputs), dict(instruction.params), instruction.outputs[0], numbers
            )
        if made is None:
            to.copy(instruction)
        else:
            to.now[instruction.outputs[0]] = made
    return to.finish()


def _is_like(x: Any, made: Value) -> bool:
    return isinstance(x, Value) and x.shape == made.shape and x.dtype == made.dtype


def _number(x: Any, numbers: dict[Value, Any]) -> Any:
    """Return the number that an operand is, None if it is none or not known."""
    if isinstance(x, Value):
        return numbers.get(x)
    return x if isinstance(x, (bool, int, float)) else None


def _by(to: Rewriter, x: Any, name: str) -> Instruction | None:
    """Return the instruction that made x, if it is a call of `name`."""
    found = to.made_by.get(x) if isinstance(x, Value) else None
    return found if found is not None and found.name == name else None


def _multiply(to: Rewriter, inputs: Any, params: Any, made: Value, numbers: Any) -> Any:
    for x, y in (inputs, inputs[::-1]):
        if _is_like(x, made) and _number(y, numbers) == 1 and not params:
            return x
    return None


def _divide(to: Rewriter, inputs: Any, params: Any, made: Value, numbers: Any) -> Any:
    x, y = inputs
    number = _number(y, numbers)
    if params or number is None or made.dtype.kind != "f" or not _is_like(x, made):
        return None
    if number == 1:
        return x
    limit = np.finfo(made.dtype)
    mantissa, exponent = math.frexp(abs(number)) if math.isfinite(number) else (0.0, 0)
    # A power of two whose reciprocal is a normal number: multiplying by it rounds exactly alike.
    if mantissa == 0.5 and limit.minexp < exponent - 1 < -limit.minexp:
        return to.emit("multiply", (x, 1.0 / float(number)), made.shape, made.dtype)
    return None


def _negative(to: Rewriter, inputs: Any, params: Any, made: Value, numbers: Any) -> Any:
    before = _by(to, inputs[0], "negative")
    return None if before is None or params else before.inputs[0]


def _power(to: Rewriter, inputs: Any, params: Any, made: Value, numbers: Any) -> Any:
    x, y = inputs
    exponent = _number(y, numbers)
    if params or exponent is None or not _is_like(x, made):
        return None
    if made.dtype.kind in "iu" and isinstance(exponent, (int, np.integer)) and 0 < exponent <= _LARGEST_POWER:
        return _multiplied(to, x, int(exponent), made)
    if made.dtype.kind != "f":
        return None
    if exponent in _CHEAP_POWERS and float(exponent).is_integer():
        result = x
        for _ in range(_CHEAP_POWERS[exponent]):
            result = to.emit("multiply", (result, x), made.shape, made.dtype)
        return result
    if exponent == -1:
        return to.emit("divide", (1, x), made.shape, made.dtype)
    return None


def _multiplied(to: Rewriter, x: Value, exponent: int, made: Value) -> Value:
    """Return a power by squaring: integers wrap around alike in whichever order they are multiplied."""
    found: Value | None = None
    while True:
        if exponent % 2:
            found = x if found is None else to.emit("multiply", (found, x), made.shape, made.dtype)
        exponent //= 2
        if not exponent:
            assert found is not None
            return found
        x = to.emit("multiply", (x, x), made.shape, made.dtype)


def _subtract(to: Rewriter, inputs: Any, params: Any, made: Value, numbers: Any) -> Any:
    x, y = inputs
    zero = _number(y, numbers)
    if _is_like(x, made) and zero is not None and zero == 0 and math.copysign(1, zero) > 0 and not params:
        return x  # x - 0 keeps -0, unlike x + 0
    return None


def _move(name: str, compose: Callable[[Any, Any, Any], Any]) -> Callable[..., Any]:
    def rule(to: Rewriter, inputs: Any, params: Any, made: Value, numbers: Any) -> Any:
        x = inputs[0]
        before = _by(to, x, name)
        if before is not None:
            x = before.inputs[0]
            params = compose(dict(before.params), params, made)
        if _is_like(x, made) and (name != "transpose" or params["axes"] == tuple(range(len(made.shape)))):
            return x
        return None if before is None else to.emit(name, (x,), made.shape, made.dtype, **params)

    return rule


def _last(first: Any, second: Any, made: Value) -> Any:
    del first, second
    return {"shape": made.shape}


def _permuted(first: Any, second: Any, made: Value) -> Any:
    del made
    return {"axes": tuple(first["axes"][a] for a in second["axes"])}


_RULES: dict[str, Callable[..., Any]] = {
    "multiply": _multiply,
    "divide": _divide,
    "negative": _negative,
    "power": _power,
    "subtract": _subtract,
    "reshape": _move("reshape", _last),
    "transpose": _move("transpose", _permuted),
    "broadcast_to": _move("broadcast_to", _last),
}
