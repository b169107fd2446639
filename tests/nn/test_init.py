"""Initial values: torch's numbers for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

import retrograd
from retrograd.nn import init

CASES = [
    ("uniform_", (30,), {"a": -1, "b": 2}), ("normal_", (30,), {"mean": 1, "std": 2}), ("trunc_normal_",
    (50,), {}),
    ("trunc_normal_", (5,), {"std": 0.02}), ("trunc_normal_", (40,), {"a": -0.5, "b": 0.5}),
    ("xavier_uniform_", (5, 7), {"gain": 2.0}), ("xavier_normal_", (5, 7, 3), {}),
    ("kaiming_uniform_", (5, 7), {"mode": "fan_out", "nonlinearity": "relu"}),
    ("kaiming_normal_", (5, 7, 3), {"a": 0.1}), ("orthogonal_", (5, 7), {"gain": 2}), ("orthogonal_", (7, 5,
    2), {}),
    ("orthogonal_", (20, 5), {}), ("sparse_", (8, 5), {"sparsity": 0.3}), ("dirac_", (4, 2, 3), {"groups":
    2}),
    ("eye_", (3, 4), {}), ("constant_", (3,), {"val": 2.5}), ("ones_", (3,), {}), ("zeros_", (3,), {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "shape", "kwargs"), CASES)
def test_numbers_are_torchs(name, shape, kwargs):
    torch = pytest.importorskip("torch")
    torch.manual_seed(3)
    retrograd.manual_seed(3)
    wanted = getattr(torch.nn.init, name)(torch.empty(shape), **kwargs)
    tensor = retrograd.empty(*shape)
    assert getattr(init, name)(tensor, **kwargs) is tensor
    np.testing.assert_allclose(tensor.numpy(), wanted.numpy(), rtol=3e-6, atol=3e-7)
    assert retrograd.rand(1).item() == torch.rand(1).item()
    assert tensor._version > 0


def test_a_linear_layer_of_seed_0():
    retrograd.manual_seed(0)
    layer = retrograd.nn.Linear(2, 2)
    wanted = [[-0.005293981172144413, 0.37932288646698], [-0.5819807648658752, -0.5203874707221985]]
    np.testing.assert_allclose(layer.weight.detach().numpy(), wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "param", "gain"),
    [
        ("linear", None, 1),
        ("tanh", None, 5 / 3),
        ("relu", None, 2**0.5),
        ("leaky_relu", 0.2, 1.3867504905630728),
        ("selu", None, 0.75),
    ],
)
def test_gain(name, param, gain):
    assert init.calculate_gain(name, param) == gain


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: init.calculate_gain("x"), "Unsupported nonlinearity x"),
        (lambda: init.calculate_gain("leaky_relu", True), "negative_slope True not a valid number"),
        (
            lambda: init.xavier_uniform_(retrograd.empty(3)),
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions",
        ),
        (
            lambda: init.kaiming_uniform_(retrograd.empty(3, 3), mode="x"),
            r"Mode x not supported, please use one of \['fan_in', 'fan_out'\]",
        ),
        (lambda: init.eye_(retrograd.empty(3)), "Only tensors with 2 dimensions are supported"),
        (lambda: init.dirac_(retrograd.empty(3, 3, 2), groups=2), "dim 0 must be divisible by groups"),
    ],
)
def test_errors(act, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        act()


def test_old_names_warn():
    with pytest.warns(
        FutureWarning, match="`nn.init.uniform` is now deprecated in favor of `nn.init.uniform_`."
    ):
        init.uniform(retrograd.empty(2))
