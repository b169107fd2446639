"""A vector of positions along one dimension: taken, added to, replaced, filled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.declare import TABLE, Array, ErrorSample, Operand, Plain, Sample, error, sample
from retrograd.ops.families import general, linear
from retrograd.ops.helpers import cast, name_of, numpy_dtype, wrap_dim
from retrograd.ops.index import accumulate, out_of_bounds, outside
from retrograd.ops.index_batching import read
from retrograd.ops.shape import at

_ALL = slice(None)


def _shared_index(place: int) -> Any:
    """Return a batching rule for an index (argument `place`) that all elements share; else one by one."""

    def batch(op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
        if op.name == "index_select" and dims[place] is not None and np.ndim(args[place]) == 2:
            rank = np.ndim(args[0]) - (dims[0] is not None)
            if rank:
                given = (args[0], [args[place]], (args[1] % rank,))
                return read(TABLE["index_many"], size, given, (dims[0], [dims[place]], None))
        if dims[place] is not None or (op.name == "index_fill" and dims[3] is not None):
            return batching.loop(op, size, args, dims)
        tensors = [
            not p.is_static and i != place and d is not None
            for i, (p, d) in enumerate(zip(op.parameters, dims, strict=True))
        ]
        ready = [batching.front(a, d) if t else a for a, d, t in zip(args, dims, tensors, strict=True)]
        ready[0] = batching.spread(args[0], dims[0], size)
        if len(args) > 3 and op.parameters[3].kind == "tensor" and dims[3] is None:
            ready[3] = batching.spread(args[3], None, size)
        ready[1] = args[1] + 1 if args[1] >= 0 else args[1]
        return batching.call(op, ready)

    return batch


def _selects() -> Iterator[Sample]:
    x = np.arange(12.0).reshape(3, 4)
    yield sample(x, 0, np.array([2, 0, 2]))
    yield sample(x, -1, np.array([1]))
    yield sample(np.arange(3.0), 0, np.array(1))


def _select_errors() -> Iterator[ErrorSample]:
    x = np.zeros((2, 3))
    yield error(IndexError, "index out of range in self", x, 0, np.array([2]))
    yield error(
        RuntimeError, "index_select(): Expected dtype int32 or int64 for index", x, 0, np.array([0.0])
    )
    yield error(IndexError, "index_select(): Index is supposed to be a vector", x, 0, np.array([[0]]))


@linear(
    node="IndexSelectBackward0",
    input=lambda ct, input_shape, dim, index: _unselect(ct, input_shape, dim, index),
    promote="none",
    batch=_shared_index(2),
    samples=_selects,
    errors=_select_errors,
    primitive=True,
)
def index_select(input: Array, dim: int, index: Plain) -> Array:
    """Take the elements at a vector of positions along a dimension."""
    d = wrap_dim(dim, input.ndim)
    if index.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    if index.dtype.kind != "i" or index.dtype.itemsize < 4:
        raise RuntimeError("index_select(): Expected dtype int32 or int64 for index")
    size = input.shape[d] if input.ndim else 1
    if outside(index, size):
        raise IndexError("index out of range in self")
    if input.ndim == 0:
        if index.size != 1:
            raise RuntimeError(
                f"index_select(): Index to scalar can have only 1 value, got {index.size} value(s)"
            )
        return np.array(input)
    return input.take(index.reshape(-1), d)


def _unselect(ct: Any, shape: Sequence[int], dim: int, index: Any) -> Any:
    return accumulate(ct, tuple(shape), _vector(index), dim % len(shape)) if shape else ct


def _vector(index: Any) -> Any:
    return index if index.ndim == 1 else np.reshape(index, (-1,))


def _adds() -> Iterator[Sample]:
    x = np.arange(12.0).reshape(3, 4)
    yield sample(x, 0, np.array([2, 0]), np.ones((2, 4)) * 3)
    yield sample(x, -1, np.array([1, 1, 0]), np.arange(9.0).reshape(3, 3), alpha=2.0)


def _add_errors() -> Iterator[ErrorSample]:
    x, i = np.zeros((2, 3)), np.array([0, 1])
    yield error(RuntimeError,
        "index_add_(): Number of indices (2) should be equal to source.size(dim): (3), for dim: 0",
                x, 0, i, np.zeros(3))  # fmt: skip
    yield error(RuntimeError,
        "index_add_(): self (Double) and source (Float) must have the same scalar type", x, 0, i,
                np.zeros((2, 3), np.float32))  # fmt: skip


def _check_source(input: Any, d: int, index: Any, source: Any) -> None:
    if index.ndim > 1:
        raise IndexError("index_add_(): Index is supposed to be a vector")
    if index.dtype.kind != "i" or index.dtype.itemsize < 4:
        raise RuntimeError("index_add_(): Expected dtype int32/int64 for index")
    if source.dtype != input.dtype:
        raise RuntimeError(
            f"index_add_(): self ({name_of(input)}) and source ({name_of(source)}) must have the same "
            "scalar type"
        )
    given = source.shape[d] if source.ndim > d else 1
    if index.size != given:
        raise RuntimeError(
            f"index_add_(): Number of indices ({index.size}) should be equal to source.size(dim): "
            f"({given}), for dim: {d}"
        )
    if (*input.shape[:d], *input.shape[d + 1 :]) != (*source.shape[:d], *source.shape[d + 1 :]):
        raise RuntimeError(
            "source tensor shape must match self tensor shape, excluding the specified dimension. Got "
            "self.shape = "
            f"{list(input.shape)} source.shape = {list(source.shape)}"
        )
    wrong = index.size and out_of_bounds(index, input.shape[d] if input.ndim else 1, d)
    if wrong:
        raise RuntimeError(wrong)


@general(
    node="IndexAddBackward0",
    input=lambda ct: ct,
    source=lambda ct, source_shape, dim, index, alpha: _source_ct(ct, source_shape, dim, index, alpha),
    jvp="linear",
    batch=_shared_index(2),
    samples=_adds,
    errors=_add_errors,
    inplace=True,
    primitive=True,
)
def index_add(input: Array, dim: int, index: Plain, source: Array, *, alpha: float = 1) -> Array:
    """Add slices of `source`, times `alpha`, to the slices of `input` at a vector of positions."""
    d = wrap_dim(dim, input.ndim)
    _check_source(input, d, index, source)
    scaled = source if alpha == 1 else (source * np.asarray(alpha).astype(source.dtype))
    if input.ndim == 0:
        return input + scaled.reshape(())
    index = index.reshape(-1)
    added = accumulate.definition(scaled, input.shape, index, d)  # type: ignore[attr-defined]  # an Op
    return (input + added).astype(input.dtype)


def _source_ct(ct: Any, shape: Sequence[int], dim: int, index: Any, alpha: Any) -> Any:
    if ct.ndim == 0:
        found = np.reshape(ct, tuple(shape))
    else:
        found = index_select(ct, dim, index)
    return found if alpha == 1 else cast(found * alpha, numpy_dtype(ct.dtype))


def _copies() -> Iterator[Sample]:
    x = np.arange(12.0).reshape(3, 4)
    yield sample(x, 0, np.array([2, 0]), np.ones((2, 4)) * 3)
    yield sample(x, -1, np.array([1]), np.ones((3, 1)))


@general(
    node="IndexCopyBackward0",
    input=lambda ct, dim, index: index_fill(ct, dim, index, 0),
    source=lambda ct, source_shape, dim, index: _source_ct(ct, source_shape, dim, index, 1),
    jvp="linear",
    batch=_shared_index(2),
    samples=_copies,
    inplace=True,
    primitive=True,
)
def index_copy(input: Array, dim: int, index: Plain, source: Array) -> Array:
    """Replace the slices of `input` at a vector of positions by those of `source`."""
    d = wrap_dim(dim, input.ndim)
    if source.dtype != input.dtype:
        raise RuntimeError(
            "index_copy_(): self and source expected to have the same dtype, but got (self) "
            f"{name_of(input)} and (source) {name_of(source)}"
        )
    given = source.shape[d] if source.ndim > d else 1
    if index.size != given:
        raise IndexError(
            f"index_copy_(): Number of indices ({index.size}) should be equal to source.size(dim) ({given})"
        )
    wrong = out_of_bounds(index, input.shape[d] if input.ndim else 1, d)
    if wrong:
        raise IndexError(f"index_copy_(): {wrong}")
    if input.ndim == 0:
        return source.reshape(()).copy()
    made = np.array(input)
    made[at(d, index.reshape(-1))] = source
    return made


def _fills() -> Iterator[Sample]:
    x = np.arange(12.0).reshape(3, 4)
    yield sample(x, 0, np.array([2, 0]), 1.5)
    yield sample(x, -1, np.array([1, -1]), np.array(2.5))


@general(
    node=lambda value: f"IndexFillBackward{int(hasattr(value, 'ndim'))}",
    input=lambda ct, dim, index: index_fill(ct, dim, index, 0),
    value=lambda ct, dim, index: np.sum(ct - index_fill(ct, dim, index, 0)),
    jvp={
        "input": lambda t, dim, index: index_fill(t, dim, index, 0),
        "value": lambda t, input, dim, index: index_fill(0 * input, dim, index, t),
    },
    batch=_shared_index(2),
    samples=_fills,
    inplace=True,
    primitive=True,
)
def index_fill(input: Array, dim: int, index: Plain, value: Operand) -> Array:
    """Set the slices of `input` at a vector of positions to one value."""
    d = wrap_dim(dim, input.ndim)
    if np.ndim(value):
        raise RuntimeError(
            f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {np.ndim(value)} "
            "dimension(s)."
        )
    if index.dtype.kind != "i":
        raise IndexError("index_fill_(): Expected dtype int64 for index.")
    wrong = out_of_bounds(index, input.shape[d] if input.ndim else 1, d)
    if wrong:
        raise IndexError(wrong)
    if input.ndim == 0:
        return np.asarray(value).astype(input.dtype).reshape(())
    made = np.array(input)
    made[at(d, index.reshape(-1))] = value
    return made
