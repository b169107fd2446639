"""fmod, remainder and floor_divide: exact remainders, with NumPy's signs."""

from __future__ import annotations

import math

from retrograd.native.maths.lanes import Lanes, absolute, copysign, floor, fma, trunc
from retrograd.native.maths.rare import on_rare_lanes


def fmod(x: Lanes, y: Lanes) -> Lanes:
    """Return x - n y with the sign of x, n being x/y rounded towards zero.

    The rounded quotient may be the next whole number, which shows in the sign of the remainder; both are
    exact. Where the quotient has too many bits, the C library divides.
    """
    quotient = trunc(x / y)
    rest = fma(-quotient, y, x)
    overshot = ((rest.as_integer() ^ x.as_integer()) < 0) & (rest != 0)
    rest = copysign(overshot.choose(rest + copysign(y, x), rest), x)
    rest = ((absolute(y) == math.inf) & (absolute(x) < math.inf)).choose(x, rest)
    many = absolute(quotient) >= 2.0 ** (22 if x.bits == 32 else 51)
    (rest,) = on_rare_lanes("fmod_exactly", many, _fmod_exactly, [x, y], [rest])
    return rest


def _fmod_exactly(x: Lanes, y: Lanes) -> tuple[Lanes]:
    return (Lanes(x.builder, x.builder.frem(x.value, y.value)),)


def _has_other_sign(rest: Lanes, y: Lanes) -> Lanes:
    return (rest != 0) & ((rest < 0) ^ (y < 0))


def remainder(x: Lanes, y: Lanes) -> Lanes:
    """Return the remainder with the sign of y."""
    rest = fmod(x, y)
    return (rest == 0).choose(copysign(rest, y), _has_other_sign(rest, y).choose(rest + y, rest))


def floor_divide(x: Lanes, y: Lanes) -> Lanes:
    rest = fmod(x, y)
    quotient = (x - rest) / y
    quotient = _has_other_sign(rest, y).choose(quotient - 1, quotient)
    below = floor(quotient)
    below = (quotient - below > 0.5).choose(below + 1, below)
    whole = (quotient == 0).choose(copysign(x.like(0), x / y), below)
    return (y == 0).choose(x / y, whole)
