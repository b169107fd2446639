"""Powers, roots and magnitudes, element by element."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import samples
from retrograd.ops.declare import Array, ErrorSample, Operand, Sample, error, sample
from retrograd.ops.families import pointwise
from retrograd.ops.helpers import cast
from retrograd.ops.pointwise import as_arrays, zeros_as


def _powers() -> Iterator[Sample]:
    x = samples.ramp(0.4, 3.0, 2, 3)
    yield sample(x, np.array([0.5, -1.5, 2.0]))
    for exponent in (2, 3, 0, 1, -1, 0.5, -2.5):
        yield sample(x, exponent)
    yield sample(2.5, x)
    yield sample(np.array(1.5), x)


def _negative_powers() -> Iterator[ErrorSample]:
    yield error(RuntimeError, "Integers to negative integer powers are not allowed.", np.array([2]), -1)


def _power_node(input: Any, exponent: Any) -> str:
    if isinstance(exponent, (int, float, complex)):
        return "PowBackward0"
    return "PowBackward2" if isinstance(input, (int, float, complex)) else "PowBackward1"


def _power_rule(ct: Any, input: Any, exponent: Any) -> Any:
    """Return ct * exponent * input**(exponent - 1), which is 0 wherever the exponent is."""
    if isinstance(exponent, (int, float, complex)):
        if exponent == 2:
            return ct * (input + input)
        return zeros_as(ct) if exponent == 0 else ct * (exponent * input ** (exponent - 1))
    return np.where(exponent == 0, 0, ct * (exponent * input ** (exponent - 1)))


def _exponent_rule(ct: Any, input: Any, exponent: Any, result: Any) -> Any:
    """Return ct * result * log(input), which is 0 where 0 is raised to a power that is not negative."""
    at_zero = (input == 0) & (np.real(exponent) >= 0)
    log = np.log(input)
    if isinstance(log, np.generic):  # of a number, which must not widen the result
        log = log.item()
    return np.where(at_zero, 0, ct * (result * log))


@pointwise(
    node=_power_node,
    input=_power_rule,
    exponent=_exponent_rule,
    samples=_powers,
    errors=_negative_powers,
    numpy=np.power,
)
def pow(input: Operand, exponent: Operand) -> Array:
    """Raise to a power elementwise: input ** exponent.

    Raises:
        RuntimeError: an integer tensor to a negative Python number.
    """
    if exponent.__class__ is int and exponent == 3:
        return input * input * input
    if getattr(input, "dtype", _FLOAT).kind in "biu" and np.asarray(exponent).dtype.kind in "biu":
        return _whole_power(input, np.asarray(exponent))
    return input**exponent


_FLOAT = np.dtype(float)


def _whole_power(input: Any, exponent: Any) -> Any:
    """Return an integer power; negative exponents in an array give the reciprocal rounded towards zero."""
    if exponent.ndim == 0 and exponent < 0:
        raise RuntimeError("Integers to negative integer powers are not allowed.")
    if input.dtype.kind == "b":
        return input | ~exponent
    power = input ** np.absolute(exponent)
    return np.where((exponent < 0) & (np.absolute(input) != 1), input.dtype.type(0), power)


@pointwise(
    node="PowBackward0", input=lambda ct, input: ct * (input + input), samples=samples.real, numpy=np.square
)
def square(input: Array) -> Array:
    """Compute input * input."""
    return input * input if input.dtype.kind != "b" else np.multiply(input, input, dtype=np.int64)


@pointwise(
    node="SqrtBackward0",
    input=lambda ct, result: ct / (result + result),
    promote="float",
    samples=samples.positive,
    numpy=np.sqrt,
    kernel=np.sqrt,
)
def sqrt(input: Array) -> Array:
    """Compute the square root; NaN for negative numbers."""
    return np.sqrt(input)


@pointwise(
    node="RsqrtBackward0",
    input=lambda ct, result: ct * (-0.5 * (result * result * result)),
    promote="float",
    samples=samples.positive,
)
def rsqrt(input: Array) -> Array:
    """Compute 1 / sqrt(input)."""
    return 1 / np.sqrt(input)


@pointwise(
    node="ReciprocalBackward0",
    input=lambda ct, result: -ct * (result * result),
    promote="float",
    samples=samples.positive,
    numpy=np.reciprocal,
)
def reciprocal(input: Array) -> Array:
    """Compute 1 / input."""
    return 1 / input


def _direction(x: Any) -> Any:
    """Return x / |x|, 0 for 0 and NaN; of an array from comparisons, which is quicker than np.sign."""
    if x.__class__ is np.ndarray and x.dtype.kind != "c":
        return (x > 0).view(np.int8) - (x < 0).view(np.int8)
    return np.sign(x)


@pointwise(
    node="AbsBackward0",
    input=lambda ct, input: ct * _direction(input),
    jvp={"input": lambda t, input: np.real(np.conjugate(_direction(input)) * t)},
    holomorphic=False,
    samples=samples.real,
    kinds="uifc",
    aliases="absolute",
    numpy=np.absolute,
    kernel=np.absolute,
)
def abs(input: Array) -> Array:
    """Compute the magnitude; its derivative at 0 is taken as 0."""
    return np.absolute(input)


@pointwise(
    node="SgnBackward0",
    input=lambda ct, input, result: _sgn_rule(ct, input, result),
    holomorphic=False,
    samples=samples.kinked(samples.real),
    numpy=np.sign,
)
def sgn(input: Array) -> Array:
    """Compute input / |input|: the sign of a number, the direction of a complex one; 0 at 0."""
    return _sign(input)


def _sign(x: Any) -> Any:
    """Return NumPy's sign, but 0 for a real NaN."""
    if x.dtype.kind == "f":
        return cast(x > 0, x.dtype) - cast(x < 0, x.dtype)
    return x if x.dtype.kind == "b" else np.sign(x)


def _sgn_rule(ct: Any, input: Any, result: Any) -> Any:
    """Return the part of ct across the direction of `input`, over its magnitude; 0 for real numbers."""
    if input.dtype.kind != "c":
        return zeros_as(ct)
    size = np.absolute(input)
    across = ct - result * np.real(np.conjugate(result) * ct)
    return np.where(size == 0, 0, across / np.where(size == 0, 1, size))


@pointwise(
    node="SignBackward0",
    input=lambda ct: zeros_as(ct),
    samples=samples.kinked(samples.real),
)
def sign(input: Array) -> Array:
    """Compute -1, 0 or 1; 0 for NaN."""
    if input.dtype.kind == "c":
        raise NotImplementedError(
            "Unlike NumPy, torch.sign is not intended to support complex numbers. "
            "Please use torch.sgn instead."
        )
    return _sign(input)


@pointwise(
    node="HypotBackward0",
    input=lambda ct, input, result: ct * (input / result),
    other=lambda ct, other, result: ct * (other / result),
    samples=samples.pairs,
    kinds="f",
    numpy=np.hypot,
)
def hypot(input: Array, other: Array) -> Array:
    """Compute sqrt(input**2 + other**2) without overflow between."""
    return np.hypot(input, other)


@pointwise(
    node=lambda other: "CopysignBackward1" if isinstance(other, (int, float)) else "CopysignBackward0",
    input=lambda ct, input, result: np.where(input == 0, 0, ct * (result / input)),
    other=lambda ct: zeros_as(ct),
    promote="float",
    samples=samples.pairs_and_numbers,
    kinds="f",
    numpy=np.copysign,
)
def copysign(input: Array, other: Operand) -> Array:
    """Give the magnitude of `input` the sign of `other`."""
    return np.copysign(input, other)


def _scales() -> Iterator[Sample]:
    x = samples.ramp(-1.9, 3.1, 2, 3)
    yield sample(x, np.array([2, -1, 0]))
    yield sample(x, samples.ramp(-1.5, 2.0, 3))


@pointwise(
    node="LdexpBackward0",
    input=lambda ct, other: ct * np.exp2(other),
    other=lambda ct, result: ct * (result * math.log(2)),
    promote="float",
    samples=_scales,
    numpy={np.ldexp: as_arrays},
)
def ldexp(input: Array, other: Array) -> Array:
    """Compute input * 2**other."""
    return input * np.exp2(other)


def _floats() -> Iterator[Sample]:
    yield sample(samples.ramp(-1.9, 3.1, 2, 3))
    yield sample(np.array([0.3, np.inf, 0.0]), grad=False)


@pointwise(
    node="FrexpBackward0",
    input=lambda ct, result: np.ldexp(ct, -result[1]),
    outputs=("mantissa", "exponent"),
    differentiable_outputs=(0,),
    inplace=False,
    samples=_floats,
    numpy=np.frexp,
)
def frexp(input: Array) -> tuple[Array, Array]:
    """Split into a mantissa between 0.5 and 1 in magnitude, and an exponent of 2."""
    if input.dtype.kind != "f":
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    mantissa, exponent = np.frexp(input)
    return mantissa, cast(exponent, np.int32)
