"""Scaled dot-product attention."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.declare import Array, Sample, sample
from retrograd.ops.families import general, linear
from retrograd.ops.matmul import batched_products, grid
from retrograd.ops.neural import flip, largest, total


def _scores(query: Any, key: Any, bias: Any, scale: float) -> Any:
    """Return the weights of the values: softmax(query key^T scale + bias), 0 in rows where all is masked."""
    scores = (query * scale) @ flip(key)
    if bias is not None:
        scores = scores + bias
    if scores.shape[-1] == 0:
        return scores
    top = largest(scores, -1, True)
    if bias is not None:
        top = np.where(top == -math.inf, 0, top)
    powers = np.exp(scores - top)
    sums = total(powers, -1, True)
    return powers / (sums if bias is None else np.where(sums == 0, 1, sums))


def _score_ct(ct: Any, query: Any, key: Any, value: Any, bias: Any, scale: float) -> tuple[Any, Any]:
    weights = _scores(query, key, bias, scale)
    weighted = (ct @ flip(value)) * weights
    return weights, weighted - weights * total(weighted, -1, True)


def _tangent(t: Any, query: Any, key: Any, value: Any, bias: Any, scale: float) -> Any:
    weights = _scores(query, key, bias, scale)
    moved = weights * t
    return (moved - weights * total(moved, -1, True)) @ value


def _samples() -> Iterator[Sample]:
    q, k, v = grid(2, 3, 4), grid(2, 5, 4, shift=1), grid(2, 5, 3, shift=2)
    yield sample(q, k, v, None, 0.5)
    yield sample(q, k, v, np.where(np.arange(15).reshape(3, 5) % 4 == 0, -math.inf, 0.0), 0.5, grad=False)
    yield sample(q, k, v, grid(3, 5), 0.5)


@linear(
    node="ScaledDotProductFlashAttentionForCpuBackward0",
    input=lambda ct, value: ct @ flip(value),
    value=lambda ct, input: flip(input) @ ct,
    exact=False,
    kinds="f",
    batch=batched_products,
    samples=lambda: [
        sample(grid(2, 3, 4), grid(2, 4, 5, shift=1)),
        sample(grid(2, 3, 4), grid(4, 5, shift=1)),
    ],
    places="nn",
)
def weigh(input: Array, value: Array) -> Array:
    """Add up values by weights, the last step of attention: (..., n, m), (..., m, v) -> (..., n, v)."""
    return input @ value


@general(
    node="ScaledDotProductFlashAttentionForCpuBackward0",
    query=lambda ct, query, key, value, bias, scale: (
        _score_ct(ct, query, key, value, bias, scale)[1] @ key * scale
    ),
    key=lambda ct, query, key, value, bias, scale: (
        flip(_score_ct(ct, query, key, value, bias, scale)[1]) @ (query * scale)
    ),
    value=lambda ct, query, key, bias, scale: flip(_scores(query, key, bias, scale)) @ ct,
    bias=lambda ct, query, key, value, bias, scale: _score_ct(ct, query, key, value, bias, scale)[1],
    jvp={
        "query": lambda t, query, key, value, bias, scale: _tangent(
            t @ flip(key) * scale, query, key, value, bias, scale
        ),
        "key": lambda t, query, key, value, bias, scale: _tangent(
            query @ flip(t) * scale, query, key, value, bias, scale
        ),
        "value": lambda t, query, key, bias, scale: _scores(query, key, bias, scale) @ t,
        "bias": lambda t, query, key, value, bias, scale: _tangent(t, query, key, value, bias, scale),
    },
    exact=False,
    promote="match",
    kinds="f",
    batch=batching.loop,
    samples=_samples,
    places="nn",
)
def attention(query: Array, key: Array, value: Array, bias: Array | None, scale: float) -> Array:
    """Average the values by how well their keys match each query: softmax(query key^T scale + bias) value.

    Shape: (..., n, k), (..., m, k), (..., m, v) -> (..., n, v).
    """
    return _scores(query, key, bias, scale) @ value
