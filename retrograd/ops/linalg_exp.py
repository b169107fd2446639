"""The exponential of a matrix, and its powers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops.declare import Array, Sample, error, sample
from retrograd.ops.families import composite, general
from retrograd.ops.helpers import name_of, numpy_dtype
from retrograd.ops.linalg_solve import linalg_inv
from retrograd.ops.matrices import H, check_square, complex_regular, numbers, regular, stacked

_PADE = (
    64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0, 129060195264000.0,
    10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0, 40840800.0, 960960.0, 16380.0, 182.0, 1.0,
)  # fmt: skip
"""The numerator of the [13/13] Pade approximant of e^x: (26 - j)! 13! / (26! (13 - j)! j!), made whole."""

_REACH = 5.371920351148152
"""The 1-norm up to which that approximant is exact to double precision (Higham, table 2.3)."""


def exponential(a: Any) -> Any:
    """Compute e^A of each matrix by scaling, the [13/13] Pade approximant, and squaring.

    Source: Higham, The scaling and squaring method for the matrix exponential revisited, 2005.
    """
    wide = np.dtype(np.complex128 if a.dtype.kind == "c" else np.float64)
    x = a.astype(wide)
    if not x.size:
        return x
    norm = np.abs(x).sum(-2).max(-1)
    with np.errstate(all="ignore"):
        doublings = np.where(norm > _REACH, np.ceil(np.log2(norm / _REACH)), 0)
    doublings = np.where(np.isfinite(doublings), doublings, 0).astype(np.int64)
    x = x / np.exp2(doublings)[..., None, None]
    b, one = _PADE, np.eye(x.shape[-1])
    x2 = x @ x
    x4 = x2 @ x2
    x6 = x4 @ x2
    odd = x @ (x6 @ (b[13] * x6 + b[11] * x4 + b[9] * x2) + b[7] * x6 + b[5] * x4 + b[3] * x2 + b[1] * one)
    even = x6 @ (b[12] * x6 + b[10] * x4 + b[8] * x2) + b[6] * x6 + b[4] * x4 + b[2] * x2 + b[0] * one
    found = np.linalg.solve(even - odd, even + odd)
    for step in range(int(doublings.max())):
        found = np.where((doublings > step)[..., None, None], found @ found, found)
    return found


def _directional(a: Any, direction: Any) -> Any:
    """Return the derivative of e^A in a direction D: the upper right of e^[[A, D], [0, A]]."""
    n = a.shape[-1]
    zero = np.zeros(tuple(a.shape), numpy_dtype(a.dtype))
    above = np.concatenate((a, direction), axis=-1)
    below = np.concatenate((zero, a), axis=-1)
    return linalg_matrix_exp(np.concatenate((above, below), axis=-2))[..., :n, n:]


def _squares() -> Iterator[Sample]:
    yield sample(numbers(3, 3))
    yield sample(numbers(2, 2, 2))
    yield sample(5 * regular(2))
    yield sample(complex_regular(2))
    yield sample(np.zeros((2, 2)))
    yield sample(np.zeros((0, 0)))


_settings: dict[str, Any] = {
    "node": "LinalgMatrixExpBackward0",
    "input": lambda ct, input: _directional(H(input), ct),
    "jvp": {"input": lambda t, input: _directional(input, t)},
    "batch": stacked(),
    "promote": "match",
    "holomorphic": False,
    "primitive": True,
    "samples": _squares,
    "errors": lambda: [
        error(
            RuntimeError, "linalg.matrix_exp: The input tensor A must have at least 2 dimensions.", numbers(3)
        ),
        error(RuntimeError, "linalg.matrix_exp: Expected a floating point or complex", np.eye(2, dtype=int)),
    ],
}


@general(places="linalg", **_settings)
def linalg_matrix_exp(input: Array) -> Array:
    """Compute e^A = I + A + A^2 / 2 + A^3 / 6 + ... of square matrices."""
    check_square(input, "linalg.matrix_exp")
    if input.dtype.kind not in "fc":
        raise RuntimeError(
            f"linalg.matrix_exp: Expected a floating point or complex tensor as input. Got {name_of(input)}"
        )
    return exponential(input).astype(input.dtype, copy=False)


@composite(samples=_squares)
def matrix_exp(input: Array) -> Array:
    """Compute e^A: another name of linalg.matrix_exp."""
    return linalg_matrix_exp(input)


def _identities(like: Any) -> Any:
    """Return as many identity matrices as `like` has matrices, and keep it in the graph with gradient 0."""
    one = np.eye(like.shape[-1], dtype=numpy_dtype(like.dtype))
    zeros = like * 0 if like.dtype.kind in "fc" else like ^ like
    return np.where(np.eye(like.shape[-1], dtype=np.bool_), one, zeros)


def _powers() -> Iterator[Sample]:
    for n in (0, 1, 2, 3, 5, -1, -2):
        yield sample(regular(2), n)
    yield sample(regular(2, 3), 4)


@composite(
    samples=_powers,
    errors=lambda: [
        error(RuntimeError, "linalg.matrix_power: A must be batches of square matrices", numbers(2, 3), 2)
    ],
    places="torch Tensor linalg",
)
def matrix_power(input: Array, n: int) -> Array:
    """Multiply a matrix n times by itself, by repeated squaring; the inverse for a negative n."""
    check_square(input, "linalg.matrix_power")
    if n == 0:
        return _identities(input)
    base = linalg_inv(input) if n < 0 else input
    n = abs(n)
    if n == 1:
        return np.copy(base) if base is input else base
    found = None
    while n:
        if n & 1:
            found = base if found is None else found @ base
        n >>= 1
        base = base @ base if n else base
    return found
