"""Triangular systems."""

# ruff: noqa: N803 - matrices have capital letters, in formulas as in the names of arguments

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops.declare import Array, Sample, error, sample
from retrograd.ops.families import general
from retrograd.ops.matrices import (
    H,
    check_pair,
    check_rank,
    check_square,
    check_system,
    complex_regular,
    numbers,
    regular,
    stacked,
    sum_to,
    transposed,
    triangle,
)


def substitute(a: Any, b: Any, upper: bool) -> Any:
    """Solve triangular systems; division by a zero on the diagonal gives infinity or NaN.

    A lower triangle is turned about into an upper one: there elimination with pivoting is back substitution.
    """
    turn = (Ellipsis, slice(None, None, -1), slice(None, None, -1))
    try:
        if upper:
            return np.linalg.solve(a, b)
        return np.linalg.solve(a[turn], b[..., ::-1, :])[..., ::-1, :]
    except np.linalg.LinAlgError:
        return _substitute_slowly(a, b, upper)


def _substitute_slowly(a: Any, b: Any, upper: bool) -> Any:
    n = a.shape[-1]
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    x = np.array(np.broadcast_to(b, (*lead, *b.shape[-2:])))
    with np.errstate(all="ignore"):
        for i in range(n - 1, -1, -1) if upper else range(n):
            known = slice(i + 1, n) if upper else slice(0, i)
            x[..., i, :] -= (a[..., i, None, known] @ x[..., known, :])[..., 0, :]
            x[..., i, :] /= a[..., i, i, None]
    return x


def _triangular_b(ct: Any, input: Any, B_shape: Any, upper: bool, left: bool, unitriangular: bool) -> Any:
    found = linalg_solve_triangular(H(input), ct, upper=not upper, left=left, unitriangular=unitriangular)
    return sum_to(found, B_shape)


def _triangular_a(ct: Any, input: Any, result: Any, upper: bool, left: bool, unitriangular: bool) -> Any:
    b = linalg_solve_triangular(H(input), ct, upper=not upper, left=left, unitriangular=unitriangular)
    whole = -(b @ H(result)) if left else -(H(result) @ b)
    return sum_to(triangle(whole, upper, unitriangular), input.shape)


def _triangular_tangent(t: Any, input: Any, result: Any, upper: bool, left: bool, unitriangular: bool) -> Any:
    part = triangle(t, upper, unitriangular)
    right = part @ result if left else result @ part
    return -linalg_solve_triangular(input, right, upper=upper, left=left, unitriangular=unitriangular)


def _triangles() -> Iterator[Sample]:
    yield sample(regular(3), numbers(3, 2), upper=True)
    yield sample(regular(3), numbers(3, 2), upper=False)
    yield sample(regular(2, 2), numbers(3, 2), upper=False, left=False)
    yield sample(regular(2), numbers(2, 2, 1), upper=True, unitriangular=True)
    yield sample(complex_regular(2), complex_regular(2), upper=False)
    yield sample(np.zeros((0, 0)), np.zeros((0, 3)), upper=True)


@general(
    node="LinalgSolveTriangularBackward0",
    input=_triangular_a,
    B=_triangular_b,
    jvp={
        "input": _triangular_tangent,
        "B": lambda t, input, upper, left, unitriangular: linalg_solve_triangular(
            input, t, upper=upper, left=left, unitriangular=unitriangular
        ),
    },
    batch=stacked(),
    holomorphic=False,
    primitive=True,
    samples=_triangles,
    errors=lambda: [
        error(
            RuntimeError, "linalg.solve_triangular: The input tensor B must have at least 2 dimensions.",
            regular(2), numbers(2), upper=True,
        ),
        error(
            RuntimeError, "Incompatible shapes of A and B for the equation AX = B (2x2 and 3x1)",
            regular(2), numbers(3, 1), upper=True,
        ),
    ],
    places="linalg",
)  # fmt: skip
def linalg_solve_triangular(
    input: Array,
    B: Array,
    *,
    upper: bool,
    left: bool = True,
    unitriangular: bool = False,
) -> Array:
    """Solve A X = B, or X A = B if not `left`; only one triangle of A counts, with ones if `unitriangular`.

    Numerics: a zero on the diagonal gives infinity or NaN, not an error.
    """
    name = "linalg.solve_triangular"
    check_square(input, name)
    check_rank(B, name, "B")
    check_pair(input, B, name, kernel="triangular_solve_cpu")
    check_system(input, B, left, name)
    a = triangle(input, upper, unitriangular)
    a = a + np.eye(a.shape[-1], dtype=a.dtype) if unitriangular else a
    if left:
        return substitute(a, B, upper)
    return np.swapaxes(substitute(np.swapaxes(a, -1, -2), np.swapaxes(B, -1, -2), not upper), -1, -2)


# ---- torch's older name ----


def _older_rule(
    ct: Any, input: Any, A: Any, result: Any, upper: Any, transpose: Any, unitriangular: Any
) -> Any:
    """Return the solution's cotangent pulled back to the right-hand side."""
    a = transposed(A) if transpose else A
    return linalg_solve_triangular(
        H(a), ct[0], upper=bool(upper) == bool(transpose), unitriangular=unitriangular
    )


def _older_b(
    ct: Any,
    input: Any,
    A: Any,
    result: Any,
    upper: Any,
    transpose: Any,
    unitriangular: Any,
) -> Any:
    if ct[0] is None:
        return input * 0
    return sum_to(_older_rule(ct, input, A, result, upper, transpose, unitriangular), input.shape)


def _older_a(
    ct: Any,
    input: Any,
    A: Any,
    result: Any,
    upper: Any,
    transpose: Any,
    unitriangular: Any,
) -> Any:
    found = 0
    if ct[0] is not None:
        b = _older_rule(ct, input, A, result, upper, transpose, unitriangular)
        whole = -(b @ H(result[0]))
        found = triangle(transposed(whole) if transpose else whole, upper, unitriangular)
    return sum_to(found if ct[1] is None else found + ct[1], A.shape)


def _older_tangent(
    t: Any,
    input: Any,
    A: Any,
    result: Any,
    upper: Any,
    transpose: Any,
    unitriangular: Any,
) -> Any:
    part = triangle(t, upper, unitriangular)
    right = (transposed(part) if transpose else part) @ result[0]
    return -triangular_solve(right, A, upper, transpose, unitriangular)[0], np.broadcast_to(
        t, result[1].shape
    )


@general(
    node="TriangularSolveBackward0",
    input=_older_b,
    A=_older_a,
    jvp={
        "input": lambda t, A, result, upper, transpose, unitriangular: (
            triangular_solve(t, A, upper, transpose, unitriangular)[0],
            result[1] * 0,
        ),
        "A": _older_tangent,
    },
    batch=stacked(),
    holomorphic=False,
    primitive=True,
    samples=lambda: [
        sample(numbers(3, 2), regular(3)),
        sample(numbers(2, 3, 1), regular(3), False, True),
        sample(numbers(2, 1), regular(2), True, False, True),
    ],
    outputs=("solution", "cloned_coefficient"),
)
def triangular_solve(
    input: Array,
    A: Array,
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
) -> tuple[Array, Array]:
    """Solve A X = input (A^T X = input if `transpose`), and return X and a copy of A."""
    check_rank(input, "torch.triangular_solve", "b")
    lead = np.broadcast_shapes(input.shape[:-2], A.shape[:-2])
    a = transposed(A) if transpose else A
    found = linalg_solve_triangular.definition(  # type: ignore[attr-defined]  # an Op
        a, input, upper=bool(upper) != bool(transpose), unitriangular=unitriangular
    )
    return found, np.array(np.broadcast_to(A, (*lead, *A.shape[-2:])))
