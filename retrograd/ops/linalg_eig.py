"""Eigenvalues and eigenvectors, of symmetric (Hermitian) and of any square matrices."""

# ruff: noqa: N803, N806 - matrices have capital letters, in formulas as in the names of arguments

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.errors import LinAlgError
from retrograd.ops.declare import Array, Sample, error, sample
from retrograd.ops.families import general
from retrograd.ops.helpers import elements, name_of
from retrograd.ops.linalg_solve import linalg_solve
from retrograd.ops.matrices import (
    H,
    check_floating,
    check_square,
    complex_regular,
    conj,
    diagonal,
    gaps,
    is_narrow,
    numbers,
    off_diagonal,
    positive,
    real_like,
    regular,
    stacked,
)


def check_phase(turned: Any, name: str) -> None:
    """Raise if a loss depends on the phase of eigenvectors, which is arbitrary: `turned` is V^H V_ct.

    Raises:
        RuntimeError: the diagonal has an imaginary part.
    """
    turned = elements(turned)
    if turned is None or turned.dtype.kind != "c":
        return
    phase = np.abs(diagonal(turned).imag)
    tolerance = 1e-2 if turned.dtype == np.complex64 else 1e-3  # what torch accepts as rounding
    if phase.size and phase.max() > tolerance * max(1.0, np.abs(turned).max()):
        raise RuntimeError(
            f"{name}: The eigenvectors in the complex case are specified up to multiplication by e^{{i "
            "phi}}. The "
            "specified loss function depends on this quantity, so it is ill-defined."
        )


def on_diagonal(x: Any, values: Any) -> Any:
    """Return matrices with their diagonals (which must be finite) replaced."""
    n = values.shape[-1]
    return x * off_diagonal(n, values) + values[..., None] * (1 - off_diagonal(n, values))


# ---- Hermitian matrices ----


def _hermitian() -> Iterator[Sample]:
    # Only one triangle is read: a difference quotient over all elements says something else than the rule.
    yield sample(positive(3), grad=False)
    yield sample(positive(2, 2), grad=False)
    yield sample(complex_regular(2) + complex_regular(2).conj().T, grad=False)
    yield sample(np.zeros((0, 0)))


def eigh_pull(value_ct: Any, vector_ct: Any, L: Any, V: Any) -> Any:
    """Return V (diag(L_ct) + (V^H V_ct) / (l_j - l_i)) V^H."""
    if vector_ct is None:
        return (V * value_ct[..., None, :]) @ H(V)
    inner = H(V) @ vector_ct
    check_phase(inner, "linalg_eigh_backward")
    inner = inner / gaps(L) * off_diagonal(L.shape[-1], L)
    if value_ct is not None:
        inner = on_diagonal(inner, value_ct)
    return V @ inner @ H(V)


def _eigh_push(t: Any, result: Any) -> tuple[Any, Any]:
    values, V = result
    inner = H(V) @ t @ V
    return np.real(diagonal(inner)), V @ (inner / gaps(values) * off_diagonal(values.shape[-1], values))


def _check_hermitian(a: Any, uplo: str) -> None:
    check_square(a, "linalg.eigh")
    if uplo.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {uplo}")
    if a.dtype.kind not in "fc" or is_narrow(a):
        raise NotImplementedError(f"\"linalg_eigh_cpu\" not implemented for '{name_of(a)}'")


def eigh(a: Any, uplo: str = "L") -> tuple[Any, Any]:
    """Return eigenvalues, ascending, and eigenvectors of Hermitian matrices; NaN for what is not finite."""
    finite = np.isfinite(a).all((-2, -1))
    whole = bool(finite.all())
    try:  # of NaN LAPACK may not return
        values, vectors = np.linalg.eigh(  # type: ignore[call-overload]  # "L" or "U"
            a if whole else np.where(finite[..., None, None], a, 0), uplo.upper()
        )
    except np.linalg.LinAlgError:
        raise LinAlgError(
            "linalg.eigh: The algorithm failed to converge because the input matrix is ill-conditioned or "
            "has too many repeated eigenvalues."
        ) from None
    if not whole:
        values = np.where(finite[..., None], values, np.nan).astype(values.dtype)
        vectors = np.where(finite[..., None, None], vectors, np.nan).astype(vectors.dtype)
    return values, vectors


_hermitian_errors = [
    error(RuntimeError, "linalg.eigh: A must be batches of square matrices", numbers(2, 3)),
    error(RuntimeError, "Expected UPLO argument to be 'L' or 'U', but got X", positive(2), "X"),
]


@general(
    node="LinalgEighBackward0",
    A=lambda ct, result: eigh_pull(*ct, *result),
    jvp={"A": lambda t, result: _eigh_push(t, result)},
    batch=stacked(),
    holomorphic=False,
    primitive=True,
    samples=_hermitian,
    errors=lambda: _hermitian_errors,
    outputs=("eigenvalues", "eigenvectors"),
    places="linalg",
)
def linalg_eigh(A: Array, UPLO: str = "L") -> tuple[Array, Array]:
    """Compute eigenvalues (ascending) and eigenvectors of Hermitian matrices: A V = V diag(L).

    Only one triangle is read. The gradient of eigenvectors is finite only where all eigenvalues differ.
    """
    _check_hermitian(A, UPLO)
    return eigh(A, UPLO)


def _eigvalsh_rule(ct: Any, A: Any, UPLO: str) -> Any:
    vectors = linalg_eigh(A, UPLO)[1]
    return (vectors * ct[..., None, :]) @ H(vectors)


@general(
    node="LinalgEighBackward0",
    A=_eigvalsh_rule,
    jvp={"A": lambda t, A, UPLO: _eigh_push(t, linalg_eigh(A, UPLO))[0]},
    batch=stacked(),
    holomorphic=False,
    primitive=True,
    samples=_hermitian,
    errors=lambda: _hermitian_errors,
    places="linalg",
)
def linalg_eigvalsh(A: Array, UPLO: str = "L") -> Array:
    """Compute the eigenvalues of Hermitian matrices, ascending."""
    _check_hermitian(A, UPLO)
    if A.size and not np.isfinite(A).all():
        return eigh(A, UPLO)[0]
    return np.linalg.eigvalsh(A, UPLO.upper())  # type: ignore[call-overload]  # "L" or "U"


# ---- any square matrices ----


def _squares() -> Iterator[Sample]:
    yield sample(regular(3) + np.diag([0.0, 1.0, 3.0]), grad=False)
    yield sample(complex_regular(2), grad=False)
    yield sample(np.zeros((0, 0)))


def _eig_pull(ct: Any, result: Any, dtype: Any) -> Any:
    """Return V^-H (diag(L_ct) + (V^H V_ct - V^H V Re diag(V^H V_ct)) / conj(l_j - l_i)) V^H."""
    value_ct, vector_ct = ct
    values, V = result
    if vector_ct is None:
        inner = linalg_solve(H(V), value_ct[..., None] * H(V))
        return real_like(inner, dtype)
    inner = H(V) @ vector_ct
    check_phase(inner, "linalg_eig_backward")
    inner = inner - (H(V) @ V) * np.real(diagonal(inner))[..., None, :]
    inner = inner / gaps(conj(values)) * off_diagonal(values.shape[-1], values)
    if value_ct is not None:
        inner = on_diagonal(inner, value_ct)
    return real_like(linalg_solve(H(V), inner @ H(V)), dtype)


def _eig_push(t: Any, result: Any) -> tuple[Any, Any]:
    values, V = result
    inner = linalg_solve(V, t @ V)
    vectors_t = V @ (inner / gaps(values) * off_diagonal(values.shape[-1], values))
    return diagonal(inner), vectors_t - V * np.real(diagonal(H(V) @ vectors_t))[..., None, :]


def _check_square(a: Any, name: str) -> None:
    check_square(a, name)
    check_floating(a, name, "linalg_eig_out_cpu")
    if a.size and not np.isfinite(a).all():
        raise RuntimeError("torch.linalg.eig: input tensor should not contain infs or NaNs.")


@general(
    node="LinalgEigBackward0",
    input=lambda ct, input_dtype, result: _eig_pull(ct, result, input_dtype),
    jvp={"input": lambda t, result: _eig_push(t, result)},
    batch=stacked(),
    holomorphic=False,
    primitive=True,
    samples=_squares,
    errors=lambda: [error(RuntimeError, "linalg.eig: A must be batches of square matrices", numbers(2, 3))],
    outputs=("eigenvalues", "eigenvectors"),
    places="linalg",
)
def linalg_eig(input: Array) -> tuple[Array, Array]:
    """Compute complex eigenvalues and eigenvectors of length 1: A V = V diag(L).

    Raises:
        RuntimeError: in backward, if the loss depends on the phase of the eigenvectors, which is arbitrary.
    """
    _check_square(input, "linalg.eig")
    values, vectors = np.linalg.eig(input)
    to = np.dtype(np.complex64 if input.dtype.itemsize == 4 or input.dtype == np.complex64 else np.complex128)
    return values.astype(to), vectors.astype(to)


def _eigvals_rule(ct: Any, input: Any) -> Any:
    V = linalg_eig(input)[1]
    return real_like(linalg_solve(H(V), ct[..., None] * H(V)), input.dtype)


@general(
    node="LinalgEigBackward0",
    input=_eigvals_rule,
    jvp={"input": lambda t, input: _eig_push(t, linalg_eig(input))[0]},
    batch=stacked(),
    holomorphic=False,
    primitive=True,
    samples=_squares,
    errors=lambda: [
        error(RuntimeError, "linalg.eigvals: A must be batches of square matrices", numbers(2, 3))
    ],
    places="linalg",
)
def linalg_eigvals(input: Array) -> Array:
    """Compute the complex eigenvalues of square matrices."""
    _check_square(input, "linalg.eigvals")
    to = np.complex64 if input.dtype.itemsize == 4 or input.dtype == np.complex64 else np.complex128
    return np.linalg.eigvals(input).astype(to)
