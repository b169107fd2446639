"""The Bessel functions J, Y and K of orders 0 and 1, element by element. They have no gradient.

Near 0 they are Chebyshev series in x**2, with the logarithm and the pole taken out; far off a series in 1 / x
times what they tend to: a wave that dies as 1 / sqrt(x), or exp(-x) / sqrt(x).

Numerics: the error of J and Y is a few 1e-16 of the wave's height, not of the value where it crosses zero.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograd.ops import bessel_tables as tables
from retrograd.ops import gamma_functions, samples
from retrograd.ops.declare import Array
from retrograd.ops.families import pointwise
from retrograd.ops.special_functions import in_double, series

_NEAR = 5.0
"""Up to here J and Y are series in x**2."""
_NEAR_K = 2.0

_values_only: dict[str, Any] = {
    "promote": "float", "samples": samples.kinked(samples.positive), "kinds": "f", "places": "special",
    "inplace": False, "primitive": True,
}  # fmt: skip


def _near(coefficients: tuple[float, ...], x: Any, bound: float) -> Any:
    return series(coefficients, 2 * np.square(np.minimum(x, bound) / bound) - 1)


def _wave(order: int, x: Any, quarter: float) -> Any:
    """Return J (quarter 0) or Y (a quarter turn behind) for x >= 5."""
    far = np.maximum(x, _NEAR)
    t = 2 * np.square(_NEAR / far) - 1
    p, q = (tables.P0, tables.Q0) if order == 0 else (tables.P1, tables.Q1)
    phase = np.where(np.isinf(far), 0, far) - math.pi / 4 - order * math.pi / 2 - quarter
    swing = series(p, t) * np.cos(phase) - series(q, t) / far * np.sin(phase)
    return np.sqrt(2 / (math.pi * far)) * swing


@in_double
def _j(x: Any, order: Any) -> Any:
    size = np.absolute(x)
    near = _near(tables.J1, size, _NEAR) * size if order else _near(tables.J0, size, _NEAR)
    found = np.where(size <= _NEAR, near, _wave(int(order), size, 0))
    return np.where(x < 0, -found, found) if order else found


@in_double
def _y(x: Any, order: Any) -> Any:
    size = np.where(x > 0, x, 1)
    log = 2 / math.pi * np.log(size) * _j(size, order)
    if order:
        near = _near(tables.Y1, size, _NEAR) * size + log - 2 / (math.pi * size)
    else:
        near = _near(tables.Y0, size, _NEAR) + log
    found = np.where(size <= _NEAR, near, _wave(int(order), size, math.pi / 2))
    return np.where(x > 0, found, np.where(x == 0, -np.inf, np.nan))


@in_double
def _scaled_k(x: Any, order: Any) -> Any:
    """Return exp(x) K(x)."""
    size = np.where(x > 0, x, 1)
    low = np.minimum(size, _NEAR_K)
    if order:
        near = _near(tables.K1, low, _NEAR_K) * low + np.log(low) * gamma_functions.i1(low) + 1 / low
    else:
        near = _near(tables.K0, low, _NEAR_K) - np.log(low) * gamma_functions.i0(low)
    far = np.maximum(size, _NEAR_K)
    outside = series(tables.K1_FAR if order else tables.K0_FAR, 4 / far - 1) / np.sqrt(far)
    found = np.where(size <= _NEAR_K, np.exp(low) * near, outside)
    return np.where(x > 0, found, np.where(x == 0, np.inf, np.nan))


def _k(x: Any, order: int) -> Any:
    scaled = in_double(lambda x: np.exp(-x) * _scaled_k(x, order))
    return scaled(x)


@pointwise(**_values_only)
def bessel_j0(input: Array) -> Array:
    """Compute the Bessel function of the first kind of order 0."""
    return _j(input, 0)


@pointwise(**_values_only)
def bessel_j1(input: Array) -> Array:
    """Compute the Bessel function of the first kind of order 1."""
    return _j(input, 1)


@pointwise(**_values_only)
def bessel_y0(input: Array) -> Array:
    """Compute the Bessel function of the second kind of order 0; NaN below 0."""
    return _y(input, 0)


@pointwise(**_values_only)
def bessel_y1(input: Array) -> Array:
    """Compute the Bessel function of the second kind of order 1; NaN below 0."""
    return _y(input, 1)


@pointwise(**_values_only)
def modified_bessel_k0(input: Array) -> Array:
    """Compute the modified Bessel function of the second kind of order 0; NaN below 0."""
    return _k(input, 0)


@pointwise(**_values_only)
def modified_bessel_k1(input: Array) -> Array:
    """Compute the modified Bessel function of the second kind of order 1; NaN below 0."""
    return _k(input, 1)


@pointwise(**_values_only)
def scaled_modified_bessel_k0(input: Array) -> Array:
    """Compute exp(input) * modified_bessel_k0(input)."""
    return _scaled_k(input, 0)


@pointwise(**_values_only)
def scaled_modified_bessel_k1(input: Array) -> Array:
    """Compute exp(input) * modified_bessel_k1(input)."""
    return _scaled_k(input, 1)
