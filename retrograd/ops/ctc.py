"""The loss of connectionist temporal classification.

Source: A. Graves, S. Fernandez, F. Gomez, J. Schmidhuber, Connectionist Temporal Classification (2006),
    equations 5-15, in logarithms. As in torch, the cotangent is the one for log-probabilities that a
    log_softmax made: it holds the term exp(log_probs), which the adjoint of log_softmax then takes away.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.declare import Array, Sample, sample
from retrograd.ops.families import general
from retrograd.ops.matmul import grid

_LOW = -math.inf


def _states(targets: Any, blank: int) -> tuple[Any, Any]:
    """Return the labels with blanks around them, and where a blank may be skipped."""
    n, longest = targets.shape
    labels = np.full((n, 2 * longest + 1), blank, np.int64)
    labels[:, 1::2] = targets
    skips = np.zeros(labels.shape, bool)
    skips[:, 3::2] = targets[:, 1:] != targets[:, :-1]
    return labels, skips


def _shift(x: Any, by: int) -> Any:
    made = np.full(x.shape, _LOW, x.dtype)
    if by > 0:
        made[:, by:] = x[:, :-by]
    else:
        made[:, :by] = x[:, -by:]
    return made


def _forward(scores: Any, skips: Any) -> Any:
    """Return the log probability of every prefix: (time, n, states)."""
    made = np.full(scores.shape, _LOW, scores.dtype)
    made[0, :, :2] = scores[0, :, :2]
    for t in range(1, len(scores)):
        before = made[t - 1]
        total = np.logaddexp(before, _shift(before, 1))
        total = np.where(skips, np.logaddexp(total, _shift(before, 2)), total)
        made[t] = total + scores[t]
    return made


def _ends(count: int, target_lengths: Any) -> Any:
    """Return which states may be the last: the last blank and the last label."""
    at, last = np.arange(count), 2 * target_lengths[:, None]
    return (at == last) | ((at == last - 1) & (last > 0))


def _backward(scores: Any, skips: Any, input_lengths: Any, target_lengths: Any) -> Any:
    """Return the log probability of every suffix: (time, n, states)."""
    made = np.full(scores.shape, _LOW, scores.dtype)
    ends = _ends(scores.shape[2], target_lengths)
    after = np.full(scores.shape[1:], _LOW, scores.dtype)
    for t in reversed(range(len(scores))):
        total = np.logaddexp(after, _shift(after, -1))
        total = np.logaddexp(total, _shift(np.where(skips, after, _LOW), -2))
        total = np.where((input_lengths == t + 1)[:, None], np.where(ends, 0, _LOW), total)
        made[t] = after = total + scores[t]
    return made


def _loss(forward: Any, input_lengths: Any, target_lengths: Any) -> Any:
    n = np.arange(forward.shape[1])
    last = forward[np.maximum(input_lengths - 1, 0), n]
    last = np.where(_ends(forward.shape[2], target_lengths), last, _LOW)
    return -np.logaddexp.reduce(last, 1)


def _scores(log_probs: Any, labels: Any) -> Any:
    return log_probs[:, np.arange(labels.shape[0])[:, None], labels]


def _samples() -> list[Sample]:
    x = grid(5, 2, 4)
    x = x - np.log(np.exp(x).sum(-1, keepdims=True))
    targets, lengths = np.array([[1, 2], [3, 3]]), (np.array([5, 4]), np.array([2, 1]))
    return [
        sample(x, targets, *lengths, 0, grad=False),
        sample(x, targets[:, :1], lengths[0], np.array([1, 1]), 0, grad=False),
    ]


def _tangent(
    t: Any, log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int
) -> Any:
    n = np.arange(log_probs.shape[1])
    slope = ctc_slope(
        np.ones(len(n), log_probs.dtype), log_probs, targets, input_lengths, target_lengths, blank
    )
    return np.sum(slope * t, axis=(0, 2))


@general(
    node="CtcLossBackward0",
    log_probs=lambda ct, log_probs, targets, input_lengths, target_lengths, blank: ctc_slope(
        ct, log_probs, targets, input_lengths, target_lengths, blank
    ),
    jvp={"log_probs": _tangent},
    primitive=True,
    kinds="f",
    promote="match",
    batch=batching.loop,
    samples=_samples,
    places="nn",
)
def ctc(log_probs: Array, targets: Any, input_lengths: Any, target_lengths: Any, blank: int) -> Array:
    """Return minus the log probability of each example's labels: (time, n, classes), (n, labels) -> (n).

    The targets and lengths are plain arrays; targets beyond an example's length are not looked at.
    """
    labels, skips = _states(targets, blank)
    return _loss(_forward(_scores(log_probs, labels), skips), input_lengths, target_lengths)


@general(
    primitive=True,
    kinds="f",
    promote="match",
    batch=batching.loop,
    samples=lambda: [sample(np.ones(2), *s.args) for s in _samples()],
    places="",
)
def ctc_slope(
    ct: Array, log_probs: Array, targets: Any, input_lengths: Any, target_lengths: Any, blank: int
) -> Array:
    """Return the cotangent of the log probabilities; it cannot be differentiated again."""
    labels, skips = _states(targets, blank)
    scores = _scores(log_probs, labels)
    forward = _forward(scores, skips)
    loss = _loss(forward, input_lengths, target_lengths)
    through = forward + _backward(scores, skips, input_lengths, target_lengths)
    sums = np.full(log_probs.shape, _LOW, log_probs.dtype)
    rows = np.arange(labels.shape[0])
    for state in range(labels.shape[1]):
        at = (slice(None), rows, labels[:, state])
        sums[at] = np.logaddexp(sums[at], through[:, :, state])
    made = np.exp(log_probs) - np.exp(sums + loss[:, None] - log_probs)
    made[np.arange(len(made))[:, None] >= input_lengths] = 0
    return made * ct[:, None]
