"""Products of Householder reflections, which the QR factorisation is made of."""

# ruff: noqa: N806 - matrices have capital letters, in formulas as in the names of arguments

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops.declare import Array, Sample, error, sample
from retrograd.ops.families import composite, general
from retrograd.ops.helpers import numpy_dtype
from retrograd.ops.matrices import (
    H,
    check_floating,
    check_rank,
    complex_regular,
    conj,
    numbers,
    regular,
    stacked,
)
from retrograd.ops.pointwise import no_rule


@general(
    node="GeqrfBackward0",
    input=lambda ct: no_rule("geqrf"),
    jvp={"input": lambda t: no_rule("geqrf")},
    batch=stacked(),
    primitive=True,
    samples=lambda: [sample(x, grad=False) for x in (regular(3), numbers(2, 3, 2), numbers(2, 3))],
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
    """Return the vectors, and products of the last reflections: H_i ... H_k for i from k + 1 down to 1."""
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
    n = input.shape[-1]
    if not count:
        return input * 0, tau * 0
    columns = np.stack(v_cts, axis=-1)
    if n > count:
        columns = np.concatenate(
            (columns, np.zeros((*columns.shape[:-1], n - count), numpy_dtype(input.dtype))), axis=-1
        )
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
    primitive=True,
    samples=_reflections,
    errors=lambda: [
        error(
            RuntimeError,
            f"{_PRODUCT}: input.shape[-2] must be greater than or equal to",
            numbers(2, 3),
            numbers(2),
        ),
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
            f"{_PRODUCT}: Expected batch dimensions of tau to be equal to input.shape[:-2] "
            f"({list(input.shape[:-2])}), but instead got {list(tau.shape[:-1])}"
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
    errors=lambda: [
        error(
            RuntimeError,
            "torch.ormqr: input must have at least 2 dimensions.",
            numbers(),
            numbers(),
            numbers(),
        )
    ],
)
def ormqr(input: Array, tau: Array, other: Array, left: bool = True, transpose: bool = False) -> Array:
    """Multiply by the whole Q of what `geqrf` returned (Q^H if `transpose`); on the right if not `left`."""
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
    Q = linalg_householder_product(input[..., :m], tau)
    Q = H(Q) if transpose else Q
    return Q @ other if left else other @ Q
