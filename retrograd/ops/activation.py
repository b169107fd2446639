"""Activation functions, element by element."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops.declare import Array, ErrorSample, Plain, Sample, error, sample
from retrograd.ops.depend import tied
from retrograd.ops.families import SERIES, composite, pointwise
from retrograd.ops.helpers import cast
from retrograd.ops.neural import at_least, at_most, between, erf, sigmoid
from retrograd.ops.numbers import number
from retrograd.ops.select import drop, keep, select

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al. 2017, equation 14
_ROOT_HALF = math.sqrt(0.5)
_DENSITY = 1 / math.sqrt(2 * math.pi)  # of the normal distribution at 0


def _real() -> Iterator[Sample]:
    """Numbers that are no kink of any of the functions here."""
    yield sample(np.linspace(-4.4, 4.0, 8).reshape(2, 4))
    yield sample(np.array(0.7))
    yield sample(np.zeros((0, 2)))


def _with(*args: Any, **kwargs: Any) -> Any:
    """Return samples with further arguments, after those without."""

    def samples() -> Iterator[Sample]:
        yield from _real()
        yield from (sample(*s.args, *args, **kwargs) for s in _real())

    return samples


# ---- piecewise linear ----


@pointwise(
    node="ReluBackward0",
    input=lambda ct, result: tied(keep(result != number(0, result), ct), result),  # of NaN it is ct
    kinds="buif",
    samples=_real,
    errors=lambda: [error(RuntimeError, "Boolean inputs not supported for relu", np.ones(2, bool))],
)
def relu(input: Array) -> Array:
    """Replace negative numbers by 0; the derivative at 0 is 0."""
    if input.dtype.kind == "b":
        raise RuntimeError("Boolean inputs not supported for relu")
    return np.maximum(input, number(0, input))


def _inside(ct: Any, input: Any, min_val: Any, max_val: Any) -> Any:
    """Return ct between the bounds, and where the input is NaN."""
    return tied(drop((input <= min_val) | (input >= max_val), ct), input)


@pointwise(
    node="HardtanhBackward0",
    input=lambda ct, input, min_val, max_val: _inside(ct, input, min_val, max_val),
    kinds="buif",
    samples=_with(-0.5, 2.5),
    errors=lambda: [error(ValueError, "min_val cannot be greater than max_val", np.ones(2), 2.0, 1.0)],
    places="nn",
)
def hardtanh(input: Array, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    """Clip to [min_val, max_val]; the derivative at the ends is 0."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    if input.dtype.kind == "b":
        raise RuntimeError("Bool inputs not supported for hardtanh")
    return cast(between(input, min_val, max_val), input.dtype)


@pointwise(
    name="leaky_relu",
    node="LeakyReluBackward0",
    input=lambda ct, input, negative_slope: tied(select(input > 0, ct, ct * negative_slope), input),
    kinds="f",
    samples=_with(0.3),
    places="nn",
)
def leaky_relu(input: Array, negative_slope: float = 0.01) -> Array:
    """Scale negative numbers by `negative_slope`."""
    return select(input > 0, input, input * negative_slope)


@pointwise(
    node="ThresholdBackward0",
    input=lambda ct, input, threshold: tied(drop(input <= threshold, ct), input),
    kinds="uif",
    samples=lambda: [sample(*s.args, 0.1, 5.0) for s in _real()],
    places="nn torch",
)
def threshold(input: Array, threshold: float, value: float) -> Array:
    """Replace numbers that are not above `threshold` by `value`."""
    return cast(select(input <= threshold, value, input), input.dtype)


@pointwise(
    node="HardsigmoidBackward0",
    input=lambda ct, input: tied(keep((input > -3) & (input < 3), ct) / 6, input),
    kinds="f",
    samples=_real,
    places="nn",
)
def hardsigmoid(input: Array) -> Array:
    """Rise linearly from 0 at -3 to 1 at 3."""
    return between(input + 3, 0, 6) / 6


@pointwise(
    node="HardswishBackward0",
    input=lambda ct, input: select(input < 3, drop(input <= -3, ct * (input / 3 + 0.5)), ct),
    kinds="f",
    samples=_real,
    places="nn",
)
def hardswish(input: Array) -> Array:
    """Multiply by hardsigmoid."""
    return input * between(input + 3, 0, 6) / 6


@pointwise(
    node="HardshrinkBackward0",
    input=lambda ct, input, lambd: tied(drop(np.abs(input) <= lambd, ct), input),
    kinds="f",
    samples=_with(1.0),
    inplace=False,
    places="nn.functional torch Tensor",
)
def hardshrink(input: Array, lambd: float = 0.5) -> Array:
    """Replace numbers in [-lambd, lambd] by 0."""
    return drop(np.abs(input) <= lambd, input)


def _softshrink_errors() -> Iterator[ErrorSample]:
    yield error(RuntimeError, "lambda must be in range [0, ", np.ones(2), -1.0)


@pointwise(
    node="SoftshrinkBackward0",
    input=lambda ct, input, lambd: tied(drop(np.abs(input) <= lambd, ct), input),
    kinds="f",
    samples=_with(1.0),
    errors=_softshrink_errors,
    inplace=False,
    places="nn.functional",
)
def softshrink(input: Array, lambd: float = 0.5) -> Array:
    """Move numbers towards 0 by `lambd`, those within it to 0."""
    if not 0 <= lambd <= 3.40282e38:
        kind = "Double" if input.dtype == np.float64 else "Float"
        raise RuntimeError(
            f"lambda must be in range [0, 3.40282e+38] for input dtype {kind}, but found {lambd:g}"
        )
    return input - between(input, -lambd, lambd)


@pointwise(
    node="PreluKernelBackward0",
    input=lambda ct, input, weight: tied(select(input > 0, ct, ct * weight), input),
    weight=lambda ct, input: ct * at_most(input, 0),
    promote="match",
    kinds="f",
    inplace=False,
    samples=lambda: [
        sample(_values(2, 3), np.array([0.2, 0.5, -0.3])),
        sample(_values(2, 3), np.array(0.25)),
        sample(np.zeros((0, 2)), np.array([0.2, 0.3])),
    ],
    places="nn",
)
def prelu_kernel(input: Array, weight: Array) -> Array:
    """Scale negative numbers by the weight at their place."""
    return select(input > 0, input, input * weight)


def _values(*shape: int) -> Any:
    return np.linspace(-1.9, 2.3, math.prod(shape)).reshape(shape)


@composite(
    samples=lambda: [
        sample(_values(2, 3), np.array([0.2, 0.5, -0.3])),
        sample(_values(2, 3, 2), np.array([0.25])),
        sample(_values(3), np.array([0.25])),
    ],
    errors=lambda: [
        error(
            RuntimeError,
            "Mismatch of parameter numbers and input channel size. Found parameter numbers = 2 and channel "
            "size = 3",
            _values(2, 3),
            np.ones(2),
        )
    ],
    out=False,
    places="nn.functional torch Tensor",
)
def prelu(input: Array, weight: Array) -> Array:
    """Scale negative numbers by a learned weight: one for all, or one for each channel (dimension 1)."""
    if weight.ndim > 1:
        raise RuntimeError(
            f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}"
        )
    if weight.ndim == 1:
        count = weight.shape[0]
        channels = input.shape[1] if input.ndim > 1 else 1
        if input.ndim == 0 and count != 1:
            raise RuntimeError("Not allow zero-dim input tensor.")
        if count not in (1, channels):
            raise RuntimeError(
                "Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{count} and channel size = {channels}."
            )
        if input.ndim != 1:
            weight = np.reshape(weight, (1, count, *(1,) * (input.ndim - 2)) if input.ndim > 1 else ())
    return prelu_kernel(input, weight)


# ---- exponential ----


def _elu_ct(ct: Any, input: Any, alpha: Any, scale: Any, input_scale: Any) -> Any:
    low = ct * (alpha * scale * input_scale) * np.exp(at_most(input, 0) * input_scale)
    return select(input <= 0, low, ct if scale == 1 else ct * scale)


@pointwise(
    node="EluBackward0",
    input=lambda ct, input, alpha, scale, input_scale: _elu_ct(ct, input, alpha, scale, input_scale),
    kinds="f",
    samples=_with(0.6, 1.5, 0.7),
    places="nn",
)
def elu(input: Array, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Array:
    """Compute scale * (x if x > 0 else alpha * (e**(x * input_scale) - 1))."""
    low = np.expm1(at_most(input, 0) * input_scale) * (alpha * scale)
    return select(input > 0, input if scale == 1 else input * scale, low)


@pointwise(
    node="CeluBackward0",
    input=lambda ct, input, alpha: select(input <= 0, ct * np.exp(at_most(input, 0) / alpha), ct),
    kinds="f",
    samples=_with(0.6),
    errors=lambda: [error(RuntimeError, "ZeroDivisionError: alpha cannot be 0 for CELU", np.ones(2), 0.0)],
    places="nn torch",
)
def celu(input: Array, alpha: float = 1.0) -> Array:
    """Compute x if x > 0 else alpha * (e**(x / alpha) - 1)."""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return select(input > 0, input, np.expm1(at_most(input, 0) / alpha) * alpha)


def selu(input: Array) -> Array:
    """Apply elu with the scales that keep mean 0 and variance 1."""
    return elu(input, _SELU_ALPHA, _SELU_SCALE)


@pointwise(
    node="SoftplusBackward0",
    input=lambda ct, input, beta, threshold: select(input * beta > threshold, ct, ct * sigmoid(input * beta)),
    kinds="f",
    samples=_with(2.0, 3.0),
    inplace=False,
    places="nn.functional",
)
def softplus(input: Array, beta: float = 1, threshold: float = 20) -> Array:
    """Compute log(1 + e**(beta x)) / beta, and x where beta x is above `threshold`."""
    scaled = input * beta
    return select(scaled > threshold, input, np.log1p(np.exp(at_most(scaled, threshold))) / beta)


@pointwise(
    node="LogSigmoidBackward0",
    input=lambda ct, input: ct * sigmoid(-input),
    kinds="f",
    samples=_real,
    inplace=False,
    places="nn.functional",
)
def logsigmoid(input: Array) -> Array:
    """Compute log(1 / (1 + e**-x)), for large |x| too."""
    return at_most(input, 0) - np.log1p(np.exp(-np.abs(input)))


def _silu_ct(ct: Any, input: Any) -> Any:
    s = sigmoid(input)
    return ct * (s * (1 + input * (1 - s)))


@pointwise(node="SiluBackward0", input=_silu_ct, kinds="fc", samples=_real, places="nn")
def silu(input: Array) -> Array:
    """Compute x * sigmoid(x)."""
    return input * sigmoid(input)


def _mish_ct(ct: Any, input: Any) -> Any:
    t = np.tanh(-logsigmoid(-input))
    return ct * (t + input * sigmoid(input) * (1 - t * t))


def _softplus(x: Any) -> Any:
    return at_least(x, 0) + np.log1p(np.exp(-np.abs(x)))


@pointwise(
    node="MishBackward0",
    input=_mish_ct,
    kinds="f",
    samples=lambda: [*_real(), sample(np.zeros(2))],
    places="nn",
)
def mish(input: Array) -> Array:
    """Compute x * tanh(log(1 + e**x))."""
    return input * np.tanh(_softplus(input))


def _tanh_argument(x: Any) -> Any:
    return (x + 0.044715 * x * x * x) * (2 * _DENSITY)


def _gelu_ct(ct: Any, input: Any, approximate: str) -> Any:
    if approximate == "tanh":
        t = np.tanh(_tanh_argument(input))
        slope = (1 + 3 * 0.044715 * input * input) * (2 * _DENSITY)
        return ct * (0.5 * (1 + t) + 0.5 * input * (1 - t * t) * slope)
    density = np.exp(input * input * -0.5) * _DENSITY
    return ct * (0.5 * (1 + erf(input * _ROOT_HALF)) + input * density)


@pointwise(
    node="GeluBackward0",
    input=lambda ct, input, approximate: _gelu_ct(ct, input, approximate),
    kinds="f",
    large=SERIES,
    samples=_with(approximate="tanh"),
    errors=lambda: [
        error(RuntimeError, "approximate argument must be either none or tanh", np.ones(2), approximate="x")
    ],
    inplace=False,
    places="nn.functional",
)
def gelu(input: Array, *, approximate: str = "none") -> Array:
    """Multiply by the normal distribution's probability of a smaller number (tanh: nearly)."""
    if approximate == "tanh":
        return 0.5 * input * (1 + np.tanh(_tanh_argument(input)))
    if approximate != "none":
        raise RuntimeError("approximate argument must be either none or tanh.")
    return 0.5 * input * (1 + erf(input * _ROOT_HALF))


@pointwise(
    node="RreluWithNoiseBackward0",
    input=lambda ct, input, noise: tied(ct * noise, input),
    kinds="f",
    samples=lambda: [sample(_values(2, 3), np.where(_values(2, 3) > 0, 1, 0.25))],
    places="nn",
)
def rrelu_with_noise(input: Array, noise: Plain) -> Array:
    """Scale each number by its own slope, which is 1 for the positive ones."""
    return input * noise


@composite(samples=_real, places="nn.functional", out=False)
def softsign(input: Array) -> Array:
    """Compute x / (1 + |x|)."""
    return input / (np.abs(input) + 1)


@composite(samples=_real, places="nn.functional", out=False)
def tanhshrink(input: Array) -> Array:
    """Compute x - tanh(x)."""
    return input - np.tanh(input)
