"""How far two arrays are apart, and the text that says so."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def are_close(actual: Array, expected: Array, rtol: float, atol: float, equal_nan: bool) -> Array:
    """Return where |actual - expected| <= atol + rtol * |expected|; equal infinities are close.

    Numerics: computed in the arrays' own type, integers in float64.
    """
    with np.errstate(all="ignore"):
        close = np.asarray(actual == expected)
        if equal_nan and actual.dtype.kind not in "biu":
            close = close | (np.isnan(actual) & np.isnan(expected))
        if rtol == 0 and atol == 0:
            return close
        error, size = _error(actual, expected), np.abs(expected)
        found: Array = close | (np.isfinite(error) & (error <= atol + rtol * size))
        return found


def _error(actual: Array, expected: Array) -> Array:
    """Return |actual - expected|; of integers as int64."""
    if actual.dtype.kind in "biu":
        actual, expected = actual.astype(np.int64), expected.astype(np.int64)
    found: Array = np.abs(actual - expected)
    return found


def _headline(what: str, rtol: float, atol: float) -> str:
    return f"{what} are not {'equal' if rtol == 0 and atol == 0 else 'close'}!\n\n"


def _allowance(tolerance: float, rtol: float, atol: float) -> str:
    return "" if rtol == 0 and atol == 0 else f" (up to {tolerance} allowed)"


def numbers_apart(actual: Any, expected: Any, rtol: float, atol: float) -> str:
    """Return the text for two numbers that are not close."""
    difference = (
        abs(actual - expected) if not isinstance(actual, (bool, np.bool_)) else int(actual != expected)
    )
    relative = float("inf") if expected == 0 else difference / abs(expected)
    return (
        f"{_headline('Scalars', rtol, atol)}Expected {expected} but got {actual}.\n"
        f"Absolute difference: {difference}{_allowance(atol, rtol, atol)}\n"
        f"Relative difference: {relative}{_allowance(rtol, rtol, atol)}"
    )


def arrays_apart(actual: Array, expected: Array, close: Array, rtol: float, atol: float) -> str:
    """Return the text for two arrays that are not close: how many elements, and the greatest differences."""
    wrong, total = int(np.sum(~close)), close.size
    with np.errstate(all="ignore"):
        error = _error(actual, expected)
        relative: Array
        if error.dtype.kind == "i":
            relative = (error / np.abs(expected.astype(np.int64))).astype(np.float32)
        else:
            relative = error / np.abs(expected)
    error, relative = (np.where(close, np.zeros_like(a), a) for a in (error, relative))
    return (
        f"{_headline('Tensor-likes', rtol, atol)}Mismatched elements: {wrong} / {total} "
        f"({wrong / total:.1%})\n"
        f"Greatest absolute difference: {_greatest(error)}{_allowance(atol, rtol, atol)}\n"
        f"Greatest relative difference: {_greatest(relative)}{_allowance(rtol, rtol, atol)}"
    )


def _greatest(values: Array) -> str:
    """Return the greatest value and where it is; NaN counts as greatest."""
    flat = values.astype(np.float64) if values.dtype.kind != "i" else values
    bad = np.isnan(flat)
    index = np.unravel_index(int(np.argmax(bad)) if bad.any() else int(np.argmax(flat)), values.shape)
    return f"{flat[index].item()} at index {tuple(int(k) for k in index)}"
