"""Limits on gradients, and parameters as one vector."""

from __future__ import annotations

import math

import numpy as np
import pytest

import retrograd as torch
from retrograd import nn
from retrograd.nn import utils


def _parameters(grads):
    made = []
    for grad in grads:
        p = nn.Parameter(torch.zeros(len(grad)))
        p.grad = torch.tensor(grad)
        made.append(p)
    return made


@pytest.mark.parametrize(("kind", "norm"), [(2, 13.0), (1, 19.0), (math.inf, 12.0), (3, 1819 ** (1 / 3))])
def test_clip_grad_norm(kind, norm):
    params = _parameters([[3.0, 4.0], [12.0]])
    assert utils.clip_grad_norm_(params, 6.5, kind).item() == pytest.approx(norm)
    scale = 6.5 / norm
    np.testing.assert_allclose(params[0].grad.numpy(), [3 * scale, 4 * scale], rtol=1e-5)


def test_gradients_below_the_limit_stay():
    params = _parameters([[3.0, 4.0]])
    utils.clip_grad_norm_(params, 10.0)
    assert params[0].grad.tolist() == [3.0, 4.0]


def test_not_finite():
    params = _parameters([[math.nan]])
    with pytest.raises(
        RuntimeError, match=r"The total norm of order 2.0 for gradients from `parameters` is non-finite"
    ):
        utils.clip_grad_norm_(params, 1.0, error_if_nonfinite=True)


def test_clip_grad_value():
    params = _parameters([[3.0, -4.0]])
    utils.clip_grad_value_(params, 2)
    assert params[0].grad.tolist() == [2.0, -2.0]


def test_parameters_as_a_vector_and_back():
    net = nn.Linear(2, 2)
    vector = utils.parameters_to_vector(net.parameters())
    assert vector.shape == (6,)
    assert vector.requires_grad
    utils.vector_to_parameters(torch.arange(6.0), net.parameters())
    assert net.weight.tolist() == [[0.0, 1.0], [2.0, 3.0]]
    assert net.bias.tolist() == [4.0, 5.0]
