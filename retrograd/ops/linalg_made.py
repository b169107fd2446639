"""Functions of linear algebra that are made of others: products, powers, tensors as matrices."""

# ruff: noqa: N803 - matrices have capital letters, in formulas as in the names of arguments

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograd.ops.declare import TABLE, Array, error, sample
from retrograd.ops.families import composite
from retrograd.ops.helpers import cast, name_of, numpy_dtype, wrap_dim
from retrograd.ops.linalg_norms import zeros
from retrograd.ops.linalg_solve import linalg_inv, linalg_solve
from retrograd.ops.matrices import check_number, conj, is_narrow, numbers, raw, regular


def _check_dtypes(x: Any, y: Any) -> None:
    if x.dtype != y.dtype:
        raise RuntimeError(
            "linalg.vecdot: Expected x and y to have the same dtype, but found x of type "
            f"{name_of(raw(x))} and y of type {name_of(raw(y))} instead"
        )


@composite(
    samples=lambda: [sample(numbers(2, 3), numbers(3)), sample(numbers(2, 3), numbers(2, 1), dim=0)],
    places="linalg",
)
def vecdot(x: Array, y: Array, *, dim: int = -1) -> Array:
    """Multiply vectors along a dimension, the first conjugated, and sum."""
    check_number(x, "linalg.vecdot")
    _check_dtypes(x, y)
    return np.sum(conj(x) * y, axis=dim)


@composite(
    samples=lambda: [sample(numbers(2, 3), offset=1)],
    name="linalg_diagonal",
    torch_name="diagonal",
    places="linalg",
)
def linalg_diagonal(A: Array, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Array:
    """Return a view of the diagonals of matrices."""
    return TABLE["diagonal"](A, offset, dim1, dim2)


@composite(
    samples=lambda: [sample(numbers(3)), sample(numbers(2, 3), N=4)],
    errors=lambda: [error(RuntimeError, "N must be greater than 1.", numbers(3), N=1)],
    name="linalg_vander",
    torch_name="vander",
    out=False,
    places="linalg",
)
def linalg_vander(x: Array, *, N: int | None = None) -> Array:
    """Return the powers 0 to N - 1 of numbers: (..., n) -> (..., n, N)."""
    if is_narrow(raw(x)) or raw(x).dtype.kind == "b":
        raise RuntimeError(
            f"linalg.vander supports floating point, complex, and integer tensors, but got {name_of(raw(x))}"
        )
    x = np.reshape(x, (1,)) if not x.ndim else x
    n = x.shape[-1] if N is None else N
    if n <= 1:
        raise RuntimeError("N must be greater than 1.")
    repeated = np.broadcast_to(x[..., None], (*x.shape, n - 1))
    ones = np.ones((*x.shape, 1), np.int64 if x.dtype.kind in "iu" else numpy_dtype(x.dtype))
    return np.concatenate((ones, np.cumprod(repeated, axis=-1)), axis=-1)


@composite(
    samples=lambda: [sample(numbers(3)), sample(numbers(3), 2, True)],
    errors=lambda: [error(RuntimeError, "x must be a one-dimensional tensor.", numbers(2, 2))],
    out=False,
    places="torch",
)
def vander(x: Array, N: int | None = None, increasing: bool = False) -> Array:
    """Return the powers N - 1 down to 0 of numbers (upwards if `increasing`): (n) -> (n, N)."""
    if x.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    n = x.shape[0] if N is None else N
    if n < 0:
        raise RuntimeError("N must be non-negative.")
    ones = np.ones((x.shape[0], 1), np.int64 if x.dtype.kind in "iub" else numpy_dtype(x.dtype))
    if n < 2:
        whole = cast(x, np.int64) if x.dtype.kind in "iub" else x
        return zeros(whole, (x.shape[0], n)) + 1
    powers = np.cumprod(np.broadcast_to(x[:, None], (x.shape[0], max(n - 1, 0))), axis=1)
    found = np.concatenate((ones[:, : min(n, 1)], powers), axis=1)
    return found if increasing else np.flip(found, 1)


@composite(
    samples=lambda: [sample(regular(4).reshape(2, 2, 4), 2), sample(regular(4).reshape(4, 2, 2), 1)],
    errors=lambda: [
        error(RuntimeError, "Expected a strictly positive integer for 'ind', but got 0", regular(2), 0)
    ],
    places="linalg",
)
def tensorinv(input: Array, ind: int = 2) -> Array:
    """Invert a tensor seen as a matrix, its first `ind` dimensions as rows and the others as columns."""
    if ind <= 0:
        raise RuntimeError(f"Expected a strictly positive integer for 'ind', but got {ind}")
    rows, columns = tuple(input.shape[:ind]), tuple(input.shape[ind:])
    m, n = math.prod(rows), math.prod(columns)
    if m != n:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), "
            "but got "
            f"{n} != {m}"
        )
    return np.reshape(linalg_inv(np.reshape(input, (m, n))), (*columns, *rows))


@composite(
    samples=lambda: [
        sample(regular(4).reshape(2, 2, 4), numbers(2, 2)),
        sample(regular(4).reshape(2, 4, 2), numbers(4), (0,)),
    ],
    errors=lambda: [
        error(RuntimeError, "Expected self to satisfy the requirement", numbers(2, 3), numbers(2))
    ],
    places="linalg",
)
def tensorsolve(input: Array, B: Array, dims: Any = None) -> Array:
    """Solve A X = B for tensors: X has the dimensions of A behind those of B; `dims` go there first."""
    if dims is not None and input.ndim:
        moved = [wrap_dim(d, input.ndim) for d in dims]
        rest = [d for d in range(input.ndim) if d not in moved]
        input = np.transpose(input, (*rest, *moved))
    columns = tuple(input.shape[B.ndim :])
    n, m = math.prod(columns), math.prod(B.shape)
    if n != m:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
            "prod(self.shape[:other.ndim]), "
            f"but got {n} != {m}"
        )
    found = linalg_solve(np.reshape(input, (m, n)), np.reshape(B, (m,)))
    return np.reshape(found, columns)
