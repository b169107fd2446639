"""tanh, sinh, cosh and their inverses."""

from __future__ import annotations

from retrograd.native.maths.coefficients import COSH, SINH
from retrograd.native.maths.exponentials import HIGHEST, expm1, reduce
from retrograd.native.maths.exponents import scale
from retrograd.native.maths.lanes import Lanes, absolute, at_most, copysign, fma, polynomial, sqrt
from retrograd.native.maths.logarithms import log1p, log_of_sum
from retrograd.native.maths.pairs import add_in_order, divide_once


def tanh(x: Lanes) -> Lanes:
    """Return -t / (2 + t) of t = expm1(-2 |x|), with the sign of x."""
    t = expm1(-2 * absolute(x))
    return copysign(divide_once(-t, add_in_order(2.0, t)), x)


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
    y = a + z / (1 + sqrt(1 + z))
    u = huge.choose(a, 1 + y)
    return copysign(log_of_sum(u, huge.choose(0, y - (u - 1)), huge.choose(x.like(1), 0)), x)


def arccosh(x: Lanes) -> Lanes:
    """Return log(x + sqrt(x^2 - 1)): log1p(y) of t = x - 1, or log(2 x) where 1 makes no difference."""
    huge = x > FAR[x.bits]
    t = huge.choose(0, x - 1)
    y = t + sqrt((x < 1).choose(-1, fma(t, t, 2 * t)))
    u = huge.choose(x, 1 + y)
    return log_of_sum(u, huge.choose(0, y - (u - 1)), huge.choose(x.like(1), 0))


def arctanh(x: Lanes) -> Lanes:
    a = absolute(x)
    return copysign(0.5 * log1p(2 * a / (1 - a)), x)


FAR = {32: 2.0**14, 64: 2.0**28}
"""From where x^2 + 1 and x^2 are the same to well below one ulp of the logarithm."""
