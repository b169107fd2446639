"""A line search for the strong Wolfe conditions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

_DECREASE = 1e-4  # the share of the slope's promise that a step must keep (c1)
_FLATTEN = 0.9  # the share of the slope that may be left (c2)
_LARGEST = 25  # evaluations
_CLOSE = 1e-9  # the bracket is narrow enough


class _Point(NamedTuple):
    """A place on the line: its length, loss, gradient, and slope along the line."""

    t: float
    loss: float
    gradient: Any
    slope: float


def _cubic_minimum(a: _Point, b: _Point, low: float, high: float) -> float:
    """Return the minimum of the cubic with the losses and slopes of two points, within bounds."""
    if a.t > b.t:
        a, b = b, a
    if a.t == b.t:
        return (low + high) / 2.0
    first = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = first * first - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2.0
    root = math.sqrt(square)
    divisor = b.slope - a.slope + 2 * root
    if divisor == 0:
        return (low + high) / 2.0
    return min(max(b.t - (b.t - a.t) * ((b.slope + root - first) / divisor), low), high)


def strong_wolfe(
    evaluate: Callable[[float], tuple[float, Any]],
    t: float,
    direction: Any,
    loss: float,
    gradient: Any,
    slope: float,
) -> tuple[float, Any, float, int]:
    """Return loss, gradient and length of a step that meets the conditions, and the evaluations.

    Args:
        evaluate: returns loss and gradient at a length along the line.
        t: the first length tried.
        direction: the line's direction.
        loss: at length 0.
        gradient: at length 0.
        slope: at length 0.

    Source: J. Nocedal, S. Wright, Numerical Optimization (2006), algorithms 3.5 and 3.6; the safeguards of
        the
        interpolation are those of M. Schmidt's minFunc (2005).
    """
    evaluations = 0

    def at(t: float) -> _Point:
        nonlocal evaluations
        evaluations += 1
        value, grad = evaluate(t)
        return _Point(t, value, grad, float(grad @ direction))

    def too_high(point: _Point) -> bool:
        return point.loss > loss + _DECREASE * point.t * slope

    def flat(point: _Point) -> bool:
        return abs(point.slope) <= -_FLATTEN * slope

    origin = _Point(0.0, loss, gradient, slope)
    before, point = origin, at(t)
    tries = 0
    bracket: list[_Point] = []
    while tries < _LARGEST:
        if too_high(point) or (tries > 1 and point.loss >= before.loss):
            bracket = [before, point]
            break
        if flat(point):
            return point.loss, point.gradient, point.t, evaluations
        if point.slope >= 0:
            bracket = [before, point]
            break
        low, high = point.t + 0.01 * (point.t - before.t), point.t * 10
        before, point = point, at(_cubic_minimum(before, point, low, high))
        tries += 1
    else:
        bracket = [origin, point]
    best = _narrow(bracket, at, too_high, flat, float(np.abs(direction).max()), tries)
    return best.loss, best.gradient, best.t, evaluations


def _narrow(
    bracket: list[_Point], at: Callable[[float], _Point], too_high: Callable[[_Point], bool],
    flat: Callable[[_Point], bool], size: float, tries: int,
) -> _Point:  # fmt: skip
    """Narrow a bracket that holds a good point until it is found; return the better end."""
    near_end = False
    low, high = sorted(bracket, key=lambda p: p.loss)  # the better end, the other end
    while tries < _LARGEST:
        left, right = min(low.t, high.t), max(low.t, high.t)
        if (right - left) * size < _CLOSE:
            break
        t = _cubic_minimum(low, high, left, right)
        margin = 0.1 * (right - left)
        if (
            min(right - t, t - left) < margin
        ):  # progress is too slow near an end: the second time, step inwards
            if near_end or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                near_end = False
            else:
                near_end = True
        else:
            near_end = False
        point = at(t)
        tries += 1
        if too_high(point) or point.loss >= low.loss:
            low, high = (low, point) if low.loss <= point.loss else (point, low)
            continue
        if flat(point):
            return point
        if point.slope * (high.t - low.t) >= 0:
            high = low
        low = point
    return low
