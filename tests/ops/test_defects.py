"""Defects of ops that were found in use: each test fails without its mend."""

from __future__ import annotations

import numpy as np

import retrograd as rg


def double(values, **options):
    return rg.tensor(values, dtype=rg.float64, requires_grad=True, **options)


def test_the_second_derivative_of_logcumsumexp_of_large_numbers_is_finite():
    x = double([1.0, 4000.0, -5.0, 3990.0])
    (g,) = rg.autograd.grad(rg.logcumsumexp(x, 0).sum(), x, create_graph=True)
    (second,) = rg.autograd.grad((g * rg.arange(4)).sum(), x)
    assert np.isfinite(second.numpy()).all()
