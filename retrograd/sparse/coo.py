"""The coordinate layout: a column of indices for every stored number."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Self

import numpy as np

import retrograd
from retrograd import devices
from retrograd.sparse.tensor import SparseTensor, indices_of, values_of, wrapped
from retrograd.tensor import Tensor, wrap

_UNCOALESCED = "Cannot get {} on an uncoalesced tensor, please call .coalesce() first"


class CooTensor(SparseTensor):
    """A sparse tensor in coordinate layout: indices (dimensions, nnz), values (nnz, ...).

    Values may have dimensions of their own, the last ones of the tensor (`dense_dim`). The same place may be
    stored several times: the numbers then add up; `coalesce` does so.
    """

    __slots__ = ("_coalesced", "_places")

    _places: np.ndarray[Any, Any]
    is_sparse = True

    def __init__(self, places: Any, values: Tensor, size: Any, coalesced: bool = False) -> None:
        self._begin(values, size)
        self._places, self._coalesced = places, coalesced

    @property
    def layout(self) -> devices.layout:
        return devices.sparse_coo

    def _with(self, values: Tensor) -> Self:
        return type(self)(self._places, values, self._size, self._coalesced)

    def _state(self) -> tuple[Any, ...]:
        return self._places, self._stored, self._size, self._coalesced

    def _parts(self) -> Iterator[tuple[str, Any]]:
        yield "indices", self._places
        yield "values", self._stored._array

    def sparse_dim(self) -> int:
        """Return the number of dimensions that have indices."""
        return len(self._places)

    def dense_dim(self) -> int:
        """Return the number of dimensions of each stored value."""
        return self._stored.dim() - 1  # type: ignore[no-any-return]

    def is_coalesced(self) -> bool:
        """Return whether every place is known to be stored once, in order."""
        return self._coalesced

    def indices(self) -> Tensor:
        """Return the indices; raise RuntimeError unless coalesced."""
        if not self._coalesced:
            raise RuntimeError(_UNCOALESCED.format("indices"))
        return wrapped(self._places)

    def values(self) -> Tensor:
        """Return the stored numbers; raise RuntimeError unless coalesced."""
        if not self._coalesced:
            raise RuntimeError(_UNCOALESCED.format("values"))
        return self._stored

    def _indices(self) -> Tensor:
        return wrapped(self._places)

    def _values(self) -> Tensor:
        return self._stored

    def coalesce(self) -> CooTensor:
        """Return the tensor with every place stored once, in order; numbers at the same place are added."""
        if self._coalesced:
            return self
        sizes = self._size[: self.sparse_dim()]
        flat = np.ravel_multi_index(tuple(self._places), sizes) if sizes else np.zeros(self._nnz(), np.int64)
        kept, group = np.unique(flat, return_inverse=True)
        values: Any = self._stored
        total = retrograd.zeros((len(kept), *values.shape[1:]), dtype=self.dtype)
        values = total.index_add(0, wrap(group.reshape(-1)), values)
        places = np.stack(np.unravel_index(kept, sizes)) if sizes else np.zeros((0, len(kept)), np.int64)
        return CooTensor(places.astype(np.int64), values, self._size, coalesced=True)

    def to_dense(self, dtype: Any = None, *, masked_grad: Any = None) -> Any:
        values: Any = self._stored if dtype is None else self._stored.to(dtype)
        zeros: Any = retrograd.zeros(self._size, dtype=values.dtype)
        if not self.sparse_dim():
            return zeros + values.sum(0)
        return zeros.index_put(tuple(map(wrap, self._places)), values, accumulate=True)

    def to_sparse(self, sparse_dim: int | None = None, *, layout: Any = None) -> Any:
        """Return the tensor itself, or in the layout `sparse_csr`."""
        return self.to_sparse_csr() if layout is devices.sparse_csr else self

    to_sparse_coo = to_sparse

    def to_sparse_csr(self, dense_dim: int | None = None) -> Any:
        """Return the matrix in compressed rows."""
        from retrograd.sparse.csr import csr_from_coo  # noqa: PLC0415 - it needs this file

        return csr_from_coo(self.coalesce())

    def transpose(self, dim0: int, dim1: int) -> CooTensor:
        """Return the tensor with two of its indexed dimensions swapped."""
        order, dims = list(range(self.ndim)), self.sparse_dim()
        dim0, dim1 = dim0 % self.ndim, dim1 % self.ndim
        if dim0 != dim1 and max(dim0, dim1) >= dims:
            raise RuntimeError("transpose: transposed dimensions must be sparse")
        order[dim0], order[dim1] = order[dim1], order[dim0]
        sizes = [self._size[d] for d in order]
        return CooTensor(self._places[order[:dims]], self._stored, sizes)

    def __getitem__(self, index: Any) -> Any:
        """Return one row; other indices are not supported."""
        if not isinstance(index, int) or not self.sparse_dim():
            raise NotImplementedError(
                f"sparse tensors can be indexed by one whole number only; got {index!r}: use to_dense() first"
            )
        rows = self._size[0]
        if not -rows <= index < rows:
            raise IndexError(f"select(): index {index} out of range for tensor of size {list(self._size)}")
        here = self.coalesce()
        found = np.flatnonzero(here._places[0] == index % rows)
        values: Any = here._stored
        values = values[wrap(found)]
        if self.sparse_dim() == 1:
            return values.sum(0)
        return CooTensor(here._places[1:, found], values, self._size[1:], coalesced=True)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def t(self) -> CooTensor:
        """Return the matrix transposed; a vector as it is."""
        if self.ndim > 2:
            raise RuntimeError(
                f"t() expects a tensor with <= 2 sparse and 0 dense dimensions, but got {self.sparse_dim()} "
                f"sparse and {self.dense_dim()} dense dimensions"
            )
        return self if self.ndim < 2 else self.transpose(0, 1)

    @property
    def T(self) -> CooTensor:  # noqa: N802 - torch's name
        """The matrix transposed."""
        return self.t()


def sparse_coo_tensor(
    indices: Any, values: Any, size: Any = None, *, dtype: Any = None, device: Any = None,
    pin_memory: bool = False, requires_grad: bool = False, check_invariants: bool | None = None,
    is_coalesced: bool | None = None,
) -> CooTensor:  # fmt: skip
    """Return a sparse tensor of stored numbers and their indices; without `size`, as small as they fit in.

    Raises:
        RuntimeError: indices and values differ in number, or lie outside `size`.
    """
    del pin_memory, check_invariants  # there is one memory, and indices are always checked
    devices.check(device)
    stored = values_of(values, dtype, requires_grad)
    places = indices_of(indices)
    if places.ndim != 2:
        raise RuntimeError(f"indices must be sparse_dim x nnz, but got: {list(places.shape)}")
    if places.shape[1] != stored.shape[0]:
        raise RuntimeError(
            "indices and values must have same nnz, but got nnz from indices: "
            f"{places.shape[1]}, nnz from values: {stored.shape[0]}"
        )
    if places.size and places.min() < 0:
        raise RuntimeError("found negative index in indices")
    if size is None:
        size = [*(places.max(1) + 1 if places.shape[1] else np.zeros(len(places), int)), *stored.shape[1:]]
    size = [int(n) for n in size]
    for dim, (row, n) in enumerate(zip(places, size, strict=False)):
        if row.size and row.max() >= n:
            raise RuntimeError(
                f"size is inconsistent with indices: for dim {dim}, size is {n} but found index {row.max()}"
            )
    if len(size) != len(places) + stored._array.ndim - 1:
        raise RuntimeError(
            f"number of dimensions must be sparse_dim ({len(places)}) + dense_dim "
            f"({stored._array.ndim - 1}), but got {len(size)}"
        )
    return CooTensor(places, stored, size, bool(is_coalesced) or math.prod(places.shape) == 0)


def to_sparse(
    input: Any,
    sparse_dim: int | None = None,
    *,
    layout: Any = None,
    blocksize: Any = None,
    dense_dim: Any = None,
) -> Any:
    """Return a strided tensor in a sparse layout: what is not zero, with its indices.

    The first `sparse_dim` dimensions have indices; all if None.
    """
    if blocksize is not None or dense_dim:
        raise NotImplementedError("to_sparse: blocksize and dense_dim are not supported")
    if layout is devices.sparse_csr:
        return to_sparse_csr(input)
    if layout not in (None, devices.sparse_coo):
        raise NotImplementedError(
            f"to_sparse: layout {layout} is not supported; use sparse_coo or sparse_csr"
        )
    array = input._array
    count = array.ndim if sparse_dim is None else sparse_dim
    filled = array != 0
    if count < array.ndim:
        filled = filled.any(tuple(range(count, array.ndim)))
    if not array.ndim:
        places = np.zeros((0, int(bool(filled))), np.int64)
        return CooTensor(places, input.reshape(1)[: places.shape[1]], (), coalesced=True)
    places = np.stack(np.nonzero(filled)).astype(np.int64)
    return CooTensor(places, input[tuple(map(wrap, places))], array.shape, coalesced=True)


def to_sparse_csr(input: Any, dense_dim: int | None = None) -> Any:
    """Return a strided matrix in compressed rows."""
    if dense_dim:
        raise NotImplementedError("to_sparse_csr: dense_dim is not supported")
    return to_sparse(input).to_sparse_csr()
