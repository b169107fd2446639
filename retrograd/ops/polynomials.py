"""Orthogonal polynomials of degree n, element by element, by their three-term recurrences; without gradient.

p[0] = 1,  p[1] = first(x),  p[k + 1] = step(x, k, p[k], p[k - 1])
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from retrograd.ops.declare import Array, Operand, Sample, sample
from retrograd.ops.families import Declared, pointwise

Step = Callable[[Any, int, Any, Any], Any]


def _degrees() -> Iterator[Sample]:
    x = np.array([-1.0, -0.4, 0.3, 1.0, 1.7])
    yield sample(x, np.array([0.0, 1.0, 2.0, 5.0, -1.0]))
    yield sample(x, 3)
    yield sample(x[:, None], np.array([2.0, 7.0]))


def _evaluated(x: Any, n: Any, first: Callable[[Any], Any], step: Step) -> Any:
    """Return p[n](x) for arrays of both; 0 for negative degrees, NaN for NaN."""
    x, n = np.broadcast_arrays(x, n)
    degree = np.where(np.isfinite(n), n, -1).astype(np.int64)
    before, here = np.ones_like(x), first(x)
    found = np.where(degree == 0, before, np.where(degree == 1, here, 0))
    for k in range(1, int(np.max(degree, initial=0))):
        before, here = here, step(x, k, here, before)
        found = np.where(degree == k + 1, here, found)
    return np.where(np.isnan(x) & (degree > 0), x, found).astype(x.dtype)


def _polynomial(
    name: str, title: str, first: Callable[[Any], Any], step: Step, *, shifted: bool = False
) -> Declared:
    """Declare the polynomials `name`; `shifted` ones live on [0, 1] instead of [-1, 1]."""

    def definition(input: Operand, n: Operand) -> Array:
        x = np.asarray(input)
        return _evaluated(2 * x - 1 if shifted else x, np.asarray(n), first, step)

    definition.__doc__ = f"Compute {title} of degree n, a whole number; 0 for negative degrees."
    made = pointwise(
        samples=_degrees,
        promote="float",
        kinds="f",
        places="special",
        inplace=False,
        primitive=True,
        name=name,
    )
    return made(definition)


def _chebyshev(x: Any, k: int, here: Any, before: Any) -> Any:
    return 2 * x * here - before


def _plain(x: Any) -> Any:
    return x


def _twice(x: Any) -> Any:
    return 2 * x


for _letter, _which, _first in (
    ("t", "first", _plain),
    ("u", "second", _twice),
    ("v", "third", lambda x: 2 * x - 1),
    ("w", "fourth", lambda x: 2 * x + 1),
):
    _kind = f"Chebyshev polynomial of the {_which} kind"
    _polynomial(f"chebyshev_polynomial_{_letter}", f"the {_kind}", _first, _chebyshev)
    _polynomial(
        f"shifted_chebyshev_polynomial_{_letter}", f"the shifted {_kind}", _first, _chebyshev, shifted=True
    )

_polynomial(
    "hermite_polynomial_h",
    "the physicists' Hermite polynomial",
    _twice,
    lambda x, k, here, before: 2 * x * here - 2 * k * before,
)
_polynomial(
    "hermite_polynomial_he",
    "the probabilists' Hermite polynomial",
    _plain,
    lambda x, k, here, before: x * here - k * before,
)
_polynomial(
    "laguerre_polynomial_l",
    "the Laguerre polynomial",
    lambda x: 1 - x,
    lambda x, k, here, before: ((2 * k + 1 - x) * here - k * before) / (k + 1),
)
_polynomial(
    "legendre_polynomial_p",
    "the Legendre polynomial",
    _plain,
    lambda x, k, here, before: ((2 * k + 1) * x * here - k * before) / (k + 1),
)
