"""keep, drop and select are np.where to the last bit, on arrays large enough for the bits to be used."""

from __future__ import annotations

import numpy as np
import pytest

import retrograd as rg
from retrograd.ops import select as chosen

SIZE = 2 * chosen._MANY
KINDS = ["f4", "f8", "f2", "i8", "i4", "u1", "c8", "c16", "?"]


def arrays(kind, *shape):
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal(shape) * 20 for _ in range(2))
    if np.dtype(kind).kind == "f":
        for a in (x, y):
            a.reshape(-1)[:8] = [np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-40, np.nan, -np.inf]
    return x.astype(kind), y.astype(kind), rng.random(shape) > 0.5


def same(found, wanted):
    assert found.dtype == wanted.dtype and found.shape == wanted.shape
    np.testing.assert_array_equal(found, wanted)
    if wanted.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(found), np.signbit(wanted))


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize("kind", KINDS)
def test_they_are_np_where(kind):
    x, y, mask = arrays(kind, 4, SIZE // 4)
    before = x.copy(), y.copy(), mask.copy()
    zero = np.zeros((), x.dtype)
    same(chosen.keep(mask, x), np.where(mask, x, zero))
    same(chosen.drop(mask, x), np.where(mask, zero, x))
    same(chosen.select(mask, x, y), np.where(mask, x, y))
    for a, b in zip((x, y, mask), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("number", [0, -0.0, 1.5, -3, float("inf"), float("nan")])
def test_numbers_in_either_place(number):
    x, _, mask = arrays("f4", SIZE)
    same(chosen.select(mask, number, x), np.where(mask, number, x))
    same(chosen.select(mask, x, number), np.where(mask, x, number))


def test_masks_that_broadcast_and_arrays_that_are_strided():
    x, y, mask = arrays("f8", 4, SIZE // 4)
    for m in (mask[0], mask[:, :1], mask[:1]):
        same(chosen.keep(m, x), np.where(m, x, 0.0))
        same(chosen.drop(m, x), np.where(m, 0.0, x))
        same(chosen.select(m, x, y), np.where(m, x, y))
    same(chosen.select(mask.T, x.T, y.T), np.where(mask.T, x.T, y.T))
    same(chosen.keep(mask[:, ::2], x[:, ::2]), np.where(mask[:, ::2], x[:, ::2], 0.0))
    row = np.broadcast_to(x[0], x.shape)
    same(chosen.select(mask, row, y), np.where(mask, row, y))
    same(chosen.keep(mask, x[0]), np.where(mask, x[0], 0.0))  # the mask is the larger


@pytest.mark.parametrize("size", [3, SIZE])
@pytest.mark.parametrize(
    "f",
    [lambda x: x.relu(), lambda x: x.clamp(min=0), lambda x: x.clamp_min(0),
     lambda x: rg.nn.functional.hardtanh(x, 0, 9), lambda x: rg.maximum(x, rg.zeros_like(x)),
     lambda x: rg.nn.functional.threshold(x, 0.0, 0.0)],
    ids=["relu", "clamp", "clamp_min", "hardtanh", "maximum", "threshold"],
)  # fmt: skip
def test_an_infinite_cotangent_of_what_was_cut_off_is_no_nan(f, size):
    x = rg.full((size,), -1.0, requires_grad=True)
    f(x).sqrt().sum().backward()
    assert not rg.isnan(x.grad).any() and (x.grad == 0).all()


def test_the_slope_of_abs_at_nan_is_zero_recorded_or_not():
    x = rg.tensor([-2.0, float("nan"), 0.0, 3.0], requires_grad=True)
    for create_graph in (False, True):
        (g,) = rg.autograd.grad(x.abs().sum(), x, create_graph=create_graph)
        assert g.tolist() == [-1, 0, 0, 1]
