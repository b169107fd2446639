"""Histograms with edges, in one dimension and in several."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograd import return_types
from retrograd.tensor import Tensor, wrap


def _edges_given(bins: Sequence[Any], array: Any) -> list[Any]:
    found = []
    for i, edges in enumerate(bins):
        values = edges._array
        if values.ndim != 1:
            raise RuntimeError(
                f"torch.histogramdd: bins tensor should have one dimension, but got {values.ndim} dimensions "
                f"in the bins tensor for dimension {i}"
            )
        if values.dtype != array.dtype:
            raise RuntimeError(
                "torch.histogramdd: input tensor and bins tensors should have the same dtype, but got input "
                f"with dtype {array.dtype} and bins for dimension {i} with dtype {values.dtype}"
            )
        found.append(values)
    return found


def _edges_even(bins: Sequence[int], array: Any, bounds: Any) -> list[Any]:
    """Return edges evenly spaced over `bounds`, or over what the data span."""
    rank = array.shape[1]
    for i, n in enumerate(bins):
        if n <= 0:
            raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {n} for dimension {i}")
    if bounds is not None and len(bounds) != 2 * rank:
        raise RuntimeError(
            f"torch.histogramdd: for a {rank}-dimensional histogram range should have {2 * rank} "
            "elements, but "
            f"got {len(bounds)}"
        )
    found = []
    for i, n in enumerate(bins):
        if bounds is not None:
            low, high = bounds[2 * i : 2 * i + 2]
        else:
            column = array[:, i]
            low, high = (float(column.min()), float(column.max())) if column.size else (0.0, 1.0)
        if not (math.isfinite(low) and math.isfinite(high)):
            raise RuntimeError(f"torch.histogramdd: dimension {i}'s range [{low:g}, {high:g}] is not finite")
        if low > high:
            raise RuntimeError(
                f"torch.histogramdd: min should not exceed max, but got min {low:g} max {high:g} for "
                f"dimension {i}"
            )
        if low == high:
            low, high = low - 0.5, high + 0.5
        found.append(np.linspace(low, high, n + 1).astype(array.dtype))
    return found


def _counts(array: Any, edges: list[Any], weight: Any, density: bool) -> Any:
    """Return the weights of the points in each cell; the last edge of each dimension belongs to its cell."""
    shape = tuple(len(e) - 1 for e in edges)
    places, inside = [], np.ones(len(array), bool)
    for i, e in enumerate(edges):
        column = array[:, i]
        at = np.searchsorted(e, column, side="right") - 1
        at[column == e[-1]] = len(e) - 2
        inside &= (column >= e[0]) & (column <= e[-1])
        places.append(at)
    flat = np.ravel_multi_index([p[inside] for p in places], shape)
    weights = None if weight is None else weight.reshape(-1)[inside]
    made = np.bincount(flat, weights, math.prod(shape)).reshape(shape).astype(array.dtype)
    if density:
        volume = np.asarray(1.0, array.dtype)
        for e in edges:
            volume = volume[..., None] * np.diff(e)
        made = made / made.sum() / volume
    return made


def _check(array: Any, weight: Tensor | None) -> None:
    if array.dtype not in (np.float32, np.float64):
        from retrograd import dtypes  # noqa: PLC0415 - failing paths only

        name = dtypes.of_array(array).scalar_name
        raise NotImplementedError(f"\"histogramdd\" not implemented for '{name}'")
    if weight is None:
        return
    if weight._array.dtype != array.dtype:
        raise RuntimeError(
            "torch.histogramdd: if weight tensor is provided, input tensor and weight tensor should have the "
            f"same dtype, but got input({array.dtype}), and weight({weight._array.dtype})"
        )


def histogramdd(
    input: Tensor, bins: Any, range: Any = None, weight: Tensor | None = None, density: bool = False
) -> Any:
    """Count points, the last dimension of `input`, in the cells of a grid: (hist, a tuple of edges).

    `bins` is a number for all dimensions, a list of numbers, or a list of edges.
    """
    if input.ndim < 2:
        raise RuntimeError("torch.histogramdd: input tensor should have at least 2 dimensions")
    array = input._array
    rank = array.shape[-1]
    bins = [bins] * rank if isinstance(bins, int) else list(bins)
    if len(bins) != rank:
        raise RuntimeError(
            "histogramdd: The size of bins must be equal to the innermost dimension of the input."
        )
    _check(array, weight)
    if weight is not None and weight._array.shape != array.shape[:-1]:
        raise RuntimeError(
            "torch.histogramdd: if weight tensor is provided it should have the same shape as the "
            "input tensor "
            f"excluding its innermost dimension, but got input with shape {list(array.shape)} and "
            "weight with "
            f"shape {list(weight._array.shape)}"
        )
    flat = array.reshape(-1, rank)
    are_edges = bool(bins) and isinstance(bins[0], Tensor)
    edges = _edges_given(bins, flat) if are_edges else _edges_even(bins, flat, range)
    hist = _counts(flat, edges, None if weight is None else weight._array, density)
    made = return_types.make("histogramdd", ("hist", "bin_edges"))
    return made(wrap(hist), tuple(wrap(e.copy()) for e in edges))


def histogram(
    input: Tensor, bins: Any, *, range: Any = None, weight: Tensor | None = None, density: bool = False,
    out: Any = None,
) -> Any:  # fmt: skip
    """Count the elements in bins: a number of them, evenly spaced over `range`, or given by their edges.

    Example:
        >>> import retrograd as torch
        >>> torch.histogram(torch.tensor([1.0, 2.0, 2.0]), 2).hist
        tensor([1., 2.])
    """
    points = input.detach().reshape(-1, 1)
    flat = weight
    if weight is not None and weight._array.shape == input._array.shape:
        flat = weight.reshape(-1)
    hist, (edges,) = histogramdd(points, [bins], range, flat, density)
    made = return_types.make("histogram", ("hist", "bin_edges"))
    if out is None:
        return made(hist, edges)
    for target, value in zip(out, (hist, edges), strict=True):
        target.resize_(value.shape).copy_(value)
    return made(*out)


METHODS: dict[str, Callable[..., Any]] = {"histogram": histogram}
