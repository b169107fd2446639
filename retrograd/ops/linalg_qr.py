"""The QR factorisation."""

# ruff: noqa: N803, N806 - matrices have capital letters, in formulas as in the names of arguments

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops.declare import Array, Sample, error, sample
from retrograd.ops.families import general
from retrograd.ops.helpers import numpy_dtype
from retrograd.ops.linalg_triangular import linalg_solve_triangular
from retrograd.ops.matrices import (
    H,
    check_floating,
    check_rank,
    complex_regular,
    diagonal,
    lower_half,
    numbers,
    off_diagonal,
    regular,
    stacked,
)


def _matrices() -> Iterator[Sample]:
    yield sample(regular(3))
    yield sample(numbers(2, 3, 2) + np.eye(3, 2))
    yield sample(numbers(2, 4))
    yield sample(numbers(2, 4), mode="complete")
    yield sample(numbers(3, 2), mode="complete", grad=False)
    yield sample(complex_regular(2))
    yield sample(np.zeros((0, 2)))


def _pull(ct: Any, result: Any, mode: str) -> Any:
    """Pull back to A: for a wide A = [X | Y] with X square, X = Q U is factorised and Y = Q V follows.

    Source: Walter, Lehmann, Algorithmic differentiation of linear algebra functions, 2010 (not the wide).
    """
    q_ct, r_ct = ct
    Q, R = result
    if mode == "r":
        raise RuntimeError(
            "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please use "
            "linalg.qr(A, mode='reduced') if you are going to differentiate through linalg.qr."
        )
    m, n = Q.shape[-2], R.shape[-1]
    if mode == "complete" and m > n:
        raise RuntimeError(
            "The QR decomposition is not differentiable when mode='complete' and nrows > ncols."
        )
    if m >= n:
        return _pull_tall(q_ct, r_ct, Q, R)
    q_ct = Q * 0 if q_ct is None else q_ct
    if r_ct is None:
        first = _pull_tall(q_ct, None, Q, R[..., :m])
        return np.concatenate((first, np.zeros((*first.shape[:-1], n - m), numpy_dtype(Q.dtype))), axis=-1)
    rest = r_ct[..., m:]
    first = _pull_tall(q_ct + Q @ R[..., m:] @ H(rest), r_ct[..., :m], Q, R[..., :m])
    return np.concatenate((first, Q @ rest), axis=-1)


def _pull_tall(q_ct: Any, r_ct: Any, Q: Any, R: Any) -> Any:
    """Return (Q_ct + Q sym(triu(R_ct R^H - Q^H Q_ct))) R^-H, sym(X) = X + X^H - Re diag(X)."""
    inner: Any = None
    if r_ct is not None:
        inner = r_ct @ H(R)
    if q_ct is not None:
        inner = -(H(Q) @ q_ct) if inner is None else inner - H(Q) @ q_ct
    half = H(lower_half(H(inner)))
    found = Q @ (half + H(half))
    found = found if q_ct is None else found + q_ct
    return linalg_solve_triangular(H(R), found, upper=False, left=False)


def _push(t: Any, result: Any) -> tuple[Any, Any]:
    """Split Q^H A_t R^-1 into a skew part, by which Q turns, and an upper triangle, by which R grows."""
    Q, R = result
    m, n = Q.shape[-2], R.shape[-1]
    k = min(m, n)
    if R.shape[-2] > k:
        raise RuntimeError(
            "The QR decomposition is not differentiable when mode='complete' and nrows > ncols."
        )
    square = R[..., :k]
    turned = linalg_solve_triangular(square, t[..., :k], upper=True, left=False)
    inner = H(Q) @ turned
    low = np.tril(inner, -1)
    skew = low - H(low)
    if inner.dtype.kind == "c":
        skew = skew + (np.imag(diagonal(inner)) * 1j)[..., None] * (1 - off_diagonal(k, inner))
    q_t = turned - Q @ (inner - skew)
    r_t = (inner - skew) @ square
    if n > k:
        r_t = np.concatenate((r_t, H(Q) @ t[..., k:] - skew @ R[..., k:]), axis=-1)
    return q_t, r_t


@general(
    node="LinalgQrBackward0",
    A=_pull,
    jvp={"A": lambda t, result: _push(t, result)},
    batch=stacked(),
    holomorphic=False,
    primitive=True,
    samples=_matrices,
    errors=lambda: [
        error(RuntimeError, "linalg.qr: The input tensor A must have at least 2 dimensions.", numbers(3)),
        error(
            RuntimeError,
            "qr received unrecognized mode 'x' but expected one of 'reduced' (default), 'r', or 'complete'",
            regular(2), mode="x",
        ),
    ],
    outputs=("Q", "R"),
    places="linalg",
)  # fmt: skip
def linalg_qr(A: Array, mode: str = "reduced") -> tuple[Array, Array]:
    """Factorise A = Q R: the columns of Q are orthonormal, R is upper triangular.

    With `mode` 'reduced' Q has min(m, n) columns, with 'complete' m; with 'r' it is empty.
    """
    check_rank(A, "linalg.qr")
    check_floating(A, "linalg.qr", "geqrf_cpu")
    if mode not in ("reduced", "r", "complete"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or "
            "'complete'"
        )
    if mode == "r":
        return np.zeros(0, A.dtype), np.linalg.qr(A, "r")
    Q, R = np.linalg.qr(A, mode)  # type: ignore[call-overload]  # one of the three
    return Q, R


def _mode(some: bool) -> str:
    return "reduced" if some else "complete"


@general(
    node="LinalgQrBackward0",
    input=lambda ct, result, some: _pull(ct, result, _mode(some)),
    jvp={"input": lambda t, result: _push(t, result)},
    batch=stacked(),
    holomorphic=False,
    primitive=True,
    samples=lambda: [sample(regular(3)), sample(numbers(3, 2), False, grad=False)],
    outputs=("Q", "R"),
)
def qr(input: Array, some: bool = True) -> tuple[Array, Array]:
    """Factorise A = Q R, with all columns of Q if not `some`: linalg.qr's older form."""
    return linalg_qr.definition(input, _mode(some))  # type: ignore[attr-defined, no-any-return]  # an Op
