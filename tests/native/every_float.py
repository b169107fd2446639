"""Every float32: a loop in machine code that compares a function in float32 with the same one in float64.

What the function in float64 is worth is measured elsewhere, by what knows
nothing of it.
"""

from __future__ import annotations

import ctypes

import numpy as np
from llvmlite import ir

from retrograd.native import jit
from retrograd.native.maths import FUNCTIONS
from retrograd.native.maths.lanes import Lanes, absolute

LANES = 16
I32, I64 = ir.IntType(32), ir.IntType(64)
WORST = ir.VectorType(ir.DoubleType(), LANES)


def _error(y: Lanes, exact: Lanes) -> Lanes:
    """Return the error in units of float32's last place; infinite where one is nan and the other is not."""
    rounded = exact.narrow()
    same = (y == rounded) | ((y != y) & (rounded != rounded))
    exponent = (exact.as_integer().unsigned_shift(52) & 2047) - 1023 - 23
    exponent = (exponent < -149).choose(-149, exponent)
    error = absolute(y.widen() - exact) * ((1023 - exponent) << 52).as_float()
    return same.choose(0, (error == error).choose(error, np.inf))


def _emit(name: str) -> ir.Module:
    """Return a module with void worst(i32 first, i64 blocks, double* result): the largest errors by lane."""
    module = ir.Module("every_float")
    kind = ir.FunctionType(ir.VoidType(), [I32, I64, WORST.as_pointer()])
    function = ir.Function(module, kind, "worst")
    entry, body, end = (function.append_basic_block(b) for b in ("entry", "body", "end"))
    builder = ir.IRBuilder(entry)
    first, blocks, result = function.args
    steps = ir.Constant(ir.VectorType(I32, LANES), list(range(LANES)))
    start = builder.insert_element(ir.Constant(steps.type, ir.Undefined), first, I32(0))
    start = builder.shuffle_vector(start, start, ir.Constant(steps.type, [0] * LANES))
    start = builder.add(start, steps)
    builder.branch(body)
    builder.position_at_end(body)
    block, bits, worst = builder.phi(I64), builder.phi(start.type), builder.phi(WORST)
    x = Lanes(builder, bits).as_float()
    y = Lanes(builder, FUNCTIONS[name](builder, x.value))
    exact = Lanes(builder, FUNCTIONS[name](builder, x.widen().value))
    error, so_far = _error(y, exact), Lanes(builder, worst)
    largest = (error > so_far).choose(error, so_far)
    following = builder.add(block, I64(1))
    further = (Lanes(builder, bits) + LANES).value
    for phi, initial, later in (
        (block, I64(0), following),
        (bits, start, further),
        (worst, Lanes(builder, worst).like(0).value, largest.value),
    ):
        phi.add_incoming(initial, entry)
        phi.add_incoming(later, body)
    builder.cbranch(builder.icmp_signed("<", following, blocks), body, end)
    builder.position_at_end(end)
    builder.store(largest.value, result, align=8)
    builder.ret_void()
    return module


class EveryFloat:
    """The largest error of a function among float32 that follow each other."""

    def __init__(self, name: str) -> None:
        self.library = jit.load(str(_emit(name)))
        pointer = ctypes.c_void_p
        kind = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_int64, pointer)
        self.worst = kind(self.library.address("worst"))

    def largest_error(self, first: int = 0, count: int = 2**32) -> float:
        """Return it among `count` numbers whose bits start at `first`."""
        result = np.empty(LANES)
        self.worst(first, count // LANES, result.ctypes.data)
        return float(result.max())
