"""Vector mathematics: NumPy's elementwise functions as code for any number of lanes.

FUNCTIONS["exp"](builder, x) takes scalars or vectors of float or double and returns the same type, or i1
where the function is a test. Errors are bounded by 2 ulp in float32 and 4 ulp in float64 over the whole range
(measured by benchmarks/maths_accuracy.py), special values are NumPy's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retrograd.native.maths import (
    choices,
    division,
    error_functions,
    exponentials,
    hyperbolic,
    inverse_trigonometry,
    lanes,
    logarithms,
    powers,
    trigonometry,
)
from retrograd.native.maths.lanes import Lanes, llvm

Formula = Callable[..., Lanes]

CALLED: dict[str, Formula] = {
    "exp": exponentials.exp,
    "exp2": exponentials.exp2,
    "expm1": exponentials.expm1,
    "sigmoid": exponentials.sigmoid,
    "log": logarithms.log,
    "log2": logarithms.log2,
    "log10": logarithms.log10,
    "log1p": logarithms.log1p,
    "logaddexp": logarithms.logaddexp,
    "tanh": hyperbolic.tanh,
    "sinh": hyperbolic.sinh,
    "cosh": hyperbolic.cosh,
    "arctanh": hyperbolic.arctanh,
    "arcsinh": hyperbolic.arcsinh,
    "arccosh": hyperbolic.arccosh,
    "sin": trigonometry.sin,
    "cos": trigonometry.cos,
    "tan": trigonometry.tan,
    "arcsin": inverse_trigonometry.arcsin,
    "arccos": inverse_trigonometry.arccos,
    "arctan": inverse_trigonometry.arctan,
    "arctan2": inverse_trigonometry.arctan2,
    "power": powers.power,
    "cbrt": powers.cbrt,
    "hypot": powers.hypot,
    "erf": error_functions.erf,
    "erfc": error_functions.erfc,
    "fmod": division.fmod,
    "remainder": division.remainder,
    "floor_divide": division.floor_divide,
}
"""Emitted as one function per type and module, which LLVM optimises once and inlines where it is called."""

INLINE: dict[str, Formula] = {
    "rsqrt": powers.rsqrt,
    "sqrt": lanes.sqrt,
    "absolute": lanes.absolute,
    "floor": lanes.floor,
    "ceil": lanes.ceil,
    "trunc": lanes.trunc,
    "rint": lanes.rint,
    "copysign": lanes.copysign,
    "maximum": choices.maximum,
    "minimum": choices.minimum,
    "fmax": choices.fmax,
    "fmin": choices.fmin,
    "sign": choices.sign,
    "signbit": choices.signbit,
    "isnan": choices.isnan,
    "isinf": choices.isinf,
    "isfinite": choices.isfinite,
}
"""A few instructions each."""


def _inline(formula: Formula) -> Callable[..., Any]:
    def emit(builder: Any, *values: Any) -> Any:
        return formula(*(Lanes(builder, value) for value in values)).value

    return emit


def _called(name: str, formula: Formula) -> Callable[..., Any]:
    def emit(builder: Any, *values: Any) -> Any:
        first = Lanes(builder, values[0])
        symbol = f"retrograd.{name}.{first.suffix}"
        function = builder.module.globals.get(symbol)
        return builder.call(function or _define(symbol, formula, builder.module, values), values)

    return emit


def _define(symbol: str, formula: Formula, module: Any, values: Any) -> Any:
    ir = llvm()
    kinds = [value.type for value in values]
    function = ir.Function(module, ir.FunctionType(kinds[0], kinds), symbol)
    function.linkage = "internal"
    function.attributes.add("alwaysinline")
    function.attributes.add("nounwind")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    builder.ret(formula(*(Lanes(builder, argument) for argument in function.args)).value)
    return function


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: _called(name, formula) for name, formula in CALLED.items()},
    **{name: _inline(formula) for name, formula in INLINE.items()},
}
"""What emits a function's code, by NumPy's name."""
