"""Arguments that many ops are tested with: small float64 arrays that keep clear of kinks, ties and poles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from retrograd.ops.declare import Sample, sample


def ramp(low: float, high: float, *shape: int) -> Any:
    """Return an array of this shape with values spread evenly over an interval, not sorted."""
    size = int(np.prod(shape))
    values = np.linspace(low, high, max(size, 1))[:size]
    step = next((s for s in (5, 7, 3) if size % s), 1)
    return values[np.arange(size) * step % max(size, 1)].reshape(shape)


def within(low: float, high: float) -> Callable[[], Iterator[Sample]]:
    """Return samples of a function of one argument that is smooth between `low` and `high`."""

    def samples() -> Iterator[Sample]:
        yield sample(ramp(low, high, 2, 3))
        yield sample(np.array(low + 0.7 * (high - low)))
        yield sample(ramp(low, high, 4)[::2])
        yield sample(np.zeros((0, 2)))

    return samples


real = within(-1.9, 3.1)
positive = within(0.3, 4.0)
unit = within(-0.9, 0.9)


def pairs() -> Iterator[Sample]:
    """Yield pairs of operands that broadcast, neither of which comes near zero or the other."""
    x, y = ramp(-1.9, 3.1, 2, 3), ramp(0.6, 2.2, 2, 3)
    yield sample(x, y)
    yield sample(x, np.array([0.5, -1.5, 2.0]))
    yield sample(np.array(1.4), x)
    yield sample(ramp(1.0, 2.0, 2, 1), ramp(0.5, 2.5, 3))
    yield sample(np.zeros((0, 3)), np.ones((1, 3)))


def pairs_and_numbers() -> Iterator[Sample]:
    """Yield what `pairs` does, and arrays with Python numbers."""
    yield from pairs()
    yield sample(ramp(-1.9, 3.1, 2, 3), 2.5)
    yield sample(ramp(-1.9, 3.1, 3), 2)


def kinked(samples: Callable[[], Iterator[Sample]]) -> Callable[[], Iterator[Sample]]:
    """Return the same samples marked as unfit for difference quotients: steps, roundings."""

    def marked() -> Iterator[Sample]:
        for found in samples():
            yield Sample(found.args, found.kwargs, grad=False)

    return marked


def positive_pairs() -> Iterator[Sample]:
    """Yield pairs of positive operands that broadcast."""
    yield sample(ramp(0.4, 3.0, 2, 3), ramp(0.5, 2.1, 3))
    yield sample(ramp(0.4, 3.0, 2, 1), ramp(0.5, 2.1, 1, 3))
    yield sample(np.array(1.3), np.array(0.6))
    yield sample(np.zeros((2, 0)), np.ones((1,)))


def whole_pairs() -> Iterator[Sample]:
    """Yield pairs of integer operands that broadcast."""
    x = np.array([[7, -3, 4], [12, 5, -8]])
    yield sample(x, np.array([2, 3, 5]))
    yield sample(np.array(6), x)
    yield sample(x, 3)


def reducible() -> Iterator[Sample]:
    """Yield an array to reduce: all of it, one dimension, several, keeping them or not."""
    x = ramp(0.4, 3.0, 2, 3, 2)
    yield sample(x)
    yield sample(x, 1)
    yield sample(x, -1, True)
    yield sample(x, (0, 2))
    yield sample(x, (0, -1), True)
    yield sample(np.array(1.7))


def along_one() -> Iterator[Sample]:
    """Yield an array and one dimension of it."""
    x = ramp(0.4, 3.0, 2, 3, 2)
    yield sample(x, 0)
    yield sample(x, 1)
    yield sample(x, -1)
    yield sample(np.array(1.7), 0)
