"""Modules as functions: replaced parameters, ensembles, gradients of each example."""

from __future__ import annotations

import pytest

import retrograd as torch
from retrograd import nn
from retrograd.func import (
    functional_call,
    grad,
    jacrev,
    replace_all_batch_norm_modules_,
    stack_module_state,
    vmap,
)
from retrograd.nn import functional as F


def parameters_of(model):
    return {name: p.detach() for name, p in model.named_parameters()}


def test_parameters_are_replaced_for_one_call():
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1))
    own = dict(model.named_parameters())
    x = torch.randn(4, 3)
    before = model(x)
    zeros = {name: torch.zeros_like(p) for name, p in parameters_of(model).items()}
    assert torch.equal(functional_call(model, zeros, x), torch.zeros(4, 1))
    assert torch.equal(functional_call(model, zeros, (x,)), torch.zeros(4, 1))
    assert torch.equal(model(x), before)
    assert all(p is own[name] for name, p in model.named_parameters())


class _Failing(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1))

    def forward(self):
        assert self.w.item() == 1.0
        raise ZeroDivisionError


def test_a_failing_call_gives_the_parameters_back():
    model = _Failing()
    own = model.w
    with pytest.raises(ZeroDivisionError):
        functional_call(model, {"w": torch.ones(1)}, ())
    assert model.w is own


def test_tied_weights_are_replaced_together():
    model = nn.Module()
    model.a, model.b = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
    model.b.weight = model.a.weight
    model.forward = lambda x: model.b(model.a(x))
    given = {"a.weight": 2 * torch.eye(2)}
    assert torch.equal(functional_call(model, given, torch.ones(2)), 4 * torch.ones(2))
    apart = functional_call(model, given, torch.ones(2), tie_weights=False)
    assert torch.allclose(apart, 2 * model.a.weight.sum(1))


def test_buffers_are_replaced_and_updated_in_place():
    model = nn.BatchNorm1d(2)
    buffers = {name: b.clone() for name, b in model.named_buffers()}
    functional_call(model, (parameters_of(model), buffers), torch.randn(8, 2) + 5)
    assert buffers["running_mean"].abs().min() > 0.1
    assert torch.equal(model.running_mean, torch.zeros(2))


@pytest.mark.parametrize(
    ("given", "strict", "error", "message"),
    [
        (3, False, ValueError, "Expected parameter_and_buffer_dicts to be a dict"),
        ({"weight": 3}, False, TypeError, "3 is not an instance of torch.Tensor"),
        ({"5.weight": torch.ones(1)}, False, AttributeError, "Linear has no attribute `5`"),
        (({"weight": torch.ones(1)},) * 2, False, ValueError, "['weight'] appeared in multiple dictionaries"),
        ({"foo": torch.ones(1)}, True, RuntimeError, "Unexpected key(s): 'foo'.\n\tMissing key(s): 'bias', "),
    ],
)
def test_misuse_is_refused(given, strict, error, message):
    model = nn.Linear(2, 2)
    with pytest.raises(error) as caught:
        functional_call(model, given, torch.ones(2), strict=strict)
    assert message in str(caught.value)
    assert isinstance(model.weight, nn.Parameter)


def _convolution():
    layers = nn.Conv2d(2, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(16, 3)), (2, 4, 4)


def _grouped():
    return nn.Sequential(nn.Conv1d(4, 4, 2, groups=2), nn.Tanh(), nn.Flatten(), nn.Linear(12, 3)), (4, 4)


def _transposed():
    layers = nn.ConvTranspose1d(2, 2, 3, stride=2), nn.Sigmoid(), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(14, 3)), (2, 3)


def _batch_norm():
    layers = nn.Conv1d(2, 3, 2), nn.BatchNorm1d(3), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(9, 3)).eval(), (2, 4)


MODELS = {
    "linear": lambda: (nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), (6,)),
    "norms": lambda: (nn.Sequential(nn.Linear(6, 4), nn.LayerNorm(4), nn.GELU(), nn.Linear(4, 3)), (6,)),
    "convolution": _convolution,
    "grouped": _grouped,
    "transposed": _transposed,
    "batch norm": _batch_norm,
}


@pytest.mark.parametrize("name", MODELS)
def test_gradients_of_each_example_equal_a_loop(name):
    model, shape = MODELS[name]()
    parameters, buffers = parameters_of(model), dict(model.named_buffers())
    x, y = torch.randn(4, *shape), torch.randint(0, 3, (4,))

    def loss(parameters, x, y):
        return F.cross_entropy(functional_call(model, (parameters, buffers), (x[None],)), y[None])

    at_once = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, x, y)
    for i in range(4):
        model.zero_grad()
        F.cross_entropy(model(x[i : i + 1]), y[i : i + 1]).backward()
        for key, p in model.named_parameters():
            assert torch.allclose(at_once[key][i], p.grad, rtol=1e-4, atol=1e-6), (name, key)


def test_embeddings_have_gradients_of_each_example():
    table, at = torch.randn(5, 2), torch.tensor([[0, 1], [1, 1], [4, 0]])
    found = vmap(grad(lambda w, i: (F.embedding(i, w) ** 2).sum()), in_dims=(None, 0))(table, at)
    for row, i in zip(found, at, strict=True):
        assert torch.allclose(row, 2 * table * torch.bincount(i, minlength=5)[:, None])


def test_an_ensemble_runs_as_one():
    models = [nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)) for _ in range(5)]
    parameters, buffers = stack_module_state(models)
    assert parameters["0.weight"].shape == (5, 4, 3)
    assert parameters["0.weight"].requires_grad
    assert parameters["0.weight"].is_leaf
    x = torch.randn(7, 3)

    def call(parameters, buffers, x):
        return functional_call(models[0], (parameters, buffers), (x,))

    together = vmap(call, in_dims=(0, 0, None))(parameters, buffers, x)
    for k, model in enumerate(models):
        assert torch.allclose(together[k], model(x), atol=1e-6)
    for message, wrong in (
        ("at least one model, got 0", []),
        ("same training/eval mode", [nn.Linear(2, 2), nn.Linear(2, 2).eval()]),
        ("same class", [nn.Linear(2, 2), nn.ReLU()]),
    ):
        with pytest.raises(RuntimeError, match=message):
            stack_module_state(wrong)


def test_the_jacobian_of_a_module_in_its_parameters():
    model = nn.Linear(3, 2)
    x = torch.randn(3)
    found = jacrev(lambda p: functional_call(model, p, x))(parameters_of(model))
    assert torch.allclose(found["bias"], torch.eye(2))
    assert torch.allclose(found["weight"], torch.einsum("ij,k->ijk", torch.eye(2), x))


def test_batch_norm_forgets_its_statistics():
    model = replace_all_batch_norm_modules_(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    assert model[1].running_mean is None
    assert not model[1].track_running_stats
    x = torch.randn(3, 4, 2)
    together = vmap(model)(x)
    for k in range(3):
        assert torch.allclose(together[k], model(x[k]), atol=1e-5)
