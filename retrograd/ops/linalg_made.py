"""Functions of linear algebra that are made of others: norms of matrices, condition numbers, tensors as matrices."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops.declare import TABLE, Array, Sample, error, sample
from retrograd.ops.families import composite
from retrograd.ops.helpers import cast, name_of, numpy_dtype, wrap_dim
from retrograd.ops.linalg_solve import linalg_inv, linalg_inv_ex, linalg_solve
from retrograd.ops.linalg_svd import linalg_svd, linalg_svdvals
from retrograd.ops.matrices import conj, is_narrow, numbers, regular


def _array(x: Any) -> Any:
    return getattr(x, "_array", x)


def _check_floating(x: Any, name: str) -> None:
    array = _array(x)
    if array.dtype.kind not in "fc" and not is_narrow(array):
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {name_of(array)}")


# ---- norms ----


def _norms() -> Iterator[Sample]:
    x = numbers(2, 3, 2)
    for ord in ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf):
        yield sample(x, ord)
    yield sample(x, "fro", (0, 1), True)
    yield sample(x, 1, (2, 0), True)


def _to_back(x: Any, dims: tuple[int, int]) -> Any:
    rest = [d for d in range(x.ndim) if d not in dims]
    return np.transpose(x, (*rest, *dims)) if dims != (x.ndim - 2, x.ndim - 1) else x


def _spectral(A: Any, ord: Any, dims: tuple[int, int], keepdim: bool) -> Any:  # noqa: N803
    """Return a norm that is a function of the singular values."""
    values = linalg_svdvals(_to_back(A, dims))
    if ord == "nuc":
        found = np.sum(values, axis=-1)
    else:
        found = (np.max if ord > 0 else np.min)(values, axis=-1)
    return np.reshape(found, tuple(1 if d in dims else n for d, n in enumerate(A.shape))) if keepdim else found


@composite(
    samples=_norms,
    errors=lambda: [
        error(RuntimeError, "linalg.matrix_norm: Order 3 not supported.", numbers(2, 2), 3),
        error(RuntimeError, "linalg.matrix_norm: dim must be a 2-tuple. Got 0", numbers(2, 2), "fro", (0,)),
    ],
    places="linalg",
)
def matrix_norm(
    A: Array, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None  # noqa: N803
) -> Array:
    """Compute a norm of matrices.

    'fro': the root of the sum of squares; 'nuc': the sum of singular values; 2 and -2: the largest and smallest of them;
    1 and -1: the largest and smallest sum of magnitudes of a column; inf and -inf: of a row.
    """
    name = "linalg.matrix_norm"
    _check_floating(A, name)
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
    A = A if dtype is None else cast(A, numpy_dtype(dtype))  # noqa: N806
    if ord == "fro":
        return TABLE["vector_norm"](A, 2, dims, keepdim)
    if ord == "nuc" or abs(ord) == 2:
        return _spectral(A, ord, dims, keepdim)
    summed, other = dims if abs(ord) == 1 else dims[::-1]
    sums = TABLE["vector_norm"](A, 1, (summed,), True)
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
        error(RuntimeError, "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D.", numbers(2, 1, 1), 2),
        error(RuntimeError, "linalg.norm: If dim is specified, it must be of length 1 or 2.", numbers(2, 1, 1), 2, (0, 1, 2)),
    ],
    name="linalg_norm",
    torch_name="norm",
    places="linalg",
)
def linalg_norm(
    input: Array, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Array:
    """Compute a norm: of vectors if `dim` is one dimension or `ord` is None, of matrices if it is two (see matrix_norm)."""
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
                f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {input.ndim}D."
            )
        if (len(given) if given is not None else input.ndim) == 2:
            return matrix_norm.definition(input, ord, given or (0, 1), keepdim, dtype=dtype)
        if isinstance(ord, str):
            raise RuntimeError(f"linalg.norm: Order {ord} not supported for vectors.")
    return TABLE["vector_norm"](input, 2 if ord is None else ord, given, keepdim, dtype=dtype)


@composite(samples=lambda: [sample(numbers(2, 3))], places="torch")
def nuclear_norm(input: Array, dim: Any = (-2, -1), keepdim: bool = False) -> Array:
    """Sum singular values: linalg.matrix_norm(input, 'nuc')."""
    return matrix_norm.definition(input, "nuc", dim, keepdim)


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
    """Compute |A| |A^-1| in a norm: how much a relative error can grow in solving; infinity for a singular matrix."""
    if input.ndim < 2:
        raise RuntimeError("linalg.cond: The input tensor must have at least 2 dimensions.")
    if p not in (None, "fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf):
        raise RuntimeError(f"linalg.cond got an invalid norm type: {p}")
    if p is None or p in (2, -2):
        values = linalg_svdvals(input)
        if 0 in values.shape:
            return np.zeros(tuple(input.shape[:-2]), numpy_dtype(values.dtype)) + np.sum(values, axis=-1)
        first, last = values[..., 0], values[..., -1]
        return last / first if p == -2 else first / last
    if input.shape[-1] != input.shape[-2]:
        raise RuntimeError(
            f"linalg.cond(ord={p}): A must be batches of square matrices, but they are {input.shape[-2]} by "
            f"{input.shape[-1]} matrices"
        )
    if 0 in input.shape[-2:]:
        return np.sum(np.real(input), axis=(-2, -1))
    found, info = linalg_inv_ex(input)
    product = matrix_norm.definition(input, p) * matrix_norm.definition(found, p)
    return np.where(info != 0, math.inf, product)


# ---- products and tensors as matrices ----


def _check_dtypes(x: Any, y: Any) -> None:
    if x.dtype != y.dtype:
        raise RuntimeError(
            "linalg.vecdot: Expected x and y to have the same dtype, but found x of type "
            f"{name_of(_array(x))} and y of type {name_of(_array(y))} instead"
        )


@composite(samples=lambda: [sample(numbers(2, 3), numbers(3)), sample(numbers(2, 3), numbers(2, 1), dim=0)], places="linalg")
def vecdot(x: Array, y: Array, *, dim: int = -1) -> Array:
    """Multiply vectors along a dimension, the first conjugated, and sum."""
    _check_floating(x, "linalg.vecdot")
    _check_dtypes(x, y)
    return np.sum(conj(x) * y, axis=dim)


@composite(samples=lambda: [sample(numbers(2, 3), offset=1)], name="linalg_diagonal", torch_name="diagonal", places="linalg")
def linalg_diagonal(A: Array, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Array:  # noqa: N803
    """Return a view of the diagonals of matrices."""
    return TABLE["diagonal"](A, offset, dim1, dim2)


@composite(
    samples=lambda: [sample(numbers(3)), sample(numbers(2, 3), N=4)],
    errors=lambda: [error(RuntimeError, "N must be greater than 1.", numbers(3), N=1)],
    name="linalg_vander",
    torch_name="vander",
    places="linalg",
)
def linalg_vander(x: Array, *, N: int | None = None) -> Array:  # noqa: N803
    """Return the powers 0 to N - 1 of numbers: (..., n) -> (..., n, N)."""
    if is_narrow(_array(x)) or _array(x).dtype.kind == "b":
        raise RuntimeError(
            f"linalg.vander supports floating point, complex, and integer tensors, but got {name_of(_array(x))}"
        )
    n = x.shape[-1] if N is None and x.ndim else N
    if n is None or n <= 1:
        raise RuntimeError("N must be greater than 1.")
    repeated = np.broadcast_to(x[..., None], (*x.shape, n - 1))
    ones = np.ones((*x.shape, 1), np.int64 if x.dtype.kind in "iu" else numpy_dtype(x.dtype))
    return np.concatenate((ones, np.cumprod(repeated, axis=-1)), axis=-1)


@composite(
    samples=lambda: [sample(numbers(3)), sample(numbers(3), 2, True)],
    errors=lambda: [error(RuntimeError, "x must be a one-dimensional tensor.", numbers(2, 2))],
    places="torch",
)
def vander(x: Array, N: int | None = None, increasing: bool = False) -> Array:  # noqa: N803
    """Return the powers N - 1 down to 0 of numbers (upwards if `increasing`): (n) -> (n, N)."""
    if x.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    n = x.shape[0] if N is None else N
    if n < 0:
        raise RuntimeError("N must be non-negative.")
    ones = np.ones((x.shape[0], 1), np.int64 if x.dtype.kind in "iub" else numpy_dtype(x.dtype))
    powers = [ones[:, : min(n, 1)]]
    if n > 1:
        powers.append(np.cumprod(np.broadcast_to(x[:, None], (x.shape[0], n - 1)), axis=1))
    found = np.concatenate(powers, axis=1)
    return found if increasing else np.flip(found, 1)


@composite(
    samples=lambda: [sample(regular(4).reshape(2, 2, 4), 2), sample(regular(4).reshape(4, 2, 2), 1)],
    errors=lambda: [error(RuntimeError, "Expected a strictly positive integer for 'ind', but got 0", regular(2), 0)],
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
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got "
            f"{n} != {m}"
        )
    return np.reshape(linalg_inv(np.reshape(input, (m, n))), (*columns, *rows))


@composite(
    samples=lambda: [sample(regular(4).reshape(2, 2, 4), numbers(2, 2)), sample(regular(4).reshape(2, 4, 2), numbers(4), (0,))],
    errors=lambda: [error(RuntimeError, "Expected self to satisfy the requirement", numbers(2, 3), numbers(2))],
    places="linalg",
)
def tensorsolve(input: Array, B: Array, dims: Any = None) -> Array:  # noqa: N803
    """Solve A X = B for tensors: X has the dimensions of A behind as many as B has; `dims` are moved there first."""
    if dims is not None:
        moved = [wrap_dim(d, input.ndim) for d in dims]
        rest = [d for d in range(input.ndim) if d not in moved]
        input = np.transpose(input, (*rest, *moved))
    columns = tuple(input.shape[B.ndim :])
    n, m = math.prod(columns), math.prod(input.shape[: B.ndim])
    if n != m:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), "
            f"but got {n} != {m}"
        )
    found = linalg_solve(np.reshape(input, (m, n)), np.reshape(B, (m,)))
    return np.reshape(found, columns)


@composite(samples=lambda: [sample(regular(3)), sample(numbers(3, 2), False)])
def svd(input: Array, some: bool = True, compute_uv: bool = True) -> Any:
    """Decompose A = U diag(S) V^H and return V itself: linalg.svd's older form."""
    from retrograd.return_types import make  # noqa: PLC0415 - as dispatch does

    named = make("svd", ("U", "S", "V"))
    if not compute_uv:
        m, n = input.shape[-2:]
        lead = tuple(input.shape[:-2])
        return named(
            _zeros(input, (*lead, m, m)), linalg_svdvals(input), _zeros(input, (*lead, n, n))
        )
    U, S, Vh = linalg_svd(input, not some)  # noqa: N806
    return named(U, S, conj(np.swapaxes(Vh, -1, -2)))


def _zeros(like: Any, shape: Any) -> Any:
    made = np.zeros(shape, numpy_dtype(like.dtype))
    return made if isinstance(like, np.ndarray) else like.new_zeros(shape)
