"""The public functions: made from the declarations, and put where torch has them.

An op's `places` say where: "torch" (module level), "Tensor" (a method), "nn.functional", "special", "linalg",
"fft". A pointwise or otherwise `inplace` op also gets NAME_, which writes into its first argument.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import retrograd.ops.table  # noqa: F401 - fills TABLE
from retrograd.autograd.calls import tensor_backward
from retrograd.autograd.generate import composite_function, function, in_place_function
from retrograd.ops.declare import TABLE, Op
from retrograd.tensor import Tensor

_OPERATORS = {
    "add": "__add__ __radd__", "sub": "__sub__", "rsub": "__rsub__", "mul": "__mul__ __rmul__",
    "div": "__truediv__", "floor_divide": "__floordiv__", "remainder": "__mod__", "pow": "__pow__",
    "matmul": "__matmul__",
    "neg": "__neg__", "abs": "__abs__", "positive": "__pos__", "eq": "__eq__", "ne": "__ne__", "lt": "__lt__",
    "le": "__le__", "gt": "__gt__", "ge": "__ge__", "bitwise_and": "__and__ __rand__",
    "bitwise_or": "__or__ __ror__", "bitwise_xor": "__xor__ __rxor__", "bitwise_not": "__invert__",
    "bitwise_left_shift": "__lshift__", "bitwise_right_shift": "__rshift__",
}  # fmt: skip
_REFLECTED = {
    "floor_divide": "__rfloordiv__", "remainder": "__rmod__", "pow": "__rpow__", "matmul": "__rmatmul__",
    "bitwise_left_shift": "__rlshift__", "bitwise_right_shift": "__rrshift__",
}  # fmt: skip
_INPLACE_OPERATORS = {
    "add": "__iadd__", "sub": "__isub__", "mul": "__imul__", "div": "__itruediv__",
    "floor_divide": "__ifloordiv__", "remainder": "__imod__", "bitwise_and": "__iand__",
    "bitwise_or": "__ior__", "bitwise_xor": "__ixor__", "bitwise_left_shift": "__ilshift__",
    "bitwise_right_shift": "__irshift__",
}  # fmt: skip


def _public(op: Op) -> Callable[..., Any]:
    """Return the function that users call for an op, made once."""
    if op.function is None:
        op.function = composite_function(op) if op.family == "composite" else function(op)
    return op.function  # type: ignore[no-any-return]


def functions(place: str) -> dict[str, Callable[..., Any]]:
    """Return the public functions of a place by name, aliases and in-place forms included."""
    found: dict[str, Callable[..., Any]] = {}
    for op in TABLE.values():
        if place not in op.places:
            continue
        for name in (op.torch_name, *op.aliases):
            found[name] = _public(op)
            if op.inplace:
                found[f"{name}_"] = written_in_place(op)
    return found


@cache
def written_in_place(op: Op) -> Callable[..., Any]:
    """Return `op_`, made once."""
    return in_place_function(op)


def _reflected(forward: Callable[..., Any]) -> Callable[..., Any]:
    def operator(self: Any, other: Any) -> Any:
        return forward(other, self)

    return operator


def attach() -> None:
    """Give Tensor its methods and operators, and ops their functions."""
    for op in TABLE.values():
        _public(op)
    for name, made in functions("Tensor").items():
        if name not in Tensor.__dict__:
            setattr(Tensor, name, made)
    for table, make in ((_OPERATORS, None), (_REFLECTED, _reflected)):
        for name, symbols in table.items():
            declared = TABLE.get(name)
            if declared is None:
                continue
            made = function(declared, dunder=True) if declared.family != "composite" else _public(declared)
            for symbol in symbols.split():
                setattr(Tensor, symbol, made if make is None else make(made))
    for name, symbol in _INPLACE_OPERATORS.items():
        if name in TABLE:
            setattr(Tensor, symbol, written_in_place(TABLE[name]))
    for name in ("copy", "fill", "zero"):
        setattr(Tensor, f"{name}_", written_in_place(TABLE[name]))


def _call(self: Any, op: Op, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG001 - a method
    return op.function(*args, **kwargs)


Tensor.backward = tensor_backward  # type: ignore[attr-defined]
Tensor.__retrograd_call__ = _call  # type: ignore[attr-defined]
Tensor._cast = lambda self, dtype: self.to(dtype)  # type: ignore[attr-defined]
