"""Functions that few programs use do what torch's do."""

from __future__ import annotations

import numpy as np
import pytest
from paired_calls import assert_same

import retrograd

RNG = np.random.default_rng(2)


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn_tanh", "rnn_relu"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_layers_as_functions(name, bidirectional, torch_or_skip):
    gates = {"lstm": 4, "gru": 3}.get(name, 1)
    count = 2 if bidirectional else 1
    shapes = [(gates * 5, 3), (gates * 5, 5), (gates * 5,), (gates * 5,)] * count
    weights = [RNG.standard_normal(s) for s in shapes]
    x, h, c = (
        RNG.standard_normal((4, 2, 3)),
        RNG.standard_normal((count, 2, 5)),
        RNG.standard_normal((count, 2, 5)),
    )

    def call(m, x, h, c, *params):
        hx = (h, c) if name == "lstm" else h
        return getattr(m, name)(x, hx, list(params), True, 1, 0.0, False, bidirectional, False)

    assert_same(call, x, h, c, *weights, second=False)


@pytest.mark.parametrize("name", ["lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"])
def test_cells_as_functions(name, torch_or_skip):
    gates = {"lstm_cell": 4, "gru_cell": 3}.get(name, 1)
    weights = [RNG.standard_normal(s) for s in [(gates * 5, 3), (gates * 5, 5), (gates * 5,), (gates * 5,)]]
    x, h, c = RNG.standard_normal((2, 3)), RNG.standard_normal((2, 5)), RNG.standard_normal((2, 5))

    def call(m, x, h, c, *params):
        return getattr(m, name)(x, (h, c) if name == "lstm_cell" else h, *params)

    assert_same(call, x, h, c, *weights)


def test_elements_by_a_function(torch_or_skip):
    for m in (torch_or_skip, retrograd):
        x = m.tensor([1.0, 2.0])
        assert x.apply_(lambda v: v * 2) is x and x.tolist() == [2, 4]
        assert x.map_(m.tensor([1.0, 1.0]), lambda a, b: a - b).tolist() == [1, 3]
        assert x.unsafe_split_with_sizes([1, 1])[1].tolist() == [3]
        assert m.ones(2, 3).t().dim_order() == (1, 0) and x.is_cpu and not x.is_xla
        with pytest.raises(RuntimeError, match="requires grad"):
            m.ones(1, requires_grad=True).apply_(lambda v: v)
        with pytest.raises(TypeError):
            x.map_(m.tensor([1, 1]), lambda a, b: a)
    assert x.map2_(x, x, lambda a, b, c: a + b * c).tolist() == [2, 12]


def test_the_default_device():
    assert retrograd.get_device(retrograd.ones(1)) == -1
    retrograd.set_default_device("meta")
    try:
        assert retrograd.ones(2).is_meta and retrograd.get_default_device().type == "meta"
    finally:
        retrograd.set_default_device(None)
    assert not retrograd.ones(2).is_meta
    with pytest.raises(AssertionError, match="CUDA"):
        retrograd.set_default_device("cuda")
    assert retrograd.get_default_device().type == "cpu"
