"""erf and erfc."""

from __future__ import annotations

from retrograd.native.maths.coefficients import ERF, ERF_EXPONENT, ERFC
from retrograd.native.maths.exponentials import exp_of_reduced, reduce
from retrograd.native.maths.exponents import scale
from retrograd.native.maths.lanes import Lanes, absolute, at_most, copysign, fma, polynomial

POLE = 3.75
"""Where the variable of erfc's polynomial has its pole, with the sign changed."""


def erf(x: Lanes) -> Lanes:
    a = absolute(x)
    near = fma(a, polynomial(a * a, ERF[x.bits]), a)
    far = 1 - (_erfc_fast(a) if x.bits == 32 else _erfc(a, 64))
    return copysign((a > 1).choose(far, near), x)


def _erfc_fast(a: Lanes) -> Lanes:
    """Return erfc with an error that is small beside 1, not beside the result, from 1 on."""
    n, r = reduce(-polynomial(at_most(a, 4.0), ERF_EXPONENT[a.bits]))
    return scale(exp_of_reduced(r), n)


def erfc(x: Lanes) -> Lanes:
    wide = x.widen() if x.bits == 32 else x
    value = _erfc(absolute(wide), x.bits)
    value = (wide < 0).choose(2 - value, value)
    return value.narrow() if x.bits == 32 else value


def _erfc(a: Lanes, precision: int) -> Lanes:
    """Return exp(-a^2) Q(t) / (a + POLE), t = (a - POLE)/(a + POLE), for float64 that is not negative."""
    a = at_most(a, 28.0)  # where the result is 0
    inverse = 1 / (a + POLE)
    t = fma(inverse, -2 * POLE, 1.0)
    square = a * a
    n, r = reduce(-square)
    value = exp_of_reduced(r - fma(a, a, -square)) * (polynomial(t, ERFC[precision]) * inverse)
    return scale(value, n)
