"""Distributions agree with torch: densities, moments, gradients through samples, errors, and every draw."""

from __future__ import annotations

import math

import numpy as np
import pytest

import retrograd as torch

oracle = pytest.importorskip("torch")

# Each builds a distribution from the module `t` (retrograd or torch), and names values in its support.
CASES = {
    "normal": (lambda t: t.distributions.Normal(t.tensor([0.0, 1.0]), t.tensor([1.0, 2.5])), [0.3, -2.0]),
    "uniform": (lambda t: t.distributions.Uniform(t.tensor([0.0, -1.0]), t.tensor([1.0, 2.5])), [0.3, 2.0]),
    "exponential": (lambda t: t.distributions.Exponential(t.tensor([0.5, 2.5])), [0.3, 2.0]),
    "laplace": (lambda t: t.distributions.Laplace(t.tensor([0.0, 1.0]), t.tensor([1.0, 2.5])), [0.3, -2.0]),
    "log_normal": (lambda t: t.distributions.LogNormal(t.tensor([0.0, 1.0]), 0.5), [0.3, 2.0]),
    "gamma": (lambda t: t.distributions.Gamma(t.tensor([0.5, 2.5]), t.tensor([1.0, 2.0])), [0.3, 2.0]),
    "beta": (lambda t: t.distributions.Beta(t.tensor([0.5, 2.5]), t.tensor([1.5, 2.0])), [0.3, 0.6]),
    "dirichlet": (lambda t: t.distributions.Dirichlet(t.tensor([0.5, 2.5])), [0.3, 0.7]),
    "bernoulli": (lambda t: t.distributions.Bernoulli(t.tensor([0.3, 0.8])), [0.0, 1.0]),
    "bernoulli_logits": (lambda t: t.distributions.Bernoulli(logits=t.tensor([0.3, -0.8])), [0.0, 1.0]),
    "categorical": (lambda t: t.distributions.Categorical(t.tensor([[0.2, 0.8], [3.0, 1.0]])), [0, 1]),
    "categorical_logits": (lambda t: t.distributions.Categorical(logits=t.tensor([0.2, 0.8, -1.0])), [0, 2]),
    "multivariate": (
        lambda t: t.distributions.MultivariateNormal(t.zeros(2), t.tensor([[2.0, 0.5], [0.5, 1.0]])),
        [0.3, 0.7],
    ),
    "precision": (
        lambda t: t.distributions.MultivariateNormal(
            t.zeros(2), precision_matrix=t.tensor([[2.0, 0.5], [0.5, 1.0]])
        ),
        [0.3, 0.7],
    ),
    "independent": (
        lambda t: t.distributions.Independent(t.distributions.Normal(t.zeros(3, 2), 1.5), 1),
        [0.3, 0.7],
    ),
    "sigmoid": (
        lambda t: t.distributions.TransformedDistribution(
            t.distributions.Normal(t.zeros(2), 1.5),
            [t.distributions.AffineTransform(1.0, -2.0), t.distributions.SigmoidTransform()],
        ),
        [0.3, 0.7],
    ),
}
WITHOUT = {"sigmoid": {"mean", "variance", "stddev", "entropy"}}


def both(name):
    make, values = CASES[name]
    return make(torch), make(oracle), torch.tensor(values), oracle.tensor(values)


def same(ours, theirs, rtol=2e-6, atol=2e-6):
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=rtol, atol=atol)
    assert str(ours.dtype) == str(theirs.dtype)


@pytest.mark.parametrize("name", CASES)
def test_densities_and_moments(name):
    ours, theirs, value, oracle_value = both(name)
    assert tuple(ours.batch_shape) == tuple(theirs.batch_shape)
    assert tuple(ours.event_shape) == tuple(theirs.event_shape)
    assert repr(ours) == repr(theirs)
    assert repr(ours.support) == repr(theirs.support)
    same(ours.log_prob(value), theirs.log_prob(oracle_value))
    for fact in ("mean", "variance", "stddev", "entropy"):
        if fact in WITHOUT.get(name, ()):
            continue
        have, want = getattr(ours, fact), getattr(theirs, fact)
        same(have() if callable(have) else have, want() if callable(want) else want)


@pytest.mark.parametrize("name", CASES)
def test_samples_are_those_of_the_same_seed(name):
    ours, theirs, _, _ = both(name)
    torch.manual_seed(3)
    oracle.manual_seed(3)
    same(ours.sample((5,)), theirs.sample((5,)), rtol=1e-5)
    same(ours.sample(), theirs.sample(), rtol=1e-5)
    same(torch.rand(2), oracle.rand(2))  # as many numbers were drawn


@pytest.mark.parametrize("name", CASES)
def test_expanding(name):
    ours, theirs, _, _ = both(name)
    shape = (4, *ours.batch_shape)
    ours, theirs = ours.expand(shape), theirs.expand(shape)
    assert tuple(ours.batch_shape) == tuple(theirs.batch_shape)
    assert tuple(ours.event_shape) == tuple(theirs.event_shape)
    assert tuple(ours.sample((3,)).shape) == tuple(theirs.sample((3,)).shape)


@pytest.mark.parametrize("name", ["normal", "uniform", "exponential", "laplace", "log_normal", "sigmoid"])
def test_distribution_functions_and_their_inverses(name):
    ours, theirs, value, oracle_value = both(name)
    same(ours.cdf(value), theirs.cdf(oracle_value))
    p = [0.25, 0.9]
    same(ours.icdf(torch.tensor(p)), theirs.icdf(oracle.tensor(p)), rtol=1e-5)


TWO = {
    "Normal": (0.5, 1.5),
    "Laplace": (0.5, 1.5),
    "Uniform": (-1.0, 2.0),
    "LogNormal": (0.5, 1.5),
    "Gamma": (2.5, 1.5),
}


@pytest.mark.parametrize("family", TWO)
def test_gradients_through_samples(family):
    found = []
    for t in (torch, oracle):
        t.manual_seed(0)
        parameters = [t.full((6,), p, dtype=t.float64, requires_grad=True) for p in TWO[family]]
        getattr(t.distributions, family)(*parameters).rsample().square().sum().backward()
        found.append([p.grad.numpy() for p in parameters])
    # torch approximates the gamma's by series that are good to 1e-4; ours is exact: see the next test.
    np.testing.assert_allclose(found[0], found[1], rtol=2e-4 if family == "Gamma" else 1e-6)


def test_the_slope_of_a_gamma_sample_is_that_of_the_distribution_function():
    """Moving the shape parameter and the sample together leaves the probability where it was."""
    from retrograd.distributions.gamma import slope_in_shape

    shape, x, step = np.array([0.3, 1.0, 4.0, 30.0]), np.array([0.2, 2.0, 3.0, 35.0]), 1e-5
    slope = slope_in_shape(shape, x)

    def probability(a, at):
        return oracle.special.gammainc(oracle.tensor(a), oracle.tensor(at)).numpy()

    moved = probability(shape + step, x + slope * step) - probability(shape - step, x - slope * step)
    unmoved = probability(shape + step, x) - probability(shape - step, x)
    assert np.all(np.abs(moved) < 1e-4 * np.abs(unmoved))


def test_gradients_through_beta_samples_have_the_right_mean():
    """Their numbers differ from torch's; their mean is the derivative of the mean, b / (a + b)^2."""
    torch.manual_seed(0)
    a = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    torch.distributions.Beta(a, torch.tensor(3.0, dtype=torch.float64)).rsample((4000,)).mean().backward()
    assert abs(a.grad.item() - 3 / 25) < 0.005


PAIRS = {
    "normal": lambda d, t: (d.Normal(0.0, 1.0), d.Normal(1.0, 2.0)),
    "laplace": lambda d, t: (d.Laplace(0.0, 1.0), d.Laplace(1.0, 2.0)),
    "uniform": lambda d, t: (d.Uniform(0.0, 1.0), d.Uniform(t.tensor([-1.0, 0.5]), 2.0)),
    "bernoulli": lambda d, t: (
        d.Bernoulli(t.tensor([0.2, 0.0, 1.0])),
        d.Bernoulli(t.tensor([0.5, 0.5, 0.2])),
    ),
    "categorical": lambda d, t: (d.Categorical(t.tensor([0.2, 0.8])), d.Categorical(t.tensor([0.5, 0.5]))),
    "exponential": lambda d, t: (d.Exponential(1.0), d.Exponential(3.0)),
    "gamma": lambda d, t: (d.Gamma(2.0, 1.0), d.Gamma(3.0, 0.5)),
    "beta": lambda d, t: (d.Beta(2.0, 1.0), d.Beta(3.0, 0.5)),
    "log_normal": lambda d, t: (d.LogNormal(0.0, 1.0), d.LogNormal(1.0, 2.0)),
    "multivariate": lambda d, t: (
        d.MultivariateNormal(t.zeros(2), t.eye(2) * 2),
        d.MultivariateNormal(t.ones(2), t.tensor([[2.0, 0.5], [0.5, 1.0]])),
    ),
    "independent": lambda d, t: (
        d.Independent(d.Normal(t.zeros(3), 1.0), 1),
        d.Independent(d.Normal(t.ones(3), 2.0), 1),
    ),
    "disjoint": lambda d, t: (d.Normal(0.0, 1.0), d.Gamma(1.0, 2.0)),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_divergences(pair):
    ours = torch.distributions.kl_divergence(*PAIRS[pair](torch.distributions, torch))
    theirs = oracle.distributions.kl_divergence(*PAIRS[pair](oracle.distributions, oracle))
    same(ours, theirs)


WRONG = {
    "scale": lambda d, t: d.Normal(0.0, -1.0),
    "scales": lambda d, t: d.Normal(t.zeros(2), t.tensor([1.0, -2.0])),
    "nan": lambda d, t: d.Normal(math.nan, 1.0),
    "kind": lambda d, t: d.Normal("a", 1.0),
    "bounds": lambda d, t: d.Uniform(1.0, 0.0),
    "probability": lambda d, t: d.Bernoulli(1.5),
    "both": lambda d, t: d.Bernoulli(0.5, 0.5),
    "weights": lambda d, t: d.Categorical(t.tensor([-1.0, 2.0])),
    "no weights": lambda d, t: d.Categorical(t.tensor(1.0)),
    "concentration": lambda d, t: d.Beta(1.0, -1.0),
    "covariance": lambda d, t: d.MultivariateNormal(t.zeros(2), t.tensor([[1.0, 0.0], [0.0, -1.0]])),
    "no matrix": lambda d, t: d.MultivariateNormal(t.zeros(2)),
    "ndims": lambda d, t: d.Independent(d.Normal(t.zeros(3), 1.0), 2),
    "no tensor": lambda d, t: d.Normal(0.0, 1.0).log_prob(1.0),
    "value": lambda d, t: d.Exponential(1.0).log_prob(t.tensor([-1.0, 1.0])),
    "category": lambda d, t: d.Categorical(t.tensor([0.2, 0.8])).log_prob(t.tensor(2)),
    "shape": lambda d, t: d.Normal(t.zeros(2), 1.0).log_prob(t.zeros(3)),
    "no rsample": lambda d, t: d.Bernoulli(0.5).rsample(),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_are_those_of_torch(case):
    with pytest.raises(Exception) as ours:
        WRONG[case](torch.distributions, torch)
    with pytest.raises(Exception) as theirs:
        WRONG[case](oracle.distributions, oracle)
    assert type(ours.value) is type(theirs.value)
    assert str(ours.value) == str(theirs.value)


def test_checks_can_be_left_out():
    free = torch.distributions.Uniform(0.0, 1.0, validate_args=False)
    assert free.log_prob(torch.tensor(2.0)).item() == -math.inf


CONSTRAINTS = {
    "real": [0.0, math.nan],
    "positive": [0.0, 1.0],
    "nonnegative": [-1.0, 0.0],
    "boolean": [0.0, 0.5, 1.0],
    "unit_interval": [-0.1, 0.0, 1.0],
    "nonnegative_integer": [-1.0, 0.0, 1.5],
    "positive_integer": [0.0, 1.0],
    "simplex": [[0.2, 0.8], [0.3, 0.8], [-0.5, 1.5]],
    "one_hot": [[0.0, 1.0], [1.0, 1.0]],
    "lower_cholesky": [[1.0, 0.0], [2.0, 1.0]],
    "lower_triangular": [[1.0, 2.0], [0.0, 1.0]],
    "positive_definite": [[1.0, 2.0], [2.0, 1.0]],
    "symmetric": [[1.0, 2.0], [2.0, 1.0]],
    "square": [[1.0, 2.0]],
}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraints(name):
    ours = getattr(torch.distributions.constraints, name)
    theirs = getattr(oracle.distributions.constraints, name)
    value = CONSTRAINTS[name]
    assert repr(ours) == repr(theirs)
    assert ours.event_dim == theirs.event_dim
    assert ours.check(torch.tensor(value)).tolist() == theirs.check(oracle.tensor(value)).tolist()
