"""The checks of options that optimizers share."""

from __future__ import annotations

from typing import Any

from retrograd.tensor import Tensor


def check_lr(lr: Any, foreach: Any = None, fused: Any = None) -> None:
    """Raise unless `lr` is a number or one-element Tensor >= 0, and the options agree.

    `foreach` and `fused` say how torch is to run the step; here there is one way, so that they are
    accepted and change nothing.
    """
    if isinstance(lr, Tensor) and lr._array.size != 1:
        raise ValueError("Tensor lr must be 1-element")
    if not lr >= 0.0:
        raise ValueError(f"Invalid learning rate: {lr}")
    if fused and foreach:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")


def check_not_negative(**options: Any) -> None:
    """Raise for the first option that is negative; the name is how the message calls it."""
    for name, value in options.items():
        if not value >= 0.0:
            raise ValueError(f"Invalid {name} value: {value}")


def check_betas(betas: tuple[Any, Any]) -> None:
    """Raise unless both decay rates lie in [0, 1)."""
    for i, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
