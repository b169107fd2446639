"""Draws for arrays that are not contiguous: torch visits the elements in the order in which they lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd.random.distributions import normal


def drawn_for(
    array: np.ndarray[Any, Any],
    draw: Callable[..., Any],
    generator: Any,
    dtype: Any,
    *args: Any,
    **named: Any,
) -> Any:
    """Return numbers in the shape of `array`, drawn in the order of its strides, which they keep.

    A normal draw of an array that is not contiguous takes pairs, however many they are.
    """
    laid = getattr(array, "memory", array)  # of a traced array: where it would lie
    if laid.__class__ is not np.ndarray or laid.flags.c_contiguous:
        return draw(generator, array.shape, dtype, *args, **named)
    if getattr(draw, "__wrapped__", draw) is normal:
        named = {**named, "in_pairs": True}
    order = sorted(range(array.ndim), key=lambda d: -abs(laid.strides[d]))
    found = draw(generator, tuple(array.shape[d] for d in order), dtype, *args, **named)
    return found.transpose(np.argsort(order))
