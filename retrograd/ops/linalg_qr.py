"""The QR factorisation, and products of Householder reflections, which it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops.declare import Array, Sample, error, sample
from retrograd.ops.families import composite, general
from retrograd.ops.helpers import numpy_dtype
from retrograd.ops.linalg_triangular import linalg_solve_triangular
from retrograd.ops.matrices import (
    H,
    check_floating,
    check_rank,
    complex_regular,
    conj,
    diagonal,
    lower_half,
    numbers,
    off_diagonal,
    regular,
    stacked,
)

# ---- A = Q R ----


def _matrices() -> Iterator[Sample]:
    yield sample(regular(3))
    yield sample(numbers(2, 3, 2) + np.eye(3, 2))
    yield sample(numbers(2, 4))
    yield sample(numbers(2, 4), mode="complete")
    yield sample(numbers(3, 2), mode="complete", grad=False)
    yield sample(numbers(3, 2), mode="r", grad=False)
    yield sample(complex_regular(2))
    yield sample(np.zeros((0, 2)))


def _pull(ct: Any, result: Any, mode: str) -> Any:
    """Pull back to A: for a wide A = [X | Y] with X square, X = Q U is factorised and Y = Q V follows.

    Source: Walter, Lehmann, Algorithmic differentiation of linear algebra functions, 2010, for the square and tall.
    """
    q_ct, r_ct = ct
    Q, R = result  # noqa: N806
    if mode == "r":
        raise RuntimeError(
            "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please use linalg.qr(A, "
            "mode='reduced') if you are going to differentiate through linalg.qr."
        )
    m, n = Q.shape[-2], R.shape[-1]
    if mode == "complete" and m > n:
        raise RuntimeError("The QR decomposition is not differentiable when mode='complete' and nrows > ncols.")
    if m >= n:
        return _pull_tall(q_ct, r_ct, Q, R)
    q_ct = Q * 0 if q_ct is None else q_ct
    if r_ct is None:
        first = _pull_tall(q_ct, None, Q, R[..., :m])
        return np.concatenate((first, np.zeros((*first.shape[:-1], n - m), numpy_dtype(Q.dtype))), axis=-1)
    rest = r_ct[..., m:]
    first = _pull_tall(q_ct + Q @ R[..., m:] @ H(rest), r_ct[..., :m], Q, R[..., :m])
    return np.concatenate((first, Q @ rest), axis=-1)


def _pull_tall(q_ct: Any, r_ct: Any, Q: Any, R: Any) -> Any:  # noqa: N803
    """Return (Q_ct + Q sym(triu(R_ct R^H - Q^H Q_ct))) R^-H, where sym doubles what is off the diagonal's real part."""
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
    Q, R = result  # noqa: N806
    m, n = Q.shape[-2], R.shape[-1]
    k = min(m, n)
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
def linalg_qr(A: Array, mode: str = "reduced") -> tuple[Array, Array]:  # noqa: N803
    """Factorise A = Q R: the columns of Q are orthonormal, R is upper triangular.

    With `mode` 'reduced' Q has min(m, n) columns, with 'complete' m; with 'r' it is empty.
    """
    check_rank(A, "linalg.qr")
    check_floating(A, "linalg.qr", "geqrf_cpu")
    if mode not in ("reduced", "r", "complete"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'"
        )
    if mode == "r":
        return np.zeros(0, A.dtype), np.linalg.qr(A, "r")
    Q, R = np.linalg.qr(A, mode)  # noqa: N806
    return Q, R


@composite(samples=lambda: [sample(regular(3)), sample(numbers(3, 2), False)])
def qr(input: Array, some: bool = True) -> Any:
    """Factorise A = Q R, with all columns of Q if not `some`: linalg.qr's older form."""
    from retrograd.return_types import make  # noqa: PLC0415 - as dispatch does

    return make("qr", ("Q", "R"))(*linalg_qr(input, "reduced" if some else "complete"))


# ---- reflections ----


@general(
    batch=stacked(),
    samples=lambda: [sample(regular(3)), sample(numbers(2, 3, 2)), sample(numbers(2, 3))],
    outputs=("a", "tau"),
)
def geqrf(input: Array) -> tuple[Array, Array]:
    """Return R with the Householder vectors of Q below its diagonal, and their factors tau."""
    check_rank(input, "torch.geqrf", "input")
    check_floating(input, "geqrf", "geqrf_cpu")
    h, tau = np.linalg.qr(input, "raw")
    return np.ascontiguousarray(np.swapaxes(h, -1, -2)), tau


def _vectors(a: Any, count: int) -> Any:
    """Return the Householder vectors as columns: what is below the diagonal, with 1 on it."""
    m = a.shape[-2]
    return np.tril(a[..., :count], -1) + np.eye(m, count, dtype=numpy_dtype(a.dtype))


def _reflect(v: Any, tau: Any, x: Any) -> Any:
    """Return (I - tau v v^H) X."""
    return x - (tau[..., None] * v)[..., :, None] * (conj(v)[..., None, :] @ x)


def _steps(a: Any, tau: Any) -> tuple[Any, list[Any]]:
    """Return the vectors, and the products of the last reflections: H_i ... H_k I for i from k + 1 down to 1."""
    m, n = a.shape[-2:]
    count = tau.shape[-1]
    vectors = _vectors(a, count)
    made = [np.broadcast_to(np.eye(m, n, dtype=numpy_dtype(a.dtype)), tuple(a.shape))]
    for i in range(count - 1, -1, -1):
        made.append(_reflect(vectors[..., i], tau[..., i], made[-1]))
    return vectors, made


def _reflections_pull(ct: Any, input: Any, tau: Any) -> tuple[Any, Any]:
    """Return the cotangents of the vectors and of tau, reflection by reflection from the left."""
    vectors, made = _steps(input, tau)
    count = tau.shape[-1]
    v_cts, tau_cts = [], []
    for i in range(count):
        v, factor, x = vectors[..., i], tau[..., i], made[count - 1 - i]
        row = (conj(v)[..., None, :] @ x)[..., 0, :]
        along = (ct @ conj(row)[..., None])[..., 0]
        tau_cts.append(-np.sum(conj(v) * along, axis=-1))
        across = (x @ (H(ct) @ v[..., None]))[..., 0]
        v_cts.append(-(conj(factor)[..., None] * along) - factor[..., None] * across)
        ct = _reflect(v, conj(factor), ct)
    m, n = input.shape[-2:]
    if not count:
        return input * 0, tau * 0
    columns = np.stack(v_cts, axis=-1)
    if n > count:
        columns = np.concatenate((columns, np.zeros((*columns.shape[:-1], n - count), numpy_dtype(input.dtype))), axis=-1)
    return np.tril(columns, -1), np.stack(tau_cts, axis=-1)


def _reflections_push(t: Any, input: Any, tau: Any, which: str) -> Any:
    vectors, made = _steps(input, tau)
    count = tau.shape[-1]
    total = made[0] * 0
    t = np.tril(t[..., :count], -1) if which == "input" else t
    for i in range(count - 1, -1, -1):
        v, factor, x = vectors[..., i], tau[..., i], made[count - 1 - i]
        row = conj(v)[..., None, :] @ x
        total = _reflect(v, factor, total)
        if which == "tau":
            total = total - (t[..., i, None] * v)[..., :, None] * row
        else:
            v_t = t[..., i]
            total = total - factor[..., None, None] * (
                v_t[..., :, None] * row + v[..., :, None] * (conj(v_t)[..., None, :] @ x)
            )
    return total


def _reflections() -> Iterator[Sample]:
    yield sample(numbers(3, 2), numbers(2, shift=1))
    yield sample(numbers(2, 3, 3), numbers(2, 2, shift=1))
    yield sample(complex_regular(2), numbers(2) + 0.5j)
    yield sample(numbers(3, 2), np.zeros(0))


_PRODUCT = "torch.linalg.householder_product"


@general(
    node="LinalgHouseholderProductBackward0",
    input=lambda ct, input, tau: _reflections_pull(ct, input, tau)[0],
    tau=lambda ct, input, tau: _reflections_pull(ct, input, tau)[1],
    jvp={
        "input": lambda t, input, tau: _reflections_push(t, input, tau, "input"),
        "tau": lambda t, input, tau: _reflections_push(t, input, tau, "tau"),
    },
    batch=stacked(2, 1),
    holomorphic=False,
    samples=_reflections,
    errors=lambda: [
        error(RuntimeError, f"{_PRODUCT}: input.shape[-2] must be greater than or equal to", numbers(2, 3), numbers(2)),
        error(RuntimeError, f"{_PRODUCT}: input must have at least 2 dimensions.", numbers(2), numbers(2)),
    ],
    places="linalg",
)
def linalg_householder_product(input: Array, tau: Array) -> Array:
    """Multiply reflections I - tau v v^H and return the first n columns: the Q of what `geqrf` returned."""
    if input.ndim < 2:
        raise RuntimeError(f"{_PRODUCT}: input must have at least 2 dimensions.")
    m, n = input.shape[-2:]
    if m < n:
        raise RuntimeError(f"{_PRODUCT}: input.shape[-2] must be greater than or equal to input.shape[-1]")
    if n < tau.shape[-1]:
        raise RuntimeError(f"{_PRODUCT}: input.shape[-1] must be greater than or equal to tau.shape[-1]")
    check_floating(input, _PRODUCT, "orgqr_cpu")
    if input.shape[:-2] != tau.shape[:-1]:
        raise RuntimeError(
            f"{_PRODUCT}: Expected batch dimensions of tau to be equal to input.shape[:-2] ({list(input.shape[:-2])}), "
            f"but instead got {list(tau.shape[:-1])}"
        )
    return np.array(_steps(input, tau)[1][-1])


@composite(samples=_reflections)
def orgqr(input: Array, input2: Array) -> Array:
    """Multiply Householder reflections: linalg.householder_product's older name."""
    return linalg_householder_product(input, input2)


@composite(
    samples=lambda: [
        sample(numbers(3, 2), numbers(2, shift=1), numbers(3, 2)),
        sample(numbers(3, 2), numbers(2, shift=1), numbers(2, 3), False, True),
    ],
    errors=lambda: [error(RuntimeError, "torch.ormqr: input must have at least 2 dimensions.", numbers(), numbers(), numbers())],
)
def ormqr(input: Array, tau: Array, other: Array, left: bool = True, transpose: bool = False) -> Array:
    """Multiply a matrix by the whole Q of what `geqrf` returned, or by Q^H if `transpose`; from the right if not `left`."""
    for name, x in (("input", input), ("other", other)):
        if x.ndim < 2:
            raise RuntimeError(f"torch.ormqr: {name} must have at least 2 dimensions.")
    side = -2 if left else -1
    if other.shape[side] < tau.shape[-1]:
        raise RuntimeError(f"torch.ormqr: other.shape[{side}] must be greater than or equal to tau.shape[-1]")
    m = other.shape[side]
    if tau.shape[-1] != min(m, input.shape[-1]):
        raise RuntimeError(
            f"torch.ormqr: tau.shape[-1] must be equal to min(other.shape[{side}], input.shape[-1])"
        )
    if input.shape[-2] != m:
        raise RuntimeError(f"torch.ormqr: input.shape[-2] must be equal to other.shape[{side}]")
    extra = m - input.shape[-1]
    if extra > 0:
        blank = np.zeros((*input.shape[:-1], extra), numpy_dtype(input.dtype))
        input = np.concatenate((input, blank), axis=-1)
    Q = linalg_householder_product(input[..., :m], tau)  # noqa: N806
    Q = H(Q) if transpose else Q  # noqa: N806
    return Q @ other if left else other @ Q
