"""Triangular systems, and systems whose matrix is given by its Cholesky factor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops.declare import Array, Sample, error, sample
from retrograd.ops.families import general
from retrograd.ops.matrices import (
    H,
    check_floating,
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

    A lower triangle is turned about into an upper one: of that, elimination with pivoting is back substitution.
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


def _triangular_b(ct: Any, input: Any, B_shape: Any, upper: bool, left: bool, unitriangular: bool) -> Any:  # noqa: N803
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
    input: Array, B: Array, *, upper: bool, left: bool = True, unitriangular: bool = False  # noqa: N803
) -> Array:
    """Solve A X = B, or X A = B if not `left`, where only one triangle of A counts; its diagonal is 1 if `unitriangular`.

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


def _older_rule(ct: Any, input: Any, A: Any, result: Any, upper: Any, transpose: Any, unitriangular: Any) -> Any:  # noqa: N803
    """Return the solution's cotangent pulled back to the right-hand side."""
    a = transposed(A) if transpose else A
    return linalg_solve_triangular(H(a), ct[0], upper=bool(upper) == bool(transpose), unitriangular=unitriangular)


def _older_b(
    ct: Any, input: Any, A: Any, result: Any, upper: Any, transpose: Any, unitriangular: Any  # noqa: N803
) -> Any:
    if ct[0] is None:
        return input * 0
    return sum_to(_older_rule(ct, input, A, result, upper, transpose, unitriangular), input.shape)


def _older_a(
    ct: Any, input: Any, A: Any, result: Any, upper: Any, transpose: Any, unitriangular: Any  # noqa: N803
) -> Any:
    found = 0
    if ct[0] is not None:
        b = _older_rule(ct, input, A, result, upper, transpose, unitriangular)
        whole = -(b @ H(result[0]))
        found = triangle(transposed(whole) if transpose else whole, upper, unitriangular)
    return sum_to(found if ct[1] is None else found + ct[1], A.shape)


def _older_tangent(
    t: Any, input: Any, A: Any, result: Any, upper: Any, transpose: Any, unitriangular: Any  # noqa: N803
) -> Any:
    part = triangle(t, upper, unitriangular)
    right = (transposed(part) if transpose else part) @ result[0]
    return -triangular_solve(right, A, upper, transpose, unitriangular)[0], np.broadcast_to(t, result[1].shape)


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
    samples=lambda: [
        sample(numbers(3, 2), regular(3)),
        sample(numbers(2, 3, 1), regular(3), False, True),
        sample(numbers(2, 1), regular(2), True, False, True),
    ],
    outputs=("solution", "cloned_coefficient"),
)
def triangular_solve(
    input: Array, A: Array, upper: bool = True, transpose: bool = False, unitriangular: bool = False  # noqa: N803
) -> tuple[Array, Array]:
    """Solve A X = input (A^T X = input if `transpose`), and return X and a copy of A: linalg.solve_triangular's older form."""
    check_rank(input, "torch.triangular_solve", "b")
    lead = np.broadcast_shapes(input.shape[:-2], A.shape[:-2])
    a = transposed(A) if transpose else A
    found = linalg_solve_triangular.definition(a, input, upper=bool(upper) != bool(transpose), unitriangular=unitriangular)
    return found, np.array(np.broadcast_to(A, (*lead, *A.shape[-2:])))


# ---- by the Cholesky factor ----


def cholesky_solution(b: Any, factor: Any, upper: bool) -> Any:
    """Solve L L^H X = B, or U^H U X = B if `upper`."""
    half = linalg_solve_triangular(H(factor) if upper else factor, b, upper=False)
    return linalg_solve_triangular(factor if upper else H(factor), half, upper=True)


def _factor_ct(a_ct: Any, factor: Any, upper: bool) -> Any:
    """Pull a cotangent of A = L L^H (U^H U) back to the factor."""
    both = a_ct + H(a_ct)
    return factor @ both if upper else both @ factor


def _factored_a(ct: Any, L: Any, result: Any, upper: bool) -> Any:  # noqa: N803
    """Pull back as torch does: to the other triangle of L too, although it is not read."""
    b = cholesky_solve(ct, L, upper)
    return sum_to(_factor_ct(-(b @ H(result)), L, upper), L.shape)


def _product_tangent(t: Any, factor: Any, upper: bool) -> Any:
    half = H(t) @ factor if upper else t @ H(factor)
    return half + H(half)


def _check_factored(b: Any, factor: Any) -> None:
    if b.ndim < 2:
        raise RuntimeError(f"b should have at least 2 dimensions, but has {b.ndim} dimensions instead")
    if factor.ndim < 2:
        raise RuntimeError(f"u should have at least 2 dimensions, but has {factor.ndim} dimensions instead")
    check_square(factor, "cholesky_solve")
    if factor.shape[-1] != b.shape[-2]:
        raise RuntimeError(
            f"Incompatible matrix sizes for cholesky_solve: each A matrix is {factor.shape[-1]} by {factor.shape[-1]} "
            f"but each b matrix is {b.shape[-2]} by {b.shape[-1]}"
        )
    check_pair(factor, b, "cholesky_solve", kernel="cholesky_cpu")


@general(
    node="CholeskySolveBackward0",
    input=lambda ct, input_shape, L, upper: sum_to(cholesky_solve(ct, L, upper), input_shape),
    L=_factored_a,
    jvp={
        "input": lambda t, L, upper: cholesky_solve(t, L, upper),
        "L": lambda t, L, result, upper: -cholesky_solve(_product_tangent(t, L, upper) @ result, L, upper),
    },
    batch=stacked(),
    holomorphic=False,
    samples=lambda: [
        sample(numbers(3, 2), regular(3)),
        sample(numbers(2, 3, 1), regular(3), True),
        sample(complex_regular(2), complex_regular(2)),
    ],
    errors=lambda: [
        error(RuntimeError, "b should have at least 2 dimensions, but has 1 dimensions instead", numbers(2), regular(2)),
        error(RuntimeError, "each A matrix is 2 by 2 but each b matrix is 3 by 1", numbers(3, 1), regular(2)),
    ],
)
def cholesky_solve(input: Array, L: Array, upper: bool = False) -> Array:  # noqa: N803
    """Solve A X = input for A = L L^H, or U^H U if `upper`."""
    _check_factored(input, L)
    return cholesky_solution(input, L, upper)


@general(
    node="CholeskyInverseBackward0",
    input=lambda ct, input, result, upper: _factor_ct(-(H(result) @ ct @ H(result)), input, upper),
    jvp={"input": lambda t, input, result, upper: -(result @ _product_tangent(t, input, upper) @ result)},
    batch=stacked(),
    holomorphic=False,
    samples=lambda: [sample(regular(3)), sample(regular(2, 2), True), sample(complex_regular(2))],
    errors=lambda: [
        error(RuntimeError, "cholesky_inverse: The input tensor A must have at least 2 dimensions.", numbers(2)),
        error(RuntimeError, "cholesky_inverse: A must be batches of square matrices", numbers(2, 3)),
    ],
)
def cholesky_inverse(input: Array, upper: bool = False) -> Array:
    """Invert A = L L^H, or U^H U if `upper`."""
    check_square(input, "cholesky_inverse")
    check_floating(input, "cholesky_inverse", "cholesky_inverse_out_cpu")
    return cholesky_solution(np.broadcast_to(np.eye(input.shape[-1], dtype=input.dtype), input.shape), input, upper)
