"""One way to write each thing: movements as reshape, transpose, broadcast_to, getitem, flip; axes from 0.

What is the identity on immutable values (a copy, the conjugate of a real array, a cast to the same dtype)
goes. Constants that are filled with one number become a number that is broadcast.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd.arrays import Instruction, Program, Value
from retrograd.arrays.vocabulary import function_of
from retrograd.native.passes import geometry, indexed, pieces, positions
from retrograd.native.passes.reductions import reduced
from retrograd.native.passes.rewrite import Rewriter

REDUCTIONS = frozenset({"sum", "max", "min", "prod", "any", "all"})

_SYNONYMS = {
    "true_divide": "divide", "abs": "absolute", "amax": "max", "amin": "min", "fabs": "absolute",
}  # fmt: skip
_PERMUTATIONS = frozenset({"transpose", "swapaxes", "moveaxis", "rollaxis"})
_RESHAPES = frozenset(
    {"reshape", "ravel", "expand_dims", "squeeze", "atleast_1d", "atleast_2d", "atleast_3d"}
)
_FEW = 16  # elements: constants below are looked at where they are used


def canonical(program: Program) -> Program:
    """Write a program in fewer words."""
    to = Rewriter(program)
    for value, array in program.constants:
        if array.size > _FEW and array.dtype.kind in "fiub" and not np.ptp(array.view(_bits(array))).any():
            number = to.constant(np.array(array.flat[0]))
            to.now[value] = to.emit("broadcast_to", (number,), value.shape, value.dtype, shape=value.shape)
    for instruction in program.instructions:
        rule = _rule(instruction)
        if rule is None:
            to.copy(instruction)
        else:
            (made,) = instruction.outputs
            inputs = to.operand(instruction.inputs)
            to.now[made] = rule(to, inputs, dict(instruction.params), made)
    return to.finish()


def _bits(array: np.ndarray[Any, Any]) -> str:
    """Return an unsigned dtype as wide as the array's: NaN and the sign of zero are told apart."""
    return f"u{array.dtype.itemsize}"


def _rule(instruction: Instruction) -> Callable[..., Any] | None:
    name = instruction.name
    if len(instruction.outputs) != 1 or not instruction.inputs:
        return None
    if name in _SYNONYMS:
        return _synonym(_SYNONYMS[name])
    if name in ("stack", "concatenate", "concat"):
        return pieces.stack if name == "stack" else pieces.concatenate
    if not isinstance(instruction.inputs[0], Value):
        return None
    if name in _PERMUTATIONS:
        return _permute(name)
    if name in _RESHAPES:
        return _reshape
    if name in REDUCTIONS and set(dict(instruction.params)) <= {"axis", "keepdims", "dtype"}:
        return _reduce(name)
    if name == "matmul" and not instruction.params and all(isinstance(x, Value) for x in instruction.inputs):
        return _matmul
    return _RULES.get(name)


def _synonym(name: str) -> Callable[..., Any]:
    return lambda to, inputs, params, made: to.emit(name, inputs, made.shape, made.dtype, **params)


def _permute(name: str) -> Callable[..., Any]:
    def rule(to: Rewriter, inputs: Any, params: Any, made: Value) -> Any:
        x, *rest = inputs
        sizes = tuple(range(2, len(x.shape) + 2))  # tell where each dimension goes
        moved = function_of(name)(np.broadcast_to(0, sizes), *rest, **params).shape
        axes = tuple(sizes.index(n) for n in moved)
        return to.emit("transpose", (x,), made.shape, made.dtype, axes=axes)

    return rule


def _reshape(to: Rewriter, inputs: Any, params: Any, made: Value) -> Any:
    del params
    return to.emit("reshape", inputs[:1], made.shape, made.dtype, shape=made.shape)


def _reduce(name: str) -> Callable[..., Any]:
    def rule(to: Rewriter, inputs: Any, params: Any, made: Value) -> Any:
        (x,) = inputs
        rank = len(x.shape)
        if "dtype" in params and x.dtype != made.dtype:
            x = to.emit("cast", (x,), x.shape, made.dtype, dtype=made.dtype)
        given = params.get("axis")
        axes = range(rank) if given is None else [given] if isinstance(given, int) else given
        found = reduced(to, name, x, {a % rank for a in axes if rank and x.shape[a] != 1}, made.dtype)
        if found.dtype != made.dtype:
            found = to.emit("cast", (found,), found.shape, made.dtype, dtype=made.dtype)
        return found if found.shape == made.shape else _reshape(to, (found,), {}, made)

    return rule


def _matmul(to: Rewriter, inputs: Any, params: Any, made: Value) -> Any:
    """Write products with vectors as products of matrices, of one dtype."""
    x, y = [
        v if v.dtype == made.dtype else to.emit("cast", (v,), v.shape, made.dtype, dtype=made.dtype)
        for v in inputs
    ]
    shape = made.shape
    if len(x.shape) == 1:
        x = to.emit("reshape", (x,), (1, *x.shape), x.dtype, shape=(1, *x.shape))
        shape = (*shape[:-1], 1, *shape[-1:]) if len(y.shape) > 1 else (1, *shape)
    if len(y.shape) == 1:
        y = to.emit("reshape", (y,), (*y.shape, 1), y.dtype, shape=(*y.shape, 1))
        shape = (*shape, 1)
    product = to.emit("matmul", (x, y), shape, made.dtype)
    return product if shape == made.shape else _reshape(to, (product,), params, made)


def _identity_if_real(name: str) -> Callable[..., Any]:
    def rule(to: Rewriter, inputs: Any, params: Any, made: Value) -> Any:
        if inputs[0].dtype.kind != "c" and inputs[0].dtype == made.dtype and inputs[0].shape == made.shape:
            return inputs[0]
        return to.emit(name, inputs, made.shape, made.dtype, **params)

    return rule


def _filled(number: Any) -> Callable[..., Any]:
    def rule(to: Rewriter, inputs: Any, params: Any, made: Value) -> Any:
        del params
        fill = inputs[1] if len(inputs) > 1 else number
        if isinstance(fill, Value):
            if fill.shape:
                return to.emit("full_like", inputs, made.shape, made.dtype)
            if fill.dtype != made.dtype:
                fill = to.emit("cast", (fill,), (), made.dtype, dtype=made.dtype)
        else:
            fill = to.constant(np.array(fill, made.dtype))
        return to.emit("broadcast_to", (fill,), made.shape, made.dtype, shape=made.shape)

    return rule


_RULES: dict[str, Callable[..., Any]] = {
    **{n: _identity_if_real(n) for n in ("conjugate", "conj", "real", "positive", "copy", "cast")},
    "zeros_like": _filled(0),
    "ones_like": _filled(1),
    "empty_like": _filled(0),
    "full_like": _filled(0),
    "roll": pieces.roll,
    "ops.constant_pad_nd": pieces.pad,
    "ops.place": pieces.place,
    "setitem": pieces.setitem,
    "getitem": indexed.getitem,
    "ops.embedding_ct": indexed.embedding_ct,
    "ops.take": indexed.take,
    "ops.put_flat": indexed.put_flat,
    "ops.scatter_add": indexed.scatter_add,
    "ops.index_add": indexed.index_add,
    "ops.pick": indexed.pick,
    "ops.gathered_back": indexed.gathered_back,
    **geometry.RULES,
    **{n: positions.triangle(n) for n in ("tril", "triu")},
    **{n: positions.extreme(n) for n in ("argmax", "argmin")},
}
