"""What the vector mathematics is measured against: functions with more bits, and samples of numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from native.lanes_harness import DTYPES

Array = np.ndarray

UNARY = [
    *("exp", "exp2", "expm1", "sigmoid", "log", "log2", "log10", "log1p", "tanh", "sinh", "cosh", "arctanh"),
    *("arcsinh", "arccosh", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "cbrt", "sqrt", "rsqrt"),
    *("erf", "erfc"),
]
BINARY = ["arctan2", "power", "hypot", "logaddexp"]
ROUNDED_RIGHT = ["floor", "ceil", "trunc", "rint", "sign", "absolute"]
ROUNDED_RIGHT_BINARY = [
    *("fmod", "remainder", "floor_divide", "maximum", "minimum", "fmax", "fmin", "copysign"),
]
TESTS = ["isnan", "isinf", "isfinite", "signbit"]
LIMITS = {32: 2.0, 64: 4.0}
"""The largest error in units of the last place."""
SLOW_REFERENCE = {32: frozenset[str](), 64: frozenset({"erf", "erfc"})}
"""Functions by width whose exact values are computed one by one."""


def sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, np.where(np.isnan(x), x, 1)) / (1 + e)


def _in_mpmath(name: str) -> Callable[[Array], Array]:
    """Return a function of float64 with the bits of longdouble, one number at a time."""

    def call(x: Array) -> Array:
        import mpmath

        function = getattr(mpmath, name)
        with np.errstate(all="ignore"):
            ends = {"erf": np.copysign(np.minimum(np.abs(x), 1), x), "erfc": 1 - np.sign(x)}[name]
            made = ends.astype(np.longdouble)
        with mpmath.workdps(30):
            for place in np.flatnonzero((np.abs(x) < 30) & (x != 0)):
                value = function(mpmath.mpf(float(x[place])))
                made[place] = np.longdouble(float(value)) + np.longdouble(float(value - float(value)))
        return made

    return call


def _of_float64(name: str) -> Callable[[Array], Array]:
    import math

    return np.vectorize(getattr(math, name), otypes=[np.float64])


def reference(name: str, bits: int) -> Callable[..., Array]:
    """Return the function on numbers of the given width, whose results have at least ten bits more."""
    wide = np.float64 if bits == 32 else np.longdouble
    if name in {"erf", "erfc"}:
        return _of_float64(name) if bits == 32 else _in_mpmath(name)
    function = {"sigmoid": sigmoid, "rsqrt": lambda x: 1 / np.sqrt(x)}.get(name) or getattr(np, name)

    def call(*arrays: Array) -> Array:
        with np.errstate(all="ignore"):
            return function(*(np.asarray(x).astype(wide) for x in arrays))

    return call


def ulps(got: Array, exact: Array, scale: Array | None = None) -> Array:
    """Return the error in units of the last place: of the exact value, or of `scale` where that is given.

    0 where the result is the exact value rounded, infinite where one is nan or infinite and the other is not.
    """
    places, smallest = {4: (24, -149), 8: (53, -1074)}[got.dtype.itemsize]
    with np.errstate(all="ignore"):
        rounded = exact.astype(got.dtype)
        size = exact if scale is None else scale
        exponent = np.where(size == 0, smallest, np.frexp(size)[1])
        unit = np.ldexp(np.ones((), exact.dtype), np.maximum(exponent - places, smallest))
        error = np.abs(got.astype(exact.dtype) - exact) / unit
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    return np.where(same, 0, np.where(np.isfinite(error), error, np.inf)).astype(np.float64)


def samples(bits: int, count: int, rng: np.random.Generator) -> Array:
    """Return numbers of all magnitudes, and more of them where functions bend, overflow and vanish."""
    unsigned = {32: np.uint32, 64: np.uint64}[bits]
    few = max(1, count // 6)
    signs = rng.choice([-1.0, 1.0], few)
    top = {32: 128, 64: 1024}[bits] * np.log(2)
    parts = [
        rng.integers(0, 2**bits, few, dtype=np.uint64).astype(unsigned).view(DTYPES[bits]),
        np.exp(rng.uniform(-top / 20, 5, few)) * signs,
        1 + np.exp(rng.uniform(-top / 25, 0, few)) * signs,
        rng.uniform(-1, 1, few),
        rng.uniform(-1.25 * top, 1.25 * top, few),
        rng.uniform(-12, 12, few),
    ]
    with np.errstate(all="ignore"):
        return np.concatenate([part.astype(DTYPES[bits]) for part in parts])


def pairs(name: str, bits: int, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return pairs of numbers of all magnitudes, and of those that belong together; three times the count."""
    x, y = samples(bits, count, rng), rng.permutation(samples(bits, count, rng))
    with np.errstate(all="ignore"):
        near = x * (1 + rng.uniform(-1, 1, x.size)).astype(DTYPES[bits])
        if name == "power":  # results of all magnitudes
            top = {32: 150, 64: 1080}[bits]
            near = (rng.uniform(-top, top, x.size) / np.log2(np.abs(x))).astype(DTYPES[bits])
    return np.concatenate([x, x, np.abs(x)]), np.concatenate([y, near, near])


def special_values(bits: int) -> Array:
    """Return the numbers at which functions have special values, and their neighbours."""
    info = np.finfo(DTYPES[bits])
    limits = {
        32: [88.72284, 89.41599, -103.97208, -87.33655, 128, -149, -126],
        64: [709.782712893384, 710.4758600739439, -745.1332191019412, -708.3964185322641, 1024, -1074, -1022],
    }
    plain = np.array(
        [
            0,
            1,
            2,
            3,
            4,
            0.5,
            1.5,
            2.5,
            10,
            1000,
            np.pi / 2,
            1e5,
            1e10,
            1e30,
            info.max,
            info.tiny,
            info.smallest_subnormal,
            info.eps,
            2.0**24,
            2.0**24 + 2,
            2.0**53,
            *map(abs, limits[bits]),
        ],
        DTYPES[bits],
    )
    with np.errstate(all="ignore"):
        around = np.concatenate(
            [plain, np.nextafter(plain, DTYPES[bits](np.inf)), np.nextafter(plain, DTYPES[bits](0))]
        )
    return np.concatenate([around, -around, np.array([np.inf, -np.inf, np.nan], DTYPES[bits])])


def cancelling(name: str, x: Array, y: Array, exact: Array) -> Array | None:
    """Return the largest of the terms that cancel in a result, to which its error is relative."""
    if name != "logaddexp":
        return None
    with np.errstate(all="ignore"):
        larger = np.maximum(x, y).astype(exact.dtype)
        return np.maximum(np.maximum(np.abs(exact), np.abs(larger)), np.abs(exact - larger))
