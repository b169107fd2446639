"""Instructions of AVX-512 that do in one step what takes several of LLVM's operations.

They exist for registers of 128, 256 and 512 bits; other numbers of lanes are padded or cut up, so that a
result does not depend on how many lanes there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from retrograd.native import target
from retrograd.native.maths.lanes import Lanes, intrinsic, llvm


def is_available() -> bool:
    """Whether the code is for a processor with AVX-512 of all vector lengths."""
    return target.host().vector_bytes == 64


def scale(x: Lanes, n: Lanes) -> Lanes:
    """Return x 2^floor(n)."""
    return _in_registers(_masked, "scalef", x, n)


def mantissa(x: Lanes) -> Lanes:
    """Return |x| scaled to between 3/4 and 3/2; nan of negative numbers."""
    return _in_registers(_masked, "getmant", x, 11)


def exponent(x: Lanes) -> Lanes:
    """Return floor(log2|x|); of 0 it is -inf."""
    return _in_registers(_masked, "getexp", x)


def rough_reciprocal(x: Lanes) -> Lanes:
    """Return 1/x with a relative error below 2^-14."""
    return _in_registers(_unrounded, "rcp14", x)


def look_up(table: Sequence[float], index: Lanes) -> Lanes:
    """Return the entries of a table of sixteen float32 at the low four bits of 32-bit integers."""
    ir = llvm()
    entries = ir.Constant(ir.VectorType(ir.FloatType(), 16), list(table))

    def call(name: str, index: Lanes) -> Lanes:
        return Lanes(index.builder, intrinsic(name, Lanes(index.builder, entries), index, suffix="sf.512"))

    return _in_registers(call, "x86.avx512.permvar", index, least=16)


def _suffix(x: Lanes) -> str:
    assert x.count is not None
    return f"{'ps' if x.bits == 32 else 'pd'}.{x.bits * x.count}"


def _every_lane(x: Lanes) -> Any:
    """Return the mask that leaves no lane out, at least a byte of it."""
    return llvm().Constant(llvm().IntType(max(8, x.count or 0)), -1)


def _masked(name: str, x: Lanes, *rest: Lanes | int) -> Lanes:
    i32 = llvm().IntType(32)
    given = [i32(y) if isinstance(y, int) else y.value for y in rest]
    rounding = [i32(4)] if _suffix(x).endswith("512") else []  # 4: in the current mode
    arguments = [x.value, *given, x.value, _every_lane(x), *rounding]
    lanes = [Lanes(x.builder, argument) for argument in arguments]
    return Lanes(x.builder, intrinsic(f"x86.avx512.mask.{name}", *lanes, suffix=_suffix(x)))


def _unrounded(name: str, x: Lanes) -> Lanes:
    lanes = [x, x, Lanes(x.builder, _every_lane(x))]
    return Lanes(x.builder, intrinsic(f"x86.avx512.{name}", *lanes, suffix=_suffix(x)))


def _in_registers(call: Callable[..., Lanes], name: str, *lanes: Lanes | int, least: int = 0) -> Lanes:
    """Make a call of as many lanes as a register has."""
    x = lanes[0]
    assert isinstance(x, Lanes)
    builder, count = x.builder, x.count or 1
    fitting = min(max(count, 128 // x.bits, least), 512 // x.bits)
    if fitting == x.count:
        return call(name, *lanes)
    results = []
    for start in range(0, count, fitting):
        places = range(start, min(start + fitting, count))
        parts = [_picked(y, places, fitting) if isinstance(y, Lanes) else y for y in lanes]
        results.append(call(name, *parts))
    if x.count is None:
        return Lanes(builder, builder.extract_element(results[0].value, llvm().IntType(32)(0)))
    while len(results) & len(results) - 1:  # so that they can be joined in pairs
        results.append(results[0])
    while len(results) > 1:
        results = [_joined(*results[k : k + 2]) for k in range(0, len(results), 2)]
    return _picked(results[0], range(count), count)


def _picked(x: Lanes, places: range, width: int) -> Lanes:
    """Return some lanes of x, and any others up to the width."""
    ir, i32 = llvm(), llvm().IntType(32)
    if x.count is None:
        empty = ir.Constant(ir.VectorType(x.element, width), ir.Undefined)
        return Lanes(x.builder, x.builder.insert_element(empty, x.value, i32(0)))
    if len(places) == width == x.count:
        return x
    order = [*places, *[places[0]] * (width - len(places))]
    return _shuffled(x, x, order)


def _joined(x: Lanes, y: Lanes) -> Lanes:
    return _shuffled(x, y, list(range(2 * (x.count or 1))))


def _shuffled(x: Lanes, y: Lanes, order: list[int]) -> Lanes:
    ir = llvm()
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order)
    return Lanes(x.builder, x.builder.shuffle_vector(x.value, y.value, mask))
