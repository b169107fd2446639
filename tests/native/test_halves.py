"""float16 and bfloat16 are stored narrow, computed wide, and rounded once to the nearest even."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from retrograd.arrays import evaluate, trace
from retrograd.native.kernels import Host
from retrograd.native.machine import Machine
from retrograd.ops.declare import TABLE

HALF, BRAIN = np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)


def run(function, *given):
    machine = Machine(trace(function, *given), {}, "halves")
    assert not any(isinstance(s, Host) for s in machine.drawing.fused.steps)
    return machine(*given)


def same(found, wanted):
    assert found.dtype == wanted.dtype
    nan = np.isnan(wanted)
    np.testing.assert_array_equal(np.isnan(found), nan)
    np.testing.assert_array_equal(found[~nan].view(np.uint16), wanted[~nan].view(np.uint16))


@pytest.mark.parametrize("kind", [HALF, BRAIN])
def test_every_number_is_widened_exactly_and_comes_back(kind):
    x = np.arange(1 << 16, dtype=np.uint16).view(kind)
    wide, back = run(lambda x: (x._cast(np.dtype(np.float32)), x._cast(np.dtype(np.float32))._cast(kind)), x)
    np.testing.assert_array_equal(wide, x.astype(np.float32))
    same(back, x)


@pytest.mark.parametrize("kind", [HALF, BRAIN])
def test_numbers_are_rounded_once_to_the_nearest_even(kind):
    every = np.arange(1 << 16, dtype=np.uint16).view(kind).astype(np.float64)
    every = every[np.isfinite(every)]
    middle = (every[1:] + every[:-1]) / 2
    above, below = np.nextafter(middle, np.inf), np.nextafter(middle, -np.inf)
    x = np.concatenate((middle, above, below, every, [1e300, -1e300]))
    single = np.concatenate(
        (x.astype(np.float32), np.array([np.nan, np.inf, -np.inf, 1e-45, 3e38], np.float32))
    )
    with np.errstate(all="ignore"):
        same(run(lambda x: (x._cast(kind),), single)[0], single.astype(kind))
        (found,) = run(lambda x: (x._cast(kind),), x)
        if kind == HALF:  # ml_dtypes rounds a float64 twice, by way of float32
            same(found, x.astype(kind))
    count = len(middle)
    same(found[:count], single[:count].astype(kind))  # float32 holds the middle of two
    np.testing.assert_array_equal(found[count : 2 * count].astype(float), np.maximum(every[1:], every[:-1]))
    np.testing.assert_array_equal(
        found[2 * count : 3 * count].astype(float), np.minimum(every[1:], every[:-1])
    )


@pytest.mark.parametrize("kind", [HALF, BRAIN])
def test_integers_become_halves(kind):
    x = np.arange(-3000, 3000, dtype=np.int32)
    same(run(lambda x: (x._cast(kind),), x)[0], x.astype(kind))
    (found,) = run(lambda x: (x._cast(np.dtype(np.int32)),), x.astype(kind))
    np.testing.assert_array_equal(found, x.astype(kind).astype(np.int32))


CASES = {
    "pointwise": lambda x, y: (
        x * 2 + y, np.tanh(x) / (1 + np.exp(y)), np.maximum(x, y), -x, x > y, np.where(x > 0, x, y),
    ),
    "rows": lambda x, y: (
        np.sum(x, axis=1), np.max(x, axis=0), np.exp(x - np.max(x, axis=1, keepdims=True)), np.sum(y),
    ),
    "products": lambda x, y: (x @ y.T, y.T @ x),
    "movements": lambda x, y: (np.concatenate((x, y)), x.T[::-1] + 0, np.roll(x, 1, 1), x[:, 2:5] * y[:, :3]),
    "lookups": lambda x, y: (
        x[np.argmax(y, axis=1) % 5], TABLE["embedding"](x, np.argmax(y, axis=1) % 5),
    ),
    "an update": lambda x, y: ((m := x * 0.9 + y * 0.1), x - 0.01 * m / (np.sqrt(m * m) + 1)),
}  # fmt: skip


@pytest.mark.parametrize("kind", [HALF, BRAIN])
@pytest.mark.parametrize("name", CASES)
def test_programs_are_as_near_as_one_rounding_is(name, kind):
    x, y = np.random.default_rng(0).standard_normal((2, 5, 19)).astype(kind)
    function = CASES[name]
    exact = evaluate(trace(function, x.astype(float), y.astype(float)), x.astype(float), y.astype(float))
    step = 2.0 ** (-11 if kind == HALF else -8)
    for found, narrow, wanted in zip(
        run(function, x, y), evaluate(trace(function, x, y), x, y), exact, strict=True
    ):
        assert (found.dtype, found.shape) == (narrow.dtype, narrow.shape)
        np.testing.assert_allclose(found.astype(float), wanted, rtol=1.01 * step, atol=1e-6)
