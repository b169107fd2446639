"""Activations whose arguments need handling, and dropout."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.autograd.draws import drawing
from retrograd.nn.functions.ops import OPS
from retrograd.random import bernoulli, drawn_for, exponential, uniform
from retrograd.tensor import wrap

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al. 2017, equation 14

_relu, _relu_in_place = OPS["relu"], OPS["relu_"]
_softmax, _log_softmax = OPS["softmax"], OPS["log_softmax"]
_mul = OPS["mul"]


def relu(input: Any, inplace: bool = False) -> Any:
    """Replace negative numbers by 0."""
    return _relu_in_place(input) if inplace else _relu(input)


def relu_(input: Any) -> Any:
    """Do `relu` in place."""
    return _relu_in_place(input)


def relu6(input: Any, inplace: bool = False) -> Any:
    """Clip to [0, 6]."""
    return OPS["hardtanh_" if inplace else "hardtanh"](input, 0.0, 6.0)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """Clip to [min_val, max_val]."""
    return OPS["hardtanh_" if inplace else "hardtanh"](input, min_val, max_val)


def hardtanh_(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """Do `hardtanh` in place."""
    return OPS["hardtanh_"](input, min_val, max_val)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """Scale negative numbers by `negative_slope`."""
    return OPS["leaky_relu_" if inplace else "leaky_relu"](input, negative_slope)


def leaky_relu_(input: Any, negative_slope: float = 0.01) -> Any:
    """Do `leaky_relu` in place."""
    return OPS["leaky_relu_"](input, negative_slope)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """Compute x if x > 0 else alpha * (e**x - 1)."""
    return OPS["elu_" if inplace else "elu"](input, alpha)


def elu_(input: Any, alpha: float = 1.0) -> Any:
    """Do `elu` in place."""
    return OPS["elu_"](input, alpha)


def selu(input: Any, inplace: bool = False) -> Any:
    """Apply `elu` with the two scales that keep mean 0 and variance 1."""
    return OPS["elu_" if inplace else "elu"](input, _SELU_ALPHA, _SELU_SCALE)


def selu_(input: Any) -> Any:
    """Do `selu` in place."""
    return selu(input, True)


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """Compute x if x > 0 else alpha * (e**(x / alpha) - 1)."""
    return OPS["celu_" if inplace else "celu"](input, alpha)


def celu_(input: Any, alpha: float = 1.0) -> Any:
    """Do `celu` in place."""
    return OPS["celu_"](input, alpha)


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """Replace numbers that are not above `threshold` by `value`."""
    return OPS["threshold_" if inplace else "threshold"](input, threshold, value)


def threshold_(input: Any, threshold: float, value: float) -> Any:
    """Do `threshold` in place."""
    return OPS["threshold_"](input, threshold, value)


def silu(input: Any, inplace: bool = False) -> Any:
    """Compute x * sigmoid(x)."""
    return OPS["silu_" if inplace else "silu"](input)


def mish(input: Any, inplace: bool = False) -> Any:
    """Compute x * tanh(log(1 + e**x))."""
    return OPS["mish_" if inplace else "mish"](input)


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """Rise linearly from 0 at -3 to 1 at 3."""
    return OPS["hardsigmoid_" if inplace else "hardsigmoid"](input)


def hardswish(input: Any, inplace: bool = False) -> Any:
    """Multiply by `hardsigmoid`."""
    return OPS["hardswish_" if inplace else "hardswish"](input)


def sigmoid(input: Any) -> Any:
    """Compute 1 / (1 + e**-x)."""
    return OPS["sigmoid"](input)


def tanh(input: Any) -> Any:
    """Compute the hyperbolic tangent."""
    return OPS["tanh"](input)


def gelu(input: Any, approximate: str = "none") -> Any:
    """Multiply by the normal distribution's probability of a smaller number (tanh: nearly)."""
    return OPS["gelu"](input, approximate=approximate)


def rrelu(
    input: Any, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Any:
    """Scale negative numbers by random slopes from [lower, upper); by their middle when not `training`."""
    if lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    array = input._array
    slopes = np.ones(array.shape, array.dtype)
    negative = array <= 0
    slopes[negative] = uniform(None, int(negative.sum()), dtypes.float64, lower, upper)
    return OPS["rrelu_with_noise_" if inplace else "rrelu_with_noise"](input, wrap(slopes))


def rrelu_(input: Any, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False) -> Any:
    """Do `rrelu` in place."""
    return rrelu(input, lower, upper, training, True)


# ---- softmax ----


def _implicit_dim(name: str, ndim: int, stacklevel: int) -> int:
    """Return the dimension taken when none is given, with torch's warning."""
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an "
        "argument.",
        stacklevel=stacklevel + 1,
    )
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """Compute e**x / sum(e**x) along `dim`."""
    if dim is None:
        dim = _implicit_dim("softmax", input.ndim, _stacklevel - 1)
    return _softmax(input, dim) if dtype is None else _softmax(input.to(dtype), dim)


def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """Compute x - log(sum(e**x)) along `dim`."""
    if dim is None:
        dim = _implicit_dim("log_softmax", input.ndim, _stacklevel - 1)
    return _log_softmax(input, dim) if dtype is None else _log_softmax(input.to(dtype), dim)


def softmin(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """Compute softmax(-x) along `dim`."""
    if dim is None:
        dim = _implicit_dim("softmin", input.ndim, _stacklevel - 1)
    return softmax(-input, dim, dtype=dtype)


def gumbel_softmax(logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Any:
    """Draw from a relaxed categorical distribution; `hard`: one-hot, with the relaxed one's gradient.

    Source: E. Jang, S. Gu, B. Poole, Categorical Reparameterization with Gumbel-Softmax (2017).
    """
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", stacklevel=2)
    drawn = exponential(None, tuple(logits.shape), logits.dtype)
    with np.errstate(divide="ignore"):
        gumbels = wrap(-np.log(drawn))
    soft = _softmax((logits + gumbels) / tau, dim)
    if not hard:
        return soft
    index = soft._array.argmax(dim)
    ones = np.zeros(soft._array.shape, soft._array.dtype)
    np.put_along_axis(ones, np.expand_dims(index, dim), 1, dim)
    return wrap(ones) - soft.detach() + soft


# ---- dropout ----


def _check_probability(p: float) -> None:
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _mask(input: Any, shape: Any, p: float) -> Any:
    """Return what each element is multiplied by: 1 / (1 - p) with probability 1 - p, else 0."""
    if p == 1:
        return wrap(np.zeros(shape, input._array.dtype))
    if input._array.shape == shape:
        kept = drawn_for(input._array, bernoulli, None, input.dtype, 1.0 - p)
    else:
        kept = bernoulli(None, shape, input.dtype, 1.0 - p)
    return wrap(kept / np.asarray(1.0 - p, kept.dtype))


_mask = drawing(_mask, shape_at=1)


def _dropped(input: Any, shape: Any, p: float, training: bool, inplace: bool) -> Any:
    _check_probability(p)
    if not training or p == 0 or not math.prod(shape):
        return input
    mask = _mask(input, shape, p)
    return input.mul_(mask) if inplace else _mul(input, mask)


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Replace elements by 0 with probability `p`, and divide the others by 1 - p."""
    return _dropped(input, input._array.shape, p, training, inplace)


def _channel_shape(input: Any) -> tuple[int, ...]:
    shape = tuple(input.shape)
    return (*shape[:2], *(1,) * (len(shape) - 2))


def _feature_dropout(input: Any, p: float, training: bool, inplace: bool) -> Any:
    return _dropped(input, _channel_shape(input), p, training, inplace)


def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Replace whole channels by 0 with probability `p`: (n, c, l) or (c, l)."""
    _check_probability(p)
    if input.ndim not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {input.ndim}D input. Note that dropout1d "
            "exists to provide channel-wise dropout on inputs with 1 spatial dimension, a channel dimension, "
            "and an optional batch dimension (i.e. 2D or 3D inputs)."
        )
    if input.ndim == 3:
        return _feature_dropout(input, p, training, inplace)
    input = input.unsqueeze_(0) if inplace else input.unsqueeze(0)
    made = _feature_dropout(input, p, training, inplace)
    return made.squeeze_(0) if inplace else made.squeeze(0)


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Replace whole channels by 0 with probability `p`: (n, c, h, w)."""
    _check_probability(p)
    if input.ndim not in (3, 4):
        warnings.warn(
            f"dropout2d: Received a {input.ndim}-D input to dropout2d, which is deprecated and will result "
            "in an error in a future release. To retain the behavior and silence this warning, please use "
            "dropout instead. Note that dropout2d exists to provide channel-wise dropout on inputs with 2 "
            "spatial dimensions, a channel dimension, "
            "and an optional batch dimension (i.e. 3D or 4D inputs).",
            stacklevel=2,
        )
    if input.ndim == 3:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout behavior "
            "is desired - input is interpreted as shape (N, C, L), where C is the channel dim. This behavior "
            "will change in a future release to interpret the input as one without a batch dimension, i.e. "
            "shape (C, H, W). To maintain the 1D "
            "channel-wise dropout behavior, please switch to using dropout1d instead.",
            stacklevel=2,
        )
    return _feature_dropout(input, p, training, inplace)


def dropout3d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Replace whole channels by 0 with probability `p`: (n, c, d, h, w) or (c, d, h, w)."""
    _check_probability(p)
    if input.ndim not in (4, 5):
        warnings.warn(
            f"dropout3d: Received a {input.ndim}-D input to dropout3d, which is deprecated and will result "
            "in an error in a future release. To retain the behavior and silence this warning, please use "
            "dropout instead. Note that dropout3d exists to provide channel-wise dropout on inputs with 3 "
            "spatial dimensions, a channel dimension, "
            "and an optional batch dimension (i.e. 4D or 5D inputs).",
            stacklevel=2,
        )
    if input.ndim != 4:
        return _feature_dropout(input, p, training, inplace)
    input = input.unsqueeze_(0) if inplace else input.unsqueeze(0)
    made = _feature_dropout(input, p, training, inplace)
    return made.squeeze_(0) if inplace else made.squeeze(0)


_ALPHA = _SELU_ALPHA * _SELU_SCALE


def _alpha_dropped(input: Any, shape: Any, p: float, training: bool, inplace: bool) -> Any:
    """Move elements to selu's lowest value with probability `p`, keeping mean and variance."""
    _check_probability(p)
    if not training or p == 0 or not math.prod(shape):
        return input
    if p == 1:
        zeros = wrap(np.zeros(tuple(input.shape), input._array.dtype))
        return input.mul_(zeros) if inplace else input * zeros
    kept = bernoulli(None, shape, input.dtype, 1.0 - p)
    scale = 1.0 / math.sqrt((_ALPHA * _ALPHA * p + 1) * (1 - p))
    shift = (kept - 1) * np.asarray(_ALPHA * scale, kept.dtype) + np.asarray(_ALPHA * scale * p, kept.dtype)
    factor = wrap(kept * np.asarray(scale, kept.dtype))
    if inplace:
        return input.mul_(factor).add_(wrap(shift))
    return input * factor + wrap(shift)


def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """Drop elements to selu's lowest value with probability `p`."""
    return _alpha_dropped(input, tuple(input.shape), p, training, inplace)


def feature_alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """Drop whole channels to selu's lowest value with probability `p`."""
    return _alpha_dropped(input, _channel_shape(input), p, training, inplace)
