"""Tensors that are not contiguous get torch's random numbers too, in the order of their memory."""

from __future__ import annotations

import numpy as np
import pytest

import retrograd

LAYOUTS = {
    "transposed": lambda m, kind: m.zeros(3, 4, dtype=kind).t(),
    "transposed, large": lambda m, kind: m.zeros(8, 6, dtype=kind).t(),
    "every other": lambda m, kind: m.zeros(8, 12, dtype=kind)[:, ::2],
    "a part": lambda m, kind: m.zeros(6, 9, dtype=kind)[1:5, 2:8],
    "permuted": lambda m, kind: m.zeros(2, 3, 4, dtype=kind).permute(2, 0, 1),
    "permuted part": lambda m, kind: m.zeros(4, 3, 8, dtype=kind).permute(1, 2, 0)[:, ::2],
    "channels last": lambda m, kind: m.zeros(2, 3, 2, 2, dtype=kind).to(memory_format=m.channels_last),
}
FILLS = {
    "uniform_": (-1.0, 2.0), "normal_": (0.5, 2.0), "exponential_": (0.7,), "bernoulli_": (0.3,),
    "random_": (0, 100), "cauchy_": (), "log_normal_": (), "geometric_": (0.3,),
}  # fmt: skip


def both(call, torch):
    """Return what a call gives with both libraries, seeded alike, and a number drawn after it."""
    found = []
    for m in (torch, retrograd):
        m.manual_seed(3)
        found.append([np.array(call(m).tolist()), m.rand(1).item()])
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("fill", FILLS)
def test_filling(layout, kind, fill, torch_or_skip):
    def call(m):
        return getattr(LAYOUTS[layout](m, getattr(m, kind)), fill)(*FILLS[fill])

    (want, after), (got, our_after) = both(call, torch_or_skip)
    np.testing.assert_allclose(got, want, rtol=3e-6, atol=1e-7)
    assert our_after == after


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["rand_like", "randn_like", "dropout"])
def test_drawing_alike(layout, name, torch_or_skip):
    def call(m):
        x = LAYOUTS[layout](m, m.float32) + 1
        return m.nn.functional.dropout(x) if name == "dropout" else getattr(m, name)(x)

    (want, after), (got, our_after) = both(call, torch_or_skip)
    np.testing.assert_allclose(got, want, rtol=3e-6, atol=1e-7)
    assert our_after == after


def test_numbers_like_keep_the_strides():
    x = retrograd.zeros(3, 4).t()
    assert retrograd.rand_like(x).stride() == x.stride() == retrograd.randn_like(x).stride()
