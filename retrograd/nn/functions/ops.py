"""The functions that thin ones call: those made from the declared ops, by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from retrograd.public import functions

OPS: dict[str, Callable[..., Any]] = {
    name: function
    for place in ("linalg", "Tensor", "torch", "nn.functional", "nn")
    for name, function in functions(place).items()
}


def legacy_reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """Return the reduction that the two old arguments mean, with torch's warning."""
    if size_average is None and reduce is None:
        return reduction
    average, does = size_average is not False, reduce is not False
    found = ("mean" if average else "sum") if does else "none"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{found}' instead.",
        stacklevel=3,
    )
    return found


def reduce_loss(loss: Any, reduction: str) -> Any:
    """Return the mean or the sum of a loss, or itself for 'none'."""
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    if reduction == "none":
        return loss
    raise ValueError(f"{reduction} is not a valid value for reduction")


def sizes(value: Any, rank: int, function: str, what: str) -> tuple[int, ...]:
    """Return an argument that is one int, or one per dimension, as one int per dimension.

    Raises:
        RuntimeError: there are neither one nor `rank` ints.
    """
    if isinstance(value, int):
        return (value,) * rank
    found = tuple(int(v) for v in value)
    if len(found) == 1:
        return found * rank
    if len(found) != rank:
        raise RuntimeError(
            f"{function}: {what} must either be a single int, or a tuple of {rank} ints; got {list(found)}"
        )
    return found


def default_stride(stride: Any, kernel: tuple[int, ...], rank: int, function: str) -> tuple[int, ...]:
    """Return a pooling's stride: the kernel's size if it is left out."""
    if stride is None or (not isinstance(stride, int) and len(stride) == 0):
        return kernel
    return sizes(stride, rank, function, "stride")
