"""Views: the same elements under another shape, order or window.

Every definition is one NumPy call that copies nothing. A rule gives the cotangent back in the input's shape:
by the inverse view where there is one, otherwise by `place`, which puts elements at their index into zeros.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.declare import Array, ErrorSample, Sample, error, sample
from retrograd.ops.families import movement
from retrograd.ops.helpers import wrap_dim, wrap_dims

ndarray = np.ndarray
_ALL = slice(None)


# ---- what rules and definitions of this and the neighbouring files share ----


def reshaped(x: Any, shape: Sequence[int]) -> Any:
    """Return `x` in another shape; on ndarrays by the method, five times faster than the function."""
    return x.reshape(shape) if x.__class__ is ndarray else np.reshape(x, tuple(shape))


def at(dim: int, index: Any) -> tuple[Any, ...]:
    """Return the basic index that applies `index` to dimension `dim` (counted from the front)."""
    return (*(_ALL,) * dim, index, ...)


def sum_to(ct: Any, shape: Sequence[int]) -> Any:
    """Sum a cotangent over the dimensions that an input of `shape` was expanded along."""
    extra = ct.ndim - len(shape)
    if extra:
        ct = np.sum(ct, axis=tuple(range(extra)))
    axes = tuple(i for i, n in enumerate(shape) if n != ct.shape[i])
    return np.sum(ct, axis=axes, keepdims=True) if axes else ct


def behind(*names: str) -> Callable[..., Any]:
    """Return the batching rule of an op on one tensor whose parameters `names` are dimensions of it."""

    def batch(op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
        ready = list(args)
        ready[0] = batching.spread(args[0], dims[0], size)
        rank = ready[0].ndim - 1
        if rank == 0:
            return batching.loop(op, size, args, dims)  # a scalar has dimension 0 in name only
        for i, parameter in enumerate(op.parameters):
            if parameter.name in names:
                ready[i] = shifted(ready[i], rank)
        return batching.call(op, ready)

    return batch


def shifted(dim: Any, rank: int) -> Any:
    """Return dimensions of a tensor of `rank` dimensions as they are behind a batch; None means all."""
    if dim is None:
        return tuple(range(1, rank + 1))
    if isinstance(dim, (tuple, list)):
        return tuple(d + 1 if d >= 0 else d for d in dim)
    return dim + 1 if dim >= 0 else dim


def sized(op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    """Batch an op whose second argument is the shape of its result."""
    return batching.call(op, [batching.spread(args[0], dims[0], size), (size, *args[1]), *args[2:]])


def infer(shape: Sequence[int], size: int) -> tuple[int, ...]:
    """Return a shape with its -1 filled in for a tensor of `size` elements.

    Raises:
        RuntimeError: the shape does not fit.
    """
    shape = tuple(shape)
    known = 1
    gap = None
    for i, n in enumerate(shape):
        if n == -1:
            if gap is not None:
                raise RuntimeError("only one dimension can be inferred")
            gap = i
        elif n < 0:
            raise RuntimeError(f"invalid shape dimension {n} at index {i} of shape {list(shape)}")
        else:
            known *= n
    if gap is not None and known and size % known == 0:
        return (*shape[:gap], size // known, *shape[gap + 1 :])
    if gap is not None and known == 0 and size == 0:
        raise RuntimeError(
            f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified "
            "dimension size -1 "
            "can be any value and is ambiguous"
        )
    if gap is not None or known != size:
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {size}")
    return shape


# ---- shape ----


def _shapes() -> Iterator[Sample]:
    x = np.arange(12.0).reshape(3, 4)
    yield sample(x, (2, 6))
    yield sample(x, (-1,))
    yield sample(x, (3, -1, 2))
    yield sample(np.array(2.0), (1, 1))
    yield sample(np.zeros((0, 3)), (3, 0))


def _shape_errors() -> Iterator[ErrorSample]:
    x = np.zeros((2, 3))
    yield error(RuntimeError, "shape '[4, 2]' is invalid for input of size 6", x, (4, 2))
    yield error(RuntimeError, "only one dimension can be inferred", x, (-1, -1))
    yield error(RuntimeError, "invalid shape dimension -2 at index 0 of shape [-2, 3]", x, (-2, 3))


@movement(
    node="ViewBackward0",
    input=lambda ct, input_shape: reshaped(ct, input_shape),
    batch=lambda op, size, args, dims: reshaped(
        batching.spread(args[0], dims[0], size), (size, *infer(args[1], math.prod(args[0].shape) // size))
    ),
    samples=_shapes,
    errors=_shape_errors,
    view=True,
    places="",
)
def view(input: Array, size: tuple[int, ...]) -> Array:
    """Look at the elements under another shape, without a copy.

    Raises:
        RuntimeError: the shape does not fit, or the elements do not lie so in memory.
    """
    if input.__class__ is not ndarray:
        return np.reshape(input, infer(size, math.prod(input.shape)))
    try:
        made = input.reshape(size, copy=False)
    except ValueError:
        infer(size, input.size)
    else:
        if made.shape != size:  # it had a -1; NumPy takes any negative number for one
            infer(size, input.size)
        return made
    raise RuntimeError(
        "view size is not compatible with input tensor's size and stride (at least one dimension spans "
        "across two contiguous subspaces). Use .reshape(...) instead."
        f"\n[got shape {input.shape} to view as {tuple(size)}]"
    )


def _reshape_node(input: Any, shape: Any) -> str:
    array = getattr(input, "_array", input)
    if array.flags.c_contiguous:
        return "ViewBackward0"
    try:
        array.reshape(shape, copy=False)
    except ValueError:
        return "UnsafeViewBackward0"
    return "ReshapeAliasBackward0"


@movement(
    node=_reshape_node,
    input=lambda ct, input_shape: reshaped(ct, input_shape),
    batch=view.batch,  # type: ignore[attr-defined]  # an Op
    samples=_shapes,
    errors=_shape_errors,
    view=True,
    places="",
    numpy={
        np.reshape: lambda a, shape, order="C": (a, (shape,) if isinstance(shape, int) else shape),
        np.ravel: lambda a, order="C": (a, (-1,)),
    },
)
def reshape(input: Array, shape: tuple[int, ...]) -> Array:
    """Return the elements under another shape: a view where their place in memory allows it, else a copy."""
    if input.__class__ is not ndarray:
        return np.reshape(input, infer(shape, math.prod(input.shape)))
    try:
        made = input.reshape(shape)
    except ValueError:
        made = None
    if made is None or made.shape != shape:  # it had a -1; NumPy takes any negative number for one
        infer(shape, input.size)
    return made


@movement(
    node="UnsafeViewBackward0",
    input=lambda ct, input_shape: reshaped(ct, input_shape),
    batch=view.batch,  # type: ignore[attr-defined]  # an Op
    samples=_shapes,
    places="",
)
def unsafe_view(input: Array, shape: tuple[int, ...]) -> Array:
    """Return a new tensor's elements under another shape; nobody else sees it, so it counts as no view."""
    return np.reshape(input, infer(shape, math.prod(input.shape)))


def _squeezes() -> Iterator[Sample]:
    x = np.arange(6.0).reshape(1, 2, 1, 3)
    yield sample(x)
    yield sample(x, 0)
    yield sample(x, -2)
    yield sample(x, 1)
    yield sample(x, (0, 1, 2))
    yield sample(np.array(1.0), 0)


def _squeeze_node(dim: Any) -> str:
    return f"SqueezeBackward{0 if dim is None else 1 if isinstance(dim, int) else 2}"


@movement(
    node=_squeeze_node,
    input=lambda ct, input_shape: reshaped(ct, input_shape),
    batch=behind("dim"),
    samples=_squeezes,
    view=True,
    numpy={np.squeeze: lambda a, axis=None: (a, axis)},
)
def squeeze(input: Array, dim: int | tuple[int, ...] | None = None) -> Array:
    """Drop the dimensions of size 1: all, or those named that have it."""
    shape = input.shape
    if dim is None:
        return (
            reshaped(input, [n for n in shape if n != 1])
            if input.__class__ is not ndarray
            else input.squeeze()
        )
    dims = (
        (wrap_dim(dim, len(shape)),)
        if isinstance(dim, int)
        else wrap_dims(tuple(dim), len(shape))
        if dim
        else ()
    )
    axes = tuple(d for d in dims if d < len(shape) and shape[d] == 1)
    if not axes:
        return input[...]
    return input.squeeze(axes) if input.__class__ is ndarray else np.squeeze(input, axes)


def _unsqueezes() -> Iterator[Sample]:
    x = np.arange(6.0).reshape(2, 3)
    for d in (0, 1, 2, -1, -3):
        yield sample(x, d)
    yield sample(np.array(1.0), 0)


@movement(
    node="UnsqueezeBackward0",
    input=lambda ct, input_shape: reshaped(ct, input_shape),
    batch=behind("dim"),
    samples=_unsqueezes,
    errors=lambda: [error(IndexError, "Dimension out of range", np.zeros((2, 3)), 3)],
    view=True,
    numpy={np.expand_dims: lambda a, axis: (a, axis)},
)
def unsqueeze(input: Array, dim: int) -> Array:
    """Insert a dimension of size 1 at `dim`."""
    if dim == 0:
        return input[None]
    return input[(*(_ALL,) * wrap_dim(dim, input.ndim + 1), None)]


def _expands() -> Iterator[Sample]:
    yield sample(np.arange(3.0), (2, 3))
    yield sample(np.arange(3.0)[:, None], (2, -1, 4))
    yield sample(np.array(1.5), (2, 2))
    yield sample(np.zeros((1, 3)), (0, 3))


def _expand_errors() -> Iterator[ErrorSample]:
    yield error(RuntimeError,
        "must match the existing size (3) at non-singleton dimension 1.  Target sizes: [2, 4]."
                "  Tensor sizes: [3]", np.zeros(3), (2, 4))  # fmt: skip
    yield error(RuntimeError, "isn't allowed in a leading, non-existing dimension 0", np.zeros(3), (-1, 3))


@movement(
    node="ExpandBackward0",
    input=lambda ct, input_shape: sum_to(ct, input_shape),
    batch=lambda op, size, args, dims: _expand_batch(op, size, args, dims),
    samples=_expands,
    errors=_expand_errors,
    view=True,
    places="",
    numpy={
        np.broadcast_to: lambda array, shape: (array, (shape,) if isinstance(shape, int) else tuple(shape))
    },
)
def expand(input: Array, size: tuple[int, ...]) -> Array:
    """Repeat dimensions of size 1, and new ones in front, without a copy; -1 keeps a size."""
    shape = _expanded(input.shape, size)
    if input.__class__ is not ndarray:
        return np.broadcast_to(input, shape)
    flags = input.flags
    if flags.c_contiguous and flags.writeable and input.size:
        strides = [0] * (len(shape) - input.ndim)
        for n, m, s in zip(input.shape, shape[len(strides) :], input.strides, strict=True):
            strides.append(s if n == m else 0)
        return ndarray(shape, input.dtype, input, 0, strides)
    made = np.broadcast_to(input, shape)
    made.flags.writeable = input.flags.writeable
    return made


def _expanded(have: tuple[int, ...], size: Sequence[int]) -> tuple[int, ...]:
    extra = len(size) - len(have)
    if extra >= 0:
        for n, m in zip(have, size[extra:], strict=True):
            if n != m and (n != 1 or m < 0):
                break
        else:
            if not extra or min(size[:extra]) >= 0:
                return tuple(size)
    if extra < 0:
        raise RuntimeError(
            f"expand(torch.FloatTensor{{{list(have)}}}, size={list(size)}): the number of sizes provided "
            f"({len(size)}) must be greater or equal to the number of dimensions in the tensor ({len(have)})"
        )
    shape = []
    for i, n in enumerate(size):
        old = have[i - extra] if i >= extra else 1
        if n == -1:
            if i < extra:
                raise RuntimeError(
                    "The expanded size of the tensor (-1) isn't allowed in a leading, non-existing "
                    f"dimension {i}"
                )
            n = old
        elif old != n and (old != 1 or n < 0):
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({old}) at "
                "non-singleton "
                f"dimension {i}.  Target sizes: {list(size)}.  Tensor sizes: {list(have)}"
            )
        shape.append(n)
    return tuple(shape)


def _expand_batch(op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    x = batching.spread(args[0], dims[0], size)
    shape = _expanded(x.shape[1:], args[1])
    x = reshaped(x, (size, *(1,) * (len(shape) - x.ndim + 1), *x.shape[1:]))
    return np.broadcast_to(x, (size, *shape))


def whole(dim: Any) -> int:
    """Return a static number as an int; a 0-dim integer tensor counts as one."""
    return operator.index(dim)
