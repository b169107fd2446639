"""Gamma, beta and Dirichlet distributions, with gradients through their samples."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

import retrograd
from retrograd.autograd.function import Function
from retrograd.distributions import constraints
from retrograd.distributions.distribution import ExponentialFamily
from retrograd.distributions.utils import broadcast_all
from retrograd.ops.gamma_functions import digamma
from retrograd.random import Generator, default_generator
from retrograd.tensor import wrap

_THIRD = float(np.float32(1 / 3))  # torch's, also where the rest is float64


def draw_gamma(shape: float, generator: Generator) -> float:
    """Draw a gamma variable of one shape parameter and rate 1.

    Source: G. Marsaglia, W. Tsang, "A simple method for generating gamma variables" (2000): accept a cubed
    normal; a shape below one is drawn as shape + 1 and scaled by a power of a uniform number.
    """
    scale = 1.0
    if shape < 1.0:
        if shape == 0.0:
            return 0.0
        scale = (1.0 - float(generator.doubles(1)[0])) ** (1.0 / shape)
        shape += 1.0
    d = shape - _THIRD
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        y = 0.0
        while y <= 0.0:
            x = float(generator.paired_normals(1)[0])
            y = 1.0 + c * x
        v = y * y * y
        u = 1.0 - float(generator.doubles(1)[0])
        square = x * x
        if u < 1.0 - 0.0331 * square * square:
            return scale * d * v
        if math.log(u) < 0.5 * square + d * (1.0 - v + math.log(v)):
            return scale * d * v


def slope_in_shape(shape: Any, x: Any) -> Any:
    """Return by how much a gamma sample x moves with its shape parameter, its probability held fixed.

    Math: -(dP/da) / p for the distribution function P = x^a e^-x / gamma(a + 1) * S and density p, where S is
    the sum of x^n / ((a + 1) ... (a + n)): the powers and exponentials cancel.
    Numerics: float64; the series has as many terms as x needs, all positive.
    """
    term = np.ones_like(x)
    total, harmonic, total_slope = term.copy(), np.zeros_like(x), np.zeros_like(x)
    n = 0
    while bool((term > 1e-17 * total).any()):
        n += 1
        term = term * x / (shape + n)
        harmonic = harmonic + 1.0 / (shape + n)
        total = total + term
        total_slope = total_slope - term * harmonic
    found = -(x / shape) * (total * (np.log(x) - digamma(shape + 1.0)) + total_slope)
    return np.where(x > 0, found, 0.0)


class _StandardGamma(Function):
    """A draw from the gamma distribution of rate 1, differentiable in the shape parameter."""

    @staticmethod
    def forward(ctx: Any, concentration: Any) -> Any:
        shapes = concentration._array.astype(np.float64)
        drawn = np.array([draw_gamma(a, default_generator) for a in shapes.reshape(-1).tolist()])
        array = drawn.reshape(shapes.shape).astype(concentration._array.dtype)
        made = wrap(np.maximum(array, np.finfo(array.dtype).tiny) if array.dtype.itemsize > 2 else array)
        ctx.slope = slope_in_shape(shapes, made._array.astype(np.float64)).astype(array.dtype)
        return made

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad * wrap(ctx.slope)


class Gamma(ExponentialFamily):
    """The gamma distribution of a shape (`concentration`) and a rate."""

    arg_constraints: ClassVar[dict[str, Any]] = {
        "concentration": constraints.positive,
        "rate": constraints.positive,
    }
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(self.concentration.shape, validate_args=validate_args)

    @property
    def mean(self) -> Any:
        return self.concentration / self.rate

    @property
    def mode(self) -> Any:
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Any:
        return self.concentration / self.rate.pow(2)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return self._expanded(batch_shape, _instance, {"concentration": 0, "rate": 0})

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        drawn = _StandardGamma.apply(self.concentration.expand(shape)) / self.rate.expand(shape)
        return drawn.clamp(min=retrograd.finfo(drawn.dtype).tiny)

    def log_prob(self, value: Any) -> Any:
        value = retrograd.as_tensor(value, dtype=self.rate.dtype)
        if self._validate_args:
            self._validate_sample(value)
        return (
            retrograd.xlogy(self.concentration, self.rate)
            + retrograd.xlogy(self.concentration - 1, value)
            - self.rate * value
            - retrograd.lgamma(self.concentration)
        )

    def entropy(self) -> Any:
        shape = self.concentration
        return shape - self.rate.log() + retrograd.lgamma(shape) + (1.0 - shape) * retrograd.digamma(shape)


class Dirichlet(ExponentialFamily):
    """The Dirichlet distribution of probabilities that sum to one.

    Source: samples are gamma variables divided by their sum; gradients flow through these, so that they are
    other numbers than torch's, with the same mean.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "concentration": constraints.independent(constraints.positive, 1)
    }
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration: Any, validate_args: bool | None = None) -> None:
        if concentration.dim() < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args=validate_args)

    @property
    def mean(self) -> Any:
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def variance(self) -> Any:
        total = self.concentration.sum(-1, True)
        return self.concentration * (total - self.concentration) / (total.pow(2) * (total + 1))

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return self._expanded(batch_shape, _instance, {"concentration": 1})

    def rsample(self, sample_shape: Any = ()) -> Any:
        drawn = _StandardGamma.apply(self.concentration.expand(self._extended_shape(sample_shape)))
        return drawn / drawn.sum(-1, keepdim=True)

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        return (
            retrograd.xlogy(self.concentration - 1.0, value).sum(-1)
            + retrograd.lgamma(self.concentration.sum(-1))
            - retrograd.lgamma(self.concentration).sum(-1)
        )

    def entropy(self) -> Any:
        count, each, total = self.concentration.size(-1), self.concentration, self.concentration.sum(-1)
        return (
            retrograd.lgamma(each).sum(-1)
            - retrograd.lgamma(total)
            - (count - total) * retrograd.digamma(total)
            - ((each - 1.0) * retrograd.digamma(each)).sum(-1)
        )


class Beta(ExponentialFamily):
    """The beta distribution on [0, 1] of two concentrations: the first part of a Dirichlet pair."""

    arg_constraints: ClassVar[dict[str, Any]] = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None) -> None:
        pair = retrograd.stack(broadcast_all(concentration1, concentration0), -1)
        self._dirichlet = Dirichlet(pair, validate_args=validate_args)
        super().__init__(self._dirichlet.batch_shape, validate_args=validate_args)

    @property
    def concentration1(self) -> Any:
        """The first concentration."""
        return self._dirichlet.concentration[..., 0]

    @property
    def concentration0(self) -> Any:
        """The second concentration."""
        return self._dirichlet.concentration[..., 1]

    @property
    def mean(self) -> Any:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Any:
        return (self.concentration1 - 1) / (self.concentration1 + self.concentration0 - 2)

    @property
    def variance(self) -> Any:
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total.pow(2) * (total + 1))

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        made = self._expanded(batch_shape, _instance, {})
        made._dirichlet = self._dirichlet.expand(batch_shape)
        return made

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self._dirichlet.rsample(sample_shape)[..., 0]

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        return self._dirichlet.log_prob(retrograd.stack([value, 1.0 - value], -1))

    def entropy(self) -> Any:
        return self._dirichlet.entropy()
