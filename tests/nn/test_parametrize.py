"""Parametrizations, weight and spectral normalisation are torch's: values, names, gradients."""

from __future__ import annotations

import numpy as np
import pytest
from paired_modules import oracle, torch

import retrograd

pytestmark = oracle
X = np.random.default_rng(0).standard_normal((5, 3))


def layers(make):
    """Return torch's layer and ours with one weight, the generators seeded alike."""
    found = []
    weight = np.random.default_rng(1).standard_normal((4, 3))
    for m in (torch, retrograd):
        m.manual_seed(0)
        layer = m.nn.Linear(3, 4, dtype=m.float64)
        with m.no_grad():
            layer.weight.copy_(m.tensor(weight))
        m.manual_seed(5)
        found.append((m, make(m, layer)))
    return found


def behaviour(m, layer):
    """Return what two training steps and an evaluation give, the gradients, and the state."""
    seen = []
    optimizer = m.optim.SGD(layer.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        y = layer(m.tensor(X))
        (y * y).sum().backward()
        seen += [y] + [p.grad for _, p in sorted(layer.named_parameters())]
        optimizer.step()
    layer.eval()
    seen += [layer(m.tensor(X)), layer.weight]
    state = layer.state_dict()
    return list(state), [s.detach().numpy().copy() for s in [*seen, *state.values()]]


WAYS = {
    "weight_norm": lambda m, x: m.nn.utils.parametrizations.weight_norm(x),
    "weight_norm None": lambda m, x: m.nn.utils.parametrizations.weight_norm(x, dim=None),
    "weight_norm 1": lambda m, x: m.nn.utils.parametrizations.weight_norm(x, dim=1),
    "spectral_norm": lambda m, x: m.nn.utils.parametrizations.spectral_norm(x),
    "spectral_norm 1": lambda m, x: m.nn.utils.parametrizations.spectral_norm(x, dim=1, n_power_iterations=3),
    "spectral_norm bias": lambda m, x: m.nn.utils.parametrizations.spectral_norm(x, "bias"),
    "older weight_norm": lambda m, x: m.nn.utils.weight_norm(x),
    "older weight_norm None": lambda m, x: m.nn.utils.weight_norm(x, dim=None),
    "older spectral_norm": lambda m, x: m.nn.utils.spectral_norm(x, n_power_iterations=2),
}


@pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning")
@pytest.mark.parametrize("way", WAYS)
def test_normalised_layers(way):
    (theirs, a), (ours, b) = layers(WAYS[way])
    (keys, wanted), (our_keys, found) = behaviour(theirs, a), behaviour(ours, b)
    assert our_keys == keys
    for want, got in zip(wanted, found, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-10)


@pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning")
@pytest.mark.parametrize("name", ["weight_norm", "spectral_norm"])
def test_the_older_norms_can_be_removed(name):
    for m, layer in layers(lambda m, x: getattr(m.nn.utils, name)(x)):
        y = layer.eval()(m.tensor(X))
        assert getattr(m.nn.utils, f"remove_{name}")(layer) is layer
        assert sorted(layer.state_dict()) == ["bias", "weight"] and isinstance(layer.weight, m.nn.Parameter)
        np.testing.assert_allclose(layer(m.tensor(X)).detach().numpy(), y.detach().numpy(), rtol=1e-9)
        with pytest.raises(ValueError, match="not found in"):
            getattr(m.nn.utils, f"remove_{name}")(layer)


def symmetric(m):
    class Symmetric(m.nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).mT

        def right_inverse(self, x):
            return x.triu()

    return Symmetric()


def test_a_parametrization_of_ones_own():
    parametrize = retrograd.nn.utils.parametrize
    texts = []
    for m in (torch, retrograd):
        layer = m.nn.Linear(3, 3)
        p = m.nn.utils.parametrize
        p.register_parametrization(layer, "weight", symmetric(m))
        assert (layer.weight == layer.weight.mT).all() and p.is_parametrized(layer, "weight")
        assert not p.is_parametrized(layer, "bias") and p.type_before_parametrizations(layer) is m.nn.Linear
        assert sorted(n for n, _ in layer.named_parameters()) == ["bias", "parametrizations.weight.original"]
        layer.weight = m.ones(3, 3)
        assert (layer.weight == 1).all() and layer.parametrizations.weight.original[2, 0] == 0
        texts.append(repr(layer))
        with p.cached():
            assert layer.weight is layer.weight
        assert layer.weight is not layer.weight
        layer.weight.sum().backward()
        assert layer.parametrizations.weight.original.grad[0].tolist() == [1, 2, 2]
        p.remove_parametrizations(layer, "weight")
        assert type(layer) is m.nn.Linear and (layer.weight == 1).all() and not p.is_parametrized(layer)
    assert texts[0] == texts[1]
    assert parametrize.ParametrizationList


def test_mistakes():
    class Wide(retrograd.nn.Module):
        def forward(self, x):
            return retrograd.cat([x, x])

    p, layer = retrograd.nn.utils.parametrize, retrograd.nn.Linear(2, 2)
    with pytest.raises(ValueError, match="may not change the shape"):
        p.register_parametrization(layer, "weight", Wide())
    assert type(layer) is retrograd.nn.Linear and layer.weight.shape == (2, 2)
    with pytest.raises(ValueError, match="does not have a parameter"):
        p.register_parametrization(layer, "wait", Wide())
    with pytest.raises(ValueError, match="does not have a parametrization on"):
        p.remove_parametrizations(layer, "weight")
    p.register_parametrization(layer, "weight", Wide(), unsafe=True)
    assert layer.weight.shape == (4, 2)
    with pytest.raises(RuntimeError, match="does not implement right_inverse"):
        layer.weight = retrograd.ones(4, 2)
    with pytest.raises(ValueError, match="positive"):
        retrograd.nn.utils.parametrizations.spectral_norm(layer, "bias", n_power_iterations=0)
