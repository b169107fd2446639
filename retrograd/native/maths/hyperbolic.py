"""tanh, sinh, cosh and their inverses."""

from __future__ import annotations

import math

from retrograd.native.maths import piecewise
from retrograd.native.maths.coefficients import COSH, SINH, TANH_PIECES
from retrograd.native.maths.exponentials import HIGHEST, expm1_of_reduced, reduce, whole_quotient
from retrograd.native.maths.exponents import bits_of_whole, power_of_two, scale
from retrograd.native.maths.lanes import Lanes, absolute, at_most, copysign, fma, polynomial, sqrt
from retrograd.native.maths.logarithms import log1p, log_of_sum
from retrograd.native.maths.pairs import add_in_order, divide_once, reciprocal


def tanh(x: Lanes) -> Lanes:
    """Return u / (u + 2) of u = expm1(2 |x|), with the sign of x.

    With 2 |x| = n ln(2) + r that is (2^n q + (2^n - 1)) / (2^n q + (2^n + 1)) of q = expm1(r). One part of
    ln(2) is enough: where n is large, the error of r cancels.
    """
    if piecewise.is_available(x):
        return piecewise.odd(x, TANH_PIECES, SATURATED[32] / 2)
    twice = at_most(2 * absolute(x), SATURATED[x.bits])
    n = whole_quotient(twice, 1 / math.log(2))
    q = expm1_of_reduced(fma(n, -math.log(2), twice))
    power = power_of_two(bits_of_whole(n))
    rise = power + 1
    total = fma(power, q, rise)
    lost = fma(power, q, rise - total)
    return copysign(divide_once(fma(power, q, power - 1), (total, lost)), x)


def _parts(x: Lanes) -> tuple[Lanes, Lanes, Lanes, Lanes]:
    """Return cosh(n ln 2)/2, sinh(n ln 2)/2, cosh(r) - 1 and sinh(r) of |x| = n ln(2) + r.

    The halves do not overflow where the results do not.
    """
    n, r = reduce(at_most(absolute(x), HIGHEST[x.bits] + 0.5))
    z = r * r
    up, down = scale(x.like(1.0), n - 2), scale(x.like(1.0), -2 - n)
    return up + down, up - down, z * polynomial(z, COSH[x.bits]), fma(z * r, polynomial(z, SINH[x.bits]), r)


def sinh(x: Lanes) -> Lanes:
    big_cosh, big_sinh, cosh_1, sinh_r = _parts(x)
    return copysign(2 * (big_sinh + fma(big_sinh, cosh_1, big_cosh * sinh_r)), x)


def cosh(x: Lanes) -> Lanes:
    big_cosh, big_sinh, cosh_1, sinh_r = _parts(x)
    return 2 * (big_cosh + fma(big_cosh, cosh_1, big_sinh * sinh_r))


def arcsinh(x: Lanes) -> Lanes:
    """Return log(|x| + sqrt(x^2 + 1)): log1p(y), or log(2 |x|) where 1 makes no difference."""
    a = absolute(x)
    huge = a > FAR[x.bits]
    z = huge.choose(0, a * a)
    y = a + z * reciprocal(1 + sqrt(1 + z))
    u = huge.choose(a, 1 + y)
    return copysign(log_of_sum(u, huge.choose(0, y - (u - 1)), huge.choose(x.like(1), 0)), x)


def arccosh(x: Lanes) -> Lanes:
    """Return log(x + sqrt(x^2 - 1)): log1p(y) of t = x - 1, or log(2 x) where 1 makes no difference."""
    huge = x > FAR[x.bits]
    t = huge.choose(0, x - 1)
    y, lost = add_in_order(sqrt((x < 1).choose(-1, fma(t, t, 2 * t))), t)
    u = huge.choose(x, 1 + y)
    rest = huge.choose(0, (y - (u - 1)) + lost)
    return log_of_sum(u, rest, huge.choose(x.like(1), 0), precise=True)


def arctanh(x: Lanes) -> Lanes:
    a = absolute(x)
    value = 0.5 * log1p(divide_once(2 * a, add_in_order(1.0, -a)))
    return copysign((a == 1).choose(math.inf, value), x)


SATURATED = {32: 18.2, 64: 42.0}
"""Twice the number from where tanh rounds to 1."""
FAR = {32: 2.0**14, 64: 2.0**28}
"""From where x^2 + 1 and x^2 are the same to well below one ulp of the logarithm."""
