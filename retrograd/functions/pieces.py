"""Taking tensors apart, repeating their elements, and all that puts them together (from `joins.py`)."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd.autograd.dispatch import as_view
from retrograd.autograd.graph import Output
from retrograd.autograd.modes import modes
from retrograd.autograd.record import named_node_class
from retrograd.devices import contiguous_format
from retrograd.functions import joins
from retrograd.ops.declare import TABLE
from retrograd.ops.helpers import wrap_dim
from retrograd.tensor import Tensor, history, wrap

_index_select: Callable[..., Tensor] = TABLE["index_select"].function
_clone: Callable[..., Tensor] = TABLE["clone"].function
_expand: Callable[..., Tensor] = TABLE["expand"].function
_reshape: Callable[..., Tensor] = TABLE["reshape"].function
_slice: Callable[..., Tensor] = TABLE["slice"].function
_SPLIT, _SPLIT_WITH_SIZES, _UNBIND = (TABLE[name] for name in ("split", "split_with_sizes", "unbind"))
_split_with_sizes: Callable[..., tuple[Tensor, ...]] = TABLE["split_with_sizes"].function
_unsqueeze: Callable[..., Tensor] = TABLE["unsqueeze"].function
_view: Callable[..., Tensor] = TABLE["view"].function


# ---- apart ----


def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Cut a dimension into pieces of one size, or of the sizes given."""
    size = split_size_or_sections
    if isinstance(size, (tuple, list)):
        return _many(_SPLIT_WITH_SIZES, tensor, tuple(map(operator.index, size)), dim)
    if not hasattr(size, "__index__"):
        raise TypeError(
            "split_with_sizes(): argument 'split_sizes' (position 2) must be tuple of ints, not "
            f"{type(size).__name__}"
        )
    return _many(_SPLIT, tensor, operator.index(size), dim)


def _many(op: Any, tensor: Tensor, *args: Any) -> tuple[Tensor, ...]:
    """Run a view op with several results: what dispatch does, without what such ops never need."""
    if modes.special or not isinstance(tensor, Tensor):
        return op.function(tensor, *args)  # type: ignore[no-any-return]
    found = []
    for array in op.definition(tensor._array, *args):
        made = wrap(array)
        as_view(made, tensor, True)
        found.append(made)
    edge = history(tensor)
    if edge is not None:
        node = named_node_class(op, op.node)()
        node.stamp()
        node.edges = (edge,)
        node.saved_input_shape, node.saved_input_dtype = tensor._array.shape, tensor._array.dtype
        for parameter, value in zip(op.parameters[1:], args, strict=True):
            setattr(node, f"saved_{parameter.name}", value)
        for i, made in enumerate(found):
            made._node = Output(node, i, len(found))
    return tuple(found)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Return the slices along a dimension, which disappears."""
    return _many(_UNBIND, input, dim)


def _split_method(tensor: Tensor, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Cut a dimension into pieces of one size, or of the sizes given."""
    return split(tensor, split_size, dim)


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Cut a dimension into at most `chunks` pieces of one size."""
    if input._array.ndim == 0:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    size = input._array.shape[wrap_dim(dim, input._array.ndim)]
    if size == 0:
        return _split_with_sizes(input, (0,) * chunks, dim)
    return _many(_SPLIT, input, -(-size // chunks), dim)


def tensor_split(
    input: Tensor, indices_or_sections: Any = None, dim: int = 0, *, indices: Any = None, sections: Any = None
) -> tuple[Tensor, ...]:
    """Cut a dimension at the positions given, or into a number of pieces as equal as can be."""
    given = next(g for g in (indices_or_sections, indices, sections) if g is not None)
    if input._array.ndim == 0:
        raise RuntimeError(
            "tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims"
        )
    d = wrap_dim(dim, input._array.ndim)
    size = input._array.shape[d]
    if isinstance(given, Tensor):
        given = given.tolist()
    if isinstance(given, (tuple, list)):
        cuts = [None, *map(operator.index, given), None]
        return tuple(_slice(input, d, a, b, None) for a, b in itertools.pairwise(cuts))
    count = operator.index(given)
    if count <= 0:
        raise RuntimeError(f"number of sections must be larger than 0, got {count}")
    least, more = divmod(size, count)
    ends = list(itertools.accumulate(least + (i < more) for i in range(count)))
    return tuple(_slice(input, d, a, b, None) for a, b in zip([0, *ends], ends, strict=False))


def _directed(name: str, rank: int, dim: int) -> Callable[..., Any]:
    """Return hsplit, vsplit or dsplit: tensor_split along one direction, into equal pieces only."""

    def function(
        input: Tensor, indices_or_sections: Any = None, *, indices: Any = None, sections: Any = None
    ) -> Any:
        given = next(g for g in (indices_or_sections, indices, sections) if g is not None)
        shape = input._array.shape
        if len(shape) < rank:
            raise RuntimeError(
                f"torch.{name} requires a tensor with at least {rank} dimension, but got a tensor with "
                f"{len(shape)} "
                "dimensions!"
            )
        d = 0 if len(shape) == 1 else dim
        if isinstance(given, int) and (given <= 0 or shape[d] % given):
            raise RuntimeError(
                f"torch.{name} attempted to split along dimension {d}, but the size of the dimension "
                f"{shape[d]} is not divisible by the split_size {given}!"
            )
        return tensor_split(input, given, d)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Cut dimension {dim} at the positions given, or into a number of equal pieces."
    return function


def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """Take `length` elements along a dimension, from `start` on."""
    shape = input._array.shape
    if not shape:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    d = wrap_dim(dim, len(shape))
    if isinstance(start, Tensor) and (start._array.ndim or start._array.dtype.kind not in "iu"):
        raise RuntimeError("start must be an 0-dim integral Tensor.")
    start, size = operator.index(start), shape[d]
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -size <= start <= size:
        raise IndexError(
            f"start out of range (expected to be in range of [{-size}, {size}], but got {start})"
        )
    if start < 0:
        start += size
    if start + length > size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return _slice(input, d, start, start + length, 1)


def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Repeat each element in place: `repeats` times, or as often as a tensor says for each."""
    if repeats is None:  # how often 0, 1, 2 ... are repeated
        counts = _counts(input)
        return wrap(np.repeat(np.arange(counts.size), counts))
    if dim is None:
        input, dim = _reshape(input, (-1,)), 0
    elif input._array.ndim == 0:
        input = _reshape(input, (1,))
    d = wrap_dim(dim, input._array.ndim)
    shape = input._array.shape
    if not isinstance(repeats, Tensor):
        if repeats < 0:
            raise RuntimeError("Repeats must be non-negative")
        wide = _expand(_unsqueeze(input, d + 1), (*shape[: d + 1], repeats, *shape[d + 1 :]))
        return _view(
            _clone(wide, memory_format=contiguous_format), (*shape[:d], shape[d] * repeats, *shape[d + 1 :])
        )
    counts = _counts(repeats)
    if counts.size not in (1, shape[d]):
        raise RuntimeError(
            "repeats must have the same size as input along dim, but got repeats.size(0) = "
            f"{counts.size} and input.size({d}) = {shape[d]}"
        )
    picks = np.repeat(np.arange(shape[d]), np.broadcast_to(counts, shape[d]))
    return _index_select(input, d, picks)


def _counts(repeats: Tensor) -> Any:
    counts = repeats._array
    if counts.dtype.kind not in "iu":
        raise NotImplementedError(
            f"\"repeat_interleave_cpu\" not implemented for '{repeats.dtype.scalar_name}'"
        )
    if counts.ndim > 1:
        raise RuntimeError("repeat_interleave only accept 1D vector as repeat")
    if counts.size and counts.min() < 0:
        raise RuntimeError("repeats can not be negative")
    return counts.reshape(-1)


def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """Return the coordinates of positions in C order in a tensor of `shape`."""
    sizes = (shape,) if isinstance(shape, int) else tuple(map(operator.index, shape))
    found, step = [], math.prod(sizes)
    for n in sizes:
        step //= max(n, 1)
        found.append(wrap(indices._array // step % n))
    return tuple(found)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "chunk": chunk, "dsplit": _directed("dsplit", 3, 2), "hsplit": _directed("hsplit", 1, 1),
    "narrow": narrow,
    "repeat_interleave": repeat_interleave, "split": split, "tensor_split": tensor_split, "unbind": unbind,
    "vsplit": _directed("vsplit", 2, 0), "unravel_index": unravel_index, **joins.FUNCTIONS,
}  # fmt: skip
METHODS: dict[str, Callable[..., Any]] = {"split": _split_method}
ONLY_FUNCTIONS = frozenset((*joins.FUNCTIONS, "unravel_index"))
"""torch's functions that are no methods."""
