"""Products made of other products, distances between rows, the cross product and the trace."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.declare import Array, Arrays, Sample, error, sample
from retrograd.ops.families import composite, general, linear
from retrograd.ops.helpers import cast, wrap_dim, wrap_dims
from retrograd.ops.matmul import grid, mm
from retrograd.ops.neural import largest, total
from retrograd.ops.reduce import sum as sum_over
from retrograd.ops.shape import unsafe_view


@composite(
    samples=lambda: [sample(grid(2), grid(3)), sample(np.zeros(0), grid(2))],
    errors=lambda: [
        error(RuntimeError, "outer: Expected 1-D argument self, but got 2-D", grid(2, 3), grid(2))
    ],
    aliases="ger",
    places="torch Tensor",
    numpy=np.outer,
)
def outer(input: Array, vec2: Array) -> Array:
    """Multiply every element of a vector with every element of another: (n), (m) -> (n, m)."""
    for name, x in (("self", input), ("vec2", vec2)):
        if x.ndim != 1:
            raise RuntimeError(f"outer: Expected 1-D argument {name}, but got {x.ndim}-D")
    return input[:, None] * vec2


@composite(
    samples=lambda: [
        sample(grid(2, 3), grid(4, 3)),
        sample(grid(3), grid(3)),
        sample(grid(), grid(2, 3)),
        sample(grid(2, 2, 3), grid(3)),
    ],
    errors=lambda: [
        error(
            RuntimeError,
            "inner() the last dimension must match on both input tensors but got shapes [2, 3] and [2, 4]",
            grid(2, 3), grid(2, 4),
        )
    ],
    numpy=np.inner,
)  # fmt: skip
def inner(input: Array, other: Array) -> Array:
    """Multiply along the last dimension of both: (..., k), (::, k) -> (..., ::)."""
    if not input.ndim or not other.ndim:
        return input * other
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(
            "inner() the last dimension must match on both input tensors but got shapes "
            f"{list(input.shape)} and {list(other.shape)}"
        )
    return tensordot.definition(input, other, ([-1], [-1]))  # type: ignore[attr-defined]  # an Op


@composite(
    samples=lambda: [
        sample(grid(2, 3), grid(3, 2), 1),
        sample(grid(2, 3, 4), grid(4, 3), ([1, 2], [1, 0])),
        sample(grid(2), grid(3), 0),
    ],
    errors=lambda: [
        error(
            RuntimeError,
            "contracted dimensions need to match, but first has size 3 in dim",
            grid(2, 3),
            grid(2, 3),
            1,
        ),
        error(
            RuntimeError,
            "both dimension lists should have same length",
            grid(2, 3),
            grid(2, 3),
            ([0], [1, 0]),
        ),
    ],
    places="torch",
    numpy={np.tensordot: lambda a, b, axes=2: (a, b, axes)},
)
def tensordot(a: Array, b: Array, dims: Any = 2) -> Array:
    """Sum products over pairs of dimensions: the last of `a` with the first of `b`, or those listed."""
    if hasattr(dims, "tolist"):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.ndim, b.ndim):
            raise RuntimeError(
                f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}, ndim_a={a.ndim} and "
                f"ndim_b={b.ndim}"
            )
        pairs: Any = (list(range(-dims, 0)), list(range(dims)))
    else:
        pairs = tuple([d] if isinstance(d, int) else list(d) for d in dims)
    if len(pairs[0]) != len(pairs[1]):
        raise RuntimeError("both dimension lists should have same length")
    for i, j in zip(*pairs, strict=True):
        if a.shape[i] == 1 or b.shape[j] == 1:  # a single element goes with all: sum those first
            a, b = (total(x, d, True) if x.shape[d] != 1 else x for x, d in ((a, i), (b, j)))
        elif a.shape[i] != b.shape[j]:
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {a.shape[i]} in dim {i} and second "
                "has size "
                f"{b.shape[j]} in dim {j}"
            )
    mine = wrap_dims(pairs[0], a.ndim) if pairs[0] else ()
    theirs = wrap_dims(pairs[1], b.ndim) if pairs[1] else ()
    left = tuple(d for d in range(a.ndim) if d not in mine)
    right = tuple(d for d in range(b.ndim) if d not in theirs)
    size = math.prod(a.shape[d] for d in mine)
    n, m = tuple(a.shape[d] for d in left), tuple(b.shape[d] for d in right)
    x = np.reshape(np.transpose(a, (*left, *mine)), (math.prod(n), size))
    y = np.reshape(np.transpose(b, (*theirs, *right)), (size, math.prod(m)))
    return np.reshape(mm(x, y), (*n, *m))


@composite(
    samples=lambda: [sample(grid(2, 3), grid(3, 2)), sample(grid(2), grid(2, 2, 2)), sample(grid(), grid(2))],
    numpy=np.kron,
)
def kron(input: Array, other: Array) -> Array:
    """Put every element of `input` times all of `other` in the place of that element."""
    rank = max(input.ndim, other.ndim)
    n = (*(1,) * (rank - input.ndim), *input.shape)
    m = (*(1,) * (rank - other.ndim), *other.shape)
    x = np.reshape(input, tuple(v for k in n for v in (k, 1)))
    y = np.reshape(other, tuple(v for k in m for v in (1, k)))
    return unsafe_view(x * y, tuple(a * b for a, b in zip(n, m, strict=True)))


# ---- chains ----


def _order(sizes: Sequence[int]) -> dict[tuple[int, int], int]:
    """Return where to split each stretch of a chain of matrices so that the products cost least.

    Source: Cormen, Leiserson, Rivest, Stein, Introduction to Algorithms, section 15.2.
    """
    count = len(sizes) - 1
    cost = {(i, i): 0 for i in range(count)}
    split: dict[tuple[int, int], int] = {}
    for length in range(2, count + 1):
        for i in range(count - length + 1):
            j = i + length - 1
            options = [
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)
            ]
            cost[i, j], split[i, j] = min(options)
    return split


def _chain(matrices: Arrays) -> Any:
    split = _order([matrices[0].shape[0], *(m.shape[1] for m in matrices)])

    def product(i: int, j: int) -> Any:
        if i == j:
            return matrices[i]
        return mm(product(i, split[i, j]), product(split[i, j] + 1, j))

    return product(0, len(matrices) - 1)


@composite(
    samples=lambda: [
        sample([grid(2, 3), grid(3, 4), grid(4, 2)]),
        sample([grid(3), grid(3, 4), grid(4)]),
        sample([grid(2, 3), grid(3)]),
    ],
    errors=lambda: [
        error(RuntimeError, "multi_dot(): expected at least 2 tensors but got 1", [grid(2, 3)]),
        error(
            RuntimeError,
            "multi_dot(): tensors 0 and 1 with shapes [2, 3] and [2, 3] cannot",
            [grid(2, 3)] * 2,
        ),
    ],
    places="linalg",
)
def multi_dot(tensors: Arrays) -> Array:
    """Multiply a chain of matrices in the cheapest order; the first and last may be vectors."""
    chain = list(tensors)
    last = len(chain) - 1
    if last < 1:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(chain)}")
    for i, x in enumerate(chain):
        if i in (0, last) and x.ndim not in (1, 2):
            which = "first" if i == 0 else "last"
            raise RuntimeError(f"multi_dot(): the {which} tensor must be 1D or 2D but got {x.ndim}D")
        if 0 < i < last and x.ndim != 2:
            raise RuntimeError(f"multi_dot(): tensor {i} must be 2D but got {x.ndim}D")
        if x.dtype != chain[0].dtype:
            raise RuntimeError(
                f"multi_dot(): all tensors must have be the same dtype but tensor 0 is {chain[0].dtype} and "
                f"tensor {i} {x.dtype}"
            )
    is_row, is_column = chain[0].ndim == 1, chain[-1].ndim == 1
    chain[0] = chain[0][None] if is_row else chain[0]
    chain[-1] = chain[-1][:, None] if is_column else chain[-1]
    for i, (x, y) in enumerate(itertools.pairwise(chain)):
        if x.shape[1] != y.shape[0]:
            raise RuntimeError(
                f"multi_dot(): tensors {i} and {i + 1} with shapes {list(tensors[i].shape)} and "
                f"{list(tensors[i + 1].shape)} cannot be multiplied"
            )
    made = _chain(chain)
    made = made[0] if is_row else made
    return made[..., 0] if is_column else made


@composite(samples=lambda: [sample(grid(2, 3), grid(3, 4), grid(4, 2))], places="torch")
def chain_matmul(*matrices: Any) -> Any:
    """Multiply a chain of matrices in the cheapest order."""
    if len(matrices) == 1 and isinstance(matrices[0], (list, tuple)):
        matrices = tuple(matrices[0])
    for x in matrices:
        if x.ndim != 2:
            raise RuntimeError(f"Tensor dimension is {x.ndim}, expected 2 instead.")
    return matrices[0] if len(matrices) == 1 else _chain(matrices)


# ---- the cross product and the trace ----


def _cross_samples() -> Iterator[Sample]:
    yield sample(grid(2, 3), grid(2, 3, shift=1))
    yield sample(grid(3, 2), grid(3, 1, shift=1), dim=0)
    yield sample(grid(3), grid(3, shift=2))


def _cross_batch(op: Any, size: int, args: Any, dims: Any) -> Any:
    first, second = (batching.spread(a, d, size) for a, d in zip(args[:2], dims[:2], strict=True))
    return op(first, second, dim=batching.shifted(args[2], first.ndim - 1))


@linear(
    node="LinalgCrossBackward0",
    input=lambda ct, other, dim: linalg_cross(other, ct, dim=dim),
    other=lambda ct, input, dim: linalg_cross(ct, input, dim=dim),
    promote="same",
    exact=False,
    kinds="uifc",
    batch=_cross_batch,
    samples=_cross_samples,
    errors=lambda: [
        error(
            RuntimeError,
            "linalg.cross: inputs dimension -1 must have length 3. Got 2 and 2",
            grid(2, 2),
            grid(2, 2),
        ),
        error(
            RuntimeError, "linalg.cross: inputs must have the same number of dimensions", grid(3), grid(2, 3)
        ),
    ],
    places="linalg",
    torch_name="cross",
)
def linalg_cross(input: Array, other: Array, *, dim: int = -1) -> Array:
    """Take the cross product of vectors of length 3 along `dim`."""
    if input.ndim != other.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    axis = wrap_dim(dim, input.ndim)
    if input.shape[axis] != 3 or other.shape[axis] != 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {input.shape[axis]} and "
            f"{other.shape[axis]}"
        )
    x1, x2 = np.roll(input, -1, axis), np.roll(input, 1, axis)
    y1, y2 = np.roll(other, -1, axis), np.roll(other, 1, axis)
    return x1 * y2 - x2 * y1


@composite(samples=_cross_samples, name="cross", places="torch Tensor")
def cross_anywhere(input: Array, other: Array, dim: int | None = None) -> Array:
    """Take the cross product along `dim`, or along the first dimension of size 3."""
    if dim is None:
        shape = np.broadcast_shapes(tuple(input.shape), tuple(other.shape))
        dim = next((i for i, n in enumerate(shape) if n == 3), None)
        if dim is None:
            raise RuntimeError("no dimension of size 3 in input")
    return linalg_cross(input, other, dim=dim)


@linear(
    node="TraceBackward0",
    input=lambda ct, input_shape, input_dtype: ct * np.eye(*input_shape, dtype=input_dtype),
    promote="same",
    kinds="buifc",
    batch=lambda op, size, args, dims: sum_over(np.diagonal(batching.front(args[0], dims[0]), 0, 1, 2), -1),
    samples=lambda: [sample(grid(3, 3)), sample(grid(2, 3)), sample(np.zeros((0, 0)))],
    errors=lambda: [error(RuntimeError, "trace: expected a matrix, but got tensor with dim 1", grid(3))],
    numpy={np.trace: lambda x: (x,)},
)
def trace(input: Array) -> Array:
    """Sum the diagonal of a matrix."""
    if input.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}")
    return sum_over(np.diagonal(input))


# ---- distances between rows ----


def _distance(diff: Any, p: float) -> Any:
    """Return the p-norm over the last dimension."""
    size = np.abs(diff)
    if p == 0:
        return total(cast(diff != 0, diff.dtype), -1)
    if p == 1:
        return total(size, -1)
    if p == 2:
        return np.sqrt(total(diff * diff, -1))
    if p == math.inf:
        return largest(size, -1) if diff.shape[-1] else total(size, -1)
    return total(size**p, -1) ** (1 / p)


def _slope(diff: Any, distance: Any, p: float) -> Any:
    """Return the derivative of the p-norm by each element of `diff`; 0 where the norm is 0."""
    distance = distance[..., None]
    if p == 0:
        return diff * 0
    if p == 1:
        return np.sign(diff)
    safe = np.where(distance == 0, 1, distance)
    if p == math.inf:
        return np.sign(diff) * (np.abs(diff) == distance)
    if p == 2:
        return np.where(distance == 0, 0, diff / safe)
    size = np.abs(diff)
    power = np.where(size == 0, 0, np.where(size == 0, 1, size) ** (p - 1))
    return np.where(distance == 0, 0, np.sign(diff) * power / safe ** (p - 1))


def _between(x1: Any, x2: Any) -> Any:
    return x1[..., :, None, :] - x2[..., None, :, :]


def _batched_rows(op: Any, size: int, args: Any, dims: Any) -> Any:
    """Align two stacks of matrices behind the batch dimension."""
    pair = [batching.spread(x, d, size) for x, d in zip(args[:2], dims[:2], strict=True)]
    rank = max(x.ndim for x in pair)
    ready = [np.reshape(x, (size, *(1,) * (rank - x.ndim), *x.shape[1:])) for x in pair]
    return op(*ready, *args[2:])


def _cdist_samples() -> Iterator[Sample]:
    for p in (2.0, 1.0, 3.0, math.inf):
        yield sample(grid(3, 2), grid(4, 2, shift=1), p)
    yield sample(grid(2, 1, 3, 2), grid(4, 2, shift=1))
    yield sample(grid(3, 2), grid(3, 2), grad=False)
    yield sample(grid(3, 2), grid(2, 2, shift=1), 0.0, grad=False)


@general(
    node="CdistBackward0",
    x1=lambda ct, x1, x2, result, p: total(ct[..., None] * _slope(_between(x1, x2), result, p), -2),
    x2=lambda ct, x1, x2, result, p: -total(ct[..., None] * _slope(_between(x1, x2), result, p), -3),
    jvp={
        "x1": lambda t, x1, x2, result, p: total(
            t[..., :, None, :] * _slope(_between(x1, x2), result, p), -1
        ),
        "x2": lambda t, x1, x2, result, p: (
            -total(t[..., None, :, :] * _slope(_between(x1, x2), result, p), -1)
        ),
    },
    exact=False,
    promote="match",
    kinds="f",
    batch=_batched_rows,
    samples=_cdist_samples,
    errors=lambda: [
        error(RuntimeError, "cdist only supports at least 2D tensors, X1 got: 1D", grid(3), grid(2, 3)),
        error(
            RuntimeError,
            "X1 and X2 must have the same number of columns. X1: 2 X2: 3",
            grid(3, 2),
            grid(2, 3),
        ),
    ],
    places="torch",
)
def cdist(x1: Array, x2: Array, p: float = 2.0, compute_mode: Any = None) -> Array:
    """Measure the p-norm distance of all rows to all rows of another: (n, k), (m, k) -> (n, m)."""
    for name, x in (("X1", x1), ("X2", x2)):
        if x.ndim < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {name} got: {x.ndim}D")
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(
            f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}"
        )
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    return _distance(_between(x1, x2), p)


@composite(
    samples=lambda: [sample(grid(4, 2)), sample(grid(3, 2), 1.0)],
    errors=lambda: [error(RuntimeError, "pdist only supports 2D tensors, got: 1D", grid(3))],
    out=False,
    places="torch nn.functional",
)
def pdist(input: Array, p: float = 2) -> Array:
    """Measure the p-norm distance of every two rows of a matrix: (n, k) -> (n (n - 1) / 2)."""
    if input.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.ndim}D")
    n = input.shape[0]
    every = cdist(input, input, p)
    return np.reshape(every, (n * n,))[_upper(n)] if n else total(input, -1)


def _upper(n: int) -> Any:
    first, second = np.triu_indices(n, 1)
    return first * n + second
