"""Scattering where several elements meet: their sum, product, mean, largest or smallest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops.declare import Array, ErrorSample, Plain, Sample, error, sample
from retrograd.ops.families import general
from retrograd.ops.helpers import cast, numpy_dtype, wrap_dim
from retrograd.ops.scatter import (
    batch_along,
    check_scatter,
    front,
    gather,
    grid,
    put_along,
    scatter_value,
    unfront,
)

_MEETINGS = {
    "sum": (np.add, 0), "mean": (np.add, 0), "prod": (np.multiply, 1), "amax": (np.maximum, None),
    "amin": (np.minimum, None),
}  # fmt: skip


def _samples() -> Iterator[Sample]:
    x = np.arange(6.0).reshape(2, 3) - 1.5
    index = np.array([[0, 1, 1], [0, 0, 1]])
    src = np.array([[2.0, -3.0, 0.75], [1.75, 4.0, -0.25]])
    for reduce in _MEETINGS:
        yield sample(x, 0, index, src, reduce)
        yield sample(x, 0, index, src, reduce, include_self=False)
        yield sample(x, -1, index, src, reduce)


def _errors() -> Iterator[ErrorSample]:
    x, i = np.zeros((2, 3)), np.zeros((1, 3), np.int64)
    yield error(
        RuntimeError,
        "reduce argument must be either sum, prod, mean, amax or amin, got foo",
        x,
        0,
        i,
        x,
        "foo",
    )


def _lowest(dtype: Any, reduce: str) -> Any:
    """Return what changes nothing in the largest (or smallest) of numbers."""
    if dtype.kind in "fV":
        return -np.inf if reduce == "amax" else np.inf
    if dtype.kind == "b":
        return reduce == "amin"
    return np.iinfo(dtype).min if reduce == "amax" else np.iinfo(dtype).max


def _count(shape: Any, dim: int, index: Any, include_self: bool, dtype: Any) -> Any:
    """Return how many elements meet at each place; 1 where none do."""
    ones = np.ones(tuple(index.shape), numpy_dtype(dtype))
    found = put_along(ones, tuple(shape), dim, index)
    return np.maximum(found + 1 if include_self else found, 1)


def _src_factors(
    input: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool, result: Any
) -> list[Any]:
    """Return pairs (w, f): the cotangent of `src` is the sum of w * gather(f * ct)."""
    src = front(src, index)
    if reduce == "sum":
        return [(None, None)]
    if reduce == "mean":
        return [(None, 1 / _count(input.shape, dim, index, include_self, input.dtype))]
    if reduce in ("amax", "amin"):
        chosen, share = _shares(input, dim, index, src, include_self, result)
        return [(chosen, share)]
    zero = src == 0
    zeros = gather(put_along(_numbers(zero, src), input.shape, dim, index), dim, index)
    lone = _numbers(zero, src) * zeros == 1
    filled = np.where(lone, 1, src)
    whole = scatter_reduce(
        input, dim, index, cast(filled, numpy_dtype(src.dtype)), "prod", include_self=include_self
    )
    alone = _numbers(lone, src)
    return [(alone, whole), ((1 - alone) / np.where(zero, 1, src), result)]


def _numbers(mask: Any, like: Any) -> Any:
    return cast(np.where(mask, 1, 0), getattr(like.dtype, "np", like.dtype))


def _shares(input: Any, dim: int, index: Any, src: Any, include_self: bool, result: Any) -> tuple[Any, Any]:
    """Return where `src` is an extreme, and 1 over the number of elements that are at each place."""
    chosen = _numbers(src == gather(result, dim, index), src)
    total = put_along(chosen, input.shape, dim, index)
    own = _numbers(input == result, input)
    total = total + (own if include_self else scatter_value(own, dim, index, 0))
    return chosen, 1 / np.where(total == 0, 1, total)


def _input_ct(
    ct: Any, input: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool, result: Any
) -> Any:
    if reduce == "mean":
        ct = ct / _count(input.shape, dim, index, include_self, input.dtype)
    elif reduce == "prod":
        filled = np.where(input == 0, 1, input)
        ct = ct * scatter_reduce(filled, dim, index, src, "prod", include_self=include_self) / filled
    elif reduce in ("amax", "amin"):
        _, share = _shares(input, dim, index, front(src, index), include_self, result)
        ct = ct * share * _numbers(input == result, input)
    return ct if include_self else scatter_value(ct, dim, index, 0)


def _src_ct(
    ct: Any, input: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool, result: Any
) -> Any:
    found: Any = None
    for w, f in _src_factors(input, dim, index, src, reduce, include_self, result):
        part = gather(ct if f is None else f * ct, dim, index)
        part = part if w is None else w * part
        found = part if found is None else found + part
    return unfront(found, src.shape)


def _src_tangent(
    t: Any, input: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool, result: Any
) -> Any:
    found: Any = None
    t = front(t, index)
    for w, f in _src_factors(input, dim, index, src, reduce, include_self, result):
        part = put_along(t if w is None else w * t, input.shape, dim, index)
        part = part if f is None else f * part
        found = part if found is None else found + part
    return found


@general(
    node="ScatterReduceBackward0",
    input=lambda ct, input, dim, index, src, reduce, include_self, result: _input_ct(
        ct, input, dim, index, src, reduce, include_self, result
    ),
    src=lambda ct, input, dim, index, src, reduce, include_self, result: _src_ct(
        ct, input, dim, index, src, reduce, include_self, result
    ),
    jvp={
        "input": lambda t, input, dim, index, src, reduce, include_self, result: _input_ct(
            t, input, dim, index, src, reduce, include_self, result
        ),
        "src": lambda t, input, dim, index, src, reduce, include_self, result: _src_tangent(
            t, input, dim, index, src, reduce, include_self, result
        ),
    },
    batch=batch_along,
    samples=_samples,
    errors=_errors,
    inplace=True,
    primitive=True,
    kinds="buif",
)
def scatter_reduce(
    input: Array, dim: int, index: Plain, src: Array, reduce: str, *, include_self: bool = True
) -> Array:
    """Combine elements of `src` that meet at positions along `dim`: their sum, prod, mean, amax or amin."""
    if reduce not in _MEETINGS:
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    d = wrap_dim(dim, input.ndim)
    check_scatter(input, d, index, src)
    made = np.array(input, order="C")
    if not index.size:
        return made
    combine, neutral = _MEETINGS[reduce]
    flat = made.ndim == 0 or index.ndim == 0
    target = made.reshape(-1) if flat else made
    places = (index.reshape(-1),) if flat else grid(index, d, made.shape)
    if not include_self:
        target[places] = _lowest(made.dtype, reduce) if neutral is None else neutral
    combine.at(
        target, places, front(src, index).reshape(index.reshape(-1).shape) if flat else front(src, index)
    )
    if reduce == "mean":
        count = _count(
            made.shape or (1,), d, index.reshape(-1) if flat else index, include_self, made.dtype
        ).reshape(made.shape)
        made = made // count if made.dtype.kind in "iu" else made / count
    return made
