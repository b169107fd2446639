"""Zeros, infinities, nan, subnormal numbers, overflow and underflow: NumPy's values at every width."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from native.lanes_harness import array_function
from native.maths_reference import (
    BINARY,
    LIMITS,
    ROUNDED_RIGHT,
    ROUNDED_RIGHT_BINARY,
    SLOW_REFERENCE,
    TESTS,
    UNARY,
    cancelling,
    reference,
    special_values,
    ulps,
)

LANES = {32: 16, 64: 8}


def assert_agree(name, bits, got, exact, limit, scale=None):
    errors = ulps(got, exact, scale)
    other_zero = (exact == 0) & (np.signbit(got) != np.signbit(exact))
    bad = np.flatnonzero((errors > limit) | other_zero)
    assert not bad.size, (
        f"{name} of {bits} bits is wrong at {bad[:10]}: {got[bad[:10]]} for {exact[bad[:10]]}"
    )


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("name", [*UNARY, *ROUNDED_RIGHT])
def test_of_one_number(name, bits):
    if name in SLOW_REFERENCE[bits]:
        pytest.importorskip("mpmath")
    x = special_values(bits)
    exact = reference(name, bits)(x)
    for plain, lanes in ((False, LANES[bits]), (True, LANES[bits]), (False, 1)):
        got = array_function(name, bits, lanes, plain=plain)(x)
        assert_agree(name, bits, got, exact, LIMITS[bits] if name in UNARY else 0)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("name", TESTS)
def test_of_tests(name, bits):
    x = special_values(bits)
    for lanes in (LANES[bits], 1):
        np.testing.assert_array_equal(array_function(name, bits, lanes)(x), getattr(np, name)(x))


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("name", [*BINARY, *ROUNDED_RIGHT_BINARY])
def test_of_two_numbers(name, bits):
    x, y = (grid.ravel() for grid in np.meshgrid(special_values(bits), special_values(bits)))
    with np.errstate(all="ignore"):
        exact = reference(name, bits)(x, y) if name in BINARY else getattr(np, name)(x, y)
    for plain, lanes in ((False, LANES[bits]), (True, LANES[bits]), (False, 1)):
        got = array_function(name, bits, lanes, 2, plain=plain)(x, y)
        assert_agree(
            name, bits, got, exact, LIMITS[bits] if name in BINARY else 0, cancelling(name, x, y, exact)
        )


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("name", ["fmod", "remainder", "floor_divide"])
def test_remainders_are_exact(name, bits):
    rng = np.random.default_rng(0)
    dtype = {32: np.float32, 64: np.float64}[bits]
    y = (np.exp(rng.uniform(-9, 9, 30_000)) * rng.choice([-1, 1], 30_000)).astype(dtype)
    quotients = np.exp(rng.uniform(-3, 40, y.size)) * rng.choice([-1, 1], y.size)
    whole = np.round(rng.uniform(-100, 100, y.size))
    x = np.concatenate([y * quotients, y * whole, np.nextafter(y * whole, np.inf)]).astype(dtype)
    y = np.tile(y, 3)
    got = array_function(name, bits, LANES[bits], 2)(x, y)
    np.testing.assert_array_equal(got, getattr(np, name)(x, y))
