"""What the ops of linear algebra share: checks with torch's texts, adjoints, triangles, batching, samples.

Rules in this family are written in full: with A^H the conjugate transpose and <x, y> = Re tr(x^H y), a rule
returns the G for which <ct, dX> = <G, dA>, which is torch's convention for complex numbers. So they are
`holomorphic=False`.
"""

# ruff: noqa: N802 - matrices have capital letters, in formulas as in the names of arguments

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograd.errors import LinAlgError
from retrograd.ops import batching
from retrograd.ops.helpers import name_of, numpy_dtype

Core = Sequence[int]


# ---- checks ----


def is_narrow(x: Any) -> bool:
    """Return whether an array is float16 or bfloat16."""
    return x.dtype.itemsize == 2 and x.dtype.kind in "fV"


def check_rank(x: Any, name: str, letter: str = "A") -> None:
    """Raise unless `x` has a matrix in it."""
    if x.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor {letter} must have at least 2 dimensions.")


def check_square(x: Any, name: str) -> None:
    """Raise unless `x` is a matrix of as many rows as columns, or a batch of them."""
    check_rank(x, name)
    if x.shape[-1] != x.shape[-2]:
        raise RuntimeError(
            f"{name}: A must be batches of square matrices, "
            f"but they are {x.shape[-2]} by {x.shape[-1]} matrices"
        )


def check_floating(x: Any, name: str, kernel: str | None = None) -> None:
    """Raise unless `x` is of float32, float64, complex64 or complex128.

    `kernel` is whom torch blames for float16.
    """
    if is_narrow(x):
        if kernel is None:
            raise RuntimeError(f"{name}: Low precision dtypes not supported. Got {name_of(x)}")
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{name_of(x)}'")
    if x.dtype.kind not in "fc":
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {name_of(x)}")


def raw(x: Any) -> Any:
    """Return the array of a Tensor; an array as it is."""
    return getattr(x, "_array", x)


def check_number(x: Any, name: str) -> None:
    """Raise unless `x`, of any kind, is floating (float16 too) or complex."""
    array = raw(x)
    if array.dtype.kind not in "fc" and not is_narrow(array):
        raise RuntimeError(
            f"{name}: Expected a floating point or complex tensor as input. Got {name_of(array)}"
        )


def check_pair(a: Any, b: Any, name: str, letters: str = "AB", kernel: str | None = None) -> None:
    """Raise unless both are floating and of one dtype."""
    check_floating(a, name, kernel)
    if a.dtype != b.dtype:
        first, second = tuple(letters)
        raise RuntimeError(
            f"{name}: Expected {first} and {second} to have the same dtype, but found {first} of type "
            f"{name_of(a)} and {second} of type {name_of(b)} instead"
        )


def check_system(a: Any, b: Any, left: bool, name: str) -> None:
    """Raise unless A X = B (X A = B where not `left`) makes sense for the two matrices."""
    if a.shape[-2] != b.shape[-2 if left else -1]:
        equation = "AX = B" if left else "XA = B"
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation {equation} "
            f"({a.shape[-2]}x{a.shape[-1]} and {b.shape[-2]}x{b.shape[-1]})"
        )


def failing(info: Any, batched: bool) -> tuple[int, str] | None:
    """Return the first nonzero of `info` and words for the batch element that it is of; None if none is."""
    flat = np.reshape(info, -1)
    if not flat.any():
        return None
    at = int(np.flatnonzero(flat)[0])
    return int(flat[at]), f"(Batch element {at}): " if batched else ""


# ---- matrices of any kind of array ----


def conj(x: Any) -> Any:
    """Return the complex conjugate; `x` itself if it is real."""
    return np.conjugate(x) if x.dtype.kind == "c" else x


def transposed(x: Any) -> Any:
    """Transpose the last two dimensions."""
    return np.swapaxes(x, -1, -2)


def H(x: Any) -> Any:
    """Return the conjugate transpose."""
    return conj(np.swapaxes(x, -1, -2))


def real_like(x: Any, dtype: Any) -> Any:
    """Return the real part where `dtype` is real."""
    return np.real(x) if x.dtype.kind == "c" and dtype.kind != "c" else x


def diagonal(x: Any) -> Any:
    """Return the diagonals of matrices: (..., n, n) -> (..., n)."""
    return np.diagonal(x, 0, -2, -1)


def identity(n: int, like: Any) -> Any:
    """Return the identity matrix in the dtype of `like`."""
    return np.eye(n, dtype=numpy_dtype(like.dtype))


def off_diagonal(n: int, like: Any) -> Any:
    """Return the matrix of ones with a diagonal of zeros."""
    return 1 - np.eye(n, dtype=real_dtype(like))


def real_dtype(x: Any) -> Any:
    """Return the NumPy dtype of the real part of `x`."""
    dtype = np.dtype(numpy_dtype(x.dtype))
    return np.dtype(f"f{dtype.itemsize // 2}") if dtype.kind == "c" else dtype


def gaps(x: Any) -> Any:
    """Return x_j - x_i in row i and column j, and 1 on the diagonal, to divide by."""
    return x[..., None, :] - x[..., :, None] + np.eye(x.shape[-1], dtype=numpy_dtype(x.dtype))


def lower_half(x: Any) -> Any:
    """Return the lower triangle with half of the diagonal."""
    return np.tril(x) * (1 - 0.5 * np.eye(x.shape[-1], dtype=real_dtype(x)))


def hermitian(x: Any) -> Any:
    """Return (X + X^H) / 2."""
    return (x + H(x)) * 0.5


def triangle(x: Any, upper: bool, unit: bool = False) -> Any:
    """Return one triangle, without the diagonal if that is known to be of ones."""
    return np.triu(x, int(unit)) if upper else np.tril(x, -int(unit))


def sum_to(x: Any, shape: Sequence[int]) -> Any:
    """Sum over the leading dimensions that broadcasting added or stretched."""
    if tuple(x.shape) == tuple(shape):
        return x
    lacking = x.ndim - len(shape)
    stretched = tuple(
        i for i in range(x.ndim) if i < lacking or (shape[i - lacking] == 1 and x.shape[i] != 1)
    )
    return np.reshape(np.sum(x, axis=stretched), tuple(shape)) if stretched else np.reshape(x, tuple(shape))


def stack_of(x: Any) -> Any:
    """Return an array of matrices as (count, m, n)."""
    count = int(np.prod(x.shape[:-2], dtype=np.int64))
    return np.reshape(x, (count, *x.shape[-2:]))


def each(function: Callable[[Any], Any], x: Any) -> Any:
    """Apply a function of NumPy's to a batch of matrices; those that it refuses give NaN."""
    try:
        return function(x)
    except np.linalg.LinAlgError:
        rows = []
        for matrix in stack_of(x):
            try:
                rows.append(function(matrix))
            except np.linalg.LinAlgError:
                rows.append(np.full_like(matrix, np.nan))
        return np.reshape(np.stack(rows), x.shape)


def nonfinite(name: str) -> LinAlgError:
    """Return the error of a decomposition of NaN or infinity."""
    return LinAlgError(
        f"{name}: The algorithm failed to converge because the input matrix contained non-finite values."
    )


# ---- batching ----


def stacked(*cores: int) -> Callable[..., Any]:
    """Return the batching rule of an op whose tensors have so many dimensions of their own (2 each)."""

    def rule(op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
        at = [i for i, p in enumerate(op.parameters) if not p.is_static and args[i] is not None]
        rank_of = dict(zip(at, cores or (2,) * len(at), strict=False))
        ready = list(args)
        for i in at:
            ready[i] = batching.spread(args[i], dims[i], size)
        lead = max(ready[i].ndim - rank_of[i] for i in at)
        for i in at:
            missing = lead - (ready[i].ndim - rank_of[i])
            if missing:
                ready[i] = np.reshape(ready[i], (size, *(1,) * missing, *ready[i].shape[1:]))
        found = batching.call(op, ready)
        if not isinstance(found, tuple):
            return found
        return tuple(np.zeros((size, 0), r.dtype) if r.shape == (0,) else r for r in found)

    return rule


# ---- samples ----


def numbers(*shape: int, shift: float = 0.3) -> Any:
    """Return different numbers of either sign, none of them 0."""
    count = int(np.prod(shape))
    return (np.sin(np.arange(count) * 1.7 + shift) + 0.1 * shift).reshape(shape)


def regular(n: int, *lead: int, shift: float = 0.3) -> Any:
    """Return well-conditioned square matrices."""
    return numbers(*lead, n, n, shift=shift) + 2.5 * np.eye(n)


def positive(n: int, *lead: int) -> Any:
    """Return symmetric positive definite matrices."""
    x = regular(n, *lead)
    return x @ np.swapaxes(x, -1, -2)


def complex_regular(n: int) -> Any:
    """Return a well-conditioned complex matrix."""
    return regular(n) + 0.7j * numbers(n, n, shift=2)
