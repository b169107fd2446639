"""log, log2, log10, log1p and logaddexp.

x = 2^n (1 + r) with -1/4 <= r <= 1/2, so that log(x) = n ln(2) + log(1 + r), and log(1 + r) = r + s with a
polynomial s. r is exact and the largest term of what is added to n ln(2), so that rounding errors stay small.
"""

from __future__ import annotations

from retrograd.native.maths.coefficients import LN2, LOG1P, LOG2_1P, LOG2_E, LOG10_1P, LOG10_2, LOG10_E
from retrograd.native.maths.exponentials import LOWEST, exp_as_pair, reduce
from retrograd.native.maths.exponents import bits_of_whole, power_of_two, scale, split
from retrograd.native.maths.lanes import Lanes, absolute, at_least, copysign, fma, polynomial
from retrograd.native.maths.pairs import add, add_in_order


def tail(r: Lanes) -> Lanes:
    """Return log(1 + r) - r."""
    return r * r * fma(polynomial(r, LOG1P[r.bits]), r, -0.5)


def combine(n: Lanes, r: Lanes, lost: Lanes | float = 0.0) -> Lanes:
    """Return n ln(2) + log(1 + r + lost) where `lost` is below one ulp of r; n may be infinite."""
    first, second = LN2[r.bits]
    small = tail(r) if isinstance(lost, float) else tail(r) + lost
    return fma(n, first, r + fma(n, second, small))


def log(x: Lanes) -> Lanes:
    m, n = split(x)
    return combine(n, m - 1)


def log2(x: Lanes) -> Lanes:
    m, n = split(x)
    r = m - 1
    first, second = LOG2_E[x.bits]
    return n + fma(r, first, r * polynomial(r, (second, *LOG2_1P[x.bits])))


def log10(x: Lanes) -> Lanes:
    m, n = split(x)
    r = m - 1
    first, second = LOG10_E[x.bits]
    two_first, two_second = LOG10_2[x.bits]
    small = fma(n, two_second, r * polynomial(r, (second, *LOG10_1P[x.bits])))
    return fma(n, two_first, fma(r, first, small))


def log_of_sum(x: Lanes, rest: Lanes, doublings: Lanes | float = 0, *, precise: bool = False) -> Lanes:
    """Return log((x + rest) 2^doublings), where `rest` is what x lost in rounding."""
    m, n = split(x)
    near = absolute(n) < 64  # elsewhere it cannot be seen, and scaling it might overflow
    moved = near.choose(rest * power_of_two(bits_of_whole(-near.choose(n, 0))), 0)
    if precise:
        return combine(n + doublings, *add_in_order(m - 1, moved))
    return combine(n + doublings, (m - 1) + moved)


def log1p(x: Lanes) -> Lanes:
    u = 1 + x
    return copysign(log_of_sum(u, x - (u - 1)), x)


def logaddexp(x: Lanes, y: Lanes) -> Lanes:
    """Return log(exp(x) + exp(y)): the larger one plus log1p(exp(-d)) of their distance d.

    The error is bounded in units of the larger one where the sum cancels it.
    """
    larger = (x < y).choose(y, x)
    distance, lost = add(larger, -(x < y).choose(x, y))
    lost = (distance < -LOWEST[x.bits]).choose(lost, 0)  # else it may be infinite or nan
    distance = (x == y).choose(0, distance)
    n, r = reduce(at_least(-distance, LOWEST[x.bits]))
    e, e_lost = (scale(part, n) for part in exp_as_pair(r - lost))
    u = 1 + e
    return larger + log_of_sum(u, (e - (u - 1)) + e_lost, precise=True)
