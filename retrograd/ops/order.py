"""Views in another order: dimensions exchanged, elements picked by position along a dimension."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.declare import Array, ErrorSample, Sample, error, sample
from retrograd.ops.families import linear, movement
from retrograd.ops.helpers import wrap_dim
from retrograd.ops.shape import at, behind

ndarray = np.ndarray


# ---- the order of dimensions ----


def _permutes() -> Iterator[Sample]:
    x = np.arange(24.0).reshape(2, 3, 4)
    yield sample(x, (2, 0, 1))
    yield sample(x, (-1, 1, 0))
    yield sample(np.array(1.0), ())


def _permute_errors() -> Iterator[ErrorSample]:
    yield error(RuntimeError, "permute(): duplicate dims are not allowed.", np.zeros((2, 3)), (0, 0))
    yield error(RuntimeError, "input.dim() = 2 is not equal to len(dims) = 1", np.zeros((2, 3)), (0,))


def _inverse(dims: Sequence[int]) -> tuple[int, ...]:
    rank = len(dims)
    found = [0] * rank
    for i, d in enumerate(dims):
        found[d % rank] = i
    return tuple(found)


def _move(source: Any, destination: Any, rank: int) -> tuple[int, ...]:
    sources = [s % rank for s in ((source,) if isinstance(source, int) else source)]
    places = [d % rank for d in ((destination,) if isinstance(destination, int) else destination)]
    order = [d for d in range(rank) if d not in sources]
    for place, s in sorted(zip(places, sources, strict=True)):
        order.insert(place, s)
    return tuple(order)


@movement(
    node="PermuteBackward0",
    input=lambda ct, dims: np.transpose(ct, _inverse(dims)),
    batch=lambda op, size, args, dims: np.transpose(
        batching.spread(args[0], dims[0], size), (0, *[d % len(args[1]) + 1 for d in args[1]])
    ),
    samples=_permutes,
    errors=_permute_errors,
    view=True,
    places="",
    numpy={
        np.transpose: lambda a, axes=None: (a, tuple(range(a.ndim))[::-1] if axes is None else tuple(axes)),
        np.moveaxis: lambda a, source, destination: (a, _move(source, destination, a.ndim)),
    },
)
def permute(input: Array, dims: tuple[int, ...]) -> Array:
    """Put the dimensions into the order `dims`."""
    rank = input.ndim
    if len(dims) != rank:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of "
            "the desired "
            f"ordering of dimensions i.e. input.dim() = {rank} is not equal to len(dims) = {len(dims)}"
        )
    try:
        return input.transpose(dims) if input.__class__ is ndarray else np.transpose(input, tuple(dims))
    except ValueError:
        for d in dims:
            wrap_dim(d, rank)
        raise RuntimeError("permute(): duplicate dims are not allowed.") from None


def _transposes() -> Iterator[Sample]:
    x = np.arange(24.0).reshape(2, 3, 4)
    yield sample(x, 0, 2)
    yield sample(x, -1, -2)
    yield sample(np.array(1.0), 0, -1)


@movement(
    node="TransposeBackward0",
    input=lambda ct, dim0, dim1: ct if ct.ndim == 0 else np.swapaxes(ct, dim0, dim1),
    batch=behind("dim0", "dim1"),
    samples=_transposes,
    errors=lambda: [error(IndexError, "Dimension out of range", np.zeros((2, 3)), 0, 2)],
    view=True,
    aliases="swapdims",
    numpy=np.swapaxes,
)
def transpose(input: Array, dim0: int, dim1: int) -> Array:
    """Exchange two dimensions."""
    rank = input.ndim
    if not (-rank <= dim0 < rank and -rank <= dim1 < rank):
        wrap_dim(dim0, rank), wrap_dim(dim1, rank)
        return input[...]
    return input.swapaxes(dim0, dim1) if input.__class__ is ndarray else np.swapaxes(input, dim0, dim1)


def _matrices() -> Iterator[Sample]:
    yield sample(np.arange(6.0).reshape(2, 3))
    yield sample(np.arange(3.0))
    yield sample(np.array(1.0))


@movement(
    node="TBackward0",
    input=lambda ct: ct if ct.ndim < 2 else np.transpose(ct),
    batch=lambda op, size, args, dims: (
        batching.front(args[0], dims[0])
        if args[0].ndim < 3
        else np.swapaxes(batching.front(args[0], dims[0]), 1, 2)
    ),
    samples=_matrices,
    errors=lambda: [
        error(RuntimeError, "t() expects a tensor with <= 2 dimensions, but self is 3D", np.zeros((1, 1, 1)))
    ],
    view=True,
)
def t(input: Array) -> Array:
    """Transpose a matrix; a vector or a scalar stays as it is."""
    if input.ndim == 2:
        return input.T if input.__class__ is ndarray else np.transpose(input)
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return input[...]


# ---- elements by their position ----


def _places() -> Iterator[Sample]:
    x = np.arange(6.0).reshape(2, 3)
    yield sample(x, (4, 3), (slice(1, 3), ...))
    yield sample(x, (2, 5, 3), (slice(None), 2, ...))
    yield sample(x, (2, 6), (slice(None), slice(0, 6, 2), ...))


@linear(
    node="PlaceBackward0",
    input=lambda ct, index: ct[index],
    promote="none",
    batch=lambda op, size, args, dims: place(
        batching.spread(args[0], dims[0], size), (size, *args[1]), (slice(None), *args[2])
    ),
    samples=_places,
    primitive=True,
    places="",
)
def place(input: Array, shape: tuple[int, ...], index: tuple[Any, ...]) -> Array:
    """Return zeros of `shape` with `input` at a basic index: the transpose of taking that index."""
    made = np.zeros(shape, input.dtype)
    made[index] = input
    return made


def _selects() -> Iterator[Sample]:
    x = np.arange(24.0).reshape(2, 3, 4)
    yield sample(x, 0, 1)
    yield sample(x, 1, -1)
    yield sample(x, -1, 2)
    yield sample(np.arange(3.0), 0, 1)


def _select_errors() -> Iterator[ErrorSample]:
    x = np.zeros((2, 3))
    yield error(
        IndexError, "select(): index 2 out of range for tensor of size [2, 3] at dimension 0", x, 0, 2
    )
    yield error(IndexError, "Dimension out of range", x, 2, 0)


@movement(
    node="SelectBackward0",
    input=lambda ct, input_shape, dim, index: place(ct, input_shape, at(dim % len(input_shape), int(index))),
    batch=behind("dim"),
    samples=_selects,
    errors=_select_errors,
    view=True,
)
def select(input: Array, dim: int, index: int) -> Array:
    """Take the elements at one position along `dim`, which disappears."""
    if input.ndim == 0:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    if dim:
        dim = wrap_dim(dim, input.ndim)
    try:
        return input[index, ...] if dim == 0 else input[at(dim, index)]
    except IndexError:
        raise IndexError(
            f"select(): index {int(index)} out of range for tensor of size {list(input.shape)} at "
            f"dimension {dim}"
        ) from None


def _slices() -> Iterator[Sample]:
    x = np.arange(24.0).reshape(2, 3, 4)
    yield sample(x, 0, 1, 2, 1)
    yield sample(x, 2, None, None, 2)
    yield sample(x, -2, -2, 10, 1)
    yield sample(x, 1, 2, 1, 1)


@movement(
    node="SliceBackward0",
    input=lambda ct, input_shape, dim, start, end, step: place(
        ct, input_shape, at(dim % len(input_shape), slice(start, end, step))
    ),
    batch=behind("dim"),
    samples=_slices,
    view=True,
    name="slice",
    places="",
)
def slice_(input: Array, dim: int, start: int | None, end: int | None, step: int | None) -> Array:
    """Take the elements of a range of positions along `dim`."""
    return (
        input[start:end:step] if dim == 0 else input[at(wrap_dim(dim, input.ndim), slice(start, end, step))]
    )


@movement(
    node="AliasBackward0",
    input=lambda ct: ct,
    batch=lambda op, size, args, dims: batching.front(args[0], dims[0]),
    samples=_matrices,
    view=True,
    places="",
)
def alias(input: Array) -> Array:
    """Return a view of everything."""
    return input[...]


@movement(
    node="CloneBackward0",
    input=lambda ct: ct,
    batch=lambda op, size, args, dims: np.copy(batching.front(args[0], dims[0])),
    samples=_matrices,
    numpy={np.copy: lambda a, order="K": (a, None)},
)
def clone(input: Array, *, memory_format: Any = None) -> Array:
    """Copy the elements into memory of their own, in the same order unless `memory_format` says another."""
    if input.__class__ is not ndarray:
        return np.copy(input)
    if memory_format is None or memory_format.name == "preserve_format":
        return input.copy("K")
    return in_format(input, memory_format)


def in_format(array: Any, memory_format: Any) -> Any:
    """Return a copy whose dimensions lie in memory as the format says.

    Raises:
        RuntimeError: the format is for tensors of another number of dimensions.
    """
    if memory_format.name == "contiguous_format":
        return array.copy("C")
    rank = 4 if memory_format.name == "channels_last" else 5
    if array.ndim != rank:
        raise RuntimeError(f"required rank {rank} tensor to use {memory_format.name} format")
    return np.moveaxis(np.moveaxis(array, 1, -1).copy("C"), -1, 1)
