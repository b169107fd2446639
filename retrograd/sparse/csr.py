"""The compressed-row layout of matrices: where each row begins, and a column for every stored number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from retrograd import devices
from retrograd.sparse.coo import CooTensor
from retrograd.sparse.tensor import SparseTensor, indices_of, values_of, wrapped
from retrograd.tensor import Tensor


class CsrTensor(SparseTensor):
    """A sparse matrix in compressed rows: row r holds the stored numbers crow[r] to crow[r + 1]."""

    __slots__ = ("_columns", "_crow")

    _crow: np.ndarray[Any, Any]
    _columns: np.ndarray[Any, Any]
    is_sparse_csr = True

    def __init__(self, crow: Any, columns: Any, values: Tensor, size: Any) -> None:
        self._begin(values, size)
        self._crow, self._columns = crow, columns

    @property
    def layout(self) -> devices.layout:
        return devices.sparse_csr

    def _with(self, values: Tensor) -> Self:
        return type(self)(self._crow, self._columns, values, self._size)

    def _state(self) -> tuple[Any, ...]:
        return self._crow, self._columns, self._stored, self._size

    def _parts(self) -> Iterator[tuple[str, Any]]:
        yield "crow_indices", self._crow
        yield "col_indices", self._columns
        yield "values", self._stored._array

    def crow_indices(self) -> Tensor:
        """Return where each row begins, and where the last ends."""
        return wrapped(self._crow)

    def col_indices(self) -> Tensor:
        """Return the column of each stored number."""
        return wrapped(self._columns)

    def values(self) -> Tensor:
        """Return the stored numbers."""
        return self._stored

    def indices(self) -> Tensor:
        raise RuntimeError("indices expected sparse coordinate tensor layout but got SparseCsr")

    def coalesce(self) -> Tensor:
        raise RuntimeError("coalesce expected sparse coordinate tensor layout but got SparseCsr")

    def _coo(self) -> CooTensor:
        rows = np.repeat(np.arange(self._size[0]), np.diff(self._crow))
        return CooTensor(np.stack([rows, self._columns]), self._stored, self._size)

    def to_dense(self, dtype: Any = None, *, masked_grad: Any = None) -> Any:
        return self._coo().to_dense(dtype)

    def to_sparse(self, sparse_dim: int | None = None, *, layout: Any = None) -> Any:
        """Return the matrix in coordinate layout, or itself for the layout `sparse_csr`."""
        if layout is devices.sparse_csr:
            return self
        made = self._coo()
        made._coalesced = True
        return made

    to_sparse_coo = to_sparse

    def to_sparse_csr(self, dense_dim: int | None = None) -> Any:
        """Return the matrix itself."""
        return self

    def transpose(self, dim0: int, dim1: int) -> Any:
        raise NotImplementedError("transpose: layout sparse_csr is not supported; use to_sparse() first")

    def t(self) -> Any:
        raise NotImplementedError("t: layout sparse_csr is not supported; use to_sparse() first")


def sparse_csr_tensor(
    crow_indices: Any, col_indices: Any, values: Any, size: Any = None, *, dtype: Any = None,
    device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
    check_invariants: bool | None = None,
) -> CsrTensor:  # fmt: skip
    """Return a sparse matrix in compressed rows.

    Raises:
        RuntimeError: the row bounds do not fit the stored numbers or the size.
    """
    del pin_memory, check_invariants  # there is one memory, and indices are always checked
    devices.check(device)
    stored = values_of(values, dtype, requires_grad)
    crow, columns = indices_of(crow_indices), indices_of(col_indices)
    if size is None:
        size = (len(crow) - 1, int(columns.max()) + 1 if columns.size else 0)
    fits = crow.ndim == columns.ndim == 1 and len(crow) == size[0] + 1 and len(columns) == stored.shape[0]
    if not fits or crow[0] != 0 or crow[-1] != len(columns) or bool((np.diff(crow) < 0).any()):
        raise RuntimeError(
            f"sparse_csr_tensor: expected rows + 1 growing bounds from 0 to nnz, and nnz columns and values; "
            f"got crow_indices {crow.tolist()}, {columns.size} columns, {stored.shape[0]} values, size "
            f"{tuple(size)}"
        )
    if columns.size and not (columns.min() >= 0 and columns.max() < size[1]):
        raise RuntimeError(f"sparse_csr_tensor: col_indices must be from 0 to {size[1] - 1}")
    return CsrTensor(crow, columns, stored, size)


def csr_from_coo(matrix: CooTensor) -> CsrTensor:
    """Return a coalesced matrix in compressed rows.

    Raises:
        NotImplementedError: it is no matrix.
    """
    if matrix.ndim != 2 or matrix.sparse_dim() != 2:
        raise NotImplementedError(
            f"to_sparse_csr: only matrices are supported; got a tensor of shape {tuple(matrix.shape)}"
        )
    rows, columns = matrix._places
    crow = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=matrix.shape[0]))]).astype(np.int64)
    return CsrTensor(crow, columns, matrix._stored, matrix.shape)
