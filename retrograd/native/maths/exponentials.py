"""exp, exp2, expm1 and the logistic function.

x = n ln(2) + r with |r| <= ln(2)/2, so that exp(x) = 2^n exp(r), and exp(r) is a polynomial. n ln(2) is
subtracted in two parts, of which the first one has so few bits that its product with n is exact.
"""

from __future__ import annotations

import math

from retrograd.native.maths.coefficients import EXP, LN2
from retrograd.native.maths.exponents import FORMATS, scale, whole
from retrograd.native.maths.lanes import Lanes, absolute, at_least, at_most, copysign, fma, polynomial
from retrograd.native.maths.pairs import Pair, add_in_order, divide_once

LOWEST = {32: -104.0, 64: -746.0}
"""Where exp(x) rounds to zero."""
HIGHEST = {32: 89.0, 64: 710.0}
"""Where exp(x) overflows."""


def reduce(x: Lanes) -> tuple[Lanes, Lanes]:
    """Return n and r with x = n ln(2) + r, where exp(x) neither overflows nor vanishes by far."""
    first, second = LN2[x.bits]
    n = whole_quotient(x, 1 / math.log(2))
    return n, fma(n, -second, fma(n, -first, x))


def whole_quotient(x: Lanes, factor: float) -> Lanes:
    """Return the whole number nearest to x * factor."""
    magic = FORMATS[x.bits].magic
    return fma(x, factor, magic) - magic


def exp_of_reduced(r: Lanes) -> Lanes:
    return fma(fma(polynomial(r, EXP[r.bits]), r, 1.0), r, 1.0)


def exp_as_pair(r: Lanes) -> Pair:
    """Return exp(r) of a reduced r, and what its last rounding lost."""
    slope = fma(polynomial(r, EXP[r.bits]), r, 1.0)
    value = fma(slope, r, 1.0)
    return value, fma(slope, r, 1 - value)


def expm1_of_reduced(r: Lanes) -> Lanes:
    return fma(polynomial(r, EXP[r.bits]), r * r, r)


def exp(x: Lanes) -> Lanes:
    n, r = reduce(at_most(at_least(x, LOWEST[x.bits]), HIGHEST[x.bits]))
    return scale(exp_of_reduced(r), n)


def exp2(x: Lanes) -> Lanes:
    lowest, highest = {32: (-151.0, 129.0), 64: (-1076.0, 1025.0)}[x.bits]
    x = at_most(at_least(x, lowest), highest)
    n = whole(x)
    return scale(exp_of_reduced((x - n) * math.log(2)), n)


def expm1(x: Lanes) -> Lanes:
    """Return exp(x) - 1: 2^n (expm1(r) + (1 - 2^-n)), where 1 - 2^-n is the exact or rounded last term."""
    n, r = reduce(at_most(at_least(x, -40.0), HIGHEST[x.bits]))
    one = scale(x.like(1.0), n - 1)
    return copysign(2 * fma(one, expm1_of_reduced(r), one - 0.5), x)


def sigmoid(x: Lanes) -> Lanes:
    """Return 1 / (1 + exp(-x)), without overflow and accurate in both tails."""
    e = exp(-absolute(x))
    return divide_once((x < 0).choose(e, 1.0), add_in_order(1.0, e))
