"""Exponents: powers of two applied to numbers and taken out of them, subnormal numbers included.

Whole numbers stay in floating point. Adding 1.5 * 2^mantissa moves one into the low bits of the sum, from
where integer operations take it: conversions between float64 and int64 are slow on most processors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from retrograd.native.maths import avx512
from retrograd.native.maths.lanes import Lanes


@dataclass(frozen=True)
class Format:
    """What IEEE 754 says about a binary format."""

    bits: int
    mantissa: int  # bits stored
    bias: int

    @property
    def magic(self) -> float:
        """The number whose unit in the last place is 1, in the middle of its binade."""
        return 1.5 * 2.0**self.mantissa

    @property
    def magic_bits(self) -> int:
        return (self.bias + self.mantissa << self.mantissa) + (1 << self.mantissa - 1)


FORMATS = {32: Format(32, 23, 127), 64: Format(64, 52, 1023)}


def format_of(x: Lanes) -> Format:
    return FORMATS[x.bits]


def whole(x: Lanes) -> Lanes:
    """Round to the nearest integer, where |x| < 2^(mantissa - 1)."""
    magic = format_of(x).magic
    return (x + magic) - magic


def bits_of_whole(n: Lanes) -> Lanes:
    """Return a whole number as an integer, where |n| < 2^(mantissa - 1)."""
    form = format_of(n)
    return (n + form.magic).as_integer() - form.magic_bits


def whole_of_bits(n: Lanes) -> Lanes:
    """Return an integer as a number, where |n| < 2^(mantissa - 1)."""
    form = FORMATS[n.bits]
    return (n + form.magic_bits).as_float() - form.magic


def power_of_two(n: Lanes) -> Lanes:
    """Return 2^n for integers n of normal results."""
    form = FORMATS[n.bits]
    return (n + form.bias << form.mantissa).as_float()


def scale(x: Lanes, n: Lanes) -> Lanes:
    """Return x * 2^n, rounded once, for whole n of at most twice the exponents of the format.

    In two steps, of which the first one is exact if x is between 1/2 and 2.
    """
    if avx512.is_available():
        return avx512.scale(x, n)
    places = bits_of_whole(n)
    half = places >> 1
    return x * power_of_two(half) * power_of_two(places - half)


def split(x: Lanes) -> tuple[Lanes, Lanes]:
    """Return m and whole n with x = m * 2^n and 3/4 <= m < 3/2.

    n is infinite of 0 and infinity, m is nan of negative numbers and nan.
    """
    if avx512.is_available():
        mantissa = avx512.mantissa(x)
        return mantissa, avx512.exponent(x) + (mantissa < 1).choose(x.like(1), 0)
    form = format_of(x)
    tiny = x < 2.0 ** (1 - form.bias)
    bits = tiny.choose(x * 2.0**form.mantissa, x).as_integer()
    three_quarters = (form.bias << form.mantissa) - (1 << form.mantissa - 1)
    places = (bits - three_quarters) >> form.mantissa
    mantissa = (x >= 0).choose((bits - (places << form.mantissa)).as_float(), math.nan)
    n = whole_of_bits(places) - tiny.choose(x.like(form.mantissa), 0)
    return mantissa, (x == 0).choose(-math.inf, (x == math.inf).choose(math.inf, n))
