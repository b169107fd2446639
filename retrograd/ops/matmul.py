"""Matrix products: of two matrices, a matrix and a vector, two vectors, and batches of them.

Each is linear in both operands, and its adjoint is a product again: C = A B gives A_ct = C_ct B^T, B_ct = A^T
C_ct.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.declare import Array, ErrorSample, Sample, error, sample
from retrograd.ops.families import general, linear
from retrograd.ops.helpers import unbroadcast
from retrograd.ops.neural import flip, product, rows

_NUMBERS = "uifc"


def grid(*shape: int, shift: float = 0.0) -> Any:
    """Return different numbers of either sign, for samples."""
    count = math.prod(shape)
    return (np.sin(np.arange(count) * 1.7 + shift) + 0.1 * shift).reshape(shape)


def _x(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


# ---- two operands of a fixed rank ----


@linear(
    node="MmBackward0",
    input=lambda ct, mat2: product(ct, flip(mat2)),
    mat2=lambda ct, input: product(flip(input), ct),
    kinds=_NUMBERS,
    batch=lambda op, size, args, dims: _batched_matrices(op, size, args, dims),
    samples=lambda: [
        sample(grid(2, 3), grid(3, 4, shift=1)),
        sample(grid(2, 1), grid(1, 2)),
        sample(np.zeros((2, 0)), np.zeros((0, 3))),
    ],
    errors=lambda: [
        error(
            RuntimeError, "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)", grid(2, 3), grid(2, 3)
        ),
        error(RuntimeError, "self must be a matrix", grid(3), grid(3, 2)),
    ],
)
def mm(input: Array, mat2: Array) -> Array:
    """Multiply two matrices: (n, k), (k, m) -> (n, m)."""
    if input.ndim != 2 or mat2.ndim != 2 or input.shape[1] != mat2.shape[0]:
        raise _bad_mm(input, mat2, "self")
    return product(input, mat2)


def _bad_mm(mat1: Any, mat2: Any, first: str) -> RuntimeError:
    if mat1.ndim != 2:
        return RuntimeError(f"{first} must be a matrix")
    if mat2.ndim != 2:
        return RuntimeError("mat2 must be a matrix")
    return RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({_x(mat1.shape)} and {_x(mat2.shape)})")


def _batched_matrices(op: Any, size: int, args: Any, dims: Any) -> Any:
    """Batch by matmul, which broadcasts what has no batch dimension."""
    return batching.front(args[0], dims[0]) @ batching.front(args[1], dims[1])


@linear(
    node="MvBackward0",
    input=lambda ct, vec: ct[:, None] * vec,
    vec=lambda ct, input: product(flip(input), ct),
    kinds=_NUMBERS,
    batch=lambda op, size, args, dims: (
        batching.front(args[0], dims[0]) @ batching.front(args[1], dims[1])[..., None]
    )[..., 0],
    samples=lambda: [sample(grid(2, 3), grid(3, shift=1)), sample(np.zeros((2, 0)), np.zeros(0))],
    errors=lambda: [
        error(RuntimeError, "size mismatch, got input (2), mat (2x3), vec (2)", grid(2, 3), grid(2))
    ],
)
def mv(input: Array, vec: Array) -> Array:
    """Multiply a matrix and a vector: (n, k), (k) -> (n)."""
    check_mv(input, vec, 1)
    return product(input, vec)


def check_mv(mat: Any, vec: Any, rank: int) -> None:
    """Raise unless `mat` is a matrix with as many columns as the vector `vec` has elements."""
    if mat.ndim != 2 or vec.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {rank}, {mat.ndim}, {vec.ndim}")
    if mat.shape[1] != vec.shape[0]:
        raise RuntimeError(
            f"size mismatch, got input ({mat.shape[0]}), mat ({_x(mat.shape)}), vec ({vec.shape[0]})"
        )


def _check_vectors(first: Any, second: Any) -> None:
    if first.ndim != 1 or second.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {first.ndim}D and {second.ndim}D tensors")
    if first.shape != second.shape:
        n, m = first.shape[0], second.shape[0]
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{n}] and src [{m}] to have the same number of "
            "elements, but "
            f"got {n} and {m} elements respectively"
        )


def _vectors() -> Iterator[Sample]:
    yield sample(grid(3), grid(3, shift=1))
    yield sample(np.zeros(0), np.zeros(0))


def _vector_errors() -> Iterator[ErrorSample]:
    yield error(RuntimeError, "inconsistent tensor size, expected tensor [3] and src [4]", grid(3), grid(4))
    yield error(RuntimeError, "1D tensors expected, but got 2D and 1D tensors", grid(3, 2), grid(4))


def _batched_vectors(op: Any, size: int, args: Any, dims: Any) -> Any:
    first, second = (batching.spread(a, d, size) for a, d in zip(args, dims, strict=True))
    first = np.conjugate(first) if op.name == "vdot" else first
    return (first[:, None, :] @ second[:, :, None])[:, 0, 0]


@linear(
    node="DotBackward0",
    input=lambda ct, tensor: ct * tensor,
    tensor=lambda ct, input: ct * input,
    kinds=_NUMBERS,
    batch=_batched_vectors,
    samples=_vectors,
    errors=_vector_errors,
)
def dot(input: Array, tensor: Array) -> Array:
    """Multiply two vectors: (n), (n) -> ()."""
    _check_vectors(input, tensor)
    return input @ tensor


@general(
    node="VdotBackward0",
    input=lambda ct, other: np.conjugate(ct) * other,
    other=lambda ct, input: ct * input,
    jvp={
        "input": lambda t, other: np.conjugate(t) @ other,
        "other": lambda t, input: np.conjugate(input) @ t,
    },
    holomorphic=False,
    promote="match",
    kinds=_NUMBERS,
    batch=_batched_vectors,
    samples=_vectors,
    errors=_vector_errors,
)
def vdot(input: Array, other: Array) -> Array:
    """Multiply two vectors, the first conjugated: (n), (n) -> ()."""
    _check_vectors(input, other)
    return np.conjugate(input) @ other if input.dtype.kind == "c" else input @ other


@linear(
    node="BmmBackward0",
    input=lambda ct, mat2: product(ct, flip(mat2)),
    mat2=lambda ct, input: product(flip(input), ct),
    kinds=_NUMBERS,
    batch=lambda op, size, args, dims: batching.front(args[0], dims[0]) @ batching.front(args[1], dims[1]),
    samples=lambda: [
        sample(grid(2, 2, 3), grid(2, 3, 1, shift=1)),
        sample(np.zeros((0, 2, 3)), np.zeros((0, 3, 2))),
    ],
    errors=lambda: [
        error(RuntimeError, "batch1 must be a 3D tensor", grid(2, 3), grid(2, 3)),
        error(
            RuntimeError,
            "Expected size for first two dimensions of batch2 tensor to be: [2, 4] but got: [2, 3].",
            grid(2, 3, 4),
            grid(2, 3, 4),
        ),
    ],
)
def bmm(input: Array, mat2: Array) -> Array:
    """Multiply two batches of matrices: (b, n, k), (b, k, m) -> (b, n, m)."""
    check_bmm(input, mat2)
    return input @ mat2


def check_bmm(batch1: Any, batch2: Any) -> None:
    """Raise unless both are batches of matrices that can be multiplied."""
    for name, batch in (("batch1", batch1), ("batch2", batch2)):
        if batch.ndim != 3:
            raise RuntimeError(f"{name} must be a 3D tensor")
    if batch2.shape[:2] != (batch1.shape[0], batch1.shape[2]):
        raise RuntimeError(
            "Expected size for first two dimensions of batch2 tensor to be: "
            f"[{batch1.shape[0]}, {batch1.shape[2]}] but got: [{batch2.shape[0]}, {batch2.shape[1]}]."
        )


# ---- operands of any rank ----


def _matmul_node(input: Any, other: Any) -> str:
    if input.ndim == 2:
        return {1: "MvBackward0", 2: "MmBackward0"}.get(other.ndim, "CloneBackward0")
    if input.ndim == 1:
        return {1: "DotBackward0", 2: "SqueezeBackward4"}.get(other.ndim, "UnsafeViewBackward0")
    return "UnsafeViewBackward0"


def _matmul_input(ct: Any, input_shape: Any, other: Any) -> Any:
    rank = len(input_shape)
    if other.ndim == 1:
        return ct * other if rank == 1 else ct[..., None] * other
    if other.ndim == 2:
        return product(other, ct) if rank == 1 and ct.ndim == 1 else product(ct, flip(other))
    made = (other @ ct[..., None])[..., 0] if rank == 1 else ct @ flip(other)
    return unbroadcast(made, tuple(input_shape))


def _matmul_other(ct: Any, input: Any, other_shape: Any) -> Any:
    rank = len(other_shape)
    if rank == 1:
        if input.ndim == 1:
            return ct * input
        return product(flip(rows(input)), np.reshape(ct, (math.prod(ct.shape),)))
    if rank == 2:
        return input[:, None] * ct if input.ndim == 1 else product(flip(rows(input)), rows(ct))
    made = input[:, None] * ct[..., None, :] if input.ndim == 1 else flip(input) @ ct
    return unbroadcast(made, tuple(other_shape))


def _matmul_samples() -> Iterator[Sample]:
    for first in ((3,), (2, 3), (4, 2, 3), (2, 1, 2, 3)):
        for second in ((3,), (3, 2), (4, 3, 2), (1, 4, 3, 2)):
            yield sample(grid(*first), grid(*second, shift=1))
    yield sample(np.zeros((0, 3)), np.zeros((3, 2)))
    yield sample(np.zeros((2, 0)), np.zeros((0,)))
    yield sample(np.zeros((2, 0, 3)), np.zeros((3, 4)))


def batched_products(op: Any, size: int, args: Any, dims: Any) -> Any:
    """Give vectors their missing dimension, so that the batch dimension is broadcast over."""
    ranks = [a.ndim - (d is not None) for a, d in zip(args, dims, strict=True)]
    first, second = (batching.front(a, d) for a, d in zip(args, dims, strict=True))
    first = first[..., None, :] if ranks[0] == 1 else first
    second = second[..., None] if ranks[1] == 1 else second
    inner = max(*ranks, 2)
    ready = []
    for x, rank, d in zip((first, second), ranks, dims, strict=True):
        missing = inner - max(rank, 2)
        ready.append(
            x if d is None or not missing else np.reshape(x, (x.shape[0], *(1,) * missing, *x.shape[1:]))
        )
    result = ready[0] @ ready[1]
    result = result[..., 0, :] if ranks[0] == 1 else result
    return result[..., 0] if ranks[1] == 1 else result


@linear(
    node=_matmul_node,
    input=_matmul_input,
    other=_matmul_other,
    kinds=_NUMBERS,
    batch=batched_products,
    samples=_matmul_samples,
    errors=lambda: [
        error(
            RuntimeError,
            "both arguments to matmul need to be at least 1D, but they are 0D and 1D",
            grid(),
            grid(3),
        ),
        error(
            RuntimeError, "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)", grid(2, 3), grid(2, 3)
        ),
        error(
            RuntimeError,
            "The size of tensor a (2) must match the size of tensor b (3)",
            grid(2, 3, 4),
            grid(3, 4, 4),
        ),
    ],
    places="torch Tensor linalg",
    numpy={np.matmul: lambda x, y: (x, y), np.dot: lambda x, y: (x, y)},
)
def matmul(input: Array, other: Array) -> Array:
    """Multiply matrices, vectors, or batches of them.

    Shape: (..., n, k), (..., k, m) -> (..., n, m), the leading dimensions broadcast. A vector is a row on the
        left and a column on the right, and that dimension is dropped from the result.
    """
    try:
        return product(input, other)
    except ValueError:
        raise _bad_matmul(input, other) from None


def _bad_matmul(input: Any, other: Any) -> RuntimeError:
    """Return the error that torch raises for these shapes."""
    if not input.ndim or not other.ndim:
        return RuntimeError(
            f"both arguments to matmul need to be at least 1D, but they are {input.ndim}D and {other.ndim}D"
        )
    try:
        if input.ndim == 1 and other.ndim == 1:
            _check_vectors(input, other)
        if input.ndim >= 2 and other.ndim == 1:
            check_mv(rows(input), other, 1)
        elif other.ndim == 2:
            return _bad_mm(rows(input) if input.ndim > 1 else input[None], other, "self")
    except RuntimeError as found:
        return found
    left, right = (input.shape[:-2] if input.ndim > 1 else ()), other.shape[:-2]
    for back in range(1, min(len(left), len(right)) + 1):
        a, b = left[-back], right[-back]
        if a != b and 1 not in (a, b):
            where = max(len(left), len(right)) - back
            return RuntimeError(
                f"The size of tensor a ({a}) must match the size of tensor b ({b}) at non-singleton "
                f"dimension {where}"
            )
    lead = math.prod(np.broadcast_shapes(left, right))
    return RuntimeError(
        "Expected size for first two dimensions of batch2 tensor to be: "
        f"[{lead}, {input.shape[-1]}] but got: [{lead}, {other.shape[-2]}]."
    )
