"""The singular value decomposition, and the pseudo-inverse and the rank that follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops.declare import Array, Sample, error, sample
from retrograd.ops.families import composite, general
from retrograd.ops.helpers import name_of, numpy_dtype
from retrograd.ops.linalg_eig import eigh
from retrograd.ops.matrices import (
    H,
    check_floating,
    check_rank,
    complex_regular,
    diagonal,
    gaps,
    is_narrow,
    nonfinite,
    numbers,
    off_diagonal,
    positive,
    regular,
    stacked,
)

ndarray = np.ndarray


def _matrices() -> Iterator[Sample]:
    yield sample(regular(3), False)
    yield sample(numbers(2, 3, 2), False)
    yield sample(numbers(2, 4), False)
    yield sample(numbers(3, 2), grad=False)
    yield sample(complex_regular(2), grad=False)
    yield sample(np.zeros((0, 2)))


def _check(a: Any) -> None:
    check_rank(a, "linalg.svd")
    check_floating(a, "linalg.svd", "linalg_svd_cpu")
    if a.size and not np.isfinite(a).all():
        raise nonfinite("linalg.svd")


# ---- derivative ----


def _beyond(x: Any, basis: Any) -> Any:
    """Return the part of the columns of `x` outside the space that `basis` spans."""
    return x - basis @ (H(basis) @ x)


def svd_pull(u_ct: Any, s_ct: Any, vh_ct: Any, U: Any, S: Any, Vh: Any) -> Any:  # noqa: N803
    """Pull back to A = U diag(S) V^H.

    With skew(X) = X - X^H and E_ij = s_j^2 - s_i^2: U ((skew(U^H U_ct) / E) S + S (skew(V^H V_ct) / E) + diag(S_ct)) V^H,
    and what lies outside the spaces of U and V.

    Source: Townsend, Differentiating the singular value decomposition, 2016; the diagonal of the complex case is
    the phase of U.
    """
    if u_ct is None and vh_ct is None:
        return (U * s_ct[..., None, :]) @ Vh
    k = S.shape[-1]
    m, n = U.shape[-2], Vh.shape[-1]
    u_ct = None if u_ct is None else u_ct[..., :k]
    vh_ct = None if vh_ct is None else vh_ct[..., :k, :]
    U, Vh = U[..., :k], Vh[..., :k, :]  # noqa: N806
    V = H(Vh)  # noqa: N806
    inner: Any = 0
    turned_u = None if u_ct is None else H(U) @ u_ct
    turned_v = None if vh_ct is None else H(vh_ct @ V)
    _check_phase(turned_u, turned_v)
    diag: Any = s_ct
    if turned_u is not None:
        inner = (turned_u - H(turned_u)) / gaps(S * S) * off_diagonal(k, S) * S[..., None, :]
        if U.dtype.kind == "c":
            phase = np.imag(diagonal(turned_u)) * 1j / S
            diag = phase if diag is None else diag + phase
    if turned_v is not None:
        inner = inner + S[..., :, None] * ((turned_v - H(turned_v)) / gaps(S * S) * off_diagonal(k, S))
    if diag is not None:
        inner = inner + diag[..., None] * (1 - off_diagonal(k, S))
    found = U @ inner @ Vh
    if u_ct is not None and m > k:
        found = found + (_beyond(u_ct, U) / S[..., None, :]) @ Vh
    if vh_ct is not None and n > k:
        found = found + U @ H(_beyond(H(vh_ct), V) / S[..., None, :])
    return found


def _check_phase(turned_u: Any, turned_v: Any) -> None:
    """Raise if a loss depends on the common phase of singular vectors, which is arbitrary."""
    parts = [x for x in (turned_u, turned_v) if x is not None]
    if parts[0].__class__ is not ndarray or parts[0].dtype.kind != "c":
        return
    phase = np.abs(sum(diagonal(x).imag for x in parts))
    tolerance = 1e-2 if parts[0].dtype == np.complex64 else 1e-3
    if phase.size and phase.max() > tolerance * max(1.0, *(np.abs(x).max() for x in parts)):
        raise RuntimeError(
            "svd_backward: The singular vectors in the complex case are specified up to multiplication by e^{i phi}. The "
            "specified loss function depends on this phase term, making it ill-defined."
        )


def svd_push(t: Any, result: Any) -> tuple[Any, Any, Any]:
    """Return the tangents of U, S and V^H; columns beyond the singular values turn with the others."""
    U, S, Vh = result  # noqa: N806
    k = S.shape[-1]
    U1, V1 = U[..., :k], H(Vh[..., :k, :])  # noqa: N806
    inner = H(U1) @ t @ V1
    blank = off_diagonal(k, S)
    row, column = S[..., None, :], S[..., :, None]
    turn_u = (inner * row + column * H(inner)) / gaps(S * S) * blank
    turn_v = (column * inner + H(inner) * row) / gaps(S * S) * blank
    if inner.dtype.kind == "c":
        turn_u = turn_u + (np.imag(diagonal(inner)) * 1j / S)[..., None] * (1 - blank)
    u_t, v_t = U1 @ turn_u, V1 @ turn_v
    if U.shape[-2] > k:
        u_t = u_t + _beyond(t @ V1, U1) / row
    if Vh.shape[-1] > k:
        v_t = v_t + _beyond(H(t) @ U1, V1) / row
    u_t, v_t = _turned_along(u_t, U, k), _turned_along(v_t, H(Vh), k)
    return u_t, np.real(diagonal(inner)), H(v_t)


def _turned_along(x_t: Any, basis: Any, k: int) -> Any:
    if basis.shape[-1] == k:
        return x_t
    return np.concatenate((x_t, -(basis[..., :k] @ (H(x_t) @ basis[..., k:]))), axis=-1)


# ---- the decomposition ----


@general(
    node="LinalgSvdBackward0",
    A=lambda ct, result: svd_pull(*ct, *result),
    jvp={"A": lambda t, result: svd_push(t, result)},
    batch=stacked(),
    holomorphic=False,
    samples=_matrices,
    errors=lambda: [error(RuntimeError, "linalg.svd: The input tensor A must have at least 2 dimensions.", numbers(3))],
    outputs=("U", "S", "Vh"),
    places="linalg",
)
def linalg_svd(A: Array, full_matrices: bool = True, *, driver: str | None = None) -> tuple[Array, Array, Array]:  # noqa: N803
    """Decompose A = U diag(S) V^H, S descending; U and V^H are square if `full_matrices`, else of min(m, n) vectors.

    The gradient of singular vectors is finite only where all singular values differ and none is 0.

    Raises:
        LinAlgError: the input is not finite.
    """
    _check(A)
    U, S, Vh = np.linalg.svd(A, full_matrices)  # noqa: N806
    return U, S, Vh


def _values_rule(ct: Any, A: Any) -> Any:  # noqa: N803
    U, _, Vh = linalg_svd(A, False)  # noqa: N806
    return (U * ct[..., None, :]) @ Vh


def _values_tangent(t: Any, A: Any) -> Any:  # noqa: N803
    U, _, Vh = linalg_svd(A, False)  # noqa: N806
    return np.real(diagonal(H(U) @ t @ H(Vh)))


@general(
    node="LinalgSvdBackward0",
    A=_values_rule,
    jvp={"A": _values_tangent},
    batch=stacked(),
    holomorphic=False,
    samples=lambda: [sample(x.args[0]) for x in _matrices()],
    errors=lambda: [error(RuntimeError, "linalg.svd: The input tensor A must have at least 2 dimensions.", numbers(3))],
    places="linalg",
)
def linalg_svdvals(A: Array, *, driver: str | None = None) -> Array:  # noqa: N803
    """Compute singular values, descending."""
    _check(A)
    return np.linalg.svd(A, compute_uv=False)


# ---- the pseudo-inverse ----


def pinv_pull(ct: Any, A: Any, P: Any) -> Any:  # noqa: N803
    """Pull back to A of P = pinv(A), as far as the rank stays.

    Source: Golub, Pereyra, The differentiation of pseudo-inverses and nonlinear least squares problems, 1973.
    """
    back = H(ct)
    whole = -(H(P) @ ct @ H(P))
    tall = back @ P @ H(P)
    wide = H(P) @ P @ back
    return whole + (tall - A @ (P @ tall)) + (wide - (wide @ P) @ A)


def _pinv_push(t: Any, A: Any, P: Any) -> Any:  # noqa: N803
    back = H(t)
    tall = P @ H(P) @ back
    wide = back @ H(P) @ P
    return -(P @ t @ P) + (tall - (tall @ A) @ P) + (wide - P @ (A @ wide))


def _plain(x: Any) -> Any:
    """Return a tolerance as a number or an array."""
    return getattr(x, "_array", x)


def threshold(values: Any, shape: Any, dtype: Any, atol: Any, rtol: Any) -> Any:
    """Return below which size singular values count as 0: max(atol, rtol * the largest)."""
    if rtol is None:
        eps = np.finfo(dtype).eps
        rtol = 0.0 if atol is not None and np.all(np.asarray(_plain(atol)) > 0) else eps * max(shape[-2:])
    largest = values.max(-1) if values.shape[-1] else np.zeros(values.shape[:-1], values.dtype)
    bound = np.maximum(_plain(0.0 if atol is None else atol), np.asarray(_plain(rtol)) * largest)
    return np.asarray(bound)[..., None]


def _check_invertible(a: Any) -> None:
    if a.ndim < 2 or a.dtype.kind not in "fc" or is_narrow(a):
        raise RuntimeError(
            f"linalg.pinv({name_of(a)}{{{list(a.shape)}}}): expected a tensor with 2 or more dimensions of float, double, "
            "cfloat or cdouble types"
        )


@general(
    node="LinalgPinvBackward0",
    input=lambda ct, input, result: pinv_pull(ct, input, result),
    jvp={"input": lambda t, input, result: _pinv_push(t, input, result)},
    batch=stacked(),
    holomorphic=False,
    samples=lambda: [
        sample(regular(3)),
        sample(numbers(2, 3, 2)),
        sample(numbers(2, 4)),
        sample(complex_regular(2)),
        sample(positive(2), hermitian=True, grad=False),
        sample(np.zeros((0, 2))),
    ],
    errors=lambda: [error(RuntimeError, "expected a tensor with 2 or more dimensions of float, double", numbers(3))],
    places="linalg",
)
def linalg_pinv(
    input: Array, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None
) -> Array:
    """Compute the Moore-Penrose inverse: singular values up to max(atol, rtol * the largest) count as 0."""
    _check_invertible(input)
    rtol = rcond if rtol is None else rtol
    m, n = input.shape[-2:]
    if not input.size:
        return np.zeros((*input.shape[:-2], n, m), input.dtype)
    if hermitian:
        values, vectors = eigh(input)
        size = np.abs(values)
        keep = size > threshold(size, input.shape, size.dtype, atol, rtol)
        scaled = vectors * np.where(keep, 1 / np.where(keep, values, 1), 0)[..., None, :]
        return scaled @ np.conjugate(np.swapaxes(vectors, -1, -2))
    _check(input)
    U, S, Vh = np.linalg.svd(input, full_matrices=False)  # noqa: N806
    keep = S > threshold(S, input.shape, S.dtype, atol, rtol)
    factor = np.where(keep, 1 / np.where(keep, S, 1), 0)
    return (H(Vh) * factor[..., None, :]) @ H(U)


@composite(samples=lambda: [sample(regular(3)), sample(numbers(3, 2), 1e-10)])
def pinverse(input: Array, rcond: float = 1e-15) -> Array:
    """Compute the Moore-Penrose inverse: linalg.pinv with one relative tolerance."""
    return linalg_pinv(input, rcond)


@general(
    batch=stacked(),
    samples=lambda: [sample(regular(3)), sample(np.ones((2, 3, 2))), sample(np.zeros((2, 0)))],
    errors=lambda: [error(RuntimeError, "The input tensor input must have at least 2 dimensions.", numbers(3))],
    places="linalg",
)
def linalg_matrix_rank(
    input: Array, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None
) -> Array:
    """Count the singular values above max(atol, rtol * the largest)."""
    check_rank(input, "torch.linalg.matrix_rank", "input")
    if input.dtype.kind not in "fc" or is_narrow(input):
        raise RuntimeError("This function doesn't handle types other than float and double")
    if not input.size:
        return np.zeros(input.shape[:-2], np.int64)
    if tol is not None:
        atol, rtol = tol, 0.0
    if hermitian:
        values = np.abs(eigh(input)[0])
    else:
        _check(input)
        values = np.linalg.svd(input, compute_uv=False)
    return np.sum(values > threshold(values, input.shape, numpy_dtype(values.dtype), atol, rtol), axis=-1)
