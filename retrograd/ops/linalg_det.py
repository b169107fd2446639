"""Determinants: d det A = det A tr(A^-1 dA)."""

# ruff: noqa: N803 - matrices have capital letters, in formulas as in the names of arguments

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops.declare import Array, ErrorSample, Sample, error, sample
from retrograd.ops.families import composite, general
from retrograd.ops.linalg_solve import linalg_inv_ex
from retrograd.ops.matrices import (
    H,
    check_floating,
    check_square,
    complex_regular,
    conj,
    numbers,
    regular,
    stacked,
    transposed,
)


def _squares() -> Iterator[Sample]:
    yield sample(regular(3))
    yield sample(regular(2, 2))
    yield sample(complex_regular(2))
    yield sample(np.zeros((0, 0)))


def _not_square(name: str) -> Any:
    def errors() -> Iterator[ErrorSample]:
        yield error(RuntimeError, f"{name}: The input tensor A must have at least 2 dimensions.", numbers(3))
        yield error(RuntimeError, f"{name}: A must be batches of square matrices", numbers(2, 3))

    return errors


def _inverse(a: Any) -> Any:
    return linalg_inv_ex(a)[0]


def _scalar(x: Any) -> Any:
    return x[..., None, None]


def _traced(x: Any, y: Any) -> Any:
    """Return tr(X^T Y)."""
    return np.sum(x * y, axis=(-2, -1))


# ---- cofactors ----


def _cofactor_rule(ct: Any, A: Any, result: Any) -> Any:
    """Pull back through det(A) A^-T; unlike the first derivative of a determinant it needs a regular A."""
    inverse = _inverse(A)
    scale = np.sum(conj(transposed(inverse)) * ct, axis=(-2, -1))
    turned = H(inverse) @ transposed(ct) @ conj(result)
    return _scalar(scale) * conj(result) - turned


def _cofactor_tangent(t: Any, A: Any, result: Any) -> Any:
    inverse = _inverse(A)
    return _scalar(_traced(result, t)) * transposed(inverse) - result @ transposed(inverse @ t)


@general(
    node="CofactorBackward0",
    A=_cofactor_rule,
    jvp={"A": _cofactor_tangent},
    batch=stacked(),
    holomorphic=False,
    primitive=True,
    samples=_squares,
    places="",
)
def cofactor(A: Array) -> Array:
    """Compute det(A) A^-T, which also singular matrices have.

    With A = U S V^H it is det(U) det(V^H) conj(U) diag(products of all other singular values) conj(V^H).
    """
    finite = np.isfinite(A).all((-2, -1), keepdims=True)
    with np.errstate(all="ignore"):
        left, size, right = np.linalg.svd(np.where(finite, A, 0))  # of NaN LAPACK may not return
        others = np.stack(
            [np.prod(np.delete(size, i, -1), axis=-1) for i in range(size.shape[-1])] or [size[..., 0:0]],
            axis=-1,
        ).reshape(size.shape)
        sign = np.linalg.det(left) * np.linalg.det(right)
        found = (np.conjugate(left) * others[..., None, :]) @ np.conjugate(right)
        return np.where(finite, found * sign[..., None, None], np.nan).astype(A.dtype, copy=False)


# ---- the determinant ----


_det_rules: dict[str, Any] = {
    "node": "LinalgDetBackward0",
    "A": lambda ct, A: _scalar(ct) * conj(cofactor(A)),
    "jvp": {"A": lambda t, A: _traced(cofactor(A), t)},
    "batch": stacked(),
    "holomorphic": False,
    "primitive": True,
    "samples": _squares,
    "errors": _not_square("linalg.det"),
}


@general(places="linalg", torch_name="linalg_det", **_det_rules)
def linalg_det(A: Array) -> Array:
    """Compute determinants: (..., n, n) -> (...)."""
    check_square(A, "linalg.det")
    check_floating(A, "linalg.det", "lu_cpu")
    return np.linalg.det(A)


@composite(samples=_squares, errors=_not_square("linalg.det"))
def det(input: Array) -> Array:
    """Compute determinants: another name of linalg.det."""
    return linalg_det(input)


def _log_rule(ct: Any, A: Any, result: Any) -> Any:
    """Pull back through log|det| (A^-H) and the sign, which turns by Im tr(A^-1 dA)."""
    sign_ct, log_ct = ct
    scale: Any = 0 if log_ct is None else log_ct
    if sign_ct is not None and A.dtype.kind == "c":
        scale = scale - np.imag(conj(sign_ct) * result[0]) * 1j
    elif log_ct is None:
        return A * 0
    return _scalar(scale) * H(_inverse(A))


def _log_tangent(t: Any, A: Any, result: Any) -> tuple[Any, Any]:
    along = _traced(transposed(_inverse(A)), t)
    if A.dtype.kind != "c":
        return result[0] * 0, along
    return result[0] * np.imag(along) * 1j, np.real(along)


_log_settings: dict[str, Any] = {
    "node": "LinalgSlogdetBackward0",
    "batch": stacked(),
    "holomorphic": False,
    "primitive": True,
    "samples": _squares,
    "errors": _not_square("linalg.slogdet"),
    "outputs": ("sign", "logabsdet"),
}


@general(A=_log_rule, jvp={"A": _log_tangent}, places="linalg", **_log_settings)
def linalg_slogdet(A: Array) -> tuple[Array, Array]:
    """Compute the sign of determinants and the logarithm of their size: det A = sign e^logabsdet."""
    check_square(A, "linalg.slogdet")
    check_floating(A, "linalg.slogdet")
    sign, size = np.linalg.slogdet(A)
    return sign, size


@general(
    input=lambda ct, input, result: _log_rule(ct, input, result),
    jvp={"input": lambda t, input, result: _log_tangent(t, input, result)},
    **_log_settings,
)
def slogdet(input: Array) -> tuple[Array, Array]:
    """Compute the sign of determinants and the logarithm of their size, as linalg.slogdet does."""
    return linalg_slogdet.definition(input)  # type: ignore[attr-defined, no-any-return]  # an Op


@composite(samples=_squares, errors=_not_square("linalg.slogdet"))
def logdet(input: Array) -> Array:
    """Compute the logarithm of determinants; NaN for a negative one."""
    sign, size = linalg_slogdet(input)
    if input.dtype.kind == "c":
        return size + np.log(sign)
    return np.where(sign == -1, float("nan"), size)
