"""Gamma and Bessel functions, element by element.

The numbers come from gamma_functions; here are their derivatives.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import gamma_functions as functions
from retrograd.ops import samples
from retrograd.ops.declare import Array, ErrorSample, Operand, Sample, error, sample
from retrograd.ops.families import pointwise

_both = "torch Tensor special"


def _lgamma_rule(ct: Any, input: Any) -> Any:
    return ct * digamma(input)


@pointwise(
    node="LgammaBackward0",
    input=_lgamma_rule,
    promote="float",
    samples=samples.positive,
    kinds="f",
    primitive=True,
)
def lgamma(input: Array) -> Array:
    """Compute log |gamma(input)|."""
    return functions.lgamma(input)


def _digamma_rule(ct: Any, input: Any) -> Any:
    return ct * polygamma(input, 1)


@pointwise(
    node="DigammaBackward0",
    input=_digamma_rule,
    promote="float",
    samples=samples.positive,
    kinds="f",
    places=_both,
    primitive=True,
)
def digamma(input: Array) -> Array:
    """Compute the derivative of lgamma."""
    return functions.digamma(input)


def _orders() -> Iterator[Sample]:
    x = samples.ramp(0.4, 3.0, 2, 3)
    for n in (0, 1, 2, 4):
        yield sample(x, n)


def _negative_order() -> Iterator[ErrorSample]:
    yield error(RuntimeError, "polygamma(n, x) does not support negative n.", np.ones(2), -1)


def _polygamma_rule(ct: Any, input: Any, n: int) -> Any:
    return ct * polygamma(input, n + 1)


@pointwise(
    node="PolygammaBackward0",
    input=_polygamma_rule,
    promote="float",
    samples=_orders,
    errors=_negative_order,
    kinds="f",
    places="",
    primitive=True,
)
def polygamma(input: Array, n: int) -> Array:
    """Compute the n-th derivative of digamma; torch.polygamma takes `n` first."""
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return functions.polygamma(n, input)


def _no_zeta_rule(ct: Any) -> Any:
    raise NotImplementedError("the derivative for 'zeta' is not implemented.")


@pointwise(
    node="NotImplemented",
    input=_no_zeta_rule,
    other=_no_zeta_rule,
    promote="float",
    samples=lambda: iter([sample(np.array([1.5, 2.0, 4.0]), np.array([1.0, 0.5, 3.0]), grad=False)]),
    kinds="f",
    places="special",
    inplace=False,
    primitive=True,
)
def zeta(input: Operand, other: Operand) -> Array:
    """Compute Hurwitz's zeta function: the sum of (other + k)**-input over k = 0, 1, 2, ..."""
    return functions.zeta(np.asarray(input), np.asarray(other))


# ---- modified Bessel functions ----


def _i1_slope(input: Any, result: Any, zeroth: Any) -> Any:
    """Return I0 - I1 / x, which tends to 1/2 at 0."""
    at_zero = input == 0
    return np.where(at_zero, 0.5, zeroth - result / np.where(at_zero, 1, input))


def _i0_rule(ct: Any, input: Any) -> Any:
    return ct * i1(input)


def _i0e_rule(ct: Any, input: Any, result: Any) -> Any:
    return ct * (i1e(input) - np.sign(input) * result)


_bessel: dict[str, Any] = {
    "promote": "float", "samples": samples.real, "kinds": "f", "inplace": False, "primitive": True,
}  # fmt: skip


@pointwise(node="I0Backward0", input=_i0_rule, places=_both, **(_bessel | {"inplace": True}))
def i0(input: Array) -> Array:
    """Compute the modified Bessel function of the first kind of order 0."""
    return functions.i0(input)


@pointwise(
    node="SpecialI0EBackward0",
    input=_i0e_rule,
    places="special",
    **_bessel,
)
def i0e(input: Array) -> Array:
    """Compute exp(-|input|) * i0(input)."""
    return functions.i0e(input)


@pointwise(
    node="SpecialI1Backward0",
    input=lambda ct, input, result: ct * _i1_slope(input, result, i0(input)),
    places="special",
    **_bessel,
)
def i1(input: Array) -> Array:
    """Compute the modified Bessel function of the first kind of order 1."""
    return functions.i1(input)


@pointwise(
    node="SpecialI1EBackward0",
    input=lambda ct, input, result: ct * (_i1_slope(input, result, i0e(input)) - np.sign(input) * result),
    places="special",
    **_bessel,
)
def i1e(input: Array) -> Array:
    """Compute exp(-|input|) * i1(input)."""
    return functions.i1e(input)


@pointwise(
    places="special", name="modified_bessel_i0", **(_bessel | {"samples": samples.kinked(samples.real)})
)
def _modified_bessel_i0(input: Array) -> Array:
    """Compute i0(input), by its other name; this one has no gradient."""
    return functions.i0(input)


@pointwise(
    places="special", name="modified_bessel_i1", **(_bessel | {"samples": samples.kinked(samples.real)})
)
def _modified_bessel_i1(input: Array) -> Array:
    """Compute i1(input), by its other name; this one has no gradient."""
    return functions.i1(input)


@pointwise(places="special", **(_bessel | {"samples": samples.kinked(samples.real), "primitive": False}))
def spherical_bessel_j0(input: Array) -> Array:
    """Compute sin(x) / x, 1 at 0; it has no gradient."""
    x = np.where(input == 0, 1, input)
    return np.where(np.isinf(input), 0, np.where(input == 0, 1, np.sin(x) / x))
