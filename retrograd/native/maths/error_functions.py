"""erf and erfc."""

from __future__ import annotations

from retrograd.native.maths import piecewise
from retrograd.native.maths.coefficients import ERF, ERF_EXPONENT, ERF_PIECES, ERFC
from retrograd.native.maths.exponentials import exp_of_reduced, expm1_of_reduced, reduce
from retrograd.native.maths.exponents import scale
from retrograd.native.maths.lanes import Lanes, absolute, at_most, copysign, fma, polynomial
from retrograd.native.maths.pairs import add, divide_once

POLE = 2.0
"""Where the variable of erfc's polynomial has its pole, with the sign changed."""


def erf(x: Lanes) -> Lanes:
    if piecewise.is_available(x):
        return piecewise.odd(x, ERF_PIECES, 3.95)
    a = absolute(x)
    return copysign((a > 1).choose(1 - _erfc_beside_1(a), _erf_near_0(a, x.bits)), x)


def _erf_near_0(x: Lanes, precision: int) -> Lanes:
    return fma(x, polynomial(x * x, ERF[precision]), x)


def _erfc_beside_1(a: Lanes) -> Lanes:
    """Return erfc with an error that is small beside 1, not beside the result, from 1 on."""
    n, r = reduce(-polynomial(at_most(a, 6.0), ERF_EXPONENT[a.bits]))
    return scale(exp_of_reduced(r), n)


def erfc(x: Lanes) -> Lanes:
    """Return the complement: of erf near 0, by a formula of its own elsewhere; in float64, for accuracy."""
    wide = x.widen() if x.bits == 32 else x
    a = absolute(wide)
    far = _erfc(a, x.bits)
    far = (wide < 0).choose(2 - far, far)
    value = (a < 0.5).choose(1 - _erf_near_0(wide, x.bits), far)
    return value.narrow() if x.bits == 32 else value


def _erfc(a: Lanes, precision: int) -> Lanes:
    """Return exp(-a^2) Q(t) / (a + POLE), t = (a - POLE)/(a + POLE), for float64 from 1/2 on."""
    a = at_most(a, 28.0)  # where the result is 0
    total = add(a, a.like(POLE))
    first, *others = ERFC[precision]
    t = divide_once(a - POLE, total)
    factor = fma(polynomial(t, others), t, first)
    square = a * a
    n, r = reduce(-square)
    product = fma(expm1_of_reduced(r - fma(a, a, -square)), factor, factor)
    return scale(divide_once(product, total), n)
