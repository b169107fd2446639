"""torch.sparse: matrices of which few elements are stored, their products and sums.

Supported: the layouts COO and CSR; conversion; add, sub, mul, div; products with dense matrices and vectors;
sums; functions that leave zero a zero; gradients of all of these. Everything else says that it is not.
"""

from __future__ import annotations

from typing import Any

from retrograd.sparse.calls import product, total
from retrograd.sparse.coo import sparse_coo_tensor, to_sparse, to_sparse_csr
from retrograd.sparse.csr import sparse_csr_tensor
from retrograd.sparse.tensor import SparseTensor
from retrograd.tensor import Tensor

__all__ = ["SparseTensor", "addmm", "mm", "sparse_coo_tensor", "sparse_csr_tensor", "spmm", "sum"]


def mm(mat1: Any, mat2: Any) -> Any:
    """Return the product of a sparse matrix and a dense or sparse one; both get gradients."""
    if not isinstance(mat1, SparseTensor) and not isinstance(mat2, SparseTensor):
        return mat1 @ mat2
    return product(mat1, mat2)


spmm = mm


def addmm(input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """Return beta * input + alpha * (mat1 @ mat2) for a sparse mat1."""
    return beta * input + alpha * mm(mat1, mat2)


def sum(input: Any, dim: Any = None, dtype: Any = None) -> Any:
    """Return the sum of a sparse tensor over all dimensions, or over some, which stays sparse."""
    return total(input, dim, dtype=dtype)


def _dense(input: Any, dtype: Any = None, *, masked_grad: Any = None) -> Any:
    """Return a strided tensor: itself, in `dtype` if that is given."""
    del masked_grad
    return input if dtype is None else input.to(dtype)


def _no_dims(input: Any) -> int:
    """Return 0: a strided tensor has no dimensions with indices."""
    del input
    return 0


def _only_sparse(name: str, layout: str) -> Any:
    def method(self: Any) -> Any:
        del self
        raise RuntimeError(f"{name} expected {layout} layout but got Strided")

    method.__name__ = method.__qualname__ = name
    method.__doc__ = "Raise RuntimeError: a strided tensor has none."
    return method


METHODS: dict[str, Any] = {
    "to_dense": _dense, "to_sparse": to_sparse, "to_sparse_coo": to_sparse, "to_sparse_csr": to_sparse_csr,
    "sparse_dim": _no_dims, "dense_dim": lambda self: self.dim(),
    "coalesce": _only_sparse("coalesce", "sparse coordinate tensor"),
    "indices": _only_sparse("indices", "sparse coordinate tensor"),
    "is_coalesced": _only_sparse("is_coalesced", "sparse coordinate tensor"),
    "values": _only_sparse("values", "sparse tensor"),
}  # fmt: skip
for _name, _method in METHODS.items():
    setattr(Tensor, _name, _method)
