"""Functions of the vector mathematics are as accurate as they say, over the whole range of numbers.

The measure itself is checked with functions that are a little wrong. benchmarks/maths_accuracy.py does the
same with tens of millions of numbers.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from native.every_float import EveryFloat
from native.lanes_harness import DTYPES, ArrayFunction, array_function
from native.maths_reference import (
    BINARY,
    LIMITS,
    SLOW_REFERENCE,
    UNARY,
    cancelling,
    pairs,
    reference,
    samples,
    ulps,
)

from retrograd.native.maths import FUNCTIONS, exponentials

LANES = {32: 16, 64: 8}
COUNT = {32: 300_000, 64: 30_000}


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("name", UNARY)
def test_of_one_number(name, bits):
    slow = name in SLOW_REFERENCE[bits]
    if slow:
        pytest.importorskip("mpmath")
    x = samples(bits, 3_000 if slow else COUNT[bits], np.random.default_rng(0))
    errors = ulps(array_function(name, bits, LANES[bits])(x), reference(name, bits)(x))
    worst = int(np.argmax(errors))
    assert errors[worst] <= LIMITS[bits], f"{name}({x[worst]!r}) is {errors[worst]} ulp off"


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("name", BINARY)
def test_of_two_numbers(name, bits):
    with np.errstate(all="ignore"):
        x, y = pairs(name, bits, COUNT[bits], np.random.default_rng(0))
        exact = reference(name, bits)(x, y)
    errors = ulps(array_function(name, bits, LANES[bits], 2)(x, y), exact, cancelling(name, x, y, exact))
    worst = int(np.argmax(errors))
    assert errors[worst] <= LIMITS[bits], f"{name}({x[worst]!r}, {y[worst]!r}) is {errors[worst]} ulp off"


@pytest.mark.parametrize("bits", [32, 64])
def test_angles_nearest_to_a_multiple_of_half_pi(bits):
    """Multiples of pi/2 rounded to the format, of all magnitudes: there the reduction cancels the most."""
    wide = np.float64 if bits == 32 else np.longdouble
    n = np.unique(np.round(2.0 ** np.linspace(0, 20, 20_000)))
    x = (n.astype(wide) * (np.arctan(wide(1)) * 2)).astype(DTYPES[bits])
    worst = {32: [16367173.0 * 2.0**72], 64: [6381956970095103.0 * 2.0**797, 5.319372648326541e255]}
    x = np.concatenate([x, np.array(worst[bits], DTYPES[bits])])
    for name in ("sin", "cos", "tan"):
        errors = ulps(array_function(name, bits, LANES[bits])(x), reference(name, bits)(x))
        assert errors.max() <= LIMITS[bits], (name, x[np.argmax(errors)])


@pytest.mark.parametrize("bits", [32, 64])
def test_a_wrong_bit_in_a_coefficient_is_seen(bits, monkeypatch):
    wrong = dict(exponentials.EXP)
    wrong[bits] = (wrong[bits][0] * (1 + 64 * np.finfo(DTYPES[bits]).eps), *wrong[bits][1:])
    monkeypatch.setattr(exponentials, "EXP", wrong)
    x = samples(bits, 30_000, np.random.default_rng(0))
    errors = ulps(ArrayFunction(FUNCTIONS["exp"], bits, LANES[bits], 1)(x), reference("exp", bits)(x))
    assert errors.max() > LIMITS[bits]


@pytest.mark.parametrize("name", ["exp", "tanh", "erf", "sin"])
def test_every_float_of_a_binade(name):
    """2^23 numbers from 1 on; benchmarks/maths_accuracy.py --every takes all."""
    largest = EveryFloat(name).largest_error(int(np.float32(1).view(np.uint32)), 2**23)
    assert 0.5 < largest <= LIMITS[32]


def test_the_loop_over_every_float_finds_the_same_error():
    first, count = int(np.float32(0.75).view(np.uint32)), 2**16
    x = np.arange(first, first + count, dtype=np.uint32).view(np.float32)
    for name in ("exp", "log10", "tan"):
        errors = ulps(array_function(name, 32, 16)(x), reference(name, 32)(x))
        assert EveryFloat(name).largest_error(first, count) == pytest.approx(errors.max(), abs=1e-6)


def test_ulps_are_counted():
    exact = np.array([1.0, 1.0, 3e38, 1e-45, 0.0, np.inf, np.nan, 1e300])
    step = np.finfo(np.float32).eps
    got = np.array([1 + 3 * step, 1 - step / 2, np.inf, 0, 1e-44, np.inf, 1, np.inf], np.float32)
    found = ulps(got, exact)
    assert found[0] == 3
    assert found[1] == 0.5
    assert found[2] == np.inf
    assert 0 < found[3] < 1
    assert found[4] == 7
    assert found[5] == 0
    assert found[6] == np.inf
    assert found[7] == 0
