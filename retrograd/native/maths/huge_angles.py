"""The reduction of huge angles modulo pi/2, after Payne and Hanek (1983), one number at a time.

|x| = M 2^E with an integer M of 53 bits. Of the bits of 2/pi, those that are worth 4 or more after
multiplication by 2^E only add whole turns and are left out; the next 192 bits are an integer F, and M F
modulo 2^192 is the fraction of a turn in units of 2^-192. At least 139 bits of it are right; no float64 is
nearer than 2^-62 to a multiple of pi/2.
"""

from __future__ import annotations

import math
from typing import Any

from retrograd.native.maths.coefficients import TWO_OVER_PI
from retrograd.native.maths.exponents import power_of_two
from retrograd.native.maths.lanes import Lanes, absolute, declare, llvm

WIDTH = 192
PADDING = 2  # words of zeros before the first bit of 2/pi, for numbers whose last bit is worth less than 4
SMALLEST = 2.0**15
"""From where the table has the bits."""


def reduce_huge(x: Lanes) -> tuple[Lanes, Lanes]:
    """Return r and an integer that equals n modulo 4, where x = n pi/2 + r, for a scalar |x| >= SMALLEST."""
    wide = x.widen() if x.bits == 32 else x
    r, quarters = _reduce(absolute(wide))
    negative = wide < 0
    r = (absolute(wide) < math.inf).choose(negative.choose(-r, r), math.nan)
    quarters = negative.choose(-quarters, quarters)
    return (r, quarters) if x.bits == 64 else (r.narrow(), _resized(quarters, 32))


def _reduce(x: Lanes) -> tuple[Lanes, Lanes]:
    bits = x.as_integer()
    exponent = bits.unsigned_shift(52) - 1075
    significand = (bits & (1 << 52) - 1) | 1 << 52
    product = _resized(significand, WIDTH) * _window(exponent)
    quarters = product.unsigned_shift(WIDTH - 2) + (product.unsigned_shift(WIDTH - 3) & 1)
    return _in_radians(product << 2), _resized(quarters, 64)


def _resized(x: Lanes, width: int) -> Lanes:
    resize = x.builder.zext if width > x.bits else x.builder.trunc
    return Lanes(x.builder, resize(x.value, llvm().IntType(width)))


def _window(exponent: Lanes) -> Lanes:
    """Return the WIDTH bits of 2/pi that follow the one worth 4 after multiplication by 2^exponent."""
    ir, builder = llvm(), exponent.builder
    shift = 64 * len(TWO_OVER_PI) + 2 - WIDTH - exponent
    table = _table(builder.module)
    start = builder.gep(table, [ir.IntType(64)(0), shift.unsigned_shift(3).value])
    pointer = builder.bitcast(start, ir.IntType(256).as_pointer())
    word = Lanes(builder, builder.load(pointer, align=1))
    return _resized(word.unsigned_shift(_resized(shift & 7, 256)), WIDTH)


def _table(module: Any) -> Any:
    """Return the bytes of 2/pi in the module, the least one first."""
    name = "retrograd.two_over_pi"
    if found := module.globals.get(name):
        return found
    ir = llvm()
    data = b"".join(word.to_bytes(8, "little") for word in (*TWO_OVER_PI, *[0] * PADDING))
    kind = ir.ArrayType(ir.IntType(8), len(data))
    table = ir.GlobalVariable(module, kind, name)
    table.linkage, table.global_constant = "internal", True
    table.initializer = ir.Constant(kind, bytearray(data))
    return table


def _in_radians(fraction: Lanes) -> Lanes:
    """Return fraction 2^-WIDTH pi/2 of a signed integer of WIDTH bits."""
    negative = fraction < 0
    size = negative.choose(-fraction, fraction)
    zeros = _leading_zeros(_resized(size.unsigned_shift(WIDTH - 128), 128))
    top = _resized((size << _resized(zeros, WIDTH)).unsigned_shift(WIDTH - 63), 64)
    value = top.to_float() * (math.pi / 2 * 2.0**-63) * power_of_two(-_resized(zeros, 64))
    return negative.choose(-value, value)


def _leading_zeros(x: Lanes) -> Lanes:
    ir = llvm()
    bit = ir.IntType(1)
    counter = declare(x.builder.module, f"llvm.ctlz.i{x.bits}", x.value.type, [x.value.type, bit])
    return Lanes(x.builder, x.builder.call(counter, [x.value, bit(0)]))
