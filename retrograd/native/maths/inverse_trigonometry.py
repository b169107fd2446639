"""arcsin, arccos, arctan and arctan2."""

from __future__ import annotations

from retrograd.native.maths.coefficients import ASIN, ATAN, HALF_PI
from retrograd.native.maths.lanes import Lanes, absolute, copysign, fma, polynomial, sqrt


def _arcsin_parts(a: Lanes) -> tuple[Lanes, Lanes]:
    """Return whether a is small, and arcsin of a where it is, of sqrt((1 - a)/2) elsewhere.

    The bound is where 2 arcsin of the root stays below 1 and has no coarser unit than the result.
    """
    small = a <= 0.55
    half = fma(a, -0.5, 0.5)
    z = small.choose(a * a, half)
    root = small.choose(a, sqrt(half))
    return small, fma(z * root, polynomial(z, ASIN[a.bits]), root)


def arcsin(x: Lanes) -> Lanes:
    """Return the arc, with the sign of x; for large |x| it is pi/2 less twice that of sqrt((1 - |x|)/2)."""
    first, second, _ = HALF_PI[x.bits]
    small, y = _arcsin_parts(absolute(x))
    return copysign(small.choose(y, first - (2 * y - second)), x)


def arccos(x: Lanes) -> Lanes:
    """Return pi/2 - arcsin(x), or 2 arcsin(sqrt((1 - x)/2)) for large x; pi less that for -x."""
    first, second, _ = HALF_PI[x.bits]
    small, y = _arcsin_parts(absolute(x))
    near = first - (copysign(y, x) - second)
    far = (x < 0).choose(2 * first - (2 * y - 2 * second), 2 * y)
    return small.choose(near, far)


def _arctan_of_ratio(numerator: Lanes, denominator: Lanes) -> Lanes:
    """Return the arc of a ratio of numbers that are not negative; of 0/0 it is 0."""
    first, second, _ = HALF_PI[numerator.bits]
    steep = numerator > denominator
    small, large = steep.choose(denominator, numerator), steep.choose(numerator, denominator)
    t = (small == large).choose((large == 0).choose(large, 1), small / large)  # also of two infinities
    z = t * t
    y = fma(z * t, polynomial(z, ATAN[t.bits]), t)
    return steep.choose(first - (y - second), y)


def arctan(x: Lanes) -> Lanes:
    return copysign(_arctan_of_ratio(absolute(x), x.like(1)), x)


def arctan2(y: Lanes, x: Lanes) -> Lanes:
    first, second, _ = HALF_PI[x.bits]
    acute = _arctan_of_ratio(absolute(y), absolute(x))
    left = x.as_integer() < 0  # -0 included
    return copysign(left.choose(2 * first - (acute - 2 * second), acute), y)
