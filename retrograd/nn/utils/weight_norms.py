"""What weight and spectral normalisation compute, in both of their forms."""

from __future__ import annotations

from typing import Any

from retrograd.autograd.modes import no_grad
from retrograd.functions.composed import norm
from retrograd.nn import functional as F


def norm_except_dim(v: Any, pow: float = 2, dim: int = 0) -> Any:
    """Return the norms over all dimensions but one, which are kept as size 1; of all elements for -1."""
    if dim == -1:
        return norm(v, pow)
    dim %= v.ndim
    return norm(v, pow, tuple(d for d in range(v.ndim) if d != dim), True)


def weight_of(v: Any, g: Any, dim: int) -> Any:
    """Return g v / |v|."""
    return v * (g / norm_except_dim(v, 2, dim))


def as_matrix(weight: Any, dim: int) -> Any:
    """Return a weight as a matrix whose rows are what lies along `dim`."""
    if dim != 0:
        weight = weight.permute(dim, *(d for d in range(weight.ndim) if d != dim))
    return weight.flatten(1)


def power_iterations(matrix: Any, u: Any, v: Any, count: int, eps: float) -> tuple[Any, Any]:
    """Return better singular vectors for the largest singular value, after `count` steps."""
    with no_grad():
        for _ in range(count):
            u = F.normalize(matrix @ v, dim=0, eps=eps)
            v = F.normalize(matrix.t() @ u, dim=0, eps=eps)
    return u, v


def random_vector(matrix: Any, count: int, eps: float) -> Any:
    """Return a random direction."""
    return F.normalize(matrix.new_empty(count).normal_(0, 1), dim=0, eps=eps)
