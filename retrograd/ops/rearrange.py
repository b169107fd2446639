"""Copies in another arrangement: reversed, rolled, turned, repeated, one triangle only, in another dtype."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.declare import Array, ErrorSample, Sample, error, sample
from retrograd.ops.families import linear, movement
from retrograd.ops.helpers import cast, numpy_dtype, wrap_dim, wrap_dims
from retrograd.ops.order import in_format
from retrograd.ops.shape import at, behind, reshaped

ndarray = np.ndarray


def _matrix() -> Any:
    return np.arange(12.0).reshape(3, 4) - 4


def fresh(array: Any) -> Any:
    """Return an array in memory of its own, from the first element to the last."""
    return array.copy() if array.__class__ is ndarray else np.copy(array)


_ALL, _BACK = slice(None), slice(None, None, -1)


def _flips() -> Iterator[Sample]:
    yield sample(_matrix(), (0,))
    yield sample(_matrix(), (0, -1))
    yield sample(np.array(1.0), ())


@movement(
    node="FlipBackward0",
    input=lambda ct, dims: np.flip(ct, tuple(dims)),
    batch=behind("dims"),
    samples=_flips,
    errors=lambda: [
        error(RuntimeError, "dim 0 appears multiple times in the list of dims", np.zeros((2, 2)), (0, 0))
    ],
    numpy={
        np.flip: lambda m, axis=None: (
            m,
            tuple(range(m.ndim)) if axis is None else (axis,) if isinstance(axis, int) else axis,
        )
    },
    places="",
)
def flip(input: Array, dims: tuple[int, ...]) -> Array:
    """Reverse the order along dimensions."""
    axes = wrap_dims(dims, input.ndim) if dims else ()
    if input.__class__ is ndarray:
        return input[tuple([_BACK if d in axes else _ALL for d in range(input.ndim)])].copy()
    return np.flip(input, axes)


def _rolls() -> Iterator[Sample]:
    yield sample(_matrix(), 1)
    yield sample(_matrix(), (1, -2), (0, 1))
    yield sample(_matrix(), -1, -1)


def _roll_errors() -> Iterator[ErrorSample]:
    yield error(
        RuntimeError, "shifts and dimensions must align. shifts: 2, dims:1", np.zeros((2, 2)), (1, 2), 0
    )
    yield error(RuntimeError, "`shifts` required", np.zeros((2, 2)), ())


def _tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else () if value is None else (value,)


def _roll_batch(op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    x = batching.spread(args[0], dims[0], size)
    if _tuple(args[2]):
        return np.roll(x, _tuple(args[1]), tuple(d + 1 if d >= 0 else d for d in _tuple(args[2])))
    return reshaped(np.roll(reshaped(x, (size, -1)), _tuple(args[1]), 1), x.shape)


@movement(
    node="RollBackward0",
    input=lambda ct, shifts, dims: _rolled(ct, tuple(-s for s in _tuple(shifts)), _tuple(dims)),
    batch=_roll_batch,
    samples=_rolls,
    errors=_roll_errors,
    numpy={np.roll: lambda a, shift, axis=None: (a, shift, axis)},
)
def roll(input: Array, shifts: Any, dims: Any = ()) -> Array:
    """Shift elements along dimensions (all in a row if none are named); what falls off comes in again."""
    shifts, dims = _tuple(shifts), _tuple(dims)
    if not shifts:
        raise RuntimeError("`shifts` required")
    if len(shifts) != len(dims) and not (len(shifts) == 1 and not dims):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}")
    return _rolled(input, shifts, dims)


def _rolled(x: Any, shifts: tuple[int, ...], dims: tuple[int, ...]) -> Any:
    if x.__class__ is not ndarray:
        return np.roll(x, shifts, dims) if dims else np.roll(x, shifts[0], None)
    if not dims:
        return _rolled_one(x.reshape(-1), shifts[0], 0).reshape(x.shape)
    if not x.ndim:
        return x.copy()
    for shift, dim in zip(shifts, dims, strict=True):
        x = _rolled_one(x, shift, wrap_dim(dim, x.ndim))
    return x


def _rolled_one(x: Any, shift: int, d: int) -> Any:
    """Roll along one dimension: two blocks change places."""
    cut = -shift % x.shape[d] if x.shape[d] else 0
    return np.concatenate([x[at(d, slice(cut, None))], x[at(d, slice(cut))]], d)


def _turns() -> Iterator[Sample]:
    for k in (0, 1, 2, -1, 5):
        yield sample(_matrix(), k)
    yield sample(_matrix(), 1, (1, 0))


def _turn_errors() -> Iterator[ErrorSample]:
    x = np.zeros((2, 2))
    yield error(
        RuntimeError, "expected rotation dims to be different, but got dim0 = 0 and dim1 = 0", x, 1, (0, 0)
    )
    yield error(RuntimeError, "expected total rotation dims == 2, but got dims = 1", x, 1, (0,))
    yield error(RuntimeError, "expected total dims >= 2, but got total dims = 1", np.zeros(2))


@movement(
    node="Rot90Backward0",
    input=lambda ct, k, dims: np.rot90(ct, -k, tuple(dims)),
    batch=behind("dims"),
    samples=_turns,
    errors=_turn_errors,
    numpy={np.rot90: lambda m, k=1, axes=(0, 1): (m, k, axes)},
)
def rot90(input: Array, k: int = 1, dims: Sequence[int] = (0, 1)) -> Array:
    """Turn by 90 degrees `k` times, from the first of two dimensions towards the second."""
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if input.ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {input.ndim}")
    first, second = dims
    if first == second or abs(first - second) == input.ndim:
        raise RuntimeError(
            f"expected rotation dims to be different, but got dim0 = {first} and dim1 = {second}"
        )
    for i, d in enumerate(dims):
        if not -input.ndim <= d < input.ndim:
            raise RuntimeError(f"Rotation dim{i} out of range, dim{i} = {d}")
    return fresh(np.rot90(input, k, (first, second)))


def _repeats() -> Iterator[Sample]:
    yield sample(_matrix(), (2, 1))
    yield sample(_matrix(), (2, 1, 3))
    yield sample(np.array(1.0), (2,))
    yield sample(_matrix(), (0, 2))


def _repeat_errors() -> Iterator[ErrorSample]:
    yield error(RuntimeError,
        "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
                "tensor", np.zeros((2, 3)), (2,))  # fmt: skip
    yield error(
        RuntimeError, "Trying to create tensor with negative dimension -2: [-2, 6]", np.zeros((2, 3)), (-1, 2)
    )


def _unrepeat(ct: Any, shape: Sequence[int], repeats: Sequence[int]) -> Any:
    shape = (*(1,) * (len(repeats) - len(shape)), *shape)
    pairs = [n for r, s in zip(repeats, shape, strict=True) for n in (r, s)]
    return np.sum(reshaped(ct, pairs), axis=tuple(range(0, len(pairs), 2)))


@movement(
    node="RepeatBackward0",
    input=lambda ct, input_shape, repeats: reshaped(_unrepeat(ct, input_shape, repeats), input_shape),
    batch=lambda op, size, args, dims: _repeat_batch(size, args, dims),
    samples=_repeats,
    errors=_repeat_errors,
    numpy={
        np.tile: lambda *given: (given[0], (1,) * (given[0].ndim - len(_tuple(given[1]))) + _tuple(given[1]))
    },
    places="",
)
def repeat(input: Array, repeats: tuple[int, ...]) -> Array:
    """Lay copies side by side: `repeats[i]` of them along dimension i of the result."""
    if len(repeats) < input.ndim:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor"
        )
    if any(r < 0 for r in repeats):
        padded = (*(1,) * (len(repeats) - input.ndim), *input.shape)
        sizes = [r * n for r, n in zip(repeats, padded, strict=True)]
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(sizes)}: {sizes}")
    return np.tile(input, tuple(repeats))


def _repeat_batch(size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    x = batching.spread(args[0], dims[0], size)
    return np.tile(reshaped(x, (size, *(1,) * (len(args[1]) - x.ndim + 1), *x.shape[1:])), (1, *args[1]))


def _triangles() -> Iterator[Sample]:
    yield sample(_matrix())
    yield sample(_matrix(), 1)
    yield sample(np.ones((2, 3, 3)), -1)


_MASKS = 2**16  # elements of a matrix up to which its mask is kept: making it takes longer than using it
_ZERO = np.zeros((), np.bool_)


@lru_cache(maxsize=32)
def _lower(rows: int, columns: int, diagonal: int) -> Any:
    return np.tri(rows, columns, diagonal, np.bool_)


def _triangle(name: str) -> Any:
    return {
        "batch": lambda op, size, args, dims: batching.call(
            op, [batching.spread(args[0], dims[0], size), args[1]]
        ),
        "samples": _triangles,
        "errors": lambda: [
            error(RuntimeError, f"{name}: input tensor must have at least 2 dimensions", np.zeros(3))
        ],
        "promote": "none",
        "inplace": True,
    }


@linear(
    node="TrilBackward0",
    input=lambda ct, diagonal: np.tril(ct, diagonal),
    numpy={np.tril: lambda m, k=0: (m, k)},
    **_triangle("tril"),
)
def tril(input: Array, diagonal: int = 0) -> Array:
    """Keep what lies on and below a diagonal of the last two dimensions; zeros above."""
    if input.ndim < 2:
        raise RuntimeError("tril: input tensor must have at least 2 dimensions")
    if input.__class__ is ndarray and input.shape[-2] * input.shape[-1] <= _MASKS:
        return np.where(_lower(*input.shape[-2:], diagonal), input, _ZERO.astype(input.dtype))
    return np.tril(input, diagonal)


@linear(
    node="TriuBackward0",
    input=lambda ct, diagonal: np.triu(ct, diagonal),
    numpy={np.triu: lambda m, k=0: (m, k)},
    **_triangle("triu"),
)
def triu(input: Array, diagonal: int = 0) -> Array:
    """Keep what lies on and above a diagonal of the last two dimensions; zeros below."""
    if input.ndim < 2:
        raise RuntimeError("triu: input tensor must have at least 2 dimensions")
    if input.__class__ is ndarray and input.shape[-2] * input.shape[-1] <= _MASKS:
        return np.where(_lower(*input.shape[-2:], diagonal - 1), _ZERO.astype(input.dtype), input)
    return np.triu(input, diagonal)


def _casts() -> Iterator[Sample]:
    yield sample(_matrix(), np.dtype(np.float64))
    yield sample(_matrix(), np.dtype(np.complex128))


@linear(
    node="ToCopyBackward0",
    input=lambda ct, input_dtype: cast(
        ct.real if ct.dtype.kind == "c" != input_dtype.kind else ct, input_dtype
    ),
    promote="none",
    batch=lambda op, size, args, dims: batching.call(op, [batching.front(args[0], dims[0]), *args[1:]]),
    samples=_casts,
    places="",
)
def to_copy(input: Array, dtype: Any, memory_format: Any = None) -> Array:
    """Copy into another dtype; complex numbers lose their imaginary part where it has no place."""
    dtype = numpy_dtype(dtype)
    if input.__class__ is not ndarray:
        return cast(input, dtype)
    if input.dtype.kind == "c" and dtype.kind not in "cb":
        input = input.real
    made = input.astype(dtype)
    return (
        made
        if memory_format is None or memory_format.name == "preserve_format"
        else in_format(made, memory_format)
    )
