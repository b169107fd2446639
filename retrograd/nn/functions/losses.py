"""Losses between an input and a target of the same shape."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.nn.functions.ops import OPS, legacy_reduction, reduce_loss
from retrograd.tensor import wrap

_mse, _bce, _bce_logits = (
    OPS["mse_loss"],
    OPS["binary_cross_entropy"],
    OPS["binary_cross_entropy_with_logits"],
)


def _warn_of_broadcast(input: Any, target: Any) -> None:
    warnings.warn(
        f"Using a target size ({target.shape}) that is different to the input size ({input.shape}). This "
        "will likely lead "
        "to incorrect results due to broadcasting. Please ensure they have the same size.",
        stacklevel=3,
    )


def _weighted_mean(loss: Any, weight: Any, reduction: str) -> Any:
    """Reduce a loss by a weight for each element; the mean divides by the sum of weights."""
    if weight.shape != loss.shape:
        raise ValueError("Weights and input must have the same size.")
    loss = loss * weight
    return loss.sum() / weight.sum() if reduction == "mean" else reduce_loss(loss, reduction)


def mse_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """Take the mean squared difference."""
    if target._array.shape != input._array.shape:
        _warn_of_broadcast(input, target)
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    if weight is not None:
        return _weighted_mean(_mse(input, target, reduction="none"), weight, reduction)
    return _mse(input, target, reduction=reduction)


def l1_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """Take the mean absolute difference."""
    if target._array.shape != input._array.shape:
        _warn_of_broadcast(input, target)
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    loss = (input - target).abs()
    return reduce_loss(loss, reduction) if weight is None else _weighted_mean(loss, weight, reduction)


def smooth_l1_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Any:
    """Take the mean absolute difference, made quadratic below `beta`."""
    if target._array.shape != input._array.shape:
        _warn_of_broadcast(input, target)
    reduction = legacy_reduction(size_average, reduce, reduction)
    return OPS["smooth_l1_loss"](input, target, float(beta), reduction=reduction)


def huber_loss(
    input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None
) -> Any:
    """Take half the mean squared difference, made linear above `delta`."""
    if target._array.shape != input._array.shape:
        _warn_of_broadcast(input, target)
    if weight is not None:
        return _weighted_mean(OPS["huber_loss"](input, target, delta, reduction="none"), weight, reduction)
    return OPS["huber_loss"](input, target, delta, reduction=reduction)


def binary_cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Take the cross entropy between probabilities."""
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    if target._array.shape != input._array.shape:
        raise ValueError(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}) is "
            "deprecated. "
            "Please ensure they have the same size."
        )
    if target.dtype is not input.dtype:
        raise RuntimeError(f"Found dtype {target.dtype.scalar_name} but expected {input.dtype.scalar_name}")
    return _bce(input, target, weight, reduction=reduction)


def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Any:
    """Take the cross entropy between probabilities, of which the input holds the logits."""
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    if target._array.shape != input._array.shape:
        raise ValueError(f"Target size ({target.shape}) must be the same as input size ({input.shape})")
    return _bce_logits(input, target, weight, pos_weight, reduction=reduction)


def soft_margin_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Take the mean of log(1 + e**(-t x)), for targets 1 and -1."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    return OPS["soft_margin_loss"](input, target, reduction=reduction)


def kl_div(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Any:
    """Take the Kullback-Leibler divergence of exp(input) from `target` (`log_target`: exp(target))."""
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    elif reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support "
            "size.'batchmean' divides only by the batch size, and aligns with the KL div math "
            "definition.'mean' will be changed to behave the "
            "same as 'batchmean' in the next major release.",
            stacklevel=2,
        )
    loss = target.exp() * (target - input) if log_target else OPS["xlogy"](target, target) - target * input
    if reduction == "batchmean":
        loss = loss.sum()
        return loss / input.shape[0] if input.ndim else loss
    return reduce_loss(loss, reduction)


def poisson_nll_loss(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Take the negative log likelihood under Poisson distributions; `full` adds Stirling's term."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        loss = loss + stirling.masked_fill(target <= 1, 0)
    return reduce_loss(loss, reduction)


def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Any:
    """Take the negative log likelihood under normal distributions of mean `input` and variance `var`."""
    if isinstance(var, float):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = var * input.new_ones(input.shape)
    elif (var < 0).any():
        raise ValueError("var has negative entry/entries")
    if var.shape != input.shape:
        if input.shape[:-1] == var.shape:
            var = var.unsqueeze(-1)
        elif tuple(input.shape[:-1]) == tuple(var.shape[:-1]) and var.shape[-1] == 1:
            pass
        elif var.ndim != input.ndim or any(
            a not in (1, b) for a, b in zip(var.shape, input.shape, strict=True)
        ):
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    free = var.detach().clone().clamp_(min=eps)  # bounded, with the gradient of what it bounds
    var = var + (free - var.detach())
    loss = 0.5 * (var.log() + (input - target) ** 2 / var)
    return reduce_loss(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


def hinge_embedding_loss(
    input: Any,
    target: Any,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Take distances of pairs that belong together (target 1), and what others (-1) are inside the margin."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    zero = input.new_zeros(())
    apart = np.where(target != 1, (margin - input).clamp_min(0), zero)
    together = np.where(target != -1, input, zero)
    return reduce_loss(apart + together, reduction)


def margin_ranking_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Take how far pairs are from being ranked by `margin` (target 1: first higher; -1: second)."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.shape}, input2: {input2.shape}, target: {target.shape} "
        )
    return reduce_loss((-target * (input1 - input2) + margin).clamp_min(0), reduction)


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """Return the cosine of the angle between vectors along `dim`; norms are at least `eps`."""
    if not dtypes.promote_types(x1.dtype, x2.dtype).is_floating_point:
        raise RuntimeError(
            "expected common dtype to be floating point, yet common dtype is "
            f"{dtypes.promote_types(x1.dtype, x2.dtype).scalar_name}"
        )
    shape = np.broadcast_shapes(tuple(x1.shape), tuple(x2.shape))
    x1, x2 = x1.expand(shape), x2.expand(shape)
    first, second = (x / _free_of(OPS["vector_norm"](x, 2, dim, True), eps) for x in (x1, x2))
    return (first * second).sum(dim)


def _free_of(norm: Any, eps: float) -> Any:
    """Return norms that are at least `eps`, with the gradient of the unbounded ones."""
    array = norm._array
    if isinstance(array, np.ndarray) and (array >= eps).all():
        return norm
    return norm + wrap(np.maximum(eps - array, 0).astype(array.dtype))


def cosine_embedding_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Take 1 - cos for pairs that belong together (target 1), and what others (-1) have above `margin`."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    dim = target.ndim
    if dim > 1 or input1.ndim != dim + 1 or input2.ndim != dim + 1:
        if dim > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        raise RuntimeError(
            f"{dim}D target tensor expects {dim + 1}D input tensors, but found inputs with sizes "
            f"{list(input1.shape)} and {list(input2.shape)}."
        )
    tiny = 1e-12
    product = (input1 * input2).sum(dim)
    squares = ((input1 * input1).sum(dim) + tiny) * ((input2 * input2).sum(dim) + tiny)
    cos = product / squares.sqrt()
    zero = cos.new_zeros(())
    loss = np.where(target == 1, 1 - cos, zero) + np.where(target == -1, (cos - margin).clamp_min(0), zero)
    return reduce_loss(loss, reduction)


def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    """Return the p-norm of x1 - x2 + eps over the last dimension."""
    return OPS["vector_norm"](x1 - x2 + eps, p, -1 if max(x1.ndim, x2.ndim) else None, keepdim)


def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Take how far the positive is not nearer to the anchor than the negative by `margin`."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, "
            "but got: "
            f"anchor {anchor.ndim}D, positive {positive.ndim}D, and negative {negative.ndim}D inputs"
        )
    near, far = pairwise_distance(anchor, positive, p, eps), pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = OPS["minimum"](far, pairwise_distance(positive, negative, p, eps))
    return reduce_loss((near - far + margin).clamp_min(0), reduction)


def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Any = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """Take the triplet loss with a distance of one's own."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, "
            "but got: "
            f"anchor {anchor.ndim}D, positive {positive.ndim}D, and negative {negative.ndim}D inputs"
        )
    distance = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = OPS["minimum"](far, distance(positive, negative))
    return reduce_loss((margin + near - far).clamp_min(0), reduction)


def normalize(input: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Any = None) -> Any:
    """Divide by the p-norm along `dim`, which is at least `eps`."""
    norm = OPS["vector_norm"](input, p, dim, True).clamp_min(eps)
    made = input / norm.expand_as(input)
    return made if out is None else out.copy_(made)
