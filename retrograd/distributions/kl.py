"""The Kullback-Leibler divergence between two distributions, by a table of pairs of families."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import retrograd
from retrograd.distributions.continuous import Exponential, Laplace, Uniform
from retrograd.distributions.discrete import Bernoulli, Categorical
from retrograd.distributions.distribution import Distribution
from retrograd.distributions.gamma import Beta, Dirichlet, Gamma
from retrograd.distributions.normal import (
    LogNormal,
    MultivariateNormal,
    Normal,
    half_log_det,
    squared_distance,
)
from retrograd.distributions.transformed import Independent, TransformedDistribution
from retrograd.distributions.utils import functional, linalg, sum_rightmost

_Rule = Callable[[Any, Any], Any]
_RULES: dict[tuple[type, type], _Rule] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[_Rule], _Rule]:
    """Return a decorator that makes a function the rule for two families (and families derived from them).

    Raises:
        TypeError: one of the two is no Distribution class.
    """
    for kind, name in ((type_p, "type_p"), (type_q, "type_q")):
        if not (isinstance(kind, type) and issubclass(kind, Distribution)):
            raise TypeError(f"Expected {name} to be a Distribution subclass but got {kind}")

    def decorate(rule: _Rule) -> _Rule:
        _RULES[type_p, type_q] = rule
        return rule

    return decorate


def kl_divergence(p: Any, q: Any) -> Any:
    """Return the expectation under p of log p - log q.

    Raises:
        NotImplementedError: no rule is known for the two families.
    """
    rule = _found(type(p), type(q))
    if rule is None:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {p.__class__.__name__} and q type "
            f"{q.__class__.__name__}"
        )
    return rule(p, q)


def _found(p: type, q: type) -> _Rule | None:
    """Return the rule of the closest families in the order of inheritance."""
    fitting = [
        (p.__mro__.index(first) + q.__mro__.index(second), rule)
        for (first, second), rule in _RULES.items()
        if issubclass(p, first) and issubclass(q, second)
    ]
    return min(fitting, key=lambda pair: pair[0])[1] if fitting else None


@register_kl(Normal, Normal)
def _normal(p: Any, q: Any) -> Any:
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - ratio.log())


@register_kl(Uniform, Uniform)
def _uniform(p: Any, q: Any) -> Any:
    found = ((q.high - q.low) / (p.high - p.low)).log()
    return found.masked_fill((q.low > p.low) | (q.high < p.high), math.inf)


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Any, q: Any) -> Any:
    one = p.probs * (functional.softplus(-q.logits) - functional.softplus(-p.logits))
    one = one.masked_fill(q.probs == 0, math.inf).masked_fill(p.probs == 0, 0)
    zero = (1 - p.probs) * (functional.softplus(q.logits) - functional.softplus(p.logits))
    return one + zero.masked_fill(q.probs == 1, math.inf).masked_fill(p.probs == 1, 0)


@register_kl(Categorical, Categorical)
def _categorical(p: Any, q: Any) -> Any:
    parts = p.probs * (p.logits - q.logits)
    parts = parts.masked_fill((q.probs == 0).expand_as(parts), math.inf)
    return parts.masked_fill((p.probs == 0).expand_as(parts), 0).sum(-1)


@register_kl(Exponential, Exponential)
def _exponential(p: Any, q: Any) -> Any:
    ratio = q.rate / p.rate
    return ratio - 1 - ratio.log()


@register_kl(Laplace, Laplace)
def _laplace(p: Any, q: Any) -> Any:
    ratio, away = p.scale / q.scale, (p.loc - q.loc).abs()
    return away / q.scale - ratio.log() + ratio * (-away / p.scale).exp() - 1


@register_kl(Gamma, Gamma)
def _gamma(p: Any, q: Any) -> Any:
    return (
        q.concentration * (p.rate / q.rate).log()
        + retrograd.lgamma(q.concentration)
        - retrograd.lgamma(p.concentration)
        + (p.concentration - q.concentration) * retrograd.digamma(p.concentration)
        + (q.rate - p.rate) * (p.concentration / p.rate)
    )


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Any, q: Any) -> Any:
    total = p.concentration.sum(-1)
    pull = retrograd.digamma(p.concentration) - retrograd.digamma(total).unsqueeze(-1)
    return (
        retrograd.lgamma(total)
        - retrograd.lgamma(q.concentration.sum(-1))
        - (retrograd.lgamma(p.concentration) - retrograd.lgamma(q.concentration)).sum(-1)
        + ((p.concentration - q.concentration) * pull).sum(-1)
    )


@register_kl(Beta, Beta)
def _beta(p: Any, q: Any) -> Any:
    return _dirichlet(p._dirichlet, q._dirichlet)


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate(p: Any, q: Any) -> Any:
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two Multivariate Normals with different event shapes cannot be computed"
        )
    ours, theirs = p._unbroadcasted_scale_tril, q._unbroadcasted_scale_tril
    batch = retrograd.broadcast_shapes(ours.shape[:-2], theirs.shape[:-2])
    theirs_, ours_ = theirs.expand((*batch, -1, -1)), ours.expand((*batch, -1, -1))
    spread = linalg.solve_triangular(theirs_, ours_, upper=False).pow(2).sum((-2, -1))
    away = squared_distance(theirs, q.loc - p.loc)
    return half_log_det(theirs) - half_log_det(ours) + 0.5 * (spread + away - p.event_shape[0])


@register_kl(Independent, Independent)
def _independent(p: Any, q: Any) -> Any:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: Any, q: Any) -> Any:
    same = [type(t) for t in p.transforms] == [type(t) for t in q.transforms]
    if not same or any(vars(a) != vars(b) for a, b in zip(p.transforms, q.transforms, strict=True)):
        raise NotImplementedError("kl_divergence: the two distributions must have equal transforms")
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(LogNormal, LogNormal)
def _log_normal(p: Any, q: Any) -> Any:
    return kl_divergence(p.base_dist, q.base_dist)


def _infinite(p: Any, q: Any) -> Any:
    """P reaches values that q never takes."""
    shape = retrograd.broadcast_shapes(p.batch_shape, q.batch_shape)
    return retrograd.full(shape, math.inf)


_wide: type
for _wide in (Normal, Laplace):
    for _narrow in (Exponential, Gamma, Beta, Uniform):
        register_kl(_wide, _narrow)(_infinite)
for _wide in (Exponential, Gamma):
    for _narrow in (Beta, Uniform):
        register_kl(_wide, _narrow)(_infinite)
