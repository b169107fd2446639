"""The pseudo-inverse and the rank, which follow from singular values."""

# ruff: noqa: N803, N806 - matrices have capital letters, in formulas as in the names of arguments

from __future__ import annotations

from typing import Any

import numpy as np

from retrograd.ops.declare import Array, error, sample
from retrograd.ops.families import composite, general
from retrograd.ops.helpers import name_of
from retrograd.ops.linalg_eig import eigh
from retrograd.ops.matrices import (
    H,
    check_rank,
    complex_regular,
    is_narrow,
    nonfinite,
    numbers,
    positive,
    regular,
    stacked,
)


def pinv_pull(ct: Any, A: Any, P: Any) -> Any:
    """Pull back to A of P = pinv(A), as far as the rank stays.

    Source: Golub, Pereyra, The differentiation of pseudo-inverses and nonlinear least squares problems, 1973.
    """
    back = H(ct)
    whole = -(H(P) @ ct @ H(P))
    tall = back @ P @ H(P)
    wide = H(P) @ P @ back
    return whole + (tall - A @ (P @ tall)) + (wide - (wide @ P) @ A)


def _pinv_push(t: Any, A: Any, P: Any) -> Any:
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


def _check_finite(a: Any) -> None:
    if a.size and not np.isfinite(a).all():
        raise nonfinite("linalg.svd")


def _check_invertible(a: Any) -> None:
    if a.ndim < 2 or a.dtype.kind not in "fc" or is_narrow(a):
        raise RuntimeError(
            f"linalg.pinv({name_of(a)}{{{list(a.shape)}}}): expected a tensor with 2 or more dimensions of "
            "float, double, "
            "cfloat or cdouble types"
        )


@general(
    node="LinalgPinvBackward0",
    input=lambda ct, input, result: pinv_pull(ct, input, result),
    jvp={"input": lambda t, input, result: _pinv_push(t, input, result)},
    batch=stacked(),
    holomorphic=False,
    primitive=True,
    samples=lambda: [
        sample(regular(3)),
        sample(numbers(2, 3, 2)),
        sample(numbers(2, 4)),
        sample(complex_regular(2)),
        sample(positive(2), hermitian=True, grad=False),
        sample(np.zeros((0, 2))),
    ],
    errors=lambda: [
        error(RuntimeError, "expected a tensor with 2 or more dimensions of float, double", numbers(3))
    ],
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
    _check_finite(input)
    U, S, Vh = np.linalg.svd(input, full_matrices=False)
    keep = threshold(S, input.shape, S.dtype, atol, rtol) < S
    factor = np.where(keep, 1 / np.where(keep, S, 1), 0)
    return (H(Vh) * factor[..., None, :]) @ H(U)


@composite(samples=lambda: [sample(regular(3)), sample(numbers(3, 2), 1e-10)])
def pinverse(input: Array, rcond: float = 1e-15) -> Array:
    """Compute the Moore-Penrose inverse: linalg.pinv with one relative tolerance."""
    return linalg_pinv(input, rcond)


@general(
    batch=stacked(),
    primitive=True,
    samples=lambda: [sample(regular(3)), sample(np.ones((2, 3, 2))), sample(np.zeros((2, 0)))],
    errors=lambda: [
        error(RuntimeError, "The input tensor input must have at least 2 dimensions.", numbers(3))
    ],
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
        _check_finite(input)
        values = np.linalg.svd(input, compute_uv=False)
    return np.sum(values > threshold(values, input.shape, values.dtype, atol, rtol), axis=-1)
