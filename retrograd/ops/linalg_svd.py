"""The singular value decomposition, and the pseudo-inverse and the rank that follow from it."""

# ruff: noqa: N803, N806 - matrices have capital letters, in formulas as in the names of arguments

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops.declare import Array, Sample, error, sample
from retrograd.ops.families import general
from retrograd.ops.helpers import elements
from retrograd.ops.matrices import (
    H,
    check_floating,
    check_rank,
    complex_regular,
    diagonal,
    gaps,
    nonfinite,
    numbers,
    off_diagonal,
    regular,
    stacked,
)


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


def svd_pull(u_ct: Any, s_ct: Any, vh_ct: Any, U: Any, S: Any, Vh: Any) -> Any:
    """Pull back to A = U diag(S) V^H.

    With skew(X) = X - X^H and E_ij = s_j^2 - s_i^2:
    U ((skew(U^H U_ct) / E) S + S (skew(V^H V_ct) / E) + diag(S_ct)) V^H, and what lies outside the spaces of
    U and V.

    Source: Townsend, Differentiating the singular value decomposition, 2016; the diagonal of the complex case
        is the phase of U.
    """
    if u_ct is None and vh_ct is None:
        return (U * s_ct[..., None, :]) @ Vh
    k = S.shape[-1]
    m, n = U.shape[-2], Vh.shape[-1]
    u_ct = None if u_ct is None else u_ct[..., :k]
    vh_ct = None if vh_ct is None else vh_ct[..., :k, :]
    U, Vh = U[..., :k], Vh[..., :k, :]
    V = H(Vh)
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
    parts = [elements(x) for x in (turned_u, turned_v) if x is not None]
    if parts[0] is None or parts[0].dtype.kind != "c":
        return
    phase = np.abs(sum(diagonal(x).imag for x in parts))
    tolerance = 1e-2 if parts[0].dtype == np.complex64 else 1e-3
    if phase.size and phase.max() > tolerance * max(1.0, *(np.abs(x).max() for x in parts)):
        raise RuntimeError(
            "svd_backward: The singular vectors in the complex case are specified up to multiplication by "
            "e^{i phi}. The specified loss function depends on this phase term, making it ill-defined."
        )


def svd_push(t: Any, result: Any) -> tuple[Any, Any, Any]:
    """Return the tangents of U, S and V^H; columns beyond the singular values turn with the others."""
    U, S, Vh = result
    k = S.shape[-1]
    U1, V1 = U[..., :k], H(Vh[..., :k, :])
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
    primitive=True,
    kinds="f",  # complex ones too: but their phase is free, which a difference quotient does not know
    samples=_matrices,
    errors=lambda: [
        error(RuntimeError, "linalg.svd: The input tensor A must have at least 2 dimensions.", numbers(3))
    ],
    outputs=("U", "S", "Vh"),
    places="linalg",
)
def linalg_svd(
    A: Array, full_matrices: bool = True, *, driver: str | None = None
) -> tuple[Array, Array, Array]:
    """Decompose A = U diag(S) V^H, S descending; U and V are square if `full_matrices`, else min(m, n) wide.

    The gradient of singular vectors is finite only where all singular values differ and none is 0.

    Raises:
        LinAlgError: the input is not finite.
    """
    _check(A)
    U, S, Vh = np.linalg.svd(A, full_matrices)
    return U, S, Vh


def _values_rule(ct: Any, A: Any) -> Any:
    U, _, Vh = linalg_svd(A, False)
    return (U * ct[..., None, :]) @ Vh


def _values_tangent(t: Any, A: Any) -> Any:
    U, _, Vh = linalg_svd(A, False)
    return np.real(diagonal(H(U) @ t @ H(Vh)))


@general(
    node="LinalgSvdBackward0",
    A=_values_rule,
    jvp={"A": _values_tangent},
    batch=stacked(),
    holomorphic=False,
    primitive=True,
    samples=lambda: [sample(x.args[0]) for x in _matrices()],
    errors=lambda: [
        error(RuntimeError, "linalg.svd: The input tensor A must have at least 2 dimensions.", numbers(3))
    ],
    places="linalg",
)
def linalg_svdvals(A: Array, *, driver: str | None = None) -> Array:
    """Compute singular values, descending."""
    _check(A)
    return np.linalg.svd(A, compute_uv=False)


def _older_rule(ct: Any, result: Any, compute_uv: bool) -> Any:
    u_ct, s_ct, v_ct = ct
    if not compute_uv:
        raise RuntimeError(
            "svd: without singular vectors (compute_uv=False) there is no gradient; use linalg.svdvals, "
            "which has one"
        )
    U, S, V = result
    return svd_pull(u_ct, s_ct, None if v_ct is None else H(v_ct), U, S, H(V))


def _older_tangent(t: Any, result: Any) -> tuple[Any, Any, Any]:
    U, S, V = result
    u_t, s_t, vh_t = svd_push(t, (U, S, H(V)))
    return u_t, s_t, H(vh_t)


@general(
    node="LinalgSvdBackward0",
    input=_older_rule,
    jvp={"input": _older_tangent},
    batch=stacked(),
    holomorphic=False,
    primitive=True,
    kinds="f",  # as above
    samples=lambda: [sample(regular(3)), sample(numbers(3, 2)), sample(numbers(3, 2), False, grad=False)],
    outputs=("U", "S", "V"),
)
def svd(input: Array, some: bool = True, compute_uv: bool = True) -> tuple[Array, Array, Array]:
    """Decompose A = U diag(S) V^H and return V, or 0 for U and V: linalg.svd's older form."""
    if compute_uv:
        U, S, Vh = linalg_svd.definition(input, not some)  # type: ignore[attr-defined]  # an Op
        return U, S, H(Vh)
    m, n = input.shape[-2:]
    lead = input.shape[:-2]
    zeros = (np.zeros((*lead, k, k), input.dtype) for k in (m, n))
    values = linalg_svdvals.definition(input)  # type: ignore[attr-defined]  # an Op
    return next(zeros), values, next(zeros)
