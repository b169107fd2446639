"""Parameters as one vector."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from retrograd.functions.joins import cat
from retrograd.tensor import Tensor


def parameters_to_vector(parameters: Iterable[Any]) -> Tensor:
    """Return the elements of all parameters as one vector; differentiable."""
    return cat([parameter.view(-1) for parameter in parameters])


def vector_to_parameters(vec: Any, parameters: Iterable[Any]) -> None:
    """Make the parts of a vector the data of the parameters.

    Raises:
        TypeError: `vec` is no Tensor.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {type(vec).__name__}")
    vector: Any = vec
    start = 0
    for parameter in parameters:
        count = parameter._array.size
        parameter.data = vector[start : start + count].view(parameter.shape).data
        start += count
