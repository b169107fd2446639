"""Inverses and solutions of linear systems."""

# ruff: noqa: N803 - matrices have capital letters, in formulas as in the names of arguments

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.errors import LinAlgError
from retrograd.ops import batching
from retrograd.ops.declare import Array, ErrorSample, Sample, error, sample
from retrograd.ops.families import composite, general
from retrograd.ops.linalg_lu import factorize
from retrograd.ops.matrices import (
    H,
    check_floating,
    check_pair,
    check_square,
    check_system,
    complex_regular,
    each,
    failing,
    numbers,
    regular,
    stacked,
    sum_to,
)

# ---- inverses ----


def _squares() -> Iterator[Sample]:
    yield sample(regular(3))
    yield sample(regular(2, 2))
    yield sample(complex_regular(2))
    yield sample(np.zeros((0, 0)))
    yield sample(np.zeros((0, 2, 2)))


def _inverse_errors() -> Iterator[ErrorSample]:
    yield error(RuntimeError, "linalg.inv: The input tensor A must have at least 2 dimensions.", numbers(3))
    yield error(RuntimeError, "linalg.inv: A must be batches of square matrices, but they are", numbers(2, 3))
    yield error(
        RuntimeError, "Expected a floating point or complex tensor as input. Got Long", np.eye(2, dtype=int)
    )


def zero_pivots(a: Any) -> Any:
    """Return per matrix the number, from 1, of the first zero on the diagonal of U in P L U (0: none)."""
    return factorize(a)[2]


def _inverse(a: Any) -> tuple[Any, bool]:
    """Return the inverses (NaN for singular matrices), and whether there is a singular one."""
    check_square(a, "linalg.inv")
    check_floating(a, "linalg.inv")
    try:
        return np.linalg.inv(a), False
    except np.linalg.LinAlgError:
        return each(np.linalg.inv, a), True


_inverse_rules: dict[str, Any] = {
    "node": "LinalgInvExBackward0",
    "batch": stacked(),
    "holomorphic": False,
    "primitive": True,
    "samples": _squares,
    "errors": _inverse_errors,
}


@general(
    A=lambda ct, result: -(H(result) @ ct @ H(result)),
    jvp={"A": lambda t, result: -(result @ t @ result)},
    places="linalg",
    torch_name="linalg_inv",
    **_inverse_rules,
)
def linalg_inv(A: Array) -> Array:
    """Invert square matrices: dB = -B dA B for B = A^-1.

    Raises:
        LinAlgError: a matrix is singular.
    """
    found, singular = _inverse(A)
    if singular:
        where, which = failing(zero_pivots(A), A.ndim > 2) or (A.shape[-1], "")
        raise LinAlgError(
            f"linalg.inv: {which}The diagonal element {where} is zero, the inversion could not be "
            "completed because "
            "the input matrix is singular."
        )
    return found


@general(
    A=lambda ct, result: -(H(result[0]) @ ct @ H(result[0])),
    jvp={"A": lambda t, result: -(result[0] @ t @ result[0])},
    outputs=("inverse", "info"),
    differentiable_outputs=(0,),
    places="linalg",
    **_inverse_rules,
)
def linalg_inv_ex(A: Array, *, check_errors: bool = False) -> tuple[Array, Array]:
    """Invert square matrices, and report in `info` which diagonal element of U in P L U is 0 (0: none)."""
    if check_errors:
        found = linalg_inv.definition(A)  # type: ignore[attr-defined]  # an Op
        return found, np.zeros(A.shape[:-2], np.int32)
    found, singular = _inverse(A)
    return found, zero_pivots(A) if singular else np.zeros(A.shape[:-2], np.int32)


# ---- general systems ----


def is_vector(a_shape: Any, b_shape: Any) -> bool:
    """Return whether the right-hand side is a vector per matrix rather than a matrix."""
    return len(b_shape) == 1 or (len(a_shape) - 1 == len(b_shape) and tuple(a_shape[:-1]) == tuple(b_shape))


def _solutions(A: Any, B: Any, left: bool) -> tuple[Any, bool]:
    """Return the solutions (NaN where the matrix is singular), and whether there is such a matrix."""
    check_square(A, "linalg.solve")
    check_pair(A, B, "linalg.solve", kernel="lu_cpu")
    if is_vector(A.shape, B.shape):
        if not left:
            raise RuntimeError(
                "linalg.solve: Vector broadcasting of the left hand side is not supported for left=False. In "
                "this case linalg.solve is equivalent to B / A.squeeze(-1)"
            )
        found, singular = _solutions(A, B[..., None], True)
        return found[..., 0], singular
    check_system(A, B, left, "linalg.solve")
    a, b = (A, B) if left else (np.swapaxes(A, -1, -2), np.swapaxes(B, -1, -2))
    try:
        found, singular = np.linalg.solve(a, b), False
    except np.linalg.LinAlgError:
        found, singular = each(np.linalg.inv, a) @ b, True
    return found if left else np.swapaxes(found, -1, -2), singular


def _solve_b(ct: Any, A: Any, B_shape: Any, left: bool) -> Any:
    return sum_to(linalg_solve(H(A), ct, left=left), B_shape)


def _solve_a(ct: Any, A: Any, result: Any, B_shape: Any, left: bool) -> Any:
    x = result[0] if isinstance(result, tuple) else result
    b = linalg_solve(H(A), ct, left=left)
    if is_vector(A.shape, B_shape):
        return sum_to(-(b[..., None] @ H(x[..., None])), A.shape)
    return sum_to(-(b @ H(x)) if left else -(H(x) @ b), A.shape)


def _solve_tangent(t: Any, A: Any, result: Any, B_shape: Any, left: bool) -> Any:
    x = result[0] if isinstance(result, tuple) else result
    if is_vector(A.shape, B_shape):
        return -linalg_solve(A, (t @ x[..., None])[..., 0])
    return -linalg_solve(A, t @ x if left else x @ t, left=left)


def _systems() -> Iterator[Sample]:
    yield sample(regular(3), numbers(3, 2))
    yield sample(regular(3), numbers(3))
    yield sample(regular(2, 2), numbers(2, 2, 3))
    yield sample(regular(2, 2), numbers(1, 2, 3))
    yield sample(regular(2, 2), numbers(2, 2))
    yield sample(regular(2), numbers(2, 3, 2), left=False)
    yield sample(complex_regular(2), complex_regular(2) + 1j)
    yield sample(np.zeros((0, 0)), np.zeros((0, 3)))


def _system_errors() -> Iterator[ErrorSample]:
    yield error(
        RuntimeError,
        "A must be batches of square matrices, but they are 4 by 3 matrices",
        numbers(4, 3),
        numbers(4),
    )
    yield error(
        RuntimeError,
        "linalg.solve: Incompatible shapes of A and B for the equation AX = B (3x3 and 4x2)",
        regular(3), numbers(4, 2),
    )  # fmt: skip


def _batched_systems(op: Any, size: int, args: Any, dims: Any) -> Any:
    first, second = (batching.spread(a, d, size) for a, d in zip(args[:2], dims[:2], strict=True))
    vector = is_vector(first.shape[1:], second.shape[1:])
    second = second[..., None] if vector else second
    lead = max(first.ndim, second.ndim)
    ready = [np.reshape(x, (size, *(1,) * (lead - x.ndim), *x.shape[1:])) for x in (first, second)]
    found = batching.call(op, [*ready, *args[2:]])
    result = found[0] if isinstance(found, tuple) else found
    result = result[..., 0] if vector else result
    return (result, np.reshape(found[1], first.shape[:-2])) if isinstance(found, tuple) else result


_system_rules: dict[str, Any] = {
    "node": "LinalgSolveExBackward0",
    "A": _solve_a,
    "B": _solve_b,
    "jvp": {
        "A": _solve_tangent,
        "B": lambda t, A, left: linalg_solve(A, t, left=left),
    },
    "batch": _batched_systems,
    "holomorphic": False,
    "primitive": True,
    "samples": _systems,
    "errors": _system_errors,
    "places": "linalg",
}


@general(**_system_rules)
def linalg_solve(A: Array, B: Array, *, left: bool = True) -> Array:
    """Solve A X = B, or X A = B if not `left`.

    Shape: (..., n, n), (..., n, k) -> (..., n, k), or (..., n, n), (..., n) -> (..., n).

    Raises:
        LinAlgError: a matrix is singular.
    """
    found, singular = _solutions(A, B, left)
    if singular:
        _, which = failing(zero_pivots(A), A.ndim > 2) or (0, "")
        raise LinAlgError(
            f"torch.linalg.solve: {which}The solver failed because the input matrix is singular."
        )
    return found


@general(outputs=("result", "info"), differentiable_outputs=(0,), **_system_rules)
def linalg_solve_ex(
    A: Array,
    B: Array,
    *,
    left: bool = True,
    check_errors: bool = False,
) -> tuple[Array, Array]:
    """Solve A X = B as `solve` does, and report singular matrices in `info` instead of raising."""
    if check_errors:
        found = linalg_solve.definition(A, B, left=left)  # type: ignore[attr-defined]  # an Op
        return found, np.zeros(A.shape[:-2], np.int32)
    found, singular = _solutions(A, B, left)
    return found, zero_pivots(A) if singular else np.zeros(A.shape[:-2], np.int32)


@composite(samples=_squares, errors=_inverse_errors, places="torch Tensor")
def inverse(input: Array) -> Array:
    """Invert square matrices: another name of linalg.inv."""
    return linalg_inv(input)
