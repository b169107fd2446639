"""The regularised incomplete gamma functions, element by element.

The numbers come from incomplete_gamma; here are their derivatives.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import incomplete_gamma as functions
from retrograd.ops import samples
from retrograd.ops.declare import Array, Sample, sample
from retrograd.ops.families import pointwise
from retrograd.ops.gamma import digamma


def _pairs() -> Iterator[Sample]:
    yield from samples.positive_pairs()
    yield sample(np.array([30.0, 250.0, 2e5]), np.array([25.0, 260.0, 2.001e5]), grad=False)


def _density_rule(ct: Any, x: Any, a: Any, result: Any) -> Any:
    return ct * (result * ((a - 1) / x - 1))


@pointwise(
    node="GammaDensityBackward0",
    x=_density_rule,
    a=lambda ct, x, a, result: ct * (result * (np.log(x) - digamma(a))),
    promote="float",
    samples=lambda: [sample(s.args[1], s.args[0]) for s in samples.positive_pairs()],
    kinds="f",
    places="",
    primitive=True,
)
def gamma_density(x: Array, a: Array) -> Array:
    """Compute x**(a - 1) exp(-x) / gamma(a), the slope of igamma."""
    return functions.density(a, x)


def _no_order_rule(name: str) -> Any:
    def rule(ct: Any) -> Any:
        raise NotImplementedError(f"the derivative for '{name}: input' is not implemented.")

    return rule


_settings: dict[str, Any] = {
    "promote": "float", "samples": _pairs, "kinds": "f", "primitive": True,
}  # fmt: skip


@pointwise(
    node="IgammaBackward0",
    input=_no_order_rule("igamma"),
    other=lambda ct, input, other: ct * gamma_density(other, input),
    **_settings,
)
def igamma(input: Array, other: Array) -> Array:
    """Compute the integral of t**(input - 1) exp(-t) from 0 to `other`, divided by gamma(input)."""
    return functions.lower(input, other)


@pointwise(
    node="IgammacBackward0",
    input=_no_order_rule("igammac"),
    other=lambda ct, input, other: -ct * gamma_density(other, input),
    **_settings,
)
def igammac(input: Array, other: Array) -> Array:
    """Compute the integral of t**(input - 1) exp(-t) from `other` to infinity, divided by gamma(input)."""
    return functions.upper(input, other)
