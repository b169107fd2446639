"""Special functions, element by element: the error function and its kin, entropies.

The numbers come from special_functions; here are their derivatives.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograd.ops import samples
from retrograd.ops import special_functions as functions
from retrograd.ops.declare import Array, Operand
from retrograd.ops.families import pointwise

_TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)
_ROOT_HALF_PI = math.sqrt(math.pi / 2)
_both = "torch Tensor special"


@pointwise(
    node="ErfBackward0",
    input=lambda ct, input: ct * (_TWO_OVER_ROOT_PI * np.exp(-(input * input))),
    promote="float",
    samples=samples.real,
    kinds="f",
    places=_both,
    primitive=True,
)
def erf(input: Array) -> Array:
    """Compute the error function: 2/sqrt(pi) times the integral of exp(-t**2) from 0 to input."""
    return functions.erf(input)


@pointwise(
    node="ErfcBackward0",
    input=lambda ct, input: ct * (-_TWO_OVER_ROOT_PI * np.exp(-(input * input))),
    promote="float",
    samples=samples.real,
    kinds="f",
    places=_both,
    primitive=True,
)
def erfc(input: Array) -> Array:
    """Compute 1 - erf(input), without cancellation for large input."""
    return functions.erfc(input)


@pointwise(
    node="SpecialErfcxBackward0",
    input=lambda ct, input, result: ct * (2 * input * result - _TWO_OVER_ROOT_PI),
    promote="float",
    samples=samples.real,
    kinds="f",
    places="special",
    inplace=False,
    primitive=True,
)
def erfcx(input: Array) -> Array:
    """Compute exp(input**2) * erfc(input), which neither overflows nor underflows for positive input."""
    return functions.erfcx(input)


@pointwise(
    node="ErfinvBackward0",
    input=lambda ct, result: ct * (np.exp(result * result) / _TWO_OVER_ROOT_PI),
    promote="float",
    samples=samples.unit,
    kinds="f",
    places=_both,
    primitive=True,
)
def erfinv(input: Array) -> Array:
    """Compute the inverse of erf; infinite at -1 and 1, NaN outside."""
    return functions.erfinv(input)


@pointwise(
    node="MulBackward1",
    input=lambda ct, input: ct * (np.exp(-0.5 * (input * input)) / (2 * _ROOT_HALF_PI)),
    promote="float",
    samples=samples.real,
    kinds="f",
    places="special",
    inplace=False,
    primitive=True,
)
def ndtr(input: Array) -> Array:
    """Compute the distribution function of the standard normal distribution."""
    return functions.ndtr(input)


@pointwise(
    node="SpecialLogNdtrBackward0",
    input=lambda ct, input: ct / (_ROOT_HALF_PI * erfcx(input * -math.sqrt(0.5))),
    promote="float",
    samples=samples.real,
    kinds="f",
    places="special",
    inplace=False,
    primitive=True,
)
def log_ndtr(input: Array) -> Array:
    """Compute log(ndtr(input)), also where ndtr(input) is too small for a number."""
    return functions.log_ndtr(input)


@pointwise(
    node="SpecialNdtriBackward0",
    input=lambda ct, result: ct * (2 * _ROOT_HALF_PI * np.exp(0.5 * (result * result))),
    promote="float",
    samples=samples.within(0.05, 0.95),
    kinds="f",
    places="special",
    inplace=False,
    primitive=True,
)
def ndtri(input: Array) -> Array:
    """Compute the inverse of ndtr."""
    return functions.ndtri(input)


# ---- entropies and products with logarithms ----


@pointwise(
    node="SpecialEntrBackward0",
    input=lambda ct, input: np.where(input < 0, np.nan, ct * (-1 - np.log(input))),
    promote="float",
    samples=samples.positive,
    kinds="f",
    places="special",
    inplace=False,
)
def entr(input: Array) -> Array:
    """Compute -x * log(x): 0 at 0, minus infinity below."""
    positive = np.where(input > 0, input, 1)
    return np.where(
        input > 0, -input * np.log(positive), np.where(input == 0, 0, np.where(input < 0, -np.inf, input))
    )


def _log_node(name: str) -> Any:
    def node(input: Any, other: Any) -> str:
        return f"{name}{2 if _number(other) else 1 if _number(input) else 0}"

    return node


def _number(x: Any) -> bool:
    return isinstance(x, (int, float))


@pointwise(
    node=_log_node("XlogyBackward"),
    input=lambda ct, input, other: np.where((input == 0) & (other <= 0), 0, ct * np.log(other)),
    other=lambda ct, input, other: ct * (input / other),
    promote="float",
    samples=samples.positive_pairs,
    kinds="f",
    places=_both,
)
def xlogy(input: Operand, other: Operand) -> Array:
    """Compute x * log(y), 0 where x is 0 whatever y (but NaN)."""
    return np.where(np.isnan(other), other, np.where(input == 0, 0, input * np.log(other)))


@pointwise(
    node=_log_node("SpecialXlog1PyBackward"),
    input=lambda ct, input, other: np.where((input == 0) & (other <= -1), 0, ct * np.log1p(other)),
    other=lambda ct, input, other: ct * (input / (other + 1)),
    promote="float",
    samples=samples.positive_pairs,
    kinds="f",
    places="special",
    inplace=False,
)
def xlog1py(input: Operand, other: Operand) -> Array:
    """Compute x * log(1 + y), 0 where x is 0 whatever y (but NaN)."""
    return np.where(np.isnan(other), other, np.where(input == 0, 0, input * np.log1p(other)))


def _sinc_rule(ct: Any, input: Any) -> Any:
    """Return ct * (cos(a) - sin(a) / a) / x for a = pi x, and 0 at 0."""
    at_zero = input == 0
    x = np.where(at_zero, 1, input)
    angle = x * math.pi
    return np.where(at_zero, 0, ct * ((np.cos(angle) - np.sin(angle) / angle) / x))


@pointwise(
    node="SincBackward0",
    input=_sinc_rule,
    promote="float",
    samples=samples.real,
    places=_both,
    numpy=np.sinc,
)
def sinc(input: Array) -> Array:
    """Compute sin(pi x) / (pi x), 1 at 0."""
    angle = math.pi * np.where(input == 0, 1, input)
    return np.where(input == 0, input.dtype.type(1), np.sin(angle) / angle)
