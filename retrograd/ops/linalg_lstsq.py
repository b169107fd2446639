"""Least squares: the X that makes |A X - B| smallest."""

# ruff: noqa: N806 - matrices have capital letters, in formulas as in the names of arguments

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.declare import Array, Sample, error, sample
from retrograd.ops.families import general
from retrograd.ops.linalg_pinv import linalg_pinv, pinv_pull
from retrograd.ops.linalg_solve import is_vector
from retrograd.ops.matrices import H, check_floating, complex_regular, nonfinite, numbers, sum_to

_NAME = "torch.linalg.lstsq"
_DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


def _systems() -> Iterator[Sample]:
    yield sample(numbers(4, 2), numbers(4, 3, shift=1))
    yield sample(numbers(2, 3), numbers(2, 1, shift=1))
    yield sample(numbers(2, 4, 2), numbers(2, 4, 1, shift=1), driver="gelsd")
    yield sample(complex_regular(2), complex_regular(2))


def _check(a: Any, b: Any, driver: str) -> None:
    if a.ndim < 2:
        raise RuntimeError(f"{_NAME}: input must have at least 2 dimensions.")
    if b.ndim < 1:
        raise RuntimeError(f"{_NAME}: other must have at least 1 dimension.")
    check_floating(a, _NAME, "linalg_lstsq_cpu")
    if a.dtype != b.dtype:
        raise RuntimeError(
            f"{_NAME}: Expected input and other to have the same dtype, but got {a.dtype} and {b.dtype}"
        )
    vector = is_vector(a.shape, b.shape)
    rows = b.shape[-1] if vector else b.shape[-2]
    if rows != a.shape[-2]:
        where = "-1" if vector else "-2"
        raise RuntimeError(f"{_NAME}: input.size(-2) should match other.size({where})")
    if driver not in _DRIVERS:
        raise RuntimeError(f"{_NAME}: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)")


def _matrix(b: Any, a_shape: Any) -> Any:
    """Return the right-hand side as a matrix."""
    return b[..., None] if is_vector(a_shape, b.shape) else b


def _like(x: Any, b_shape: Any, a_shape: Any) -> Any:
    return x[..., 0] if is_vector(a_shape, b_shape) else x


def _input_rule(ct: Any, input: Any, b: Any, result: Any) -> Any:
    """Pull back X = pinv(A) B, and the squares of A X - B, which is at right angles to A's columns."""
    found: Any = 0
    right = _matrix(b, input.shape)
    if ct[0] is not None:
        x_ct = ct[0][..., None] if is_vector(input.shape, b.shape) else ct[0]
        found = pinv_pull(x_ct @ H(right), input, linalg_pinv(input))
    if ct[1] is not None and ct[1].shape[-1:] != (0,):
        x = result[0][..., None] if is_vector(input.shape, b.shape) else result[0]
        found = found + 2 * (((input @ x - right) * ct[1][..., None, :]) @ H(x))
    return sum_to(found, input.shape)


def _other_rule(ct: Any, input: Any, b: Any, result: Any) -> Any:
    found: Any = 0
    right = _matrix(b, input.shape)
    vector = is_vector(input.shape, b.shape)
    if ct[0] is not None:
        found = H(linalg_pinv(input)) @ (ct[0][..., None] if vector else ct[0])
    if ct[1] is not None and ct[1].shape[-1:] != (0,):
        x = result[0][..., None] if vector else result[0]
        found = found - 2 * (input @ x - right) * ct[1][..., None, :]
    return sum_to(_like(found, b.shape, input.shape), b.shape)


def _tangent(t: Any, input: Any, b: Any, result: Any, which: str) -> tuple[Any, Any]:
    right = _matrix(b, input.shape)
    vector = is_vector(input.shape, b.shape)
    inverse = linalg_pinv(input)
    x = result[0][..., None] if vector else result[0]
    error_ = input @ x - right
    if which == "b":
        t = t[..., None] if vector else t
        x_t, error_t = inverse @ t, -t
    else:
        back = H(t)
        x_t = -(inverse @ (t @ x)) + inverse @ (H(inverse) @ (back @ (right - input @ (inverse @ right))))
        wide = back @ (H(inverse) @ (inverse @ right))
        x_t = x_t + wide - inverse @ (input @ wide)
        error_t = t @ x
    squares = 2 * np.real(np.sum(np.conjugate(error_) * error_t, axis=-2))
    return (x_t[..., 0] if vector else x_t), squares if result[1].shape == squares.shape else result[1] * 0


@general(
    node="LinalgLstsqBackward0",
    input=_input_rule,
    b=_other_rule,
    jvp={
        "input": lambda t, input, b, result: _tangent(t, input, b, result, "input"),
        "b": lambda t, input, b, result: _tangent(t, input, b, result, "b"),
    },
    batch=batching.loop,  # ranks and residuals may be of different shapes for one system and for many
    holomorphic=False,
    primitive=True,
    samples=_systems,
    errors=lambda: [
        error(
            RuntimeError, "torch.linalg.lstsq: input must have at least 2 dimensions.", numbers(), numbers()
        ),
        error(
            RuntimeError,
            "torch.linalg.lstsq: input.size(-2) should match other.size(-2)",
            numbers(3, 2),
            numbers(4, 2),
        ),
    ],
    outputs=("solution", "residuals", "rank", "singular_values"),
    differentiable_outputs=(0, 1),
    places="linalg",
)
def linalg_lstsq(
    input: Array, b: Array, rcond: float | None = None, *, driver: str | None = None
) -> tuple[Array, Array, Array, Array]:
    """Find X with the smallest |A X - B|, and of these the smallest X.

    What else is returned depends on the driver, as in LAPACK: the sums of squares that remain (not from
    'gelsy', the default; only of full rank and more rows than columns), the rank (not from 'gels'), the
    singular values (from 'gelsd' and 'gelss').
    """
    driver = driver or "gelsy"
    _check(input, b, driver)
    right = _matrix(b, input.shape)
    m, n = input.shape[-2:]
    if not np.isfinite(input).all():
        raise nonfinite(_NAME)
    U, S, Vh = np.linalg.svd(input, full_matrices=False)
    eps = np.finfo(S.dtype).eps
    rcond = eps * max(m, n) if rcond is None else rcond
    largest = S.max(-1, keepdims=True, initial=0)
    keep = rcond * largest < S if driver != "gels" else S > 0
    factor = np.where(keep, 1 / np.where(keep, S, 1), 0)
    x = H(Vh) @ (factor[..., :, None] * (H(U) @ right))
    rank = np.sum(keep, axis=-1)
    left_over = np.zeros(0, S.dtype)
    if driver != "gelsy" and m > n and bool(np.all(rank == n)):
        gap = input @ x - right
        left_over = (
            np.sum(gap.real**2 + gap.imag**2, axis=-2)
            if gap.dtype.kind == "c"
            else np.sum(gap * gap, axis=-2)
        )
    values = S if driver in ("gelsd", "gelss") else np.zeros(0, S.dtype)
    rank = np.zeros(0, np.int64) if driver == "gels" else rank
    return _like(x, b.shape, input.shape), left_over, rank, values
