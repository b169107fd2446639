"""Functions of a few instructions: maxima, signs, tests."""

from __future__ import annotations

import math

from retrograd.native.maths.lanes import Lanes, absolute


def maximum(x: Lanes, y: Lanes) -> Lanes:
    """Return the larger one; nan if one is nan."""
    return (x != x).choose(x, (x > y).choose(x, y))


def minimum(x: Lanes, y: Lanes) -> Lanes:
    """Return the smaller one; nan if one is nan."""
    return (x != x).choose(x, (x < y).choose(x, y))


def fmax(x: Lanes, y: Lanes) -> Lanes:
    """Return the larger one; the other one if one is nan."""
    return (y != y).choose(x, (x > y).choose(x, y))


def fmin(x: Lanes, y: Lanes) -> Lanes:
    """Return the smaller one; the other one if one is nan."""
    return (y != y).choose(x, (x < y).choose(x, y))


def sign(x: Lanes) -> Lanes:
    return (x > 0).choose(x.like(1), (x < 0).choose(-1, (x == 0).choose(0, x)))


def signbit(x: Lanes) -> Lanes:
    return x.as_integer() < 0


def isnan(x: Lanes) -> Lanes:
    return x != x


def isinf(x: Lanes) -> Lanes:
    return absolute(x) == math.inf


def isfinite(x: Lanes) -> Lanes:
    return absolute(x) < math.inf
