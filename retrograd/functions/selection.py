"""Sorting, scattering, searching as users call it: flexible arguments over the declared ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd.autograd.inplace import inplace
from retrograd.ops.declare import TABLE
from retrograd.ops.helpers import wrap_dim
from retrograd.ops.masks import common_shape
from retrograd.tensor import Tensor, wrap

_gather: Callable[..., Tensor] = TABLE["gather"].function
_nonzero: Callable[..., Tensor] = TABLE["nonzero"].function
_sort: Callable[..., tuple[Tensor, Tensor]] = TABLE["sort"].function


def _op(name: str) -> Callable[..., Tensor]:
    found: Callable[..., Tensor] = TABLE[name].function
    return found


# ---- order ----


def sort(
    input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False, *, out: Any = None
) -> Any:
    """Return (values, indices): the elements in order along a dimension, and where they were."""
    if isinstance(dim, bool):
        raise TypeError("sort(): argument 'dim' must be int, not bool")
    return _sort(input, dim, descending, out=out)


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """Return where the elements in order along a dimension are."""
    return _sort(input, dim, descending)[1]


def msort(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return the elements in order along the first dimension."""
    found = _sort(input, 0)[0]
    return found if out is None else out.resize_(found.shape).copy_(found)


# ---- scattering ----


def _scatter_arguments(
    input: Tensor, dim: int, index: Tensor, src: Any, value: Any, reduce: str | None
) -> tuple[str, Any]:
    """Return which op is meant, and its arguments."""
    if value is None and not isinstance(src, Tensor):
        value, src = src, None
    if reduce is not None:
        if reduce not in ("add", "multiply"):
            raise RuntimeError("reduce argument must be either add or multiply.")
        if src is None:
            src = wrap(np.full(index._array.shape, value).astype(input._array.dtype))
        return "scatter_reduce", (input, dim, index, src, "sum" if reduce == "add" else "prod", True)
    if src is not None:
        return "scatter", (input, dim, index, src)
    return "scatter_value", (input, dim, index, value)


def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    *,
    value: Any = None,
    reduce: str | None = None,
    out: Any = None,
) -> Tensor:
    """Replace (or combine by `reduce`) elements at positions along `dim` by those of a tensor or a number."""
    name, args = _scatter_arguments(input, dim, index, src, value, reduce)
    if name == "scatter_reduce":
        return _op(name)(*args[:5])
    return _op(name)(*args, out=out)


def scatter_(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None
) -> Tensor:
    """Do `scatter` in place."""
    name, args = _scatter_arguments(input, dim, index, src, value, reduce)
    return inplace(TABLE[name], args)


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None, *, out: Any = None) -> Tensor:
    """Take elements at positions along a dimension; without one, at positions in C order."""
    if dim is None:
        return _gather(_op("reshape")(input, (-1,)), 0, _op("reshape")(indices, (-1,)), out=out)
    if input._array.ndim != indices._array.ndim:
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, but got "
            f"{input._array.ndim} dimensions for input, and {indices._array.ndim} dimensions for indices"
        )
    if indices._array.dtype != np.int64:
        raise RuntimeError(
            f"torch.take_along_dim(): dtype of indices should be Long but got {indices.dtype.scalar_name}"
        )
    d = dim % input._array.ndim if -input._array.ndim <= dim < input._array.ndim else dim
    have, want = list(input._array.shape), list(indices._array.shape)
    if 0 <= d < len(have):
        along = have[d], want[d]
        have[d] = want[d] = 1
        shape = list(common_shape(have, want))
        have[d], want[d] = along
        shape[d] = have[d]
        input = _op("expand")(input, tuple(shape)) if tuple(shape) != input._array.shape else input
        shape[d] = want[d]
        indices = _op("expand")(indices, tuple(shape)) if tuple(shape) != indices._array.shape else indices
    if indices._array.size and indices._array.min() < 0:
        indices = wrap(np.where(indices._array < 0, indices._array + input._array.shape[d], indices._array))
    return _gather(input, dim, indices, out=out)


def index_reduce(
    input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """Combine slices of `source` with those of `input` at positions, by prod, mean, amax or amin."""
    return _op("scatter_reduce")(
        input, *_slices(input, dim, index, source, reduce), include_self=include_self
    )


def index_reduce_(
    input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """Do `index_reduce` in place."""
    return inplace(
        TABLE["scatter_reduce"], (input, *_slices(input, dim, index, source, reduce), include_self)
    )


def _slices(input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str) -> tuple[Any, ...]:
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(
            f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}."
        )
    if index._array.ndim > 1:
        raise IndexError("index_reduce(): Index is supposed to be a vector")
    d = wrap_dim(dim, input._array.ndim)
    shape = source._array.shape
    along = index._array.reshape([-1 if k == d else 1 for k in range(len(shape))])
    return dim, wrap(np.broadcast_to(along, shape)), source, reduce


def _scattered(name: str, view: Callable[..., Any], doc: str) -> Callable[..., Tensor]:
    """Return NAME: a copy of the tensor with `src` written into one of its views."""

    def function(input: Tensor, src: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        made = _op("clone")(input)
        target = view(made, *args, **kwargs)
        if target._array.shape != src._array.shape:
            raise RuntimeError(
                "expected src to have a size equal to the slice of self. src size = "
                f"{list(src._array.shape)}, slice size = "
                f"{list(target._array.shape)}"
            )
        target.copy_(src)
        return made

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


def _slice_of(x: Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Tensor:
    return _op("slice")(x, dim, start, end, step)


# ---- where and how often ----


def nonzero(input: Tensor, *, as_tuple: bool = False, out: Any = None) -> Any:
    """Return the indices of the elements that are not zero: a row each, or a tensor per dimension."""
    if not as_tuple:
        return _nonzero(input, out=out)
    if input._array.ndim == 0:
        input = _op("unsqueeze")(input, 0)
    return _nonzero(input).unbind(1)


def argwhere(input: Tensor) -> Tensor:
    """Return the indices of the elements that are not zero, a row each."""
    return _nonzero(input)


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """Return the different elements in order; if asked for, where each went and how often each occurs."""
    return _asked(_op("unique")(input, dim), return_inverse, return_counts)


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """Return the elements without repetitions next to each other; and what else is asked for, as `unique`."""
    return _asked(_op("unique_consecutive")(input, dim), return_inverse, return_counts)


def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1, out: Any = None) -> Tensor:
    """Return the indices of `size` elements that are not zero, a row each; filled up with `fill_value`."""
    found = _nonzero(input)._array[:size]
    made = np.full((size, input._array.ndim), fill_value, np.int64)
    made[: len(found)] = found
    return wrap(made) if out is None else out.resize_(made.shape).copy_(wrap(made))


def _asked(found: Any, inverse: bool, counts: bool) -> Any:
    chosen = (found[0], *(found[1:2] if inverse else ()), *(found[2:3] if counts else ()))
    return chosen if len(chosen) > 1 else chosen[0]


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "argsort": argsort, "argwhere": argwhere, "index_reduce": index_reduce, "msort": msort,
    "nonzero": nonzero, "nonzero_static": nonzero_static, "scatter": scatter, "sort": sort,
    "take_along_dim": take_along_dim, "unique": unique, "unique_consecutive": unique_consecutive,
    "select_scatter": _scattered(
        "select_scatter", _op("select"), "Return a copy with `src` at one position of a dimension."
    ),
    "slice_scatter": _scattered(
        "slice_scatter", _slice_of, "Return a copy with `src` in a slice of a dimension."
    ),
    "diagonal_scatter": _scattered(
        "diagonal_scatter", _op("diagonal"), "Return a copy with `src` on a diagonal."
    ),
}  # fmt: skip
METHODS: dict[str, Callable[..., Any]] = {"index_reduce_": index_reduce_, "scatter_": scatter_}
