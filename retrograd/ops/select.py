"""Choosing elements by a mask, quickly: np.where branches at each element, and guesses wrong at half of them.

A product with the mask is no substitute: where an element is left out, infinity or NaN would become NaN. Bits
are: `x & -mask` keeps or clears all of them. What is no plain array (a Tensor, a traced array) gets np.where.

Numerics: exactly np.where, NaN, infinities and zeros' signs included.
"""

from __future__ import annotations

from typing import Any

import numpy as np

ndarray = np.ndarray
_BOOL = np.dtype(np.bool_)
_MANY = 4096
"""From here on the bits are quicker than np.where, whatever the mask (benchmarks/choosing.py)."""
_BITS: dict[Any, Any] = {np.dtype(kind): np.dtype(f"i{np.dtype(kind).itemsize}") for kind in "efdFbhilqBHILQ"}
_ZERO: dict[Any, Any] = {kind: np.zeros((), kind) for kind in (*_BITS, _BOOL)}


def _zero(x: Any) -> Any:
    """Return a 0 of the array's own dtype, which NumPy need not convert."""
    return _ZERO.get(x.dtype, 0) if x.__class__ is ndarray else 0


def _bits(mask: Any, x: Any) -> Any:
    """Return the integer type of an element's bits; None if np.where is to choose."""
    if mask.__class__ is not ndarray or x.__class__ is not ndarray or x.size < _MANY:
        return None
    if mask.dtype is not _BOOL or not (mask.shape == x.shape or _fits(mask.shape, x.shape)):
        return None
    return _BITS.get(x.dtype)


def _fits(shape: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    """Return whether an array of a shape, broadcast with one of shape `whole`, has that shape."""
    lead = len(whole) - len(shape)
    return lead >= 0 and all(n in (1, m) for n, m in zip(shape, whole[lead:], strict=True))


def keep(mask: Any, x: Any) -> Any:
    """Return x where the mask is true, else 0."""
    bits = _bits(mask, x)
    if bits is None:
        return np.where(mask, x, _zero(x))
    return _masked(x.view(bits), np.negative(mask.view(np.int8), dtype=bits)).view(x.dtype)


def drop(mask: Any, x: Any) -> Any:
    """Return 0 where the mask is true, else x."""
    bits = _bits(mask, x)
    if bits is None:
        return np.where(mask, _zero(x), x)
    return _masked(x.view(bits), np.subtract(mask.view(np.int8), 1, dtype=bits)).view(x.dtype)


def _masked(x: Any, chosen: Any) -> Any:
    return np.bitwise_and(x, chosen, chosen if chosen.shape == x.shape else None)


def select(mask: Any, x: Any, y: Any) -> Any:
    """Return x where the mask is true, else y; either may be a Python number."""
    whole, other = (x, y) if x.__class__ is ndarray else (y, x)
    bits = _bits(mask, whole)
    if bits is None or other.__class__ not in (ndarray, float, int):
        return np.where(mask, x, y)
    if other.__class__ is not ndarray:
        if other.__class__ is float and whole.dtype.kind not in "fc":
            return np.where(mask, x, y)
        other = np.array(other, whole.dtype)
    elif other.dtype is not whole.dtype or other.shape != whole.shape:
        return np.where(mask, x, y)
    first, second = (whole, other) if whole is x else (other, whole)
    made = np.bitwise_xor(first.view(bits), second.view(bits))
    np.bitwise_and(made, np.negative(mask.view(np.int8), dtype=bits), made)
    np.bitwise_xor(made, second.view(bits), made)
    return made.view(whole.dtype)
