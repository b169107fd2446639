"""The LU factorisation A = P L U, in its forms, and systems solved by it."""

# ruff: noqa: N803, N806 - matrices have capital letters, in formulas as in the names of arguments

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.errors import LinAlgError
from retrograd.ops.declare import Array, ErrorSample, Sample, error, sample
from retrograd.ops.families import general
from retrograd.ops.helpers import name_of, numpy_dtype
from retrograd.ops.linalg_triangular import linalg_solve_triangular
from retrograd.ops.matrices import (
    H,
    complex_regular,
    failing,
    numbers,
    regular,
    stack_of,
    stacked,
)


def factorize(a: Any) -> tuple[Any, Any, Any]:
    """Return L and U in one matrix, the row each was exchanged with, and the first zero pivot (both from 1).

    Column by column, for all matrices of the batch at once, with the pivots that LAPACK takes.
    """
    lu = np.array(stack_of(a))
    count, m, n = lu.shape
    steps = min(m, n)
    pivots = np.zeros((count, steps), np.int32)
    info = np.zeros(count, np.int32)
    every = np.arange(count)
    with np.errstate(all="ignore"):
        for j in range(steps):
            column = lu[:, j:, j]
            size = np.abs(column.real) + np.abs(column.imag) if lu.dtype.kind == "c" else np.abs(column)
            row = np.argmax(size, axis=1) + j
            pivots[:, j] = row + 1
            lu[every, j], lu[every, row] = lu[every, row], lu[every, j].copy()
            pivot = lu[:, j, j]
            zero = pivot == 0
            info[zero & (info == 0)] = j + 1
            lu[:, j + 1 :, j] /= np.where(zero, 1, pivot)[:, None]
            lu[:, j + 1 :, j + 1 :] -= lu[:, j + 1 :, j, None] * lu[:, j, None, j + 1 :]
    lead = a.shape[:-2]
    return lu.reshape(a.shape), pivots.reshape(*lead, steps), info.reshape(lead)


def permutation(pivots: Any, m: int) -> Any:
    """Return which row of A each row of L U is, from the exchanges that were made: (..., k) -> (..., m)."""
    flat = np.reshape(pivots, (math.prod(pivots.shape[:-1]), pivots.shape[-1])) - 1
    order = np.tile(np.arange(m), (flat.shape[0], 1))
    every = np.arange(flat.shape[0])
    for j in range(flat.shape[1]):
        order[every, j], order[every, flat[:, j]] = order[every, flat[:, j]], order[every, j].copy()
    return order.reshape(*pivots.shape[:-1], m)


def permutation_matrix(pivots: Any, m: int, dtype: Any) -> Any:
    """Return P of A = P L U."""
    order = permutation(np.asarray(getattr(pivots, "_array", pivots)), m)
    return np.swapaxes(np.eye(m, dtype=numpy_dtype(dtype))[order], -1, -2)


def parts(lu: Any) -> tuple[Any, Any]:
    """Return L and U from the one matrix that holds both."""
    m, n = lu.shape[-2:]
    k = min(m, n)
    ones = np.eye(m, k, dtype=numpy_dtype(lu.dtype))
    return np.tril(lu[..., :k], -1) + ones, np.triu(lu[..., :k, :])


def joined(l_ct: Any, u_ct: Any, shape: Any) -> Any:
    """Return one matrix of a strictly lower and an upper triangle: the transpose of `parts`."""
    m, n = shape[-2:]
    k = min(m, n)
    found: Any = 0
    if l_ct is not None:
        low = np.tril(l_ct, -1)
        found = _widen(low, n - k, -1)
    if u_ct is not None:
        found = found + _widen(np.triu(u_ct), m - k, -2)
    return found


def _widen(x: Any, extra: int, axis: int) -> Any:
    """Return `x` with rows or columns of zeros behind."""
    if not extra:
        return x
    shape = list(x.shape)
    shape[axis] = extra
    return np.concatenate((x, np.zeros(shape, numpy_dtype(x.dtype))), axis=axis)


# ---- derivative ----


def lu_adjoint(l_ct: Any, u_ct: Any, P: Any, L: Any, U: Any) -> Any:
    """Pull the cotangents of L and U back to A.

    For square A: P L^-H (tril(L^H L_ct, -1) + triu(U_ct U^H)) U^-H. The columns of a wide A beyond L's size,
    and the rows of a tall one beyond U's, are solutions of triangular systems with the square part.
    """
    m, n = L.shape[-2], U.shape[-1]
    k = min(m, n)
    square_l, square_u = L[..., :k, :], U[..., :k]
    lower: Any = None
    upper: Any = None
    rest = None
    if l_ct is not None:
        lower = H(square_l) @ l_ct[..., :k, :]
        if m > k:
            upper = -(H(L[..., k:, :]) @ l_ct[..., k:, :])
            rest = linalg_solve_triangular(H(square_u), l_ct[..., k:, :], upper=False, left=False)
    if u_ct is not None:
        upper = _plus(upper, u_ct[..., :k] @ H(square_u))
        if n > k:
            lower = _plus(lower, -(u_ct[..., k:] @ H(U[..., k:])))
            rest = linalg_solve_triangular(H(square_l), u_ct[..., k:], upper=True, unitriangular=True)
    lower = None if lower is None else np.tril(lower, -1)
    inner = lower if upper is None else _plus(lower, np.triu(upper))
    found = linalg_solve_triangular(H(square_l), inner, upper=True, unitriangular=True)
    found = linalg_solve_triangular(H(square_u), found, upper=False, left=False)
    if rest is not None:
        found = np.concatenate((found, rest), axis=-2 if m > k else -1)
    else:
        found = _widen(_widen(found, n - k, -1), m - k, -2)
    return P @ found


def _plus(first: Any, second: Any) -> Any:
    return second if first is None else first + second


def lu_tangents(t: Any, P: Any, L: Any, U: Any) -> tuple[Any, Any]:
    """Return the tangents of L and U."""
    m, n = L.shape[-2], U.shape[-1]
    k = min(m, n)
    square_l, square_u = L[..., :k, :], U[..., :k]
    t = H(P) @ t
    inner = linalg_solve_triangular(square_l, t[..., :k, :k], upper=False, unitriangular=True)
    inner = linalg_solve_triangular(square_u, inner, upper=True, left=False)
    low, up = np.tril(inner, -1), np.triu(inner)
    l_t, u_t = square_l @ low, up @ square_u
    if n > k:
        right = linalg_solve_triangular(square_l, t[..., k:], upper=False, unitriangular=True)
        u_t = np.concatenate((u_t, right - low @ U[..., k:]), axis=-1)
    if m > k:
        below = linalg_solve_triangular(square_u, t[..., k:, :], upper=True, left=False)
        l_t = np.concatenate((l_t, below - L[..., k:, :] @ up), axis=-2)
    return l_t, u_t


# ---- the factorisation ----


def _check_factorizable(A: Any, name: str, pivot: bool) -> None:
    if A.ndim < 2:
        raise RuntimeError(
            f"{name}: Expected tensor with 2 or more dimensions. Got size: {list(A.shape)} instead"
        )
    if A.dtype.kind not in "fcV" or A.dtype.itemsize == 2:
        raise NotImplementedError(f"\"lu_cpu\" not implemented for '{name_of(A)}'")
    if not pivot:
        raise RuntimeError("linalg.lu_factor: LU without pivoting is not implemented on the CPU")


def _factorable() -> Iterator[Sample]:
    yield sample(regular(3))
    yield sample(numbers(2, 3, 2) + 3 * np.eye(3, 2))
    yield sample(numbers(2, 4) + 3 * np.eye(2, 4))
    yield sample(complex_regular(2))
    yield sample(np.zeros((0, 2)))


def _factor_errors() -> Iterator[ErrorSample]:
    yield error(RuntimeError, "Expected tensor with 2 or more dimensions. Got size: [3] instead", numbers(3))
    yield error(
        RuntimeError,
        "linalg.lu_factor: LU without pivoting is not implemented on the CPU",
        regular(2),
        pivot=False,
    )


@general(
    node="LinalgLuBackward0",
    A=lambda ct, result: lu_adjoint(ct[0], ct[1], *result),
    jvp={"A": lambda t, result: lu_tangents(t, *result)},
    batch=stacked(),
    holomorphic=False,
    primitive=True,
    samples=_factorable,
    errors=_factor_errors,
    outputs=("P", "L", "U"),
    differentiable_outputs=(1, 2),
    places="linalg",
)
def linalg_lu(A: Array, *, pivot: bool = True) -> tuple[Array, Array, Array]:
    """Factorise A = P L U: P permutes rows, L is lower triangular with a diagonal of ones, U upper."""
    _check_factorizable(A, "linalg.lu", pivot)
    lu, pivots, _ = factorize(A)
    return permutation_matrix(pivots, A.shape[-2], A.dtype), *parts(lu)


def _compact_rule(ct: Any, result: Any) -> Any:
    m, n = result[0].shape[-2:]
    k = min(m, n)
    P = permutation_matrix(result[1], m, result[0].dtype)
    return lu_adjoint(np.tril(ct[..., :k], -1), np.triu(ct[..., :k, :]), P, *parts(result[0]))


def _compact_tangent(t: Any, result: Any) -> Any:
    P = permutation_matrix(result[1], result[0].shape[-2], result[0].dtype)
    return joined(*lu_tangents(t, P, *parts(result[0])), result[0].shape)


_compact_rules: dict[str, Any] = {
    "node": "LinalgLuFactorExBackward0",
    "A": _compact_rule,
    "jvp": {"A": _compact_tangent},
    "batch": stacked(),
    "holomorphic": False,
    "primitive": True,
    "samples": _factorable,
    "errors": _factor_errors,
    "differentiable_outputs": (0,),
    "places": "linalg",
}


@general(outputs=("LU", "pivots"), **_compact_rules)
def linalg_lu_factor(A: Array, *, pivot: bool = True) -> tuple[Array, Array]:
    """Factorise A = P L U, and return L and U in one matrix and the exchanges of rows.

    Raises:
        RuntimeError: U has a zero on its diagonal.
    """
    _check_factorizable(A, "torch.lu_factor", pivot)
    lu, pivots, info = factorize(A)
    found = failing(info, A.ndim > 2)
    if found:
        at, which = found
        raise LinAlgError(
            f"torch.linalg.lu_factor: {which}U[{at},{at}] is zero and using it on lu_solve would result in "
            "a division by zero. If you still want to perform the factorization, consider calling "
            "linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)"
        )
    return lu, pivots


@general(outputs=("LU", "pivots", "info"), **_compact_rules)
def linalg_lu_factor_ex(
    A: Array, *, pivot: bool = True, check_errors: bool = False
) -> tuple[Array, Array, Array]:
    """Factorise as `lu_factor` does, and report the first zero on U's diagonal in `info`."""
    _check_factorizable(A, "torch.lu_factor", pivot)
    if check_errors:
        linalg_lu_factor.definition(A)  # type: ignore[attr-defined]  # an Op
    return factorize(A)
