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


def test_searchsorted_of_rows_of_nothing():
    for edges, values in (((0, 0), (0, 0)), ((2, 0), (2, 0)), ((2, 3), (2, 0)), ((0, 3), (0, 2))):
        found = rg.searchsorted(rg.zeros(edges), rg.zeros(values))
        assert found.shape == values and found.dtype is rg.int64
    assert rg.searchsorted(rg.zeros(2, 0), rg.zeros(2, 3)).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_bool_summed_to_no_dimensions_counts():
    assert rg.tensor(True).sum_to_size(()).dtype is rg.int64
