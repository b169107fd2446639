"""The largest and the smallest so far along a dimension."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import samples
from retrograd.ops.declare import Array, Plain, Sample, sample
from retrograd.ops.families import general
from retrograd.ops.helpers import cast, wrap_dim
from retrograd.ops.scan import along, bad_dim, behind


def _picked() -> Iterator[Sample]:
    x = samples.ramp(-1.9, 3.1, 2, 3)
    yield sample(x, np.array([[0, 2, 2], [1, 1, 0]]), 1)
    yield sample(x, np.array([[0, 1, 1], [1, 1, 1]]), 0)


def _picked_rule(ct: Any, indices: Any, dim: int) -> Any:
    return gathered_back(ct, indices, dim)


@general(
    node="PickBackward0",
    input=_picked_rule,
    jvp="linear",
    batch=behind,
    samples=_picked,
    primitive=True,
    places="",
)
def pick(input: Array, indices: Plain, dim: int) -> Array:
    """Return input[indices] along `dim`: as many indices as there are elements."""
    return np.take_along_axis(input, indices, dim) if input.ndim else input


@general(
    node="GatheredBackBackward0",
    values=lambda ct, indices, dim: pick(ct, indices, dim),
    jvp="linear",
    batch=behind,
    samples=_picked,
    primitive=True,
    places="",
)
def gathered_back(values: Array, indices: Plain, dim: int) -> Array:
    """Add each element where its index along `dim` says: the transpose of `pick`."""
    if values.ndim == 0:
        return values
    made = np.zeros(values.shape, values.dtype)
    places = list(np.indices(values.shape, sparse=True))
    places[dim] = indices
    np.add.at(made, tuple(places), values)
    return made


_running: dict[str, Any] = {
    "input": lambda ct, result, dim: gathered_back(ct, cast(result[1], np.int64), dim),
    "jvp": {"input": lambda t, result, dim: pick(t, cast(result[1], np.int64), dim)},
    "outputs": ("values", "indices"),
    "differentiable_outputs": (0,),
    "promote": "same",
    "kinds": "buif",
    "batch": behind,
    "samples": along,
    "errors": bad_dim,
    "primitive": True,
}


def _running_extreme(ufunc: Any, input: Any, dim: int) -> tuple[Any, Any]:
    dim = wrap_dim(dim, input.ndim)
    if input.ndim == 0:
        return input.copy(), np.zeros((), np.int64)
    values = ufunc.accumulate(input, dim)
    places = np.arange(input.shape[dim]).reshape(-1, *(1,) * (input.ndim - dim - 1))
    here = (values == input) | (np.isnan(input) if input.dtype.kind == "f" else False)
    return values, np.maximum.accumulate(np.where(here, places, 0), dim)


@general(node="CummaxBackward0", **_running)
def cummax(input: Array, dim: int) -> tuple[Array, Array]:
    """Compute the largest so far along a dimension, and where it is: the last place of equal ones."""
    return _running_extreme(np.maximum, input, dim)


@general(node="CumminBackward0", **_running)
def cummin(input: Array, dim: int) -> tuple[Array, Array]:
    """Compute the smallest so far along a dimension, and where it is: the last place of equal ones."""
    return _running_extreme(np.minimum, input, dim)
