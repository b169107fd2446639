"""The factorisation A = L D L^T of symmetric (Hermitian) matrices; as in torch it has no derivative."""

# ruff: noqa: N803 - matrices have capital letters, in formulas as in the names of arguments

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograd.errors import LinAlgError
from retrograd.ops.declare import Array, Plain, error, sample
from retrograd.ops.families import general
from retrograd.ops.matrices import (
    check_floating,
    check_pair,
    check_rank,
    check_square,
    check_system,
    failing,
    numbers,
    stack_of,
    stacked,
)
from retrograd.ops.pointwise import no_rule

_ALPHA = (1 + math.sqrt(17)) / 8
"""What makes the growth of one step with a block of two that of two steps with a block of one."""

_NAME = "torch.linalg.ldl_factor_ex"


def _size(x: Any) -> Any:
    return np.abs(x.real) + np.abs(x.imag) if x.dtype.kind == "c" else np.abs(x)


def _pivot(a: Any, k: int, own: float) -> tuple[int, int, bool]:
    """Return which row comes to the pivot's place, the size of the block, and whether the column is zero.

    Source: Bunch, Kaufman, Some stable methods for calculating inertia and solving symmetric linear systems,
        1977.
    """
    below = _size(a[k + 1 :, k])
    if not below.size:
        return k, 1, own == 0
    at = k + 1 + int(np.argmax(below))
    largest = below.max()
    if max(own, largest) == 0:
        return k, 1, True
    if own >= _ALPHA * largest:
        return k, 1, False
    row = max(_size(a[at, k:at]).max(), _size(a[at + 1 :, at]).max(initial=0))
    if own >= _ALPHA * largest * (largest / row):
        return k, 1, False
    return at, 1 if _size(a[at, at]) >= _ALPHA * row else 2, False


def _exchange(a: Any, k: int, kk: int, kp: int, hermitian: bool) -> None:
    """Exchange rows and columns kk and kp of the lower triangle that is left."""
    flip = np.conjugate if hermitian else np.asarray
    a[kp + 1 :, [kk, kp]] = a[kp + 1 :, [kp, kk]]
    column, row = flip(a[kk + 1 : kp, kk].copy()), flip(a[kp, kk + 1 : kp].copy())
    a[kk + 1 : kp, kk], a[kp, kk + 1 : kp] = row, column
    a[kp, kk] = flip(a[kp, kk])
    a[kk, kk], a[kp, kp] = a[kp, kp], a[kk, kk].copy()
    if kk > k:
        a[kk, k], a[kp, k] = a[kp, k], a[kk, k].copy()


def _factor(matrix: Any, hermitian: bool) -> tuple[Any, Any, int]:
    """Return L and D in one triangle, the exchanges as LAPACK counts them, and the first zero block."""
    a = np.tril(matrix)
    n = a.shape[0]
    pivots = np.zeros(n, np.int32)
    info = k = 0
    flip = np.conjugate if hermitian else np.asarray
    while k < n:
        if hermitian:
            a[k, k] = a[k, k].real
        kp, width, zero = _pivot(a, k, float(_size(a[k, k])))
        kk = k + width - 1
        if kp != kk:
            _exchange(a, k, kk, kp, hermitian)
        if hermitian:
            a[kk, kk] = a[kk, kk].real
        end = k + width
        if zero:
            info = info or k + 1
        else:
            left = a[end:, k:end].copy()
            block = np.tril(a[k:end, k:end])
            block = block + flip(np.tril(block, -1)).T
            scaled = left / block[0, 0] if width == 1 else np.linalg.solve(block.T, left.T).T
            a[end:, end:] -= np.tril(scaled @ flip(left).T)
            a[end:, k:end] = scaled
        pivots[k:end] = kp + 1 if width == 1 else -(kp + 1)
        k = end
    return a, pivots, info


def _check(a: Any) -> None:
    check_square(a, _NAME)
    check_floating(a, _NAME, "ldl_factor_kernel_cpu")


def _factors(a: Any, hermitian: bool) -> tuple[Any, Any, Any]:
    _check(a)
    found = [_factor(x, hermitian and a.dtype.kind == "c") for x in stack_of(a)]
    n = a.shape[-1]
    return (
        np.array([f[0] for f in found], a.dtype).reshape(a.shape),
        np.array([f[1] for f in found], np.int32).reshape(*a.shape[:-2], n),
        np.array([f[2] for f in found], np.int32).reshape(a.shape[:-2]),
    )


def _symmetric(n: int, *lead: int) -> Any:
    x = numbers(*lead, n, n)
    return x + np.swapaxes(x, -1, -2)


_settings: dict[str, Any] = {
    "node": "NotImplemented",
    "input": lambda ct: no_rule("linalg_ldl_factor_ex"),
    "jvp": {"input": lambda t: no_rule("linalg_ldl_factor_ex")},
    "batch": stacked(),
    "holomorphic": False,
    "primitive": True,
    "samples": lambda: [sample(_symmetric(3), grad=False), sample(_symmetric(4, 2), grad=False)],
    "errors": lambda: [
        error(RuntimeError, f"{_NAME}: The input tensor A must have at least 2 dimensions.", numbers(3)),
        error(RuntimeError, f"{_NAME}: A must be batches of square matrices", numbers(2, 3)),
    ],
    "differentiable_outputs": (0,),
    "places": "linalg",
}


@general(outputs=("LD", "pivots"), **_settings)
def linalg_ldl_factor(input: Array, *, hermitian: bool = False) -> tuple[Array, Array]:
    """Factorise A = L D L^T (L D L^H if `hermitian`), D of blocks of one and two; one triangle is read.

    Raises:
        LinAlgError: D is singular.
    """
    found, pivots, info = _factors(input, hermitian)
    bad = failing(info, input.ndim > 2)
    if bad:
        at, which = bad
        raise LinAlgError(
            f"torch.linalg.ldl_factor: {which}D[{at},{at}] is zero and using it on ldl_solve would result "
            "in a division "
            "by zero. If you still want to perform the factorization, consider calling linalg.ldl_factor_ex"
        )
    return found, pivots


@general(outputs=("LD", "pivots", "info"), **_settings)
def linalg_ldl_factor_ex(
    input: Array, *, hermitian: bool = False, check_errors: bool = False
) -> tuple[Array, Array, Array]:
    """Factorise as `ldl_factor` does, and report the first zero block of D in `info`."""
    if check_errors:
        linalg_ldl_factor.definition(input, hermitian=hermitian)  # type: ignore[attr-defined]  # an Op
    return _factors(input, hermitian)


# ---- systems ----


def _swap(x: Any, first: int, second: int) -> None:
    if first != second:
        x[[first, second]] = x[[second, first]]


def _solve(a: Any, pivots: Any, b: Any, hermitian: bool) -> Any:
    """Undo the blocks one by one: L from the front, D, then L^T from the back, each with its exchange."""
    flip = np.conjugate if hermitian else np.asarray
    x = np.array(b)
    n = a.shape[0]
    blocks: list[tuple[int, int]] = []
    k = 0
    while k < n:
        end = k + (1 if pivots[k] > 0 else 2)
        _swap(x, end - 1, abs(int(pivots[k])) - 1)
        x[end:] -= a[end:, k:end] @ x[k:end]
        block = np.tril(a[k:end, k:end])
        x[k:end] = np.linalg.solve(block + flip(np.tril(block, -1)).T, x[k:end])
        blocks.append((k, end))
        k = end
    for start, end in reversed(blocks):
        x[start:end] -= flip(a[end:, start:end]).T @ x[end:]
        _swap(x, end - 1, abs(int(pivots[start])) - 1)
    return x


_PIVOTS = (
    "torch.linalg.ldl_solve: Expected LD.shape[:-1] and pivots.shape to be the same, but got pivots with "
    "shape"
)


@general(
    node="NotImplemented",
    LD=lambda ct: no_rule("linalg_ldl_solve"),
    B=lambda ct: no_rule("linalg_ldl_solve"),
    jvp={"LD": lambda t: no_rule("linalg_ldl_solve"), "B": lambda t: no_rule("linalg_ldl_solve")},
    batch=stacked(2, 1, 2),
    holomorphic=False,
    primitive=True,
    samples=lambda: [
        sample(*_factors(_symmetric(3), False)[:2], numbers(3, 2), grad=False),
        sample(*_factors(_symmetric(3, 2), False)[:2], numbers(3, 1), grad=False),
    ],
    errors=lambda: [error(RuntimeError, _PIVOTS, numbers(2, 2), np.ones(1, np.int32), numbers(2, 1))],
    places="linalg",
)
def linalg_ldl_solve(LD: Array, pivots: Plain, B: Array, *, hermitian: bool = False) -> Array:
    """Solve A X = B for A as `ldl_factor` returned it."""
    name = "torch.linalg.ldl_solve"
    check_square(LD, name)
    check_rank(B, name, "B")
    check_pair(LD, B, name, kernel="ldl_solve_kernel_cpu")
    check_system(LD, B, True, name)
    if tuple(pivots.shape) != tuple(LD.shape[:-1]):
        raise RuntimeError(f"{_PIVOTS} {list(pivots.shape)} instead")
    lead = np.broadcast_shapes(LD.shape[:-2], B.shape[:-2])
    a = stack_of(np.broadcast_to(LD, (*lead, *LD.shape[-2:])))
    b = stack_of(np.broadcast_to(B, (*lead, *B.shape[-2:])))
    swaps = np.broadcast_to(pivots, (*lead, pivots.shape[-1])).reshape(len(a), pivots.shape[-1])
    turned = hermitian and LD.dtype.kind == "c"
    rows = [_solve(x, p, y, turned) for x, p, y in zip(a, swaps, b, strict=True)]
    return np.array(rows, B.dtype).reshape(*lead, *B.shape[-2:])
