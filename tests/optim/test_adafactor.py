"""Adafactor takes torch's steps."""

from __future__ import annotations

import numpy as np
import pytest

import retrograd

SHAPES = [(4, 5), (7,), (), (2, 3, 4)]
OPTIONS = [
    {}, {"lr": 0.1, "weight_decay": 0.05}, {"d": 2.0, "beta2_decay": -0.5}, {"maximize": True},
    {"eps": (1e-6, 1e-2)},
]  # fmt: skip


def train(m, options, dtype):
    rng = np.random.default_rng(0)
    params = [m.nn.Parameter(m.tensor(rng.standard_normal(s), dtype=getattr(m, dtype))) for s in SHAPES]
    optimizer = m.optim.Adafactor(params, **options)
    for i in range(5):
        optimizer.zero_grad()
        loss = sum(((p * p).sin() * (0.5 + i)).sum() for p in params)
        loss.backward()
        optimizer.step()
    state = optimizer.state_dict()["state"]
    return [p.detach().numpy() for p in params], [
        {k: np.asarray(v) for k, v in s.items()} for s in state.values()
    ]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps(options, dtype, torch_or_skip):
    (wanted, states), (found, ours) = (train(m, options, dtype) for m in (torch_or_skip, retrograd))
    tolerance = 2e-5 if dtype == "float32" else 1e-9
    for want, got in zip(wanted, found, strict=True):
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
    for want, got in zip(states, ours, strict=True):
        assert list(got) == list(want)
        for key, value in want.items():
            np.testing.assert_allclose(got[key], value, rtol=10 * tolerance, atol=tolerance)


def test_a_state_goes_on_where_it_was():
    p = retrograd.nn.Parameter(retrograd.ones(2, 2))
    first = retrograd.optim.Adafactor([p])
    (p * p).sum().backward()
    first.step()
    second = retrograd.optim.Adafactor([p])
    second.load_state_dict(first.state_dict())
    assert float(second.state[p]["step"]) == 1
    assert second.step(lambda: retrograd.tensor(3.0)).item() == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1.0}, "Learning rate should be >= 0"), ({"beta2_decay": 0.1}, "beta2_decay should be <= 0"),
        ({"eps": (-1.0, 1.0)}, "epsilon1 should be"), ({"eps": (None, -1.0)}, "epsilon2 should be"),
        ({"d": 0.5}, "Clipping threshold d"), ({"weight_decay": -1.0}, "weight_decay should be"),
    ],
)  # fmt: skip
def test_mistakes(options, message):
    with pytest.raises(ValueError, match=message):
        retrograd.optim.Adafactor([retrograd.nn.Parameter(retrograd.ones(1))], **options)
