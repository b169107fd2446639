"""Gamma and Bessel functions on arrays, computed in float64 and rounded once to float32.

Asymptotic series behind a recurrence carry the gamma functions, Chebyshev series the Bessel functions.

Numerics: errors are a few units in the last place; near the zeros of lgamma and digamma below 0, where terms
cancel, of these terms.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograd.ops import special_tables as tables
from retrograd.ops.special_functions import in_double, series


def _lgamma(x: float) -> float:
    try:
        return math.lgamma(x)
    except (ValueError, OverflowError):  # a pole; too large
        return math.inf


_LGAMMA = np.frompyfunc(_lgamma, 1, 1)


@in_double
def lgamma(x: Any) -> Any:
    """Compute log |gamma(x)|; infinite at 0, -1, -2, ..."""
    return np.asarray(_LGAMMA(x)).astype(np.float64)


def _raised(x: Any, to: float) -> tuple[Any, Any]:
    """Return x + n >= `to` with the smallest such n, and the sum of 1 / (x + k) over k < n."""
    passed = np.zeros_like(x)
    for _ in range(math.ceil(to)):
        low = x < to
        passed = passed + np.where(low, 1 / np.where(low, x, 1), 0)
        x = x + low
    return x, passed


@in_double
def digamma(x: Any) -> Any:
    """Compute the derivative of log gamma: recurrence to 10, then Stirling's series; reflected below 0."""
    whole = x == np.floor(x)
    negative = x < 0
    y, passed = _raised(np.where(negative, 1 - x, np.where(x == 0, 1, x)), 10)
    inverse = 1 / (y * y)
    tail = np.zeros_like(y)
    for k in range(7, 0, -1):
        tail = (tail + tables.BERNOULLI[k - 1] / (2 * k)) * inverse
    found = np.log(y) - 0.5 / y - tail - passed
    cot = 1 / np.tan(math.pi * (x - np.round(np.where(np.isfinite(x), x, 0))))
    found = np.where(negative, np.where(whole, np.nan, found - math.pi * cot), found)
    return np.where(x == 0, np.copysign(np.inf, -x), found)


@in_double
def zeta(s: Any, q: Any) -> Any:
    """Compute the sum of (q + k)**-s over k >= 0: ten terms and more, then the Euler-Maclaurin formula."""
    s, q = np.broadcast_arrays(s, q)
    valid = (s > 1) & ((q > 0) | ((q < 0) & (q != np.floor(q)) & (s == np.floor(s))))
    a = np.where(valid, q, 1.0)
    power = np.where(valid, s, 2.0)
    total = np.zeros_like(a)
    lowest = float(np.min(a, initial=1.0))
    for _ in range(10 + max(0, math.ceil(-lowest))):
        total = total + a**-power
        a = a + 1
    total = total + a ** (1 - power) / (power - 1) + a**-power / 2
    rising, shrink = power / a ** (power + 1), 1.0
    for k, b in enumerate(tables.BERNOULLI[:10], 1):
        shrink = shrink * (2 * k) * (2 * k - 1)
        total = total + b / shrink * rising
        rising = rising * (power + 2 * k - 1) * (power + 2 * k) / (a * a)
    pole = (s == 1) | ((q <= 0) & (q == np.floor(q)) & (s > 1))
    return np.where(pole, np.inf, np.where(valid, total, np.nan))


def polygamma(n: int, x: Any) -> Any:
    """Compute the n-th derivative of digamma: (-1)**(n+1) n! zeta(n+1, x)."""
    if n == 0:
        return digamma(x)
    sign = 1 if n % 2 else -1
    return (sign * math.factorial(n) * zeta(np.asarray(n + 1.0), x.astype(np.float64))).astype(x.dtype)


# ---- modified Bessel functions ----


def _bessel(near: tuple[float, ...], far: tuple[float, ...], size: Any) -> Any:
    """Return the two series of a scaled Bessel function, each where it holds."""
    inside = series(near, np.minimum(size, 8) / 4 - 1)
    large = np.maximum(size, 8)
    return inside, series(far, 16 / large - 1) / np.sqrt(large)


@in_double
def i0e(x: Any) -> Any:
    """Compute exp(-|x|) I0(x)."""
    size = np.absolute(x)
    inside, outside = _bessel(tables.I0E, tables.I0E_FAR, size)
    return np.where(size <= 8, inside, outside)


@in_double
def i0(x: Any) -> Any:
    """Compute the modified Bessel function of order 0."""
    return np.where(np.isinf(x), np.inf, np.exp(np.absolute(x)) * i0e(x))


@in_double
def i1e(x: Any) -> Any:
    """Compute exp(-|x|) I1(x)."""
    size = np.absolute(x)
    inside, outside = _bessel(tables.I1E, tables.I1E_FAR, size)
    return np.where(size <= 8, inside * x, np.copysign(outside, x))


@in_double
def i1(x: Any) -> Any:
    """Compute the modified Bessel function of order 1."""
    return np.where(np.isinf(x), x, np.exp(np.absolute(x)) * i1e(x))
