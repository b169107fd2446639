"""Keeping a gradient in the graph of what it was chosen by, where its derivative by that is zero.

The cotangent of relu is `ct * (result > 0)`: as a function of the input a step, with derivative 0. The
comparison has no history, so at second order the gradient would seem not to come from the input at all, and
asking for its derivative would be an error instead of zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.declare import Array, sample
from retrograd.ops.families import general
from retrograd.ops.helpers import numpy_dtype


@general(
    node="AliasBackward0",
    input=lambda ct: ct,
    other=lambda ct, other_shape, other_dtype: np.zeros(other_shape, numpy_dtype(other_dtype)),
    jvp={
        "input": lambda t: t,
        "other": lambda t, input_shape, input_dtype: np.zeros(input_shape, numpy_dtype(input_dtype)),
    },
    promote="none",
    batch=lambda op, size, args, dims: batching.spread(args[0], dims[0], size),
    samples=lambda: [sample(np.array([1.5, -2.0]), np.array([[0.5, 0.25]]))],
    places="",
)
def depend(input: Array, other: Array) -> Array:
    """Return `input`, as a function of `other` too, with derivative 0."""
    return input


@general(
    node="AliasBackward0",
    input=lambda ct, input: tied(ct, input),
    jvp={"input": lambda t: t},
    promote="none",
    batch=lambda op, size, args, dims: batching.front(args[0], dims[0]),
    samples=lambda: [sample(np.array([1.5, -2.0]))],
    places="nn",
)
def remembered(input: Array) -> Array:
    """Return `input`, whose cotangent will be tied to it."""
    return input


def tied(value: Any, source: Any) -> Any:
    """Return a rule's value as one that depends on `source`; on plain arrays there is nothing to record."""
    return value if isinstance(value, (np.ndarray, np.generic)) else depend(value, source)
