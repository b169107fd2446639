"""Fractional max-pooling: windows of one size at places that a random number per plane makes uneven.

Source: Graham, Fractional Max-Pooling (2014), section 2; the order of the random numbers is torch's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.declare import Array, Plain, Sample, sample
from retrograd.ops.depend import tied
from retrograd.ops.families import general
from retrograd.ops.matmul import grid
from retrograd.ops.scatter import gather, put_along

Sizes = tuple[int, ...]


def _starts(draw: Any, n: int, k: int, count: int) -> Any:
    """Return where along a dimension the windows begin: (planes, count); the last one ends at the end."""
    if count == 1:
        return np.full((len(draw), 1), n - k)
    alpha = draw.dtype.type(n - k) / draw.dtype.type(count - 1)
    steps = np.arange(count - 1, dtype=draw.dtype)
    found = ((steps + draw[:, None]) * alpha).astype(np.int64) - (draw * alpha).astype(np.int64)[:, None]
    return np.concatenate((found, np.full((len(draw), 1), n - k)), 1)


def _places(draws: Any, sizes: Sizes, kernel: Sizes, output: Sizes) -> Any:
    """Return, for each plane and window, where its elements are in the plane laid flat."""
    rank, planes = len(sizes), len(draws)
    order = range(rank) if rank == 3 else range(rank - 1, -1, -1)  # torch's: (t, h, w), but (w, h)
    found: Any = 0
    for i, at in enumerate(order):
        along = _starts(draws[:, at], sizes[i], kernel[i], output[i])[:, :, None] + np.arange(kernel[i])
        shape = [1] * (2 * rank)
        shape[i], shape[rank + i] = output[i], kernel[i]
        found = found * sizes[i] + along.reshape(planes, *shape)
    return found.reshape(planes, *output, math.prod(kernel))


def _flat(x: Any, rank: int) -> Any:
    return np.reshape(x, (*x.shape[: x.ndim - rank], -1))


def _rule(ct: Any, input: Any, result: Any, kernel: Sizes) -> Any:
    rank = len(kernel)
    lead, sizes = tuple(input.shape[:-rank]), tuple(input.shape[-rank:])
    put = put_along(_flat(ct, rank), (*lead, math.prod(sizes)), -1, _flat(result[1], rank))
    return tied(np.reshape(put, (*lead, *sizes)), input)


def _tangent(t: Any, result: Any, kernel: Sizes) -> Any:
    rank = len(kernel)
    return np.reshape(gather(_flat(t, rank), -1, _flat(result[1], rank)), result[0].shape)


def _samples() -> Iterator[Sample]:
    yield sample(grid(2, 5, 6), np.array([[0.2, 0.8], [0.5, 0.1]]), (2, 3), (3, 2))
    yield sample(grid(1, 2, 5, 6), np.array([[0.7, 0.9], [0.25, 0.3]]), (2, 2), (4, 1))
    yield sample(grid(1, 4, 3, 5), np.array([[0.2, 0.8, 0.4]]), (2, 1, 2), (2, 3, 3))


@general(
    node=lambda kernel: f"FractionalMaxPool{len(kernel)}DBackward0",
    input=_rule,
    jvp={"input": _tangent},
    promote="none",
    kinds="f",
    primitive=True,
    outputs=("output", "indices"),
    differentiable_outputs=(0,),
    batch=batching.loop,
    samples=_samples,
    places="",
)
def fractional_max_pool(input: Array, draws: Plain, kernel: Sizes, output: Sizes) -> tuple[Array, Array]:
    """Take the maximum of each window, and where in its plane it is; `draws`: a row for each plane."""
    rank = len(kernel)
    lead, sizes = input.shape[:-rank], input.shape[-rank:]
    planes = math.prod(lead)
    places = _places(draws.reshape(-1, rank)[:planes], sizes, kernel, output).reshape(planes, -1)
    rows = np.take_along_axis(input.reshape(planes, -1), places, 1).reshape(planes, -1, math.prod(kernel))
    chosen = np.argmax(rows, -1)[..., None]
    values = np.take_along_axis(rows, chosen, -1)
    at = np.take_along_axis(places.reshape(rows.shape), chosen, -1)
    return values.reshape(*lead, *output), at.reshape(*lead, *output)
