"""Norms of matrices, and condition numbers."""

# ruff: noqa: N803, N806 - matrices have capital letters, in formulas as in the names of arguments

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops.declare import TABLE, Array, Sample, error, sample
from retrograd.ops.families import composite
from retrograd.ops.helpers import cast, numpy_dtype, wrap_dim
from retrograd.ops.linalg_solve import linalg_inv_ex
from retrograd.ops.linalg_svd import linalg_svdvals
from retrograd.ops.matrices import check_number, numbers, regular


def _norms() -> Iterator[Sample]:
    x = numbers(2, 3, 2)
    for ord in ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf):
        yield sample(x, ord)
    yield sample(x, "fro", (0, 1), True)
    yield sample(x, 1, (2, 0), True)


def zeros(like: Any, shape: Any) -> Any:
    """Return zeros of the kind of array and the dtype of `like`."""
    return np.zeros(shape, like.dtype) if isinstance(like, np.ndarray) else like.new_zeros(tuple(shape))


def _to_back(x: Any, dims: tuple[int, int]) -> Any:
    rest = [d for d in range(x.ndim) if d not in dims]
    return np.transpose(x, (*rest, *dims)) if dims != (x.ndim - 2, x.ndim - 1) else x


def _spectral(A: Any, ord: Any, dims: tuple[int, int], keepdim: bool) -> Any:
    """Return a norm that is a function of the singular values."""
    values = linalg_svdvals(_to_back(A, dims))
    if ord != "nuc" and ord > 0 and not values.shape[-1]:
        found = zeros(values, values.shape[:-1])
    elif ord == "nuc":
        found = np.sum(values, axis=-1)
    else:
        found = (np.max if ord > 0 else np.min)(values, axis=-1)
    return (
        np.reshape(found, tuple(1 if d in dims else n for d, n in enumerate(A.shape))) if keepdim else found
    )


@composite(
    samples=_norms,
    errors=lambda: [
        error(RuntimeError, "linalg.matrix_norm: Order 3 not supported.", numbers(2, 2), 3),
        error(RuntimeError, "linalg.matrix_norm: dim must be a 2-tuple. Got 0", numbers(2, 2), "fro", (0,)),
    ],
    places="linalg",
)
def matrix_norm(
    A: Array,
    ord: Any = "fro",
    dim: Any = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Array:
    """Compute a norm of matrices.

    'fro': the root of the sum of squares; 'nuc': the sum of singular values; 2 and -2: the largest and
    smallest of them; 1 and -1: the largest and smallest sum of magnitudes of a column; inf and -inf: of a
    row.
    """
    name = "linalg.matrix_norm"
    check_number(A, name)
    if A.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    asked = (dim,) if isinstance(dim, int) else tuple(dim)
    if len(asked) != 2:
        raise RuntimeError(f"{name}: dim must be a 2-tuple. Got {' '.join(map(str, asked))}")
    dims = (wrap_dim(asked[0], A.ndim), wrap_dim(asked[1], A.ndim))
    if dims[0] == dims[1]:
        raise RuntimeError(f"{name}: dims must be different. Got ({asked[0]}, {asked[1]})")
    if ord not in ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf):
        raise RuntimeError(f"{name}: Order {ord} not supported.")
    A = A if dtype is None else cast(A, numpy_dtype(dtype))
    if ord == "fro":
        return TABLE["vector_norm"](A, 2, dims, keepdim)
    if ord == "nuc" or abs(ord) == 2:
        return _spectral(A, ord, dims, keepdim)
    summed, other = dims if abs(ord) == 1 else dims[::-1]
    sums = TABLE["vector_norm"](A, 1, (summed,), True)
    if ord > 0 and not sums.shape[other]:
        found = zeros(sums, [1 if d == other else n for d, n in enumerate(sums.shape)])
    else:
        found = (np.max if ord > 0 else np.min)(sums, axis=other, keepdims=True)
    if keepdim:
        return found
    return np.reshape(found, tuple(n for d, n in enumerate(A.shape) if d not in dims))


@composite(
    samples=lambda: [
        sample(numbers(2, 3)),
        sample(numbers(3), 3),
        sample(numbers(2, 3), "nuc"),
        sample(numbers(2, 3), 1, 1),
        sample(numbers(2, 3, 2), 2, (0, 1)),
    ],
    errors=lambda: [
        error(
            RuntimeError,
            "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D.",
            numbers(2, 1, 1),
            2,
        ),
        error(
            RuntimeError,
            "linalg.norm: If dim is specified, it must be of length 1 or 2.",
            numbers(2, 1, 1),
            2,
            (0, 1, 2),
        ),
    ],
    name="linalg_norm",
    torch_name="norm",
    places="linalg",
)
def linalg_norm(
    input: Array, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Array:
    """Compute a norm: of vectors if `dim` is one dimension or `ord` is None, else of matrices."""
    if dim is not None and not isinstance(dim, int):
        dim = tuple(dim)
    given = None if dim is None else ((dim,) if isinstance(dim, int) else dim)
    if ord is not None:
        if given is not None and len(given) not in (1, 2):
            raise RuntimeError(
                f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(given)}"
            )
        if given is None and input.ndim not in (1, 2):
            raise RuntimeError(
                "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got "
                f"{input.ndim}D."
            )
        if (len(given) if given is not None else input.ndim) == 2:
            return matrix_norm.definition(  # type: ignore[attr-defined]  # an Op
                input, ord, given or (0, 1), keepdim, dtype=dtype
            )
        if isinstance(ord, str):
            raise RuntimeError(f"linalg.norm: Order {ord} not supported for vectors.")
    return TABLE["vector_norm"](input, 2 if ord is None else ord, given, keepdim, dtype=dtype)


@composite(samples=lambda: [sample(numbers(2, 3))], places="torch")
def nuclear_norm(input: Array, dim: Any = (-2, -1), keepdim: bool = False) -> Array:
    """Sum singular values: linalg.matrix_norm(input, 'nuc')."""
    return matrix_norm.definition(input, "nuc", dim, keepdim)  # type: ignore[attr-defined]  # an Op


@composite(samples=lambda: [sample(numbers(2, 3), 1)], places="torch")
def frobenius_norm(input: Array, dim: Any, keepdim: bool = False) -> Array:
    """Take the root of the sum of squares over one or two dimensions."""
    return TABLE["vector_norm"](input, 2, dim, keepdim)


@composite(
    samples=lambda: [
        sample(regular(3)),
        sample(numbers(2, 3), -2),
        sample(regular(2, 2), 1),
        sample(regular(2), "fro"),
    ],
    errors=lambda: [error(RuntimeError, "linalg.cond got an invalid norm type: 7", regular(2), 7)],
    places="linalg",
)
def cond(input: Array, p: Any = None) -> Array:
    """Compute |A| |A^-1| in a norm: how much an error can grow in solving; infinity if A is singular."""
    if input.ndim < 2:
        raise RuntimeError("linalg.cond: The input tensor must have at least 2 dimensions.")
    if p not in (None, "fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf):
        raise RuntimeError(f"linalg.cond got an invalid norm type: {p}")
    if p is None or p in (2, -2):
        values = linalg_svdvals(input)
        if 0 in input.shape:
            return zeros(values, input.shape[:-2])
        first, last = values[..., 0], values[..., -1]
        return last / first if p == -2 else first / last
    if input.shape[-1] != input.shape[-2]:
        raise RuntimeError(
            f"linalg.cond(ord={p}): A must be batches of square matrices, but they are {input.shape[-2]} by "
            f"{input.shape[-1]} matrices"
        )
    if 0 in input.shape:
        return zeros(np.real(input), input.shape[:-2])
    found, info = linalg_inv_ex(input)
    norm = matrix_norm.definition  # type: ignore[attr-defined]  # an Op
    return np.where(info != 0, math.inf, norm(input, p) * norm(found, p))
