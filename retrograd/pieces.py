"""Taking tensors apart and putting them together, as users call it."""

from __future__ import annotations

import itertools
import math
import operator
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograd.autograd.dispatch import as_view
from retrograd.autograd.modes import local, modes
from retrograd.ops.declare import TABLE
from retrograd.ops.helpers import wrap_dim
from retrograd.ops.masks import common_shape
from retrograd.tensor import Tensor, wrap

_cat = TABLE["cat"].function
_clone = TABLE["clone"].function
_expand = TABLE["expand"].function
_reshape = TABLE["reshape"].function
_slice = TABLE["slice"].function
_SPLIT, _SPLIT_WITH_SIZES, _UNBIND = (TABLE[name] for name in ("split", "split_with_sizes", "unbind"))
_split_with_sizes = TABLE["split_with_sizes"].function
_stack = TABLE["stack"].function
_unsqueeze = TABLE["unsqueeze"].function
_view = TABLE["view"].function


# ---- apart ----


def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Cut a dimension into pieces of one size, or of the sizes given."""
    size = split_size_or_sections
    if isinstance(size, (tuple, list)):
        return _many(_SPLIT_WITH_SIZES, tensor, tuple(map(operator.index, size)), dim)  # type: ignore[no-any-return]
    if not hasattr(size, "__index__"):
        raise TypeError(
            f"split_with_sizes(): argument 'split_sizes' (position 2) must be tuple of ints, not {type(size).__name__}"
        )
    return _many(_SPLIT, tensor, operator.index(size), dim)  # type: ignore[no-any-return]


def _many(op: Any, tensor: Tensor, *args: Any) -> Any:
    """Run a view op with several results; without the ceremony of the general path where nothing is recorded."""
    if tensor._node is None and not modes.special and (tensor._cell is None or not tensor._cell.rebased):
        found = []
        for array in op.definition(tensor._array, *args):
            made = wrap(array)
            as_view(made, tensor, True)
            found.append(made)
        return tuple(found)
    return op.function(tensor, *args)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Return the slices along a dimension, which disappears."""
    return _many(_UNBIND, input, dim)  # type: ignore[no-any-return]


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
        return _split_with_sizes(input, (0,) * chunks, dim)  # type: ignore[no-any-return]
    return _many(_SPLIT, input, -(-size // chunks), dim)  # type: ignore[no-any-return]


def tensor_split(
    input: Tensor, indices_or_sections: Any = None, dim: int = 0, *, indices: Any = None, sections: Any = None
) -> tuple[Tensor, ...]:
    """Cut a dimension at the positions given, or into a number of pieces as equal as can be."""
    given = next(g for g in (indices_or_sections, indices, sections) if g is not None)
    if input._array.ndim == 0:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
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

    def function(input: Tensor, indices_or_sections: Any = None, *, indices: Any = None, sections: Any = None) -> Any:
        given = next(g for g in (indices_or_sections, indices, sections) if g is not None)
        shape = input._array.shape
        if len(shape) < rank:
            raise RuntimeError(
                f"torch.{name} requires a tensor with at least {rank} dimension, but got a tensor with {len(shape)} "
                "dimensions!"
            )
        d = 0 if len(shape) == 1 else dim
        if isinstance(given, int) and (given <= 0 or shape[d] % given):
            raise RuntimeError(
                f"torch.{name} attempted to split along dimension {d}, but the size of the dimension {shape[d]} is not "
                f"divisible by the split_size {given}!"
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
        raise IndexError(f"start out of range (expected to be in range of [{-size}, {size}], but got {start})")
    if start < 0:
        start += size
    if start + length > size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return _slice(input, d, start, start + length, 1)  # type: ignore[no-any-return]


# ---- together ----


def _sequence(name: str, tensors: Any) -> Sequence[Tensor]:
    if not isinstance(tensors, (tuple, list)):
        raise TypeError(
            f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not {type(tensors).__name__}"
        )
    return tensors


def cat(tensors: Any, dim: int = 0, *, axis: int | None = None, out: Tensor | None = None) -> Tensor:
    """Join tensors along a dimension that they have."""
    if axis is not None:
        dim = axis
    if out is not None:
        return _cat(tensors, dim, out=out)  # type: ignore[no-any-return]
    arrays = _plain(tensors)
    if arrays:
        try:
            return wrap(np.concatenate(arrays, dim))
        except ValueError:
            pass  # the op says what is wrong
    elif not _sequence("cat", tensors):
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    return _cat(tensors, dim)  # type: ignore[no-any-return]


def stack(tensors: Any, dim: int = 0, *, out: Tensor | None = None) -> Tensor:
    """Join tensors of one shape along a new dimension."""
    if out is None:
        arrays = _plain(tensors)
        if arrays:
            try:
                if dim == 0:
                    return wrap(np.concatenate([a[None] for a in arrays]))
            except ValueError:
                pass  # the op says what is wrong
        elif not _sequence("stack", tensors):
            raise RuntimeError("stack expects a non-empty TensorList")
    return _stack(tensors, dim, out=out)  # type: ignore[no-any-return]


_LISTS = (list, tuple)


def _plain(tensors: Any) -> list[Any] | None:
    """Return the arrays of tensors of one dtype that need no recording; None if they are anything else."""
    if (modes.special and local.careful) or tensors.__class__ not in _LISTS:
        return None
    arrays = []
    dtype = None
    for x in tensors:
        if x.__class__ is not Tensor or x._node is not None or (x._cell is not None and x._cell.rebased):
            return None
        array = x._array
        if array.dtype is not dtype:
            if arrays:
                return None
            dtype = array.dtype
        arrays.append(array)
    return arrays


def hstack(tensors: Any, *, out: Tensor | None = None) -> Tensor:
    """Join tensors side by side: along dimension 1, vectors along their only one."""
    tensors = atleast_1d(_sequence("hstack", tensors))
    if not tensors:
        raise RuntimeError("hstack expects a non-empty TensorList")
    return cat(tensors, 0 if tensors and tensors[0]._array.ndim == 1 else 1, out=out)


def vstack(tensors: Any, *, out: Tensor | None = None) -> Tensor:
    """Join tensors one above the other: along dimension 0, vectors as rows."""
    if not _sequence("vstack", tensors):
        raise RuntimeError("vstack expects a non-empty TensorList")
    return cat(atleast_2d(tensors), 0, out=out)


def dstack(tensors: Any, *, out: Tensor | None = None) -> Tensor:
    """Join tensors one behind the other: along dimension 2."""
    if not _sequence("dstack", tensors):
        raise RuntimeError("dstack expects a non-empty TensorList")
    return cat(atleast_3d(tensors), 2, out=out)


def column_stack(tensors: Any, *, out: Tensor | None = None) -> Tensor:
    """Join tensors side by side, vectors as columns."""
    columns = [
        _reshape(t, (t._array.size, 1)) if t._array.ndim <= 1 else t for t in _sequence("column_stack", tensors)
    ]
    return cat(columns, 1, out=out)


def block_diag(*tensors: Any) -> Tensor:
    """Return the matrix with these blocks on its diagonal."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        (tensors,) = tensors
    blocks = []
    for i, x in enumerate(tensors):
        if x._array.ndim > 2:
            raise RuntimeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {i} has {x._array.ndim} dimensions"
            )
        blocks.append(_reshape(x, (1, -1)) if x._array.ndim < 2 else x)
    width = sum(b._array.shape[1] for b in blocks)
    rows, start = [], 0
    for b in blocks:
        height, columns = b._array.shape
        empty = [wrap(np.zeros((height, n), b._array.dtype)) for n in (start, width - start - columns)]
        rows.append(cat([empty[0], b, empty[1]], 1))
        start += columns
    return cat(rows, 0) if rows else wrap(np.zeros((1, 0), np.float32))


def _at_least(rank: int) -> Callable[..., Any]:
    def function(*tensors: Any) -> Any:
        if len(tensors) == 1 and isinstance(tensors[0], Tensor):
            return raised(tensors[0])
        if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
            (tensors,) = tensors
        return tuple(raised(t) for t in tensors)

    def raised(x: Tensor) -> Tensor:
        have = x._array.ndim
        if have == 0:
            return _reshape(x, (1,) * rank)  # type: ignore[no-any-return]
        if have == 1 and rank > 1:
            x = _unsqueeze(x, 0)
        return _unsqueeze(x, -1) if have < 3 <= rank else x

    function.__name__ = function.__qualname__ = f"atleast_{rank}d"
    function.__doc__ = f"Return tensors with dimensions of size 1 added until they have {rank}."
    return function


atleast_1d, atleast_2d, atleast_3d = (_at_least(n) for n in (1, 2, 3))


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Return the coordinates of a grid: each vector expanded along all the others."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        (tensors,) = tensors
    if indexing is None:
        warnings.warn(
            "torch.meshgrid: in an upcoming release, it will be required to pass the indexing argument.",
            UserWarning,
            stacklevel=2,
        )
        indexing = "ij"
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    if not tensors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    for x in tensors:
        if x._array.ndim > 1:
            raise RuntimeError(f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {x}")
        if x._array.dtype != tensors[0]._array.dtype:
            raise RuntimeError("meshgrid expects all tensors to have the same dtype")
    sizes = tuple(x._array.size for x in tensors)
    made = [
        _expand(_reshape(x, tuple(-1 if d == i else 1 for d in range(len(sizes)))), sizes) for i, x in enumerate(tensors)
    ]
    if indexing == "xy" and len(tensors) > 1:
        made = [TABLE["transpose"].function(x, 0, 1) for x in made]
    return tuple(made)


def broadcast_shapes(*shapes: Any) -> Any:
    """Return the shape that tensors of these shapes broadcast to."""
    from retrograd.devices import Size  # noqa: PLC0415 - rare

    result: list[int] = []
    for place, shape in enumerate(shapes):
        sizes = (shape,) if isinstance(shape, int) else tuple(shape)
        result = [1] * (len(sizes) - len(result)) + result
        for k in range(-1, -1 - len(sizes), -1):
            if sizes[k] < 0:
                raise RuntimeError(f"Trying to create tensor with negative dimension ({sizes[k]}): ({sizes[k]})")
            if sizes[k] not in (1, result[k]):
                if result[k] != 1:
                    raise RuntimeError(
                        f"Attempting to broadcast a dimension of length {sizes[k]} at {k}! Mismatching argument at index "
                        f"{place} had {sizes}; but expected shape should be broadcastable to {result}"
                    )
                result[k] = sizes[k]
    return Size(result)


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """Expand tensors to the shape that they broadcast to."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        (tensors,) = tensors
    shape: tuple[int, ...] = ()
    for x in tensors:
        shape = common_shape(shape, x._array.shape)
    return tuple(x if x._array.shape == shape else _expand(x, shape) for x in tensors)


def _vector(x: Tensor) -> Tensor:
    if x._array.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(x._array.shape)}")
    return x


def cartesian_prod(*tensors: Any) -> Tensor:
    """Return every combination of one element from each vector, a row each."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        (tensors,) = tensors
    if len(tensors) == 1:
        return _vector(tensors[0])
    return _stack([_reshape(g, (-1,)) for g in meshgrid(*map(_vector, tensors), indexing="ij")], 1)  # type: ignore[no-any-return]


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """Return every selection of r elements of a vector, a row each."""
    _vector(input)
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return wrap(np.zeros(0, input._array.dtype))
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = np.array(list(choose(range(input._array.size), r)), np.int64).reshape(-1, r)
    return TABLE["take"].function(input, rows)  # type: ignore[no-any-return]


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
        return _view(_clone(wide, memory_format=_contiguous()), (*shape[:d], shape[d] * repeats, *shape[d + 1 :]))  # type: ignore[no-any-return]
    counts = _counts(repeats)
    if counts.size not in (1, shape[d]):
        raise RuntimeError(
            "repeats must have the same size as input along dim, but got repeats.size(0) = "
            f"{counts.size} and input.size({d}) = {shape[d]}"
        )
    picks = np.repeat(np.arange(shape[d]), np.broadcast_to(counts, shape[d]))
    return TABLE["index_select"].function(input, d, picks)  # type: ignore[no-any-return]


def _counts(repeats: Tensor) -> Any:
    counts = repeats._array
    if counts.dtype.kind not in "iu":
        raise NotImplementedError(f"\"repeat_interleave_cpu\" not implemented for '{repeats.dtype.scalar_name}'")
    if counts.ndim > 1:
        raise RuntimeError("repeat_interleave only accept 1D vector as repeat")
    if counts.size and counts.min() < 0:
        raise RuntimeError("repeats can not be negative")
    return counts.reshape(-1)


def _contiguous() -> Any:
    from retrograd.devices import contiguous_format  # noqa: PLC0415 - one name

    return contiguous_format


def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """Return the coordinates of positions in C order in a tensor of `shape`."""
    sizes = (shape,) if isinstance(shape, int) else tuple(map(operator.index, shape))
    found, step = [], math.prod(sizes)
    for n in sizes:
        step //= max(n, 1)
        found.append(wrap(indices._array // step % n))
    return tuple(found)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "atleast_1d": atleast_1d, "atleast_2d": atleast_2d, "atleast_3d": atleast_3d, "block_diag": block_diag,
    "broadcast_shapes": broadcast_shapes, "broadcast_tensors": broadcast_tensors, "cartesian_prod": cartesian_prod,
    "cat": cat, "chunk": chunk, "column_stack": column_stack, "combinations": combinations, "concat": cat,
    "concatenate": cat, "dsplit": _directed("dsplit", 3, 2), "dstack": dstack, "hsplit": _directed("hsplit", 1, 1),
    "hstack": hstack, "meshgrid": meshgrid, "narrow": narrow, "repeat_interleave": repeat_interleave,
    "row_stack": vstack, "split": split, "stack": stack, "tensor_split": tensor_split, "unbind": unbind, "unravel_index": unravel_index,
    "vsplit": _directed("vsplit", 2, 0), "vstack": vstack,
}  # fmt: skip
METHODS: dict[str, Callable[..., Any]] = {"split": _split_method}
ONLY_FUNCTIONS = frozenset(
    "atleast_1d atleast_2d atleast_3d block_diag broadcast_shapes broadcast_tensors cartesian_prod cat column_stack "
    "combinations concat concatenate dstack hstack meshgrid row_stack unravel_index vstack stack".split()
)
"""torch's functions that are no methods."""
