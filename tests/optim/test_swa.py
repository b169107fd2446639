"""Averaged models, their schedule and their batch statistics are torch's."""

from __future__ import annotations

import numpy as np
import pytest

import retrograd

DATA = np.random.default_rng(0).standard_normal((6, 4, 3))


def train(m, options, use_buffers=False):
    """Return the state of an average over a few steps, and the rates."""
    utils = m.optim.swa_utils
    m.manual_seed(0)
    model = m.nn.Sequential(m.nn.Linear(3, 4), m.nn.BatchNorm1d(4), m.nn.Linear(4, 1))
    optimizer = m.optim.SGD(model.parameters(), lr=0.1)
    average = utils.AveragedModel(model, use_buffers=use_buffers, **options(utils))
    schedule = utils.SWALR(optimizer, swa_lr=0.02, anneal_epochs=3)
    rates = []
    for batch in DATA[:4]:
        optimizer.zero_grad()
        model(m.tensor(batch, dtype=m.float32)).pow(2).sum().backward()
        optimizer.step()
        average.update_parameters(model)
        schedule.step()
        rates.append(optimizer.param_groups[0]["lr"])
    utils.update_bn([m.tensor(b, dtype=m.float32) for b in DATA], average)
    y = average.eval()(m.tensor(DATA[0], dtype=m.float32))
    return rates, {k: v.numpy() for k, v in average.state_dict().items()}, y.detach().numpy()


OPTIONS = {
    "mean": lambda u: {},
    "ema": lambda u: {"multi_avg_fn": u.get_ema_multi_avg_fn(0.8)},
    "one by one": lambda u: {"avg_fn": u.get_swa_avg_fn()},
    "ema one by one": lambda u: {"avg_fn": u.get_ema_avg_fn(0.9)},
}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("use_buffers", [False, True])
def test_averages(options, use_buffers, torch_or_skip):
    (rates, state, y), (our_rates, ours, our_y) = (
        train(m, OPTIONS[options], use_buffers) for m in (torch_or_skip, retrograd)
    )
    np.testing.assert_allclose(our_rates, rates, rtol=1e-12)
    assert list(ours) == list(state)
    for key, want in state.items():
        np.testing.assert_allclose(ours[key], want, rtol=2e-5, atol=1e-6, err_msg=key)
    np.testing.assert_allclose(our_y, y, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize(("epochs", "strategy"), [(0, "cos"), (1, "linear"), (5, "linear"), (5, "cos")])
def test_the_schedule(epochs, strategy, torch_or_skip):
    seen = []
    for m in (torch_or_skip, retrograd):
        p = m.nn.Parameter(m.ones(1))
        optimizer = m.optim.SGD([{"params": [p], "lr": 0.1}], lr=0.5)
        schedule = m.optim.swa_utils.SWALR(optimizer, [0.01], epochs, strategy)
        rates = [optimizer.param_groups[0]["lr"]]
        for _ in range(7):
            optimizer.step()
            schedule.step()
            rates.append(optimizer.param_groups[0]["lr"])
        seen.append(rates)
    np.testing.assert_allclose(seen[1], seen[0], rtol=1e-12)


def test_mistakes():
    utils = retrograd.optim.swa_utils
    optimizer = retrograd.optim.SGD([retrograd.nn.Parameter(retrograd.ones(1))], lr=0.1)
    with pytest.raises(ValueError, match="anneal_strategy must be one of"):
        utils.SWALR(optimizer, 0.1, anneal_strategy="x")
    with pytest.raises(ValueError, match="equal or greater than 0"):
        utils.SWALR(optimizer, 0.1, anneal_epochs=-1)
    with pytest.raises(ValueError, match="same length"):
        utils.SWALR(optimizer, [0.1, 0.2])
    with pytest.raises(ValueError, match="Invalid decay value"):
        utils.get_ema_avg_fn(2.0)
    with pytest.raises(AssertionError, match="Only one of"):
        utils.AveragedModel(retrograd.nn.Linear(1, 1), avg_fn=1, multi_avg_fn=2)
