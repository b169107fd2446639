"""Ops on sparse tensors: which are supported, and what they are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import retrograd
from retrograd.autograd.dispatch import general
from retrograd.ops.declare import Op
from retrograd.sparse.coo import CooTensor
from retrograd.sparse.csr import CsrTensor
from retrograd.sparse.tensor import SparseTensor, wrapped
from retrograd.tensor import Tensor

_KEEP_ZERO = frozenset({
    "abs", "asin", "asinh", "atan", "atanh", "ceil", "conj", "deg2rad", "erf", "erfinv", "expm1", "floor",
    "log1p", "neg", "positive", "rad2deg", "relu", "round", "sgn", "sign", "sin", "sinh", "sqrt", "tan",
    "tanh", "to_copy", "trunc",
})  # fmt: skip
"""Ops of one argument that leave a zero a zero: they apply to the stored numbers alone."""


def call(op: Op, args: tuple[Any, ...], target: Any) -> Any:
    """Run an op of which an argument is sparse; NotImplemented if none is.

    Raises:
        NotImplementedError: the op is not supported for sparse tensors, or not in place or with `out`.
    """
    flat = [v for a in args for v in (a if isinstance(a, (list, tuple)) else (a,))]
    if not any(isinstance(a, SparseTensor) for a in (*flat, target)):
        return NotImplemented
    if target is None:
        if op.name in _KEEP_ZERO:
            return args[0]._with(general(op, (args[0]._stored, *args[1:])))
        handler = _HANDLERS.get(op.name)
        if handler is not None:
            by_name = {p.name: a for p, a in zip(op.parameters, args, strict=True)}
            return handler(**by_name)
    where = "" if target is None else " in place or with out="
    raise NotImplementedError(
        f"Could not run 'aten::{op.torch_name}'{where} with arguments from the 'SparseCPU' backend: "
        "retrograd has no sparse form of it; use to_dense() first"
    )


def _added(input: Any, other: Any, alpha: Any = 1) -> Any:
    if not isinstance(input, SparseTensor):
        return input + alpha * other.to_dense()
    if not isinstance(other, SparseTensor):
        raise RuntimeError(  # noqa: TRY004 - torch's type
            "add(sparse, dense) is not supported. Use add(dense, sparse) instead."
        )
    if input.shape != other.shape:
        raise RuntimeError(
            f"add: expected sizes of 'self' and 'other' to match, but {list(input.shape)} != "
            f"{list(other.shape)}"
        )
    first, second = coordinates(input), coordinates(other)
    places = np.concatenate([first._places, second._places], 1)
    values = retrograd.cat([first._stored, alpha * second._stored])
    made = CooTensor(places, values, input.shape).coalesce()
    return made if input.is_sparse else made.to_sparse_csr()


def _subtracted(input: Any, other: Any, alpha: Any = 1) -> Any:
    if isinstance(input, SparseTensor) and not isinstance(other, SparseTensor):
        raise RuntimeError(  # noqa: TRY004 - torch's type
            "sub(sparse, dense) is not supported. Use sub(dense, sparse) instead."
        )
    return _added(input, other, -alpha)


def _multiplied(input: Any, other: Any) -> Any:
    if not isinstance(input, SparseTensor):
        input, other = other, input
    if isinstance(other, SparseTensor):
        other = other.to_dense()
    if isinstance(other, Tensor) and other._array.ndim:
        if tuple(retrograd.broadcast_shapes(input.shape, other.shape)) != tuple(input.shape):
            raise NotImplementedError(
                f"mul: a sparse tensor of shape {tuple(input.shape)} does not broadcast; got "
                f"{tuple(other.shape)}"
            )
        places = coordinates(input)._places
        other = other.expand(input.shape)[tuple(map(wrapped, places))]
    return input._with(input._stored * other)


def _divided(input: Any, other: Any, rounding_mode: Any = None) -> Any:
    if isinstance(other, SparseTensor) or (isinstance(other, Tensor) and other._array.ndim):
        raise RuntimeError("Sparse division requires a scalar or zero-dim dense tensor divisor")
    return input._with(retrograd.div(input._stored, other, rounding_mode=rounding_mode))


def coordinates(tensor: Any) -> CooTensor:
    """Return a sparse tensor in coordinate layout."""
    return tensor if isinstance(tensor, CooTensor) else tensor.to_sparse()


def product(input: Any, other: Any) -> Any:
    """Return the matrix product of a sparse and a dense (or sparse) matrix or vector, in either order.

    Math: row r of the product gathers values * rows of the dense factor at the stored columns of r. Both
        factors get gradients.
    """
    if not isinstance(input, SparseTensor):
        if input._array.ndim == 1:
            return product(coordinates(other).t(), input)
        return product(coordinates(other).t(), input.mT).mT
    if isinstance(other, SparseTensor):
        made = to_sparse(product(input, other.to_dense()))
        return made if input.is_sparse else made.to_sparse_csr()
    matrix = coordinates(input)
    if matrix.ndim != 2 or matrix.sparse_dim() != 2 or other._array.ndim not in (1, 2):
        raise NotImplementedError(
            "matmul: a sparse factor must be a matrix, and the other one a matrix or vector; got shapes "
            f"{tuple(input.shape)} and {tuple(other.shape)}"
        )
    if matrix.shape[1] != other.shape[0]:
        raise RuntimeError(
            f"addmm: Argument #3 (dense): Expected dim 0 size {matrix.shape[1]}, got {other.shape[0]}"
        )
    rows, columns = map(wrapped, matrix._places)
    values: Any = matrix._stored
    values = values.unsqueeze(-1) if other._array.ndim == 2 else values
    zeros: Any = retrograd.zeros((matrix.shape[0], *other.shape[1:]), dtype=values.dtype)
    return zeros.index_add(0, rows, values * other.index_select(0, columns))


def to_sparse(tensor: Any) -> CooTensor:
    return retrograd.Tensor.to_sparse(tensor)  # type: ignore[attr-defined, no-any-return]


def total(input: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    """Return the sum of a sparse tensor over all dimensions, or over some, which stays sparse."""
    values: Any = input._stored if dtype is None else input._stored.to(dtype)
    if dim is None or dim == ():
        return values.sum()
    if keepdim or isinstance(input, CsrTensor):
        raise NotImplementedError(
            "sum: over dimensions, sparse tensors must be in COO layout, without keepdim"
        )
    dims = sorted({d % input.ndim for d in (dim if isinstance(dim, (tuple, list)) else (dim,))})
    count = input.sparse_dim()
    inner = [d - count + 1 for d in dims if d >= count]
    values = values.sum(inner) if inner else values
    kept = [d for d in range(count) if d not in dims]
    sizes = [n for d, n in enumerate(input.shape) if d not in dims]
    if not kept:
        return values.sum(0)
    made = CooTensor(input._places[kept], values, sizes)
    return made.coalesce() if len(kept) < count else made


def _matrices(input: Any, mat2: Any) -> Any:
    return product(input, mat2)


def _matrix_vector(input: Any, vec: Any) -> Any:
    return product(input, vec)


_HANDLERS: dict[str, Callable[..., Any]] = {
    "add": _added, "sub": _subtracted, "mul": _multiplied, "div": _divided, "sum": total,
    "mm": _matrices, "mv": _matrix_vector, "matmul": product,
    "clone": lambda input, memory_format: input.clone(memory_format=memory_format),
    "t": lambda input: input.t(), "transpose": lambda input, dim0, dim1: input.transpose(dim0, dim1),
}  # fmt: skip
