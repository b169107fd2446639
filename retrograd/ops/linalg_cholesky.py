"""The Cholesky factorisation A = L L^H of positive definite matrices, and systems solved by it."""

# ruff: noqa: N803 - matrices have capital letters, in formulas as in the names of arguments

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.errors import LinAlgError
from retrograd.ops.declare import Array, ErrorSample, Sample, error, sample
from retrograd.ops.families import general
from retrograd.ops.linalg_triangular import linalg_solve_triangular
from retrograd.ops.matrices import (
    H,
    check_floating,
    check_pair,
    check_square,
    complex_regular,
    failing,
    hermitian,
    lower_half,
    numbers,
    positive,
    regular,
    stack_of,
    stacked,
    sum_to,
)


def _definite() -> Iterator[Sample]:
    # One triangle is read, but the gradient is that of a symmetric input: a quotient says otherwise.
    yield sample(positive(3), grad=False)
    yield sample(positive(2, 2), upper=True, grad=False)
    yield sample(complex_regular(2) @ complex_regular(2).conj().T, grad=False)
    yield sample(np.zeros((0, 0)))


def _refused(name: str) -> Any:
    def errors() -> Iterator[ErrorSample]:
        yield error(RuntimeError, f"{name}: The input tensor A must have at least 2 dimensions.", numbers(3))
        yield error(RuntimeError, f"{name}: A must be batches of square matrices", numbers(2, 3))

    return errors


def _indefinite(name: str) -> Any:
    def errors() -> Iterator[ErrorSample]:
        yield from _refused(name)()
        yield error(LinAlgError, f"{name}: The factorization could not be completed", -np.eye(2))

    return errors


# ---- the factor ----


def _partial(a: Any, upper: bool) -> tuple[Any, int]:
    """Return what can be factorised of one matrix, and the order of the first minor that cannot (0: none)."""
    n = a.shape[-1]
    found = np.triu(a) if upper else np.tril(a)
    for order in range(1, n + 1):
        try:
            found[:order, :order] = np.linalg.cholesky(a[:order, :order], upper=upper)
        except np.linalg.LinAlgError:
            return found, order
    return found, 0


def factor(a: Any, upper: bool) -> tuple[Any, Any]:
    """Return L (U if `upper`) of each matrix, and the order of its first minor that is not positive."""
    try:
        return np.linalg.cholesky(a, upper=upper), np.zeros(a.shape[:-2], np.int32)
    except np.linalg.LinAlgError:
        found = [_partial(x, upper) for x in stack_of(a)]
        factors = np.stack([f for f, _ in found]).reshape(a.shape)
        return factors, np.array([i for _, i in found], np.int32).reshape(a.shape[:-2])


def _check(a: Any, name: str) -> None:
    check_square(a, name)
    check_floating(a, name, "cholesky_cpu")


def _definite_factor(a: Any, upper: bool, name: str) -> Any:
    """Return the factors, or raise that there is none."""
    _check(a, name)
    found, info = factor(a, upper)
    bad = failing(info, a.ndim > 2)
    if bad:
        order, which = bad
        raise LinAlgError(
            f"{name}: {which}The factorization could not be completed because the input is not "
            "positive-definite (the "
            f"leading minor of order {order} is not positive-definite)."
        )
    return found


def _pull(ct: Any, result: Any, upper: bool) -> Any:
    """Return L^-H sym(tril(L^H L_ct) with half of its diagonal) L^-1.

    Source: Murray, Differentiation of the Cholesky decomposition, 2016, section 3.
    """
    lower = H(result) if upper else result
    inner = H(lower) @ (H(ct) if upper else ct)
    inner = (np.tril(inner) + H(np.tril(inner, -1))) * 0.5
    inner = linalg_solve_triangular(H(lower), inner, upper=True)
    return linalg_solve_triangular(lower, inner, upper=False, left=False)


def _push(t: Any, result: Any, upper: bool) -> Any:
    """Return L times the lower half of L^-1 sym(A_t) L^-H."""
    lower = H(result) if upper else result
    inner = linalg_solve_triangular(lower, hermitian(t), upper=False)
    inner = linalg_solve_triangular(H(lower), inner, upper=True, left=False)
    found = lower @ lower_half(inner)
    return H(found) if upper else found


_settings: dict[str, Any] = {
    "batch": stacked(),
    "holomorphic": False,
    "primitive": True,
    "samples": _definite,
}


@general(
    node="LinalgCholeskyExBackward0",
    input=_pull,
    jvp={"input": _push},
    errors=_indefinite("linalg.cholesky"),
    places="linalg",
    **_settings,
)
def linalg_cholesky(input: Array, *, upper: bool = False) -> Array:
    """Factorise A = L L^H with L lower triangular, or A = U^H U if `upper`; only that triangle of A is read.

    Raises:
        LinAlgError: a matrix is not positive definite.
    """
    return _definite_factor(input, upper, "linalg.cholesky")


@general(
    node="LinalgCholeskyExBackward0",
    input=lambda ct, result, upper: _pull(ct, result[0], upper),
    jvp={"input": lambda t, result, upper: _push(t, result[0], upper)},
    errors=_refused("linalg.cholesky"),
    outputs=("L", "info"),
    differentiable_outputs=(0,),
    places="linalg",
    **_settings,
)
def linalg_cholesky_ex(
    input: Array, *, upper: bool = False, check_errors: bool = False
) -> tuple[Array, Array]:
    """Factorise as `cholesky` does, and report in `info` the first minor that is not positive definite."""
    if check_errors:
        return _definite_factor(input, upper, "linalg.cholesky_ex"), np.zeros(input.shape[:-2], np.int32)
    _check(input, "linalg.cholesky")
    return factor(input, upper)


@general(
    node="CholeskyBackward0",
    input=_pull,
    jvp={"input": _push},
    errors=_indefinite("cholesky"),
    **_settings,
)
def cholesky(input: Array, upper: bool = False) -> Array:
    """Factorise A = L L^H, or A = U^H U if `upper`: linalg.cholesky's older form."""
    if input.ndim > 1 and not input.size:
        return np.array(input)
    return _definite_factor(input, upper, "cholesky")


# ---- by the Cholesky factor ----


def cholesky_solution(b: Any, factor: Any, upper: bool) -> Any:
    """Solve L L^H X = B, or U^H U X = B if `upper`."""
    half = linalg_solve_triangular(H(factor) if upper else factor, b, upper=False)
    return linalg_solve_triangular(factor if upper else H(factor), half, upper=True)


def _factor_ct(a_ct: Any, factor: Any, upper: bool) -> Any:
    """Pull a cotangent of A = L L^H (U^H U) back to the factor."""
    both = a_ct + H(a_ct)
    return factor @ both if upper else both @ factor


def _factored_a(ct: Any, L: Any, result: Any, upper: bool) -> Any:
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
            f"Incompatible matrix sizes for cholesky_solve: each A matrix is {factor.shape[-1]} by "
            f"{factor.shape[-1]} but each b matrix is {b.shape[-2]} by {b.shape[-1]}"
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
    primitive=True,
    samples=lambda: [
        # One triangle is read, but the gradient goes to both, as in torch: a quotient says otherwise.
        sample(numbers(3, 2), np.tril(regular(3)), grad=False),
        sample(numbers(2, 3, 1), np.triu(regular(3)), True, grad=False),
        sample(complex_regular(2), np.tril(complex_regular(2)), grad=False),
    ],
    errors=lambda: [
        error(
            RuntimeError,
            "b should have at least 2 dimensions, but has 1 dimensions instead",
            numbers(2),
            regular(2),
        ),
        error(RuntimeError, "each A matrix is 2 by 2 but each b matrix is 3 by 1", numbers(3, 1), regular(2)),
    ],
)
def cholesky_solve(input: Array, L: Array, upper: bool = False) -> Array:
    """Solve A X = input for A = L L^H, or U^H U if `upper`."""
    _check_factored(input, L)
    return cholesky_solution(input, L, upper)


@general(
    node="CholeskyInverseBackward0",
    input=lambda ct, input, result, upper: _factor_ct(-(H(result) @ ct @ H(result)), input, upper),
    jvp={"input": lambda t, input, result, upper: -(result @ _product_tangent(t, input, upper) @ result)},
    batch=stacked(),
    holomorphic=False,
    kinds="f",  # complex ones too: but LAPACK takes the diagonal as real, whatever it is
    primitive=True,
    samples=lambda: [
        sample(np.tril(regular(3)), grad=False),
        sample(np.triu(regular(2, 2)), True, grad=False),
        sample(np.tril(complex_regular(3), -1) + np.diag([1.5, 0.5, 2.0]), grad=False),
    ],
    errors=lambda: [
        error(
            RuntimeError, "cholesky_inverse: The input tensor A must have at least 2 dimensions.", numbers(2)
        ),
        error(RuntimeError, "cholesky_inverse: A must be batches of square matrices", numbers(2, 3)),
    ],
)
def cholesky_inverse(input: Array, upper: bool = False) -> Array:
    """Invert A = L L^H, or U^H U if `upper`."""
    check_square(input, "cholesky_inverse")
    check_floating(input, "cholesky_inverse", "cholesky_inverse_out_cpu")
    return cholesky_solution(
        np.broadcast_to(np.eye(input.shape[-1], dtype=input.dtype), input.shape), input, upper
    )
