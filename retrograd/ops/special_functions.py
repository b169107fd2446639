"""The error function and its kin on arrays, accurate to a few units in the last place.

All but erf compute in float64 and round once to float32. Chebyshev series (special_tables) carry them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from retrograd.ops import special_tables as tables

_TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)
_ROOT_HALF = math.sqrt(0.5)
_BLOCK = 8192
"""Elements per block: 64 KiB in float64."""
_FEW = 400
"""Up to so many elements are sooner done one by one."""
_BOUND = 0.75
"""Below this erf is summed as a series in x**2, above as 1 - erfc."""
_LAST = 40.0
"""From here on exp(-x**2 / 2) is 0 in double precision."""
_CENTRE = 2.5
_LOW = (_BOUND - _CENTRE) / (_BOUND + _CENTRE)


def in_double(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of arrays that computes in float64 and answers in the dtype of its first argument."""

    def wrapped(x: Any, *args: Any) -> Any:
        if x.dtype == np.float64:
            return function(x, *args)
        wide = [a.astype(np.float64) if isinstance(a, (np.ndarray, np.generic)) else a for a in (x, *args)]
        return function(*wide).astype(x.dtype)

    return wrapped


def in_blocks(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that goes through an array block by block, so that all between stays in the cache."""

    def wrapped(x: Any) -> Any:
        if x.size <= _BLOCK:
            return function(x)
        flat = np.ascontiguousarray(x).reshape(-1)
        made = np.empty_like(flat)
        for start in range(0, x.size, _BLOCK):
            made[start : start + _BLOCK] = function(flat[start : start + _BLOCK])
        return made.reshape(x.shape)

    return wrapped


@cache
def _powers(coefficients: tuple[float, ...], single: bool) -> list[float]:
    """Return the polynomial of a Chebyshev series, highest power first; cut off at 1e-9 if `single`."""
    if single:
        bound = 1e-9 * max(abs(c) for c in coefficients)
        coefficients = tuple(c for c in coefficients if abs(c) > bound)
    return [float(c) for c in np.polynomial.chebyshev.cheb2poly(coefficients)[::-1]]


def series(coefficients: tuple[float, ...], t: Any) -> Any:
    """Return the Chebyshev series at t in [-1, 1], by Horner's rule: its terms fall fast enough."""
    first, *others = _powers(coefficients, t.dtype == np.float32)
    found = np.full_like(t, first)
    for c in others:
        found *= t
        found += c
    return found


def _scaled(x: Any) -> Any:
    """Return exp(x**2) erfc(x) for x >= 0.75 (anything finite below)."""
    s = (x - _CENTRE) / (x + _CENTRE)
    t = np.where(np.isinf(x), x.dtype.type(1), 2 * (s - _LOW) / (1 - _LOW) - 1)
    return series(tables.ERFCX, t) / (1 + 2 * x)


def _bell(x: Any) -> Any:
    """Return exp(-x**2); x is split so that the square of its head is exact."""
    if x.dtype == np.float32:
        return np.exp(-x * x)
    x = np.clip(x, -_LAST, _LAST)
    head = x.astype(np.float32).astype(np.float64)
    return np.exp(-head * head) * np.exp(-(x - head) * (x + head))


def _erf_near(x: Any) -> Any:
    t = 2 * np.square(np.minimum(np.absolute(x), _BOUND) / _BOUND) - 1
    return x * series(tables.ERF, t)


_ERF = np.frompyfunc(math.erf, 1, 1)


@in_blocks
def erf(x: Any) -> Any:
    """Compute 2/sqrt(pi) times the integral of exp(-t**2) from 0 to x."""
    if x.size < _FEW:
        return np.asarray(_ERF(x)).astype(x.dtype)
    size = np.absolute(x)
    far = np.minimum(np.maximum(size, _BOUND), 8)  # erf(6) is 1 in double precision
    found = np.where(size <= _BOUND, _erf_near(x), np.copysign(1 - _bell(far) * _scaled(far), x))
    return np.where(np.isnan(x), x, found)


@in_blocks
@in_double
def erfc(x: Any) -> Any:
    """Compute 1 - erf(x), without cancellation for large x."""
    size = np.absolute(x)
    far = np.maximum(size, _BOUND)
    tail = _bell(far) * _scaled(far)
    return np.where(size <= _BOUND, 1 - _erf_near(x), np.where(x > 0, tail, 2 - tail))


@in_double
def erfcx(x: Any) -> Any:
    """Compute exp(x**2) erfc(x)."""
    size = np.absolute(x)
    near = np.minimum(np.maximum(x, -_BOUND), _BOUND)
    far = _scaled(np.maximum(size, _BOUND))
    inside = np.exp(near * near) * (1 - _erf_near(near))
    found = np.where(size <= _BOUND, inside, np.where(x > 0, far, 2 / _bell(np.maximum(size, _BOUND)) - far))
    return np.where(np.isnan(x), x, found)


def _inverse_guess(q: Any) -> Any:
    """Return an x with erfc(x) near q, to 0.2 percent.

    Source: S. Winitzki, "A handy approximation for the error function and its inverse" (2008).
    """
    log = np.log(q * (2 - q))
    u = 2 / (math.pi * 0.147) + log / 2
    return np.sqrt(np.sqrt(u * u - log / 0.147) - u)


def _inverse_tail(q: Any) -> Any:
    """Return x with erfc(x) = q for 0 < q <= 0.5: Newton's method on the logarithm, nearly a parabola."""
    x, log_q = _inverse_guess(q), np.log(q)
    for _ in range(4):
        scaled = erfcx(x)
        x = x + (np.log(scaled) - x * x - log_q) * scaled / _TWO_OVER_ROOT_PI
    return x


def _inverse_near(y: Any) -> Any:
    """Return x with erf(x) = y for 0 <= y <= 0.5, by Halley's method."""
    x = _inverse_guess(1 - y)
    for _ in range(3):
        step = (erf(x) - y) / (_TWO_OVER_ROOT_PI * np.exp(-x * x))
        x = x - step / (1 + x * step)
    return x


@in_double
def erfinv(y: Any) -> Any:
    """Compute the x whose erf is y; infinite at -1 and 1, NaN outside."""
    size = np.absolute(y)
    tail = _inverse_tail(np.clip(1 - size, 1e-320, 0.5))
    x = np.where(size <= 0.5, _inverse_near(np.minimum(size, 0.5)), tail)
    x = np.where(size == 1, np.inf, np.where(size > 1, np.nan, x))
    return np.where(np.isnan(y), y, np.copysign(x, y))


@in_double
def ndtri(p: Any) -> Any:
    """Compute the x below which a standard normal variable stays with probability p."""
    low = np.minimum(p, 1 - p)
    tail = _inverse_tail(np.clip(2 * low, 1e-320, 0.5))
    x = np.where(low < 0.25, tail, np.absolute(erfinv(np.clip(2 * p - 1, -0.6, 0.6))))
    x = np.where(low == 0, np.inf, np.where(low < 0, np.nan, x)) / _ROOT_HALF
    return np.where(p < 0.5, -x, x)


@in_double
def ndtr(x: Any) -> Any:
    """Compute the probability that a standard normal variable stays below x."""
    low = np.minimum(x, -1)
    return np.where(
        x < -1, erfcx(-low * _ROOT_HALF) * _half_bell(low) / 2, erfc(-np.maximum(x, -1) * _ROOT_HALF) / 2
    )


def _half_bell(x: Any) -> Any:
    """Return exp(-x**2 / 2); x is split so that the square of its head is exact."""
    x = np.clip(x, -_LAST, _LAST)
    head = x.astype(np.float32).astype(np.float64)
    return np.exp(-head * head / 2) * np.exp(-(x - head) * (x + head) / 2)


@in_double
def log_ndtr(x: Any) -> Any:
    """Compute log(ndtr(x)), also where ndtr(x) is too small for a number."""
    low = np.minimum(x, -1)
    below = np.log(erfcx(-low * _ROOT_HALF) / 2) - low * low / 2
    below = np.where(np.isinf(low), -np.inf, below)
    return np.where(x < -1, below, np.log1p(-ndtr(-np.maximum(x, -1))))
