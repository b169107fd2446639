"""Pairs: sums and products as a rounded number and what the rounding lost, after Dekker (1971) and Knuth.

A pair (high, low) stands for high + low, with about twice the bits of the format.
"""

from __future__ import annotations

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


def divide(x: Lanes, y: Pair) -> Pair:
    """Return x / y, nearly to the precision of a pair."""
    high, low = y
    inverse = 1 / high
    quotient = x * inverse
    return quotient, inverse * fma(-quotient, low, fma(-quotient, high, x))


def divide_once(x: Lanes, y: Pair) -> Lanes:
    """Return x / y, rounded nearly as if y were exact."""
    quotient, lost = divide(x, y)
    return quotient + lost


def subtract_product(x: Lanes, y: Lanes, z: float) -> Pair:
    """Return x - y z, where the loss is rounded."""
    product, product_lost = multiply(y, -z)
    total, lost = add(x, product)
    return total, lost + product_lost
