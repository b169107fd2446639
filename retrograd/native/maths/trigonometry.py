"""sin, cos and tan.

x = n pi/2 + r with |r| <= pi/4; n modulo 4 says which of sin(r), cos(r) and their negatives the result is. n
pi/2 is subtracted in three parts with fused multiply-adds, the first of which is exact (both numbers are
multiples of the unit in the last place of pi/2, and so is their small difference). Beyond NEAR, where too few
bits of pi are left, the lanes branch to a reduction with as many bits of 2/pi as it takes.
"""

from __future__ import annotations

import math

from retrograd.native.maths.coefficients import COS, HALF_PI, SIN, TAN
from retrograd.native.maths.exponents import FORMATS
from retrograd.native.maths.huge_angles import reduce_huge
from retrograd.native.maths.lanes import Lanes, absolute, fma, polynomial
from retrograd.native.maths.pairs import add_in_order, divide_once, subtract_product
from retrograd.native.maths.rare import on_rare_lanes

NEAR = {32: 1e5, 64: 1e8}
"""Where the reduction in three parts holds."""


def reduce_quarters(x: Lanes, *, precise: bool = False) -> tuple[Lanes, Lanes, Lanes]:
    """Return r, an integer that equals n modulo 4, and what r lost in rounding.

    The loss is 0 unless it is asked for, and of huge angles.
    """
    magic = FORMATS[x.bits].magic
    shifted = fma(x, 2 / math.pi, magic)
    n = shifted - magic
    first, second, third = HALF_PI[x.bits]
    exact = fma(n, -first, x)
    huge = absolute(x) > NEAR[x.bits]
    if precise:
        near, lost = subtract_product(exact, n, second)
        r, lost = add_in_order(near, fma(n, -third, lost))
        lost = huge.choose(0, lost)
    else:
        r, lost = fma(n, -third, fma(n, -second, exact)), x.like(0)
    r, quarters = on_rare_lanes("reduce_huge", huge, reduce_huge, [x], [r, shifted.as_integer()])
    return r, quarters, lost


def sine(r: Lanes) -> Lanes:
    z = r * r
    return fma(z * r, polynomial(z, SIN[r.bits]), r)


def cosine(r: Lanes) -> Lanes:
    z = r * r
    return fma(z * z, polynomial(z, COS[r.bits]), fma(z, -0.5, 1.0))


def turned(r: Lanes, quarters: Lanes) -> Lanes:
    """Return sin(quarters pi/2 + r)."""
    even = (quarters & 1) == 0
    value = even.choose(sine(r), cosine(r))
    return (value.as_integer() ^ ((quarters & 2) << r.bits - 2)).as_float()


def sin(x: Lanes) -> Lanes:
    r, quarters, _ = reduce_quarters(x)
    return (x == 0).choose(x, turned(r, quarters))  # keeps the sign of zero


def cos(x: Lanes) -> Lanes:
    r, quarters, _ = reduce_quarters(x)
    return turned(r, quarters + 1)


def tan(x: Lanes) -> Lanes:
    """Return the tangent of r, or -1 by it, not yet rounded."""
    r, quarters, lost = reduce_quarters(x, precise=x.bits == 32)
    z = r * r
    rise = z * r * polynomial(z, TAN[r.bits])
    rise = rise + lost * fma(r + rise, r + rise, 1.0)
    even = (quarters & 1) == 0
    return (x == 0).choose(x, even.choose(r + rise, divide_once(x.like(-1), add_in_order(r, rise))))
