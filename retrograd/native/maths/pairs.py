"""Pairs: sums and products as a rounded number and what the rounding lost, after Dekker (1971) and Knuth.

A pair (high, low) stands for high + low, with about twice the bits of the format.
"""

from __future__ import annotations

from retrograd.native.maths import avx512
from retrograd.native.maths.lanes import Lanes, fma

Pair = tuple[Lanes, Lanes]


def add_in_order(x: Lanes | float, y: Lanes) -> Pair:
    """Return x + y, exactly, where |x| >= |y| or x is 0."""
    total = x + y
    return total, y - (total - x)


def add(x: Lanes, y: Lanes) -> Pair:
    """Return x + y, exactly."""
    total = x + y
    y_part = total - x
    return total, (x - (total - y_part)) + (y - y_part)


def multiply(x: Lanes, y: Lanes | float) -> Pair:
    """Return x y, exactly but for underflow."""
    product = x * y
    return product, fma(x, y, -product)


def _rough_reciprocal(x: Lanes) -> Lanes:
    """Return 1/x with at least half of the format's bits, where x and 1/x are normal numbers."""
    if not avx512.is_available():
        return 1 / x
    y = avx512.rough_reciprocal(x)
    return y if x.bits == 32 else fma(fma(-x, y, 1.0), y, y)


def reciprocal(x: Lanes) -> Lanes:
    """Return 1/x to within one ulp, where x and 1/x are normal numbers; the divider of processors is slow."""
    y = _rough_reciprocal(x)
    return fma(fma(-x, y, 1.0), y, y) if avx512.is_available() else y


def divide(x: Lanes, y: Pair) -> Pair:
    """Return x / y, nearly to the precision of a pair, where y and 1/y are normal numbers."""
    high, low = y
    inverse = reciprocal(high)
    quotient = x * inverse
    return quotient, inverse * fma(-quotient, low, fma(-quotient, high, x))


def divide_once(x: Lanes, y: Pair) -> Lanes:
    """Return x / y, rounded nearly as if y were exact, where y and 1/y are normal numbers."""
    high, low = y
    inverse = _rough_reciprocal(high)
    quotient = x * inverse
    return fma(fma(-quotient, low, fma(-quotient, high, x)), inverse, quotient)


def subtract_product(x: Lanes, y: Lanes, z: float) -> Pair:
    """Return x - y z, where the loss is rounded."""
    product, product_lost = multiply(y, -z)
    total, lost = add(x, product)
    return total, lost + product_lost
