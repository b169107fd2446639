"""What definitions and rules share, on arrays of every kind: dimensions, casts, checks with torch's texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np


class ArrayLike:
    """The base of what stands for an array without being NumPy's: traced arrays."""

    __slots__ = ()

    if TYPE_CHECKING:  # all that an array has

        def __getattr__(self, name: str) -> Any: ...


class ScalarLike:
    """The base of what stands for a Python number; `of(dtype)` makes an array of it."""

    __slots__ = ()

    if TYPE_CHECKING:

        def of(self, dtype: Any) -> Any: ...


ARRAYS = (np.ndarray, ArrayLike)
"""What a tensor may hold."""


def as_array(value: Any) -> Any:
    """Return what is like an array as it is, all else as NumPy's array."""
    return value if isinstance(value, ArrayLike) else np.asarray(value)


def memory_of(array: Any) -> Any:
    """Return an array that lies in memory as `array` does, for questions about where that is."""
    return array if isinstance(array, np.ndarray) else array.memory


def wrap_dim(dim: int, ndim: int) -> int:
    """Return a dimension counted from the front; 0 and -1 are allowed for a 0-dim tensor.

    Raises:
        IndexError: there is no such dimension.
    """
    rank = max(ndim, 1)
    if not -rank <= dim < rank:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-rank}, {rank - 1}], but got {dim})"
        )
    return dim % rank


def wrap_dims(dims: Any, ndim: int) -> tuple[int, ...]:
    """Return dimensions counted from the front, each once; all of them for None or an empty sequence.

    Raises:
        IndexError: there is no such dimension.
        RuntimeError: a dimension is named twice.
    """
    if dims is None or (not isinstance(dims, int) and len(dims) == 0):
        return tuple(range(ndim))
    found = tuple(wrap_dim(int(d), ndim) for d in ((dims,) if isinstance(dims, int) else dims))
    for i, d in enumerate(found):
        if d in found[:i]:
            raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
    return found if ndim else ()


def cast(x: Any, dtype: Any) -> Any:
    """Return `x` in another NumPy dtype; itself if it has it."""
    if isinstance(x, (np.ndarray, np.generic)):
        return x if x.dtype == dtype else x.astype(numpy_dtype(dtype))
    return x._cast(np.dtype(numpy_dtype(dtype)))


def numpy_dtype(dtype: Any) -> Any:
    """Return the NumPy dtype of a public dtype (or None, or a NumPy dtype as it is)."""
    return getattr(dtype, "np", dtype)


def elements(x: Any) -> Any:
    """Return an array whose elements a check may look at, with a batch in front if `x` is one.

    None where they are not known: `x` is traced, or a Tensor.
    """
    return x if x.__class__ is np.ndarray else getattr(x, "elements", None)


def keep_dims(ct: Any, dim: Any, keepdim: bool, shape: Sequence[int]) -> Any:
    """Return a reduction's cotangent with the reduced dimensions of the input's `shape` as size 1."""
    if keepdim:
        return ct
    axes = wrap_dims(dim, len(shape))
    return np.reshape(ct, tuple(1 if i in axes else n for i, n in enumerate(shape)))


def name_of(x: Any) -> str:
    """Return the name that error messages use for an array's dtype, e.g. `Float`."""
    from retrograd import dtypes  # noqa: PLC0415 - failing paths only

    return dtypes.of_array(x).scalar_name


def unbroadcast(ct: Any, shape: tuple[int, ...]) -> Any:
    """Sum a cotangent over the dimensions along which an input of `shape` was broadcast."""
    have = ct.shape
    if have == shape:
        return ct
    extra = len(have) - len(shape)
    if extra:
        ct = np.sum(ct, axis=tuple(range(extra)))
        have = have[extra:]
    axes = tuple(i for i, (n, m) in enumerate(zip(have, shape, strict=True)) if n != m)
    return np.sum(ct, axis=axes, keepdims=True) if axes else ct
