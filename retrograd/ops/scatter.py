"""Elements picked by a tensor of positions, one per element of the result; and scattered back by it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from retrograd.ops import batching, index_batching
from retrograd.ops.declare import Array, ErrorSample, Plain, Sample, error, sample
from retrograd.ops.families import general, linear
from retrograd.ops.helpers import name_of, wrap_dim
from retrograd.ops.index import add_flat, outside
from retrograd.ops.order import place


def grid(index: Any, dim: int, shape: Sequence[int]) -> tuple[Any, ...]:
    """Return NumPy's index for `index` along a dimension and every element's own place along the others."""
    rank = index.ndim
    if rank == 2:
        other = np.arange(index.shape[1 - dim])
        return (index, other) if dim == 0 else (other[:, None], index)
    return tuple(
        index if d == dim else np.arange(n).reshape((n,) + (1,) * (rank - d - 1))
        for d, n in enumerate(index.shape)
    )


def _positions(index: Any, dim: int, shape: Sequence[int]) -> Any:
    """Return the same places as numbers in C order."""
    flat: Any = 0
    for n, i in zip(shape, grid(index, dim, shape), strict=True):
        flat = flat * n + i
    return flat


def check_index(name: str, input: Any, dim: int, index: Any) -> None:
    """Raise unless `index` holds positions along `dim` of `input`."""
    if not index.size:
        return
    if index.dtype.kind != "i" or index.dtype.itemsize < 4:
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index")
    if max(index.ndim, 1) != max(input.ndim, 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")
    if input.ndim:
        size = input.shape[dim]
    else:
        size = 1
    if outside(index, size):
        low, high = index.min(), index.max()
        raise RuntimeError(
            f"index {low if low < 0 else high} is out of bounds for dimension {dim} with size {size}"
        )


def _gathers() -> Iterator[Sample]:
    x = np.arange(12.0).reshape(3, 4)
    yield sample(x, 0, np.array([[0, 2, 1, 0]]))
    yield sample(x, -1, np.array([[0, 0], [3, 1], [2, 2]]))
    yield sample(x, 1, np.array([[3, 3, 3]]))
    yield sample(np.array(2.0), 0, np.array(0))
    yield sample(np.arange(3.0), 0, np.zeros((0,), np.int64))


def _gather_errors() -> Iterator[ErrorSample]:
    x = np.zeros((2, 3))
    yield error(
        RuntimeError,
        "Index tensor must have the same number of dimensions as input tensor",
        x,
        0,
        np.array([0]),
    )
    yield error(RuntimeError, "index 5 is out of bounds for dimension 0 with size 2", x, 0, np.array([[5]]))
    yield error(RuntimeError,
        "Size does not match at dimension 1 expected index [3, 4] to be no larger than self [2, 3] "
                "apart from dimension 0", x, 0, np.zeros((3, 4), np.int64))  # fmt: skip


@linear(
    node="GatherBackward0",
    input=lambda ct, input_shape, dim, index: put_along(ct, input_shape, dim, index),
    promote="none",
    batch=lambda op, size, args, dims: batch_along(op, size, args, dims),
    samples=_gathers,
    errors=_gather_errors,
    primitive=True,
)
def gather(input: Array, dim: int, index: Plain, *, sparse_grad: bool = False) -> Array:
    """Take, for each element of `index`, the one at that position along `dim` and at its own place else."""
    d = wrap_dim(dim, input.ndim)
    check_index("gather", input, d, index)
    if not index.size:
        return np.empty(index.shape, input.dtype)
    if input.ndim == 0 or index.ndim == 0:
        return input.reshape(-1)[index]
    for k, n in enumerate(index.shape):
        if n > input.shape[k] and k != d:
            raise RuntimeError(
                f"Size does not match at dimension {k} expected index {list(index.shape)} to be no larger "
                "than self "
                f"{list(input.shape)} apart from dimension {d}"
            )
    return input[grid(index, d, input.shape)]


def batch_along(op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    """Batch an op on tensors of one rank and a dimension `dim` of them."""
    ready = [
        a if p.is_static else batching.spread(a, d, size)
        for p, a, d in zip(op.parameters, args, dims, strict=True)
    ]
    if any(not p.is_static and np.ndim(a) == 1 for p, a in zip(op.parameters, ready, strict=True)):
        return batching.loop(op, size, args, dims)  # 0-dim elements stand for vectors here
    at = [p.name for p in op.parameters].index("dim")
    ready[at] = args[at] + 1 if args[at] >= 0 else args[at]
    if op.name == "put_along":
        ready[1] = (size, *args[1])
    return batching.call(op, ready)


def _put_alongs() -> Iterator[Sample]:
    for s in _gathers():
        x, dim, index = s.args
        yield sample(np.asarray(gather(x, dim, index)) + 1.0, x.shape, dim, index)


@linear(
    node="ScatterAddBackward0",
    input=lambda ct, dim, index: gather(ct, dim, index),
    promote="none",
    batch=lambda op, size, args, dims: batch_along(op, size, args, dims),
    samples=_put_alongs,
    primitive=True,
    places="",
)
def put_along(input: Array, shape: tuple[int, ...], dim: int, index: Plain) -> Array:
    """Add elements at positions along `dim` into zeros of `shape`: the transpose of `gather`."""
    if not shape or index.ndim == 0:
        return (
            np.asarray(np.sum(input, dtype=input.dtype)).reshape(shape)
            if not shape
            else add_flat(shape, index, input)
        )
    return add_flat(shape, _positions(index, dim % len(shape), shape), input)


def front(src: Any, index: Any) -> Any:
    """Return the part of `src` that scattering by `index` reads."""
    return src if src.shape == index.shape else src[tuple(slice(n) for n in index.shape)]


def unfront(ct: Any, shape: Sequence[int]) -> Any:
    """Return the cotangent of `src` from that of the part that was read."""
    if tuple(ct.shape) == tuple(shape):
        return ct
    return place(ct, tuple(shape), tuple(slice(n) for n in ct.shape))


def check_scatter(input: Any, d: int, index: Any, src: Any) -> None:
    if src.dtype != input.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    check_index("scatter", input, d, index)
    if not index.size or index.ndim == 0 or input.ndim == 0:
        return
    if src.ndim != input.ndim:
        raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
    if any(k != d and n > m for k, (n, m) in enumerate(zip(index.shape, input.shape, strict=True))) or any(
        n > m for n, m in zip(index.shape, src.shape, strict=True)
    ):
        raise RuntimeError(
            f"Expected index {list(index.shape)} to be no larger than self {list(input.shape)} apart from "
            "dimension "
            f"{d} and to be no larger size than src {list(src.shape)}"
        )


def _scatters() -> Iterator[Sample]:
    x = np.arange(12.0).reshape(3, 4)
    yield sample(x, 0, np.array([[0, 2, 1, 0]]), np.ones((1, 4)) * 7)
    yield sample(x, -1, np.array([[0, 1], [3, 1], [2, 0]]), np.arange(6.0).reshape(3, 2) + 20)
    yield sample(x, 1, np.array([[3]]), np.arange(6.0).reshape(3, 2) + 20)


def _scatter_errors() -> Iterator[ErrorSample]:
    x, i = np.zeros((2, 3)), np.zeros((1, 3), np.int64)
    yield error(
        RuntimeError,
        "scatter(): Expected self.dtype to be equal to src.dtype",
        x,
        0,
        i,
        np.zeros((2, 3), np.float32),
    )
    yield error(RuntimeError, "index 5 is out of bounds for dimension 0 with size 2", x, 0, i + 5, x)


@general(
    node="ScatterBackward0",
    input=lambda ct, dim, index: scatter_value(ct, dim, index, 0),
    src=lambda ct, src_shape, dim, index: unfront(gather(ct, dim, index), src_shape),
    jvp="linear",
    batch=batch_along,
    samples=_scatters,
    errors=_scatter_errors,
    primitive=True,
    places="",
)
def scatter(input: Array, dim: int, index: Plain, src: Array) -> Array:
    """Replace elements of `input` at positions along `dim` by those of `src`."""
    d = wrap_dim(dim, input.ndim)
    check_scatter(input, d, index, src)
    return _written(input, d, index, front(src, index))


def _written(input: Any, d: int, index: Any, values: Any) -> Any:
    made = np.array(input, order="C")
    if index.size:
        if made.ndim == 0 or index.ndim == 0:
            made.reshape(-1)[index] = values
        else:
            made[grid(index, d, made.shape)] = values
    return made


@general(
    node="ScatterBackward1",
    input=lambda ct, dim, index: scatter_value(ct, dim, index, 0),
    jvp={"input": lambda t, dim, index: scatter_value(t, dim, index, 0)},
    batch=batch_along,
    samples=lambda: [sample(*s.args[:3], 1.5) for s in _scatters()],
    primitive=True,
    places="",
)
def scatter_value(input: Array, dim: int, index: Plain, value: Any) -> Array:
    """Replace elements of `input` at positions along `dim` by one number."""
    d = wrap_dim(dim, input.ndim)
    check_index("scatter", input, d, index)
    return _written(input, d, index, value)


@general(
    node="ScatterAddBackward0",
    input=lambda ct: ct,
    src=lambda ct, src_shape, dim, index: unfront(gather(ct, dim, index), src_shape),
    jvp="linear",
    batch=batch_along,
    samples=_scatters,
    errors=_scatter_errors,
    inplace=True,
    primitive=True,
)
def scatter_add(input: Array, dim: int, index: Plain, src: Array) -> Array:
    """Add elements of `src` to those of `input` at positions along `dim`."""
    d = wrap_dim(dim, input.ndim)
    check_scatter(input, d, index, src)
    if not index.size:
        return np.array(input)
    added = put_along.definition(front(src, index), input.shape, d, index)  # type: ignore[attr-defined]  # an Op
    return (input + added).astype(input.dtype)


def _takes() -> Iterator[Sample]:
    x = np.arange(12.0).reshape(3, 4)
    yield sample(x, np.array([0, 11, -1]))
    yield sample(x, np.array([[2, 2], [5, 0]]))


def _check_take(input: Any, index: Any) -> None:
    if index.dtype != np.int64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {name_of(index)}")
    size = input.size
    if index.size and not (-size <= index.min() and index.max() < size):
        if not size:
            raise IndexError("take(): tried to take from an empty tensor")
        worst = int(index.max() if index.max() >= size else index.min())
        raise IndexError(f"out of range: tried to access index {worst} on a tensor of {size} elements.")


@linear(
    node="TakeBackward0",
    input=lambda ct, input_shape, index: put_flat(ct, input_shape, index),
    promote="none",
    batch=index_batching.read_flat,
    samples=_takes,
    errors=lambda: [
        error(
            IndexError,
            "out of range: tried to access index 6 on a tensor of 6 elements.",
            np.zeros((2, 3)),
            np.array([6]),
        )
    ],
    primitive=True,
)
def take(input: Array, index: Plain) -> Array:
    """Take the elements at positions in C order."""
    _check_take(input, index)
    return input.reshape(-1)[index]


@linear(
    node="PutBackward0",
    input=lambda ct, index: take(ct, index),
    promote="none",
    batch=index_batching.add_flat,
    samples=lambda: [sample(take(*s.args) + 1.0, (3, 4), s.args[1]) for s in _takes()],
    primitive=True,
    places="",
)
def put_flat(input: Array, shape: tuple[int, ...], index: Plain) -> Array:
    """Add elements at positions in C order into zeros: the transpose of `take`."""
    size = int(np.prod(shape))
    return add_flat(shape, index % max(size, 1), input)


@general(
    node="PutBackward0",
    input=lambda ct, index, accumulate: ct if accumulate else put(ct, index, _no(ct, index), False),
    source=lambda ct, source_shape, index: np.reshape(take(ct, index), tuple(source_shape)),
    jvp="linear",
    batch=index_batching.put_flat,
    samples=lambda: [
        sample(np.arange(6.0).reshape(2, 3), np.array([0, -1]), np.array([7.0, 8.0])),
        sample(np.arange(6.0).reshape(2, 3), np.array([1, 1]), np.array([7.0, 8.0]), True),
    ],
    inplace=True,
    primitive=True,
    places="torch Tensor",
)
def put(input: Array, index: Plain, source: Array, accumulate: bool = False) -> Array:
    """Replace (or, with `accumulate`, add to) the elements at positions in C order."""
    if source.dtype != input.dtype:
        raise RuntimeError(
            "put_(): self and source expected to have the same dtype, but got self.dtype = "
            f"{name_of(input)} and source.dtype = {name_of(source)}"
        )
    if source.size != index.size:
        raise IndexError(
            "put_(): Expected source and index to have the same number of elements, but got source.numel() = "
            f"{source.size}, index.numel() = {index.size}"
        )
    _check_take(input, index)
    made = np.array(input, order="C")
    if accumulate:
        np.add.at(made.reshape(-1), index.reshape(-1), source.reshape(-1))
    else:
        made.reshape(-1)[index.reshape(-1)] = source.reshape(-1)
    return made


def _no(ct: Any, index: Any) -> Any:
    return take(ct, index) * 0
