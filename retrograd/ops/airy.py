"""Airy's function of the first kind.

Source: DLMF 9.4.1 (the series), 9.5.4 with the path of steepest descent, and 9.2.14 for negative arguments.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograd.ops import samples
from retrograd.ops.declare import Array
from retrograd.ops.families import pointwise
from retrograd.ops.special_functions import in_double

_AT_ZERO = 1 / (3 ** (2 / 3) * math.gamma(2 / 3))
_SLOPE = 1 / (3 ** (1 / 3) * math.gamma(1 / 3))
_NEAR = 1.5
"""Up to here the series is summed: beyond, its terms cancel and the integral has become narrow."""
_STEP, _STEPS = 0.12, 60
"""With 60 steps of 0.12 the trapezoidal rule is exact to rounding from |z| = 1.5 on."""


def _series(x: Any) -> Any:
    cube = x * x * x
    first, second = np.full_like(x, _AT_ZERO), -_SLOPE * x
    total = first + second
    for k in range(1, 15):
        first = first * cube / ((3 * k - 1) * (3 * k))
        second = second * cube / ((3 * k) * (3 * k + 1))
        total = total + first + second
    return total


def _integral(root: Any, exponent: Any) -> Any:
    """Return Ai(z), given sqrt(z) and -2/3 z**(3/2): the integral of exp(-sqrt(z) t**2) cos(t**3 / 3)."""
    total = np.full_like(root, 0.5)
    for k in range(1, _STEPS):
        t = k * _STEP
        total = total + np.exp(-root * (t * t)) * math.cos(t**3 / 3)
    return np.exp(exponent) / math.pi * (total * _STEP)


@in_double
def _airy(x: Any) -> Any:
    x = np.asarray(x)
    found = np.full_like(x, np.nan)
    near = np.abs(x) <= _NEAR
    found[near] = _series(x[near])
    above, below = x > _NEAR, x < -_NEAR
    root = np.sqrt(x[above])
    found[above] = _integral(root, -2 / 3 * x[above] * root)
    # z = |x| exp(i pi / 3), whose exponent is imaginary: said so, since rounding would make it huge.
    root = np.sqrt(-x[below])
    on_path = _integral(root * np.exp(1j * math.pi / 6), 2j / 3 * x[below] * root)
    found[below] = 2 * np.real(np.exp(1j * math.pi / 3) * on_path)
    found[np.isinf(x)] = 0
    return found


@pointwise(
    promote="float",
    kinds="f",
    places="special",
    samples=samples.kinked(samples.within(-6.0, 5.0)),
    inplace=False,
    primitive=True,
)
def airy_ai(x: Array) -> Array:
    """Compute Airy's function Ai; it has no gradient."""
    return _airy(x)
