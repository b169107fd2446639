"""A checksum of tensors: the exclusive or of their elements' bits."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import samples
from retrograd.ops.axes import axes, reduction, refuse_empty
from retrograd.ops.declare import Array, ErrorSample, Sample, error, sample
from retrograd.ops.helpers import name_of, wrap_dims


def _samples() -> Iterator[Sample]:
    for found in itertools.islice(samples.reducible(), 5):
        yield sample(found.args[0], *found.args[1:2], keepdim=len(found.args) > 2)
    yield sample(np.array([[3, -5, 7], [2, 2, -1]]), 1)


def _mistakes() -> Iterator[ErrorSample]:
    yield error(RuntimeError, "Expected reduction dim to be specified", np.zeros(0))
    yield error(RuntimeError, "Unknown hash_tensor mode: 1", np.zeros(2), mode=1)


@reduction(samples=_samples, errors=_mistakes, kinds="buif", promote="none", primitive=True, out=False)
def hash_tensor(input: Array, dim: Any = (), *, keepdim: bool = False, mode: int = 0) -> Array:
    """Combine the bits of the elements over `dim` by exclusive or; floats as float64, integers as int64.

    Raises:
        RuntimeError: a mode other than 0; nothing to combine.
        NotImplementedError: complex numbers.
    """
    if mode != 0:
        raise RuntimeError(f"Unknown hash_tensor mode: {mode}")
    if input.dtype.kind == "c":
        raise NotImplementedError(f"\"xor_sum_cpu\" not implemented for '{name_of(input)}'")
    refuse_empty("hash_tensor", dim, input.shape)
    wide = input.astype(np.float64 if input.dtype.kind in "fV" else np.int64)
    axis = wrap_dims(axes(dim, input.ndim), input.ndim)
    combine: Any = np.bitwise_xor.reduce  # NumPy's stubs do not know a keepdims that is not constant
    return combine(wide.view(np.uint64), axis=axis, keepdims=keepdim)
