"""Losses between scores of classes and classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.nn.functions.ops import OPS, legacy_reduction, reduce_loss
from retrograd.tensor import wrap

_cross_entropy, _nll_loss = OPS["cross_entropy"], OPS["nll_loss"]


def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Take minus the log probability of the right class."""
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    return _nll_loss(input, target, weight, ignore_index, reduction=reduction)


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """Take the cross entropy of softmax(input); the target holds classes or probabilities."""
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    if target._array.shape == input._array.shape:
        return _cross_entropy_of_probabilities(
            input, target, weight, ignore_index, reduction, label_smoothing
        )
    if not label_smoothing:
        return _cross_entropy(input, target, weight, ignore_index, reduction=reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing:g}")
    return _smoothed(input, target, weight, ignore_index, reduction, label_smoothing)


def _class_dim(input: Any) -> int:
    return 1 if input.ndim > 1 else 0


def _per_class(weight: Any, input: Any) -> Any:
    """Return class weights in a shape that multiplies the scores."""
    return weight.reshape(-1, *(1,) * (input.ndim - 2)) if input.ndim > 1 else weight


def _cross_entropy_of_probabilities(
    input: Any, target: Any, weight: Any, ignore_index: int, reduction: str, label_smoothing: float
) -> Any:
    if not target.dtype.is_floating_point:
        raise RuntimeError(
            "Expected floating point type for target with class probabilities, got "
            f"{target.dtype.scalar_name}"
        )
    if ignore_index >= 0:
        raise RuntimeError("ignore_index is not supported for floating point target")
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing:g}")
    dim = _class_dim(input)
    if weight is not None and (weight.ndim != 1 or weight.shape[0] != input.shape[dim]):
        raise RuntimeError(
            f"cross_entropy: weight tensor should be defined either for all {input.shape[dim]} classes or no "
            "classes but "
            f"got weight tensor of shape: {list(weight.shape)}"
        )
    if label_smoothing > 0:
        target = target * (1 - label_smoothing) + label_smoothing / input.shape[dim]
    terms = OPS["log_softmax"](input, dim) * target
    if weight is not None:
        terms = terms * _per_class(weight, input)
    if reduction == "none":
        return -terms.sum(dim)
    if reduction == "sum":
        return -terms.sum()
    if reduction != "mean":
        raise ValueError(f"{reduction} is not a valid value for reduction")
    rows = input._array.size // max(input.shape[dim], 1)
    return -terms.sum() / rows if rows else -terms.sum() * float("nan")


def _smoothed(
    input: Any, target: Any, weight: Any, ignore_index: int, reduction: str, label_smoothing: float
) -> Any:
    """Mix the loss of the right class with the mean loss of all classes."""
    dim = _class_dim(input)
    scores = OPS["log_softmax"](input, dim)
    right = _nll_loss(scores, target, weight, ignore_index, reduction=reduction)
    every = -(scores if weight is None else scores * _per_class(weight, input)).sum(dim)
    ignored = target == ignore_index
    every = every.masked_fill(ignored, 0)
    if reduction == "mean":
        kept = ~ignored
        if weight is None:
            every = every.sum() / kept.sum()
        else:
            every = every.sum() / (weight[target.masked_fill(ignored, 0)] * kept).sum()
    else:
        every = reduce_loss(every, reduction)
    share = label_smoothing / input.shape[dim]
    return (1 - label_smoothing) * right + every * share


def multi_margin_loss(
    input: Any,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Take how far wrong classes come within the margin of the right one."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if weight is not None and weight.ndim != 1:
        raise ValueError("weight must be one-dimensional")
    return OPS["multi_margin_loss"](input, target, p, margin, weight, reduction=reduction)


def multilabel_margin_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Take how far others come within 1 of the right classes, listed before a row's first -1."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if input.ndim > 2 or 0 in input.shape[-1:]:
        raise RuntimeError(
            "Expected non-empty vector or matrix with optional 0-dim batch size, but got: "
            f"{list(input.shape)}"
        )
    if target.shape != input.shape:
        raise RuntimeError(
            f"inconsistent target size: {list(target.shape)} for input of size: {list(input.shape)}"
        )
    single = input.ndim < 2
    x = input.reshape(1, -1) if single else input
    labels = target._array.reshape(tuple(x.shape))
    if labels.dtype != np.int64:
        raise RuntimeError(f"expected scalar type Long but found {target.dtype.scalar_name}")
    listed = np.logical_and.accumulate(labels >= 0, axis=1)
    if ((labels >= x.shape[1]) & listed).any():
        raise RuntimeError("target out of range")
    at = np.where(listed, labels, 0)
    is_right = np.zeros(labels.shape, bool)
    np.put_along_axis(is_right, at, np.take_along_axis(is_right, at, 1) | listed, 1)
    for row, places in enumerate(at):  # a class listed first and padded over later stays a right one
        is_right[row, places[listed[row]]] = True
    right = x.gather(1, wrap(at))
    pairs = (1 - right.unsqueeze(2) + x.unsqueeze(1)).clamp_min(0)
    counted = listed[:, :, None] & ~is_right[:, None, :]
    loss = (pairs * wrap(counted)).sum((1, 2)) / x.shape[1]
    return reduce_loss(loss[0] if single else loss, reduction)


def multilabel_soft_margin_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Take the binary cross entropy of each class, averaged over classes."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    log_sigmoid = OPS["logsigmoid"]
    loss = -(target * log_sigmoid(input) + (1 - target) * log_sigmoid(-input))
    if weight is not None:
        loss = loss * weight
    loss = loss.sum(-1) / input.shape[-1] if input.ndim else loss
    return reduce_loss(loss, reduction)


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """Return a tensor with one more dimension, 1 at the class and 0 elsewhere."""
    if tensor.dtype is not dtypes.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    labels = tensor._array
    if not labels.size:
        if num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        return wrap(np.zeros((*labels.shape, num_classes), np.int64))
    if labels.min() < 0:
        raise RuntimeError("Class values must be non-negative.")
    if num_classes == -1:
        num_classes = int(labels.max()) + 1
    elif num_classes < 1:
        raise RuntimeError("num_classes should be positive")
    elif labels.max() >= num_classes:
        raise RuntimeError("Class values must be smaller than num_classes.")
    return wrap((labels[..., None] == np.arange(num_classes)).astype(np.int64))


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """Take the rows of a table that the input names."""
    if padding_idx is not None:
        rows = weight.shape[0]
        if padding_idx >= rows or padding_idx < -rows:
            raise AssertionError("Padding_idx must be within num_embeddings")
        padding_idx %= rows
    if max_norm is not None:
        _renormalise(weight, input._array, max_norm, norm_type)
    return OPS["embedding"](
        weight, input, -1 if padding_idx is None else padding_idx, scale_grad_by_freq, sparse
    )


def _renormalise(weight: Any, indices: Any, max_norm: float, norm_type: float) -> None:
    """Shrink, in place, the rows that are looked up and whose norm exceeds `max_norm`."""
    table = weight._array
    rows = np.unique(indices)
    norms = np.linalg.norm(table[rows], norm_type, axis=1)
    long_ = norms > max_norm
    table[rows[long_]] *= (max_norm / (norms[long_] + 1e-7))[:, None].astype(table.dtype)
    weight._version_cell().bump()


def embedding_bag(
    input: Any,
    weight: Any,
    offsets: Any = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:
    """Take the sum, mean or maximum of bags of rows of a table."""
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for "
            "mode='sum' (got "
            f"mode='{mode}'). Please open a feature request on GitHub."
        )
    if per_sample_weights is not None and per_sample_weights.shape != input.shape:
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({list(per_sample_weights.shape)}) is not None, then it "
            "must have the "
            f"same shape as the input ({list(input.shape)})"
        )
    if input.ndim == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed "
                "length "
                f"sequences. However, found offsets of type {type(offsets)}"
            )
        count, length = input.shape
        starts, ends = np.arange(count) * length, (np.arange(count) + 1) * length
    elif input.ndim == 1:
        if offsets is None:
            raise ValueError("offsets has to be a 1D Tensor but got None")
        if offsets.ndim != 1:
            raise ValueError("offsets has to be a 1D Tensor")
        at = offsets._array.astype(np.int64)
        starts, ends = (
            (at[:-1], at[1:]) if include_last_offset else (at, np.append(at[1:], input._array.size))
        )
    else:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.ndim}")
    labels = input._array.reshape(-1).astype(np.int64)
    padding = None if padding_idx is None else padding_idx % weight.shape[0]
    rows = embedding(wrap(labels), weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
    bag = np.repeat(np.arange(len(starts)), ends - starts)
    kept = np.ones(labels.shape, bool) if padding is None else labels != padding
    if mode == "max":
        return _bag_maxima(rows, starts, ends, kept)
    member = (bag == np.arange(len(starts))[:, None]) & kept
    share = wrap(member.astype(rows._array.dtype))
    if per_sample_weights is not None:
        share = share * per_sample_weights.reshape(-1)
    if mode == "mean":
        share = share / wrap(np.maximum(member.sum(1, keepdims=True), 1).astype(rows._array.dtype))
    return share @ rows


def _bag_maxima(rows: Any, starts: Any, ends: Any, kept: Any) -> Any:
    bags = []
    for a, b in zip(starts, ends, strict=True):
        at = np.flatnonzero(kept[a:b]) + a
        bags.append(rows[wrap(at)].max(0)[0] if len(at) else rows.new_zeros(rows.shape[1:]))
    return np.stack(bags) if bags else rows.new_zeros((0, *rows.shape[1:]))


def linear_cross_entropy(
    input: Any,
    linear_weight: Any,
    target: Any,
    *,
    linear_bias: Any = None,
    weight: Any = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: Any = None,
) -> Any:
    """Take the cross entropy of an affine map of the input: cross_entropy(linear(input, ...), target).

    `options` only say how torch splits the work, so they change nothing here.
    """
    del options
    if input.ndim not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.ndim}")
    if linear_weight.ndim > 2:  # classes, further dimensions of the scores, features
        further = tuple(linear_weight.shape[:-1])
        bias = None if linear_bias is None else linear_bias.reshape(-1)
        flat = OPS["linear"](input, linear_weight.reshape((-1, linear_weight.shape[-1])), bias)
        scores = flat.reshape((*input.shape[:-1], *further))
    else:
        scores = OPS["linear"](input, linear_weight, linear_bias)
    ignored = -100 if ignore_index is None else ignore_index
    return cross_entropy(scores, target, weight, None, ignored, None, reduction, label_smoothing)
