"""Losses of sequences."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograd.nn.functions.ops import OPS
from retrograd.tensor import wrap


def _lengths(value: Any) -> Any:
    return np.atleast_1d(np.asarray(getattr(value, "_array", value), np.int64))


def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:
    """Take the loss of connectionist temporal classification: labels of a sequence without their places.

    Args:
        log_probs: (time, n, classes), or (time, classes) for one sequence.
        targets: (n, labels), or all labels in one row.
        input_lengths: how much of each sequence's time counts.
        target_lengths: how many labels each sequence has.
        blank: the class that stands for no label.
        reduction: 'mean' (each loss by its number of labels, then over the batch), 'sum' or 'none'.
        zero_infinity: count sequences too short for their labels as 0.
    """
    single = log_probs.ndim == 2
    x = log_probs.unsqueeze(1) if single else log_probs
    steps, given = _lengths(input_lengths), _lengths(target_lengths)
    labels = targets._array.astype(np.int64)
    count, classes = x.shape[1], x.shape[2]
    if not 0 <= blank < classes:
        raise RuntimeError("blank must be in label range")
    if len(steps) != count:
        raise RuntimeError(
            f"input_lengths must be of size batch_size; got {len(steps)} and a batch of {count}"
        )
    if len(given) != count:
        raise RuntimeError(
            f"target_lengths must be of size batch_size; got {len(given)} and a batch of {count}"
        )
    if (steps < 0).any() or (steps > x.shape[0]).any():
        raise RuntimeError(
            f"Expected input_lengths to have value at most {x.shape[0]}, but got value {int(steps.max())}"
        )
    if labels.ndim == 1:
        ends = np.cumsum(given)
        padded = np.full((count, int(given.max(initial=0))), blank, np.int64)
        for i, (last, n) in enumerate(zip(ends, given, strict=True)):
            padded[i, :n] = labels[last - n : last]
        labels = padded
    loss = OPS["ctc"](x, labels, steps, given, blank)
    if zero_infinity:
        is_finite = np.isfinite(loss._array)
        loss = np.where(wrap(is_finite), loss, loss.new_zeros(()))
    if reduction == "mean":
        return (loss / wrap(np.maximum(given, 1).astype(loss._array.dtype))).mean()
    if reduction == "sum":
        return loss.sum()
    if reduction != "none":
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return loss[0] if single else loss
