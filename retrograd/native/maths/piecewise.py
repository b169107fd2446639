"""Odd functions that grow to 1, in float32: a table of polynomials, one for each half of a binade.

With AVX-512 an instruction looks up sixteen coefficients at once, and polynomials of short intervals take
fewer operations than the formulas that hold everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from retrograd.native.maths import avx512
from retrograd.native.maths.lanes import Lanes, absolute, at_most, copysign, fma

HALF_BINADES_TO_1_8 = 2 * (127 - 3) - 1


def is_available(x: Lanes) -> bool:
    return x.bits == 32 and avx512.is_available()


def odd(x: Lanes, table: Sequence[Sequence[float]], top: float) -> Lanes:
    """Return the function of a table made by tools/maths_coefficients.py, which is 1 from `top` on.

    The first interval goes from 0 to 1/8, and its polynomial to the difference from x.
    """
    a = at_most(absolute(x), top)
    near = a < 0.125
    place = near.choose(0, (a.as_integer() >> 22) - HALF_BINADES_TO_1_8)
    centre, first, *coefficients = (avx512.look_up(row, place) for row in table)
    distance = a - centre
    total = coefficients.pop()
    while coefficients:
        total = fma(total, distance, coefficients.pop())
    return copysign(fma(total, distance, near.choose(a, first)), x)
