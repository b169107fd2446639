"""Losses between an input and a target element by element, reduced to their mean or sum."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.activation import logsigmoid
from retrograd.ops.declare import Array, Sample, error, sample
from retrograd.ops.families import WHOLE_ROWS, general
from retrograd.ops.matmul import grid
from retrograd.ops.neural import at_least, between, broadcast, reduced, share, sigmoid, total
from retrograd.ops.numbers import number


def _batch(op: Any, size: int, args: Any, dims: Any) -> Any:
    """Compute the loss per element behind the batch dimension, and reduce what is not the batch."""
    at = op.index("reduction")
    ready = list(args)
    ready[at] = "none"
    loss = batching.pointwise(op, size, ready, dims)
    axes = tuple(range(1, loss.ndim))
    if args[at] == "none" or not axes:
        return loss
    made = total(loss, axes)
    return made / (math.prod(loss.shape[1:]) or math.nan) if args[at] == "mean" else made


def _pairs(*args: Any, **kwargs: Any) -> Callable[[], Iterator[Sample]]:
    def samples() -> Iterator[Sample]:
        x, y = grid(2, 3), grid(2, 3, shift=0.8)
        for reduction in ("mean", "sum", "none"):
            yield sample(x, y, *args, reduction=reduction, **kwargs)
        yield sample(grid(), grid(shift=0.8), *args, reduction="mean", **kwargs)

    return samples


_LOSS: dict[str, Any] = {
    "exact": False,
    "promote": "same",
    "batch": _batch,
    "places": "nn",
    "large": WHOLE_ROWS,
}


# ---- of the difference ----


def _mse_ct(ct: Any, input: Any, target: Any, reduction: str) -> Any:
    diff = input - target
    return diff * (share(ct, reduction, diff.shape) * 2)


@general(
    node="MseLossBackward0",
    input=lambda ct, input, target, reduction: _mse_ct(ct, input, target, reduction),
    target=lambda ct, input, target, reduction: -_mse_ct(ct, input, target, reduction),
    jvp={
        "input": lambda t, input, target, reduction: reduced(2 * (input - target) * t, reduction),
        "target": lambda t, input, target, reduction: reduced(2 * (target - input) * t, reduction),
    },
    kinds="fc",
    samples=_pairs(),
    errors=lambda: [
        error(ValueError, "x is not a valid value for reduction", grid(2), grid(2), reduction="x")
    ],
    **_LOSS,
)
def mse_loss(input: Array, target: Array, *, reduction: str = "mean") -> Array:
    """Take the square of the difference."""
    diff = input - target
    return reduced(diff * diff, reduction)


def _smooth_slope(input: Any, target: Any, beta: float) -> Any:
    diff = input - target
    if beta == 0:
        return np.sign(diff)
    return between(diff / beta, -1, 1)


@general(
    node="SmoothL1LossBackward0",
    input=lambda ct, input, target, beta, reduction: (
        _smooth_slope(input, target, beta) * share(ct, reduction, broadcast(input, target))
    ),
    target=lambda ct, input, target, beta, reduction: (
        _smooth_slope(target, input, beta) * share(ct, reduction, broadcast(input, target))
    ),
    jvp={
        "input": lambda t, input, target, beta, reduction: reduced(
            _smooth_slope(input, target, beta) * t, reduction
        ),
        "target": lambda t, input, target, beta, reduction: reduced(
            _smooth_slope(target, input, beta) * t, reduction
        ),
    },
    kinds="f",
    samples=_pairs(0.5),
    errors=lambda: [
        error(RuntimeError, "smooth_l1_loss does not support negative values for beta", grid(2), grid(2), -1)
    ],
    **_LOSS,
)
def smooth_l1_loss(input: Array, target: Array, beta: float = 1.0, *, reduction: str = "mean") -> Array:
    """Take the absolute difference, made quadratic below `beta`."""
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    size = np.abs(input - target)
    if beta == 0:
        return reduced(size, reduction)
    return reduced(np.where(size < beta, size * size * (0.5 / beta), size - 0.5 * beta), reduction)


def _huber_slope(input: Any, target: Any, delta: float) -> Any:
    return between(input - target, -delta, delta)


@general(
    node="HuberLossBackward0",
    input=lambda ct, input, target, delta, reduction: (
        _huber_slope(input, target, delta) * share(ct, reduction, broadcast(input, target))
    ),
    target=lambda ct, input, target, delta, reduction: (
        _huber_slope(target, input, delta) * share(ct, reduction, broadcast(input, target))
    ),
    jvp={
        "input": lambda t, input, target, delta, reduction: reduced(
            _huber_slope(input, target, delta) * t, reduction
        ),
        "target": lambda t, input, target, delta, reduction: reduced(
            _huber_slope(target, input, delta) * t, reduction
        ),
    },
    kinds="f",
    samples=_pairs(0.5),
    errors=lambda: [
        error(
            RuntimeError, "huber_loss does not support non-positive values for delta", grid(2), grid(2), -1.0
        )
    ],
    **_LOSS,
)
def huber_loss(input: Array, target: Array, delta: float = 1.0, *, reduction: str = "mean") -> Array:
    """Take half the squared difference, made linear above `delta`."""
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    size = np.abs(input - target)
    return reduced(np.where(size <= delta, 0.5 * size * size, delta * (size - 0.5 * delta)), reduction)


# ---- of probabilities ----


def _weighted(loss: Any, weight: Any) -> Any:
    return loss if weight is None else loss * weight


def _probabilities() -> Iterator[Sample]:
    x, y = 1 / (1 + np.exp(-grid(2, 3))), 1 / (1 + np.exp(grid(2, 3, shift=1)))
    for reduction in ("mean", "sum", "none"):
        yield sample(x, y, reduction=reduction)
    yield sample(x, y, np.array([0.5, 1.5, 2.0]), reduction="mean")


def _check_probabilities(x: Any, *rest: Any) -> None:
    """Raise unless all elements lie in [0, 1]; those of a traced array are not known."""
    del rest
    if x.__class__ is not np.ndarray or not x.size:
        return
    if not (np.minimum.reduce(x, None) >= 0 and np.maximum.reduce(x, None) <= 1):
        raise RuntimeError("all elements of input should be between 0 and 1")


def _bce_input(ct: Any, input: Any, target: Any, weight: Any, reduction: str) -> Any:
    spread = at_least((1 - input) * input, 1e-12)  # torch's bound: the slope at 0 and 1 stays finite
    return _weighted((input - target) / spread * share(ct, reduction, broadcast(input, target)), weight)


def _bce_target(ct: Any, input: Any, target_shape: Any, weight: Any, reduction: str) -> Any:
    return _weighted((np.log1p(-input) - np.log(input)) * share(ct, reduction, input.shape), weight)


@general(
    node="BinaryCrossEntropyBackward0",
    input=_bce_input,
    target=_bce_target,
    jvp={
        "input": lambda t, input, target, weight, reduction: reduced(
            _weighted((input - target) / at_least((1 - input) * input, 1e-12) * t, weight), reduction
        ),
        "target": lambda t, input, weight, reduction: reduced(
            _weighted((np.log1p(-input) - np.log(input)) * t, weight), reduction
        ),
    },
    kinds="f",
    samples=_probabilities,
    errors=lambda: [
        error(RuntimeError, "all elements of input should be between 0 and 1", np.ones(2) * 2, np.ones(2))
    ],
    guard=_check_probabilities,
    **_LOSS,
)
def binary_cross_entropy(
    input: Array, target: Array, weight: Array | None = None, *, reduction: str = "mean"
) -> Array:
    """Take -(t log x + (1 - t) log(1 - x)), each logarithm at least -100."""
    _check_probabilities(input)
    low, high = at_least(np.log1p(-input), -100), at_least(np.log(input), -100)
    return reduced(_weighted((target - 1) * low - target * high, weight), reduction)


def _logits() -> Iterator[Sample]:
    x, y = grid(2, 3) * 3, 1 / (1 + np.exp(grid(2, 3, shift=1)))
    for reduction in ("mean", "sum", "none"):
        yield sample(x, y, reduction=reduction)
    yield sample(x, y, np.array([0.5, 1.5, 2.0]), reduction="mean")
    yield sample(x, y, None, np.array([0.5, 1.5, 2.0]), reduction="mean")
    yield sample(x, y, np.array([0.5, 1.5, 2.0]), np.array(3.0), reduction="sum")


def _logit_slope(input: Any, target: Any, pos_weight: Any) -> Any:
    if pos_weight is None:
        return sigmoid(input) - target
    positive = pos_weight * target
    return (positive + 1 - target) * sigmoid(input) - positive


def _logit_target_slope(input: Any, pos_weight: Any) -> Any:
    if pos_weight is None:
        return -input
    return logsigmoid(input) * (1 - pos_weight) - input


_FEW = 64  # elements for which one slow loop of NumPy's costs less than six calls


def _softplus_negative(x: Any) -> Any:
    """Compute log(1 + e**-x), for large |x| too."""
    if x.dtype.kind == "c":
        return np.log1p(np.exp(-x))
    turned = -x
    if x.__class__ is np.ndarray and x.ndim:
        if x.size <= _FEW:
            return np.logaddexp(turned, number(0, x))
        small = np.minimum(x, turned)
        np.log1p(np.exp(small, small), small)
        np.maximum(turned, number(0, x), out=turned)
        return np.add(turned, small, turned)
    return at_least(turned, 0) + np.log1p(np.exp(-np.abs(x)))


@general(
    node="BinaryCrossEntropyWithLogitsBackward0",
    input=lambda ct, input, target, weight, pos_weight, reduction: _weighted(
        _logit_slope(input, target, pos_weight) * share(ct, reduction, broadcast(input, target)), weight
    ),
    target=lambda ct, input, weight, pos_weight, reduction: _weighted(
        _logit_target_slope(input, pos_weight) * share(ct, reduction, input.shape), weight
    ),
    jvp={
        "input": lambda t, input, target, weight, pos_weight, reduction: reduced(
            _weighted(_logit_slope(input, target, pos_weight) * t, weight), reduction
        ),
        "target": lambda t, input, weight, pos_weight, reduction: reduced(
            _weighted(_logit_target_slope(input, pos_weight) * t, weight), reduction
        ),
    },
    kinds="f",
    samples=_logits,
    **_LOSS,
)
def binary_cross_entropy_with_logits(
    input: Array,
    target: Array,
    weight: Array | None = None,
    pos_weight: Array | None = None,
    *,
    reduction: str = "mean",
) -> Array:
    """Take the binary cross entropy of sigmoid(input): (1 - t) x + (1 + (p - 1) t) log(1 + e**-x)."""
    soft = _softplus_negative(input)
    if pos_weight is not None:
        soft = soft * (1 + (pos_weight - 1) * target)
    return reduced(_weighted((number(1, target) - target) * input + soft, weight), reduction)


def _signs() -> Iterator[Sample]:
    for reduction in ("mean", "sum", "none"):
        yield sample(grid(2, 3), np.array([[1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]]), reduction=reduction)


@general(
    node="SoftMarginLossBackward0",
    input=lambda ct, input, target, reduction: (
        -target * sigmoid(-target * input) * share(ct, reduction, broadcast(input, target))
    ),
    jvp={
        "input": lambda t, input, target, reduction: reduced(
            -target * sigmoid(-target * input) * t, reduction
        )
    },
    kinds="fc",
    samples=_signs,
    **_LOSS,
)
def soft_margin_loss(input: Array, target: Array, *, reduction: str = "mean") -> Array:
    """Take log(1 + e**(-t x)), for targets 1 and -1."""
    return reduced(_softplus_negative(target * input), reduction)
