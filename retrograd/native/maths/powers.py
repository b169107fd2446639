"""power, cbrt, hypot and rsqrt."""

from __future__ import annotations

import math

from retrograd.native.maths.coefficients import ATANH, CBRT, LN2, TWO_THIRDS
from retrograd.native.maths.exponentials import HIGHEST, LOWEST, exp_of_reduced, reduce
from retrograd.native.maths.exponents import scale, split, whole
from retrograd.native.maths.lanes import (
    Lanes,
    absolute,
    at_least,
    at_most,
    copysign,
    floor,
    fma,
    polynomial,
    sqrt,
)
from retrograd.native.maths.pairs import Pair, add_in_order, divide, multiply
from retrograd.native.maths.rare import where_any


def _log(x: Lanes) -> Pair:
    """Return log(x) with some ten bits more than the format has.

    x = 2^n m, and log(m) = 2 s + 2/3 s^3 + s^5 P(s^2) of s = (m - 1)/(m + 1); from s^5 on the bits of the
    format are enough.
    """
    m, n = split(x)
    s, s_lost = divide(m - 1, add_in_order(1.0, m))
    z, z_lost = multiply(s, s)
    z_lost = fma(2 * s, s_lost, z_lost)
    first, second = TWO_THIRDS[x.bits]
    term, term_lost = multiply(z, first)
    term_lost = fma(z, second, fma(z_lost, first, term_lost))
    term, lost = add_in_order(term, z * z * polynomial(z, ATANH[x.bits]))
    slope, slope_lost = add_in_order(2.0, term)
    slope_lost = slope_lost + (term_lost + lost)
    value, value_lost = multiply(s, slope)
    value_lost = fma(s, slope_lost, fma(s_lost, slope, value_lost))
    ln2, ln2_rest = LN2[x.bits]
    total, lost = add_in_order(n * ln2, value)
    return total, fma(n, ln2_rest, value_lost + lost)


def power(x: Lanes, y: Lanes) -> Lanes:
    """Return x^y: exp(y log|x|)."""
    log, log_lost = _log(absolute(x))
    exponent = log * y
    lost = fma(log, y, -exponent) + log_lost * y
    lost = (absolute(exponent) < HIGHEST[x.bits] - LOWEST[x.bits]).choose(lost, 0)  # else infinite or nan
    n, r = reduce(at_most(at_least(exponent, LOWEST[x.bits]), HIGHEST[x.bits]))
    value = scale(exp_of_reduced(r + lost), n)
    plain = (x > 0) & (x < math.inf) & (absolute(y) < math.inf)
    return where_any(~plain, lambda: _with_special_values(x, y, value), value)


def _with_special_values(x: Lanes, y: Lanes, value: Lanes) -> Lanes:
    """Return x^y, given |x|^y where it is an ordinary number: what C says of signs, infinities and nan."""
    value = (absolute(x) == 1).choose(1, value)
    is_whole, half = floor(y) == y, y * 0.5
    is_odd = is_whole & (floor(half) != half)
    value = is_odd.choose(copysign(value, x), value)
    value = ((x < 0) & (x > -math.inf) & ~is_whole).choose(math.nan, value)
    return ((y == 0) | (x == 1)).choose(1, value)


def cbrt(x: Lanes) -> Lanes:
    """Return the cube root, from y = m^(-1/3) as m y^2 with one correction, where x = m 8^k."""
    size = absolute(x)
    m, n = split(size)
    k = whole(n * (1 / 3))
    left = n - 3 * k
    m = (left > 0).choose(2 * m, (left < 0).choose(0.5 * m, m))
    y = polynomial(m, CBRT[x.bits])
    for _ in range(x.bits // 32):  # each one cubes the error
        h = fma(m * y, -y * y, 1.0)
        y = fma(y * h, fma(h, 2 / 9, 1 / 3), y)
    root = m * y * y
    square, square_lost = multiply(root, root)
    error = fma(-square, root, m) - square_lost * root
    root = fma(error, y * y * (1 / 3), root)
    return ((size > 0) & (size < math.inf)).choose(copysign(scale(root, k), x), x)


def hypot(x: Lanes, y: Lanes) -> Lanes:
    """Return sqrt(x^2 + y^2), the exponent of the larger one taken out of both."""
    a, b = absolute(x), absolute(y)
    large, small = (a < b).choose(b, a), (a < b).choose(a, b)
    m, n = split(large)
    small = scale(small, -n)
    value = scale(sqrt(fma(m, m, small * small)), n)
    value = ((large > 0) & (large < math.inf)).choose(value, a + b)
    return ((a == math.inf) | (b == math.inf)).choose(math.inf, value)


def rsqrt(x: Lanes) -> Lanes:
    return 1 / sqrt(x)
