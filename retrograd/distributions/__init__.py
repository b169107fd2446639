"""torch.distributions: random variables with densities, samples and gradients through samples.

Samples are torch's for the same seed. Families that are not here raise AttributeError.
"""

from __future__ import annotations

from retrograd.distributions import constraints, transforms
from retrograd.distributions.continuous import Exponential, Laplace, Uniform
from retrograd.distributions.discrete import Bernoulli, Categorical
from retrograd.distributions.distribution import Distribution, ExponentialFamily
from retrograd.distributions.gamma import Beta, Dirichlet, Gamma
from retrograd.distributions.kl import kl_divergence, register_kl
from retrograd.distributions.normal import LogNormal, MultivariateNormal, Normal
from retrograd.distributions.transformed import Independent, TransformedDistribution
from retrograd.distributions.transforms import (
    AffineTransform,
    ComposeTransform,
    ExpTransform,
    SigmoidTransform,
    TanhTransform,
    Transform,
)

__all__ = [
    "AffineTransform", "Bernoulli", "Beta", "Categorical", "ComposeTransform", "Dirichlet", "Distribution",
    "ExpTransform", "Exponential", "ExponentialFamily", "Gamma", "Independent", "Laplace", "LogNormal",
    "MultivariateNormal", "Normal", "SigmoidTransform", "TanhTransform", "Transform",
    "TransformedDistribution", "Uniform", "constraints", "kl_divergence", "register_kl", "transforms",
]  # fmt: skip
