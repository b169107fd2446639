"""Random draws in the graph: what was drawn from a tensor of probabilities has a gradient, and it is zero."""

from __future__ import annotations

import numpy as np

from retrograd.ops import batching
from retrograd.ops.declare import Array, Plain, sample
from retrograd.ops.families import general


@general(
    node="BernoulliBackward0",
    input=lambda ct: 0 * ct,
    jvp={"input": lambda t: 0 * t},
    batch=lambda op, size, args, dims: batching.spread(args[1], dims[1], size),
    samples=lambda: [sample(np.array([0.25, 0.5]), np.array([0.0, 1.0]), grad=False)],
    places="",
)
def drawn(input: Array, values: Plain) -> Array:
    """Return `values`, which were drawn with the probabilities `input`: their derivative is zero."""
    return values
