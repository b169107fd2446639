"""Shape functions as users call them: sizes in a row or as one tuple, and what follows from the views.

The ops are declared in `ops/shape.py` and its neighbours; here arguments are brought into their one form.
"""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable
from typing import Any

from retrograd import dtypes
from retrograd.autograd.dispatch import as_view
from retrograd.autograd.record import named_node_class
from retrograd.functions import conversion
from retrograd.functions.making import ints
from retrograd.ops import windows
from retrograd.ops.declare import TABLE
from retrograd.ops.helpers import wrap_dim
from retrograd.tensor import Tensor, wrap

_alias: Callable[..., Tensor] = TABLE["alias"].function
_as_strided: Callable[..., Tensor] = TABLE["as_strided"].function
_diag_embed: Callable[..., Tensor] = TABLE["diag_embed"].function
_view: Callable[..., Tensor] = TABLE["view"].function
_reshape: Callable[..., Tensor] = TABLE["reshape"].function
_permute: Callable[..., Tensor] = TABLE["permute"].function
_expand: Callable[..., Tensor] = TABLE["expand"].function
_flip: Callable[..., Tensor] = TABLE["flip"].function
_repeat: Callable[..., Tensor] = TABLE["repeat"].function
_transpose: Callable[..., Tensor] = TABLE["transpose"].function


def _missing(name: str, what: str) -> TypeError:
    return TypeError(f'{name}() missing 1 required positional arguments: "{what}"')


def view(input: Tensor, *shape: Any, size: Any = None, dtype: Any = None) -> Tensor:
    """Look at the elements under another shape, or at their bytes as another dtype."""
    if dtype is not None or (len(shape) == 1 and shape[0].__class__ is dtypes.dtype):
        return _view_dtype(input, shape[0] if dtype is None else dtype)
    if not shape:
        if size is None:
            raise TypeError(
                "view() received an invalid combination of arguments - got (), but expected one of:\n"
                " * (torch.dtype dtype)\n * (tuple of ints size)\n"
            )
        shape = (size,)
    return _view(input, ints("view", "size", shape))


def _view_dtype(input: Tensor, dtype: Any) -> Tensor:
    array = input._array
    ratio = dtype.itemsize / array.itemsize
    if ratio != 1:
        way = f"to view {input.dtype.scalar_name} as {dtype.scalar_name} (different element sizes)"
        if array.ndim == 0:
            raise RuntimeError(f"self.dim() cannot be 0 {way}")
        if ratio > 1 and array.shape[-1] % int(ratio):
            raise RuntimeError(
                f"self.size(-1) must be divisible by {int(ratio)} {way}, but got {array.shape[-1]}"
            )
        if array.strides[-1] != array.itemsize:
            raise RuntimeError(
                f"self.stride(-1) must be 1 {way}, but got {array.strides[-1] // array.itemsize}"
            )
    made = wrap(array.view(dtype.np))
    as_view(made, input)
    return made


def reshape(input: Tensor, shape: Any) -> Tensor:
    """Return the elements under another shape: a view where their place in memory allows it, else a copy."""
    if not isinstance(shape, (tuple, list)):
        raise TypeError(
            f"reshape(): argument 'shape' (position 2) must be tuple of ints, not {type(shape).__name__}"
        )
    return _reshape(input, ints("reshape", "shape", (shape,)))


def reshape_method(input: Tensor, *sizes: Any, shape: Any = None) -> Tensor:
    """Return the elements under another shape: a view where their place in memory allows it, else a copy."""
    if not sizes:
        if shape is None:
            raise _missing("reshape", "shape")
        sizes = (shape,)
    return _reshape(input, ints("reshape", "shape", sizes))


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """Look at the elements under the shape of `other`."""
    return _view(input, other._array.shape)


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """Return the elements under the shape of `other`."""
    return _reshape(input, other._array.shape)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Make one dimension of several neighbouring ones."""
    shape = input._array.shape
    if start_dim == 0 and end_dim == -1:
        return _reshape(input, (-1,)) if len(shape) != 1 else input
    first, last = wrap_dim(start_dim, len(shape)), wrap_dim(end_dim, len(shape))
    if first > last:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if not shape:
        return _reshape(input, (1,))
    if first == last:
        return input
    return _reshape(input, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """Make several dimensions of one."""
    sizes = ints("unflatten", "sizes", (sizes,))
    shape = input._array.shape
    d = wrap_dim(dim, len(shape))
    if not sizes:
        raise RuntimeError("unflatten: sizes must be non-empty")
    known = math.prod(n for n in sizes if n != -1)
    if known != shape[d] and not (-1 in sizes and known and shape[d] % known == 0):
        raise RuntimeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {d} "
            f"({shape[d]}) in the "
            "input tensor"
        )
    filled = tuple(shape[d] // known if n == -1 else n for n in sizes)
    return _view(input, (*shape[:d], *filled, *shape[d + 1 :]))


def ravel(input: Tensor) -> Tensor:
    """Return the elements in a row; a view if they lie so."""
    return _view(conversion.contiguous(input), (-1,))


def permute(input: Tensor, dims: Any) -> Tensor:
    """Put the dimensions into the order `dims`."""
    return _permute(input, ints("permute", "dims", (dims,)))


def flexible(op: Callable[..., Any], name: str, what: str) -> Callable[..., Any]:
    """Return the method that takes its numbers in a row, as one sequence, or by name."""

    def method(input: Tensor, *given: Any, **named: Any) -> Any:
        if not given:
            if what not in named:
                raise _missing(name, what)
            given = (named[what],)
        return op(input, ints(name, what, given))

    method.__name__ = method.__qualname__ = name
    method.__doc__ = TABLE[name].doc if name in TABLE else None
    return method


_IN_PLACE = {
    "TBackward0": "TBackward1", "TransposeBackward0": "TransposeBackward1",
    "UnsqueezeBackward0": "UnsqueezeBackward1", "AsStridedBackward0": "AsStridedBackward1",
    **{f"SqueezeBackward{i}": f"SqueezeBackward{i + 3}" for i in range(3)},
}  # fmt: skip


def in_place_name(made: Tensor) -> Tensor:
    """Give a view's node, just made, the name that torch gives it where a tensor itself becomes the view."""
    node = made._node
    name = _IN_PLACE.get(type(node).__name__)
    if name is not None:
        node.__class__ = named_node_class(node.op, name)
    return made


def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """Exchange two dimensions."""
    return _transpose(input, axis0, axis1)


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Move dimensions to new places; the others keep their order."""
    rank = input._array.ndim
    moved = [ints("movedim", w, (d if isinstance(d, (tuple, list)) else (d,),)) for w, d in
             (("source", source), ("destination", destination))]  # fmt: skip
    if len(moved[0]) != len(moved[1]):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({list(moved[0])} dims) should contain "
            "the same "
            f"number of dims as destination ({list(moved[1])} dims)"
        )
    sources, places = ([wrap_dim(d, rank) for d in dims] for dims in moved)
    for what, dims, given in (("source", sources, moved[0]), ("destination", places, moved[1])):
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"movedim: repeated dim in `{what}` ({list(given)})")
    if not rank:
        return _alias(input)
    order = [d for d in range(rank) if d not in sources]
    for place, d in sorted(zip(places, sources, strict=True)):
        order.insert(place, d)
    return _permute(input, tuple(order))


def reversed_dims(input: Tensor) -> Tensor:
    """The transpose: the dimensions in reverse order."""
    rank = input._array.ndim
    if rank == 2:
        return _permute(input, (1, 0))
    if rank != 1:
        warnings.warn(
            "Tensor.T is deprecated on 0-D tensors. This function is the identity in these cases."
            if rank == 0
            else "The use of `x.T` on tensors of dimension other than 2 to reverse their shape is deprecated "
            "and it will throw an error in a future release. Consider `x.mT` to transpose batches of "
            "matrices or `x.permute(*torch.arange(x.ndim - 1, -1, -1))` to reverse the dimensions of a "
            "tensor.",
            UserWarning,
            stacklevel=2,
        )
    return _permute(input, tuple(range(rank - 1, -1, -1)))


def adjoint(input: Tensor) -> Tensor:
    """Exchange the last two dimensions and conjugate."""
    return hermitian(input, "mH")


def hermitian(input: Tensor, name: str) -> Tensor:
    rank = input._array.ndim
    if name == "H" and rank not in (0, 2):
        raise RuntimeError(
            f"tensor.H is only supported on matrices (2-D tensors). Got {rank}-D tensor."
            + (" For batches of matrices, consider using tensor.mH" if rank > 2 else "")
        )
    if rank == 1:
        raise RuntimeError(
            f"tensor.{name} is only supported on matrices or batches of matrices. Got 1-D tensor."
        )
    if rank == 0:
        warnings.warn(f"Tensor.{name} is deprecated on 0-D tensors. This function is the identity in these "
                      "cases.",
                      UserWarning, stacklevel=3)  # fmt: skip
    turned = _transpose(input, -2, -1) if rank else _alias(input)
    return turned.conj() if name in ("H", "mH") and input.dtype.is_complex else turned


def broadcast_to(input: Tensor, size: Any) -> Tensor:
    """Repeat dimensions of size 1, and new ones in front, without a copy."""
    return _expand(input, ints("broadcast_to", "size", (size,)))


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """Expand to the shape of `other`."""
    return _expand(input, other._array.shape)


def flip(input: Tensor, dims: Any) -> Tensor:
    """Reverse the order along dimensions."""
    return _flip(input, ints("flip", "dims", (dims,)))


def fliplr(input: Tensor) -> Tensor:
    """Reverse the order of the columns."""
    if input._array.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return _flip(input, (1,))


def flipud(input: Tensor) -> Tensor:
    """Reverse the order of the rows."""
    if input._array.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return _flip(input, (0,))


def tile(input: Tensor, dims: Any) -> Tensor:
    """Lay copies side by side; missing leading numbers of copies are 1."""
    dims = ints("tile", "dims", (dims,))
    return _repeat(input, (1,) * (input._array.ndim - len(dims)) + dims)


def tile_method(input: Tensor, *given: Any, dims: Any = None) -> Tensor:
    """Lay copies side by side; missing leading numbers of copies are 1."""
    return tile(input, ints("tile", "dims", given or (dims,)))


def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: Any = None) -> Tensor:
    """Look at the tensor's memory with any sizes and strides."""
    own = windows.geometry(input._array)
    offset = own[1] if storage_offset is None else operator.index(storage_offset)
    shape, strides = ints("as_strided", "size", (size,)), ints("as_strided", "stride", (stride,))
    return _as_strided(input, shape, strides, offset, own)


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return the diagonal of a matrix, or the matrix with a vector on its diagonal."""
    rank = input._array.ndim
    if rank not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {rank}D")
    made: Tensor = TABLE["diag_embed" if rank == 1 else "diagonal_copy"].function(input, diagonal)
    return made


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """Return the matrix with all elements on its diagonal."""
    return _diag_embed(_reshape(input, (-1,)), offset)
