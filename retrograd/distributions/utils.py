"""What distributions share: parameters brought to one shape, probabilities and logits."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Number
from typing import Any

import retrograd
from retrograd.tensor import Tensor

linalg: Any = retrograd.linalg
functional: Any = retrograd.nn.functional


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """Return numbers and tensors as tensors of one shape; numbers take the tensors' dtype.

    Raises:
        ValueError: something is neither a number nor a tensor.
    """
    if not all(isinstance(v, (Tensor, Number)) for v in values):
        raise ValueError(
            "Input arguments must all be instances of Number, torch.Tensor or objects implementing "
            "__torch_function__."
        )
    first = next((v for v in values if isinstance(v, Tensor)), None)
    dtype = retrograd.get_default_dtype() if first is None else first.dtype
    made = [v if isinstance(v, Tensor) else retrograd.as_tensor(v, dtype=dtype) for v in values]
    return tuple(retrograd.broadcast_tensors(*made))


def clamp_probs(probs: Any) -> Any:
    """Return probabilities away from 0 and 1 by the smallest step, so that logarithms are finite."""
    eps = retrograd.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def probs_to_logits(probs: Any, is_binary: bool = False) -> Any:
    """Return log probabilities; for one probability of two, the log odds."""
    clamped = clamp_probs(probs)
    return clamped.log() - (-clamped).log1p() if is_binary else clamped.log()


def logits_to_probs(logits: Any, is_binary: bool = False) -> Any:
    """Return the probabilities of logits."""
    return logits.sigmoid() if is_binary else logits.softmax(-1)


class lazy_property:  # noqa: N801 - torch's public name
    """A property computed at its first use and kept, recorded whatever the mode then is."""

    def __init__(self, wrapped: Callable[[Any], Any]) -> None:
        self.wrapped = wrapped
        self.__doc__ = wrapped.__doc__

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        with retrograd.enable_grad():
            value = self.wrapped(instance)
        instance.__dict__[self.wrapped.__name__] = value
        return value


def sum_rightmost(value: Any, count: int) -> Any:
    """Return the sum over the last `count` dimensions."""
    return value.sum(tuple(range(-count, 0))) if count else value


def standard_normal(shape: Any, dtype: Any) -> Any:
    """Draw from the standard normal distribution."""
    return retrograd.normal(retrograd.zeros(shape, dtype=dtype), retrograd.ones(shape, dtype=dtype))
