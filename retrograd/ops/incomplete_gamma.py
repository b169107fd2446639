"""The regularised incomplete gamma functions on arrays, computed in float64.

Where the order is small a power series or a continued fraction is summed, whichever converges; where it is
large, the tail of the gamma density is integrated by Gauss's rule.

Numerics: errors are some units in the last place of the result, times the logarithm of how small it is.
Source: Gautschi, A computational procedure for incomplete gamma functions (1979), for the first two.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from retrograd.ops.special_functions import in_double

_LARGE = 200.0
"""From this order on the density is so near to a normal one that one Gauss rule integrates its tail."""
_TERMS = 400
"""More than the series or the fraction needs below that order: it stops when nothing changes any more."""
_NODES = 64
_REACH = 10.0
"""The tail is integrated until the density has fallen to exp(-_REACH**2 / 2), about 1e-22."""
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680)
_TINY = 1e-300


@in_double
def lower(a: Any, x: Any) -> Any:
    """Compute P(a, x): the integral of t**(a - 1) exp(-t) from 0 to x, divided by gamma(a)."""
    return _both(a, x)[0]


@in_double
def upper(a: Any, x: Any) -> Any:
    """Compute Q(a, x) = 1 - P(a, x)."""
    return _both(a, x)[1]


@in_double
def density(a: Any, x: Any) -> Any:
    """Compute the slope of P(a, x) along x: x**(a - 1) exp(-x) / gamma(a)."""
    a, x = np.broadcast_arrays(a, x)
    inside = np.asarray((a > 0) & (x > 0) & np.isfinite(a) & np.isfinite(x))
    found = np.asarray(np.where((a < 0) | (x < 0) | np.isnan(a) | np.isnan(x), np.nan, 0.0))
    at_zero = (x == 0) & (a >= 0)
    found[at_zero] = np.where(a < 1, np.inf, np.where(a == 1, 1.0, 0.0))[at_zero]
    found[inside] = _weight(a[inside], x[inside]) / x[inside]
    return found


def _both(a: Any, x: Any) -> tuple[Any, Any]:
    a, x = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(x, np.float64))
    p = np.full(a.shape, np.nan)
    # In torch's order: what lies at the ends is known, whatever the other argument is.
    valid = ~((a < 0) | (x < 0))
    p[valid & np.isinf(x)] = 1
    p[valid & np.isinf(a)] = np.where(np.isinf(x), np.nan, 0.0)[valid & np.isinf(a)]
    p[valid & (x == 0)] = 0
    p[a == 0] = np.where(x > 0, 1.0, np.nan)[a == 0]
    q = np.asarray(1 - p)
    inside = (a > 0) & (x > 0) & np.isfinite(a) & np.isfinite(x)
    large = inside & (a >= _LARGE)
    for where, of_lower in (
        (inside & ~large & (x < a + 1), True),
        (inside & ~large & (x >= a + 1), False),
        (large & (x < a), True),
        (large & (x >= a), False),
    ):
        if not where.any():
            continue
        some_a, some_x = a[where], x[where]
        if some_a[0] >= _LARGE:
            found = _tail(some_a, some_x, -1 if of_lower else 1)
        else:
            found = (_series if of_lower else _fraction)(some_a, some_x)
        this, other = (p, q) if of_lower else (q, p)
        this[where], other[where] = found, 1 - found
    return p, q


def _falling(u: Any) -> Any:
    """Return u - log(1 + u) without cancellation near 0."""
    near = np.abs(u) < 0.3
    # log(1 + u) = 2 atanh(v) and u = 2 v + u v with v = u / (2 + u).
    v = np.where(near, u / (2 + u), 0)
    total = np.zeros_like(v)
    for k in range(25, 1, -2):
        total = (total + 1 / k) * v * v
    return np.where(near, u * v - 2 * v * total, u - np.log1p(np.where(near, 0, u)))


def _log_gamma_rest(a: Any) -> Any:
    """Return log gamma(a) - ((a - 1/2) log a - a + log(2 pi) / 2) for a >= 10."""
    total = np.zeros_like(a)
    for c in _STIRLING[::-1]:
        total = total / (a * a) + c
    return total / a


_LOG_GAMMA = np.frompyfunc(math.lgamma, 1, 1)


def _weight(a: Any, x: Any) -> Any:
    """Return x**a exp(-x) / gamma(a)."""
    large = a >= 20
    safe = np.where(large, a, 20.0)
    far = _large_weight(safe, np.where(large, (x - safe) / safe, 0))
    b = np.where(large, 1.0, a)
    near = np.exp(b * np.log(x) - x - np.asarray(_LOG_GAMMA(b), np.float64))
    return np.where(large, far, near)


def _large_weight(a: Any, u: Any) -> Any:
    """Return the same for a >= 20 and x = a (1 + u)."""
    return np.sqrt(a / (2 * math.pi)) * np.exp(-a * _falling(u) - _log_gamma_rest(a))


def _series(a: Any, x: Any) -> Any:
    """Return P(a, x) for x < a + 1: the sum of x**n / (a (a + 1) ... (a + n)), times the weight."""
    term = 1 / a
    total = term.copy()
    for n in range(1, _TERMS):
        term = term * (x / (a + n))
        total += term
        if not (term > total * 1e-17).any():
            break
    return _weight(a, x) * total


def _fraction(a: Any, x: Any) -> Any:
    """Return Q(a, x) for x >= a + 1: Legendre's continued fraction by Lentz's method, times the weight."""
    b = x + 1 - a
    c = np.full_like(x, 1 / _TINY)
    d = 1 / b
    found = d.copy()
    for n in range(1, _TERMS):
        numerator = -n * (n - a)
        b = b + 2
        d = numerator * d + b
        d = 1 / np.where(np.abs(d) < _TINY, _TINY, d)
        c = b + numerator / c
        c = np.where(np.abs(c) < _TINY, _TINY, c)
        step = c * d
        found *= step
        if not (np.abs(step - 1) > 1e-16).any():
            break
    return _weight(a, x) * found


@cache
def _rule() -> tuple[Any, Any]:
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return (nodes + 1) / 2, weights / 2


def _tail(a: Any, x: Any, sign: int) -> Any:
    """Return the integral of the gamma density from x outwards: to 0 (sign -1) or to infinity (1).

    The variable is log t, in which the density is bell-shaped with width 1 / sqrt(a) on both sides.
    """
    start = np.log1p((x - a) / a)
    # Far from the peak the density falls like exp(-slope s): the reach is the shorter of the two.
    slope = np.abs(x - a)
    width = np.minimum(_REACH / np.sqrt(a), _REACH * _REACH / 2 / np.maximum(slope, 1e-300))
    nodes, weights = _rule()
    total = np.zeros_like(a)
    for node, weight in zip(nodes, weights, strict=True):
        total += weight * _large_weight(a, np.expm1(start + sign * width * node))
    return np.minimum(total * width, 1.0)
