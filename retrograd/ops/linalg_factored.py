"""What is done with an LU factorisation: taking it apart, and solving systems by it."""

# ruff: noqa: N803 - matrices have capital letters, in formulas as in the names of arguments

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops.declare import Array, Plain, Sample, error, sample
from retrograd.ops.families import composite, general
from retrograd.ops.linalg_lu import (
    factorize,
    joined,
    linalg_lu_factor,
    linalg_lu_factor_ex,
    parts,
    permutation_matrix,
)
from retrograd.ops.linalg_triangular import linalg_solve_triangular
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
)


def _factored(a: Any) -> tuple[Any, Any]:
    return factorize(a)[:2]


def _unpackable() -> Iterator[Sample]:
    yield sample(*_factored(regular(3)))
    yield sample(*_factored(numbers(2, 3, 2)))
    yield sample(*_factored(numbers(2, 4)))


_PIVOTS = (
    "torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype.\n"
    "Note: this function is intended to be used with the output produced by torch.linalg.lu_factor"
)


@general(
    node="LuUnpackBackward0",
    LU_data=lambda ct, LU_data_shape: joined(ct[0], ct[1], LU_data_shape),
    jvp={
        "LU_data": lambda t: (
            np.tril(t[..., : min(t.shape[-2:])], -1),
            np.triu(t[..., : min(t.shape[-2:]), :]),
        )
    },
    batch=stacked(2, 1),
    holomorphic=False,
    primitive=True,
    samples=_unpackable,
    errors=lambda: [error(RuntimeError, _PIVOTS, regular(2), np.ones(2))],
    outputs=("P", "L", "U"),
    differentiable_outputs=(1, 2),
    places="torch",
)
def lu_unpack(
    LU_data: Array,
    LU_pivots: Plain,
    unpack_data: bool = True,
    unpack_pivots: bool = True,
) -> tuple[Array, Array, Array]:
    """Take apart what `lu_factor` returned: P, L and U; what is not asked for is empty."""
    if unpack_pivots and LU_pivots.dtype != np.int32:
        raise RuntimeError(_PIVOTS)
    nothing = np.zeros(0, LU_data.dtype)
    lower, upper = parts(LU_data) if unpack_data else (nothing, nothing)
    swaps = permutation_matrix(LU_pivots, LU_data.shape[-2], LU_data.dtype) if unpack_pivots else nothing
    return swaps, lower, upper


# ---- systems ----


def _solution(lu: Any, swaps: Any, b: Any, left: bool, adjoint: bool) -> Any:
    """Solve A X = B (A^H X = B if `adjoint`; X A = B if not `left`) for A = P L U."""
    if not left:
        return H(_solution(lu, swaps, H(b), True, not adjoint))
    if not adjoint:
        half = linalg_solve_triangular(lu, H(swaps) @ b, upper=False, unitriangular=True)
        return linalg_solve_triangular(lu, half, upper=True)
    half = linalg_solve_triangular(H(lu), b, upper=False)
    return swaps @ linalg_solve_triangular(H(lu), half, upper=True, unitriangular=True)


def _swaps(pivots: Any, lu: Any) -> Any:
    return permutation_matrix(pivots, lu.shape[-2], lu.dtype)


def _factored_ct(ct: Any, LU: Any, pivots: Any, result: Any, left: bool, adjoint: bool) -> Any:
    """Pull back through A X = B: A_ct = -B_ct X^H, of which L and U get P^T A_ct U^H and L^H P^T A_ct."""
    b = linalg_lu_solve(LU, pivots, ct, left=left, adjoint=not adjoint)
    whole = -(b @ H(result)) if left else -(H(result) @ b)
    whole = H(_swaps(pivots, LU)) @ (H(whole) if adjoint else whole)
    lower, upper = parts(LU)
    return sum_to(np.tril(whole @ H(upper), -1) + np.triu(H(lower) @ whole), LU.shape)


def _factored_tangent(t: Any, LU: Any, pivots: Any, result: Any, left: bool, adjoint: bool) -> Any:
    lower, upper = parts(LU)
    a = _swaps(pivots, LU) @ (np.tril(t, -1) @ upper + lower @ np.triu(t))
    a = H(a) if adjoint else a
    return -linalg_lu_solve(LU, pivots, a @ result if left else result @ a, left=left, adjoint=adjoint)


def _systems() -> Iterator[Sample]:
    yield sample(*_factored(regular(3)), numbers(3, 2))
    yield sample(*_factored(regular(2, 2)), numbers(2, 3), adjoint=True)
    yield sample(*_factored(regular(2)), numbers(2, 3, 2), left=False)
    yield sample(*_factored(complex_regular(2)), complex_regular(2), left=False, adjoint=True)


@general(
    node="LinalgLuSolveBackward0",
    LU=_factored_ct,
    B=lambda ct, LU, pivots, B_shape, left, adjoint: sum_to(
        linalg_lu_solve(LU, pivots, ct, left=left, adjoint=not adjoint), B_shape
    ),
    jvp={
        "LU": _factored_tangent,
        "B": lambda t, LU, pivots, left, adjoint: linalg_lu_solve(LU, pivots, t, left=left, adjoint=adjoint),
    },
    batch=stacked(2, 1, 2),
    holomorphic=False,
    primitive=True,
    samples=_systems,
    errors=lambda: [
        error(
            RuntimeError, "linalg.lu_solve: pivots should be a Tensor of scalar type torch.int32",
            regular(2), np.ones(2), numbers(2, 2),
        ),
    ],
    places="linalg",
)  # fmt: skip
def linalg_lu_solve(
    LU: Array,
    pivots: Plain,
    B: Array,
    *,
    left: bool = True,
    adjoint: bool = False,
) -> Array:
    """Solve A X = B (X A = B if not `left`, A^H if `adjoint`) for A = P L U as `lu_factor` returned it."""
    name = "linalg.lu_solve"
    if pivots.dtype != np.int32:
        raise RuntimeError(f"{name}: pivots should be a Tensor of scalar type torch.int32")
    check_square(LU, name)
    check_rank(B, name, "B")
    check_pair(LU, B, name, kernel="linalg_lu_solve_cpu")
    check_system(LU, B, left, name)
    return _solution(LU, _swaps(pivots, LU), B, left, adjoint)


# ---- torch's older names ----


@composite(samples=lambda: [sample(regular(3)), sample(numbers(2, 4), get_infos=True)])
def lu(A: Array, pivot: bool = True, get_infos: bool = False) -> Any:
    """Factorise A = P L U: linalg.lu_factor, or linalg.lu_factor_ex if `get_infos`, as a plain tuple."""
    return tuple(linalg_lu_factor_ex(A, pivot=pivot) if get_infos else linalg_lu_factor(A, pivot=pivot))


@composite(samples=lambda: [sample(numbers(3, 2), *_factored(regular(3)))])
def lu_solve(input: Array, LU_data: Array, LU_pivots: Plain) -> Array:
    """Solve A X = input by what `lu_factor` returned: linalg.lu_solve with the right-hand side first."""
    return linalg_lu_solve(LU_data, LU_pivots, input)
