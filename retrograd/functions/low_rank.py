"""Singular values and principal components of low rank, found from random directions.

Source: Halko, Martinsson, Tropp, Finding structure with randomness (2009), algorithms 4.4 and 5.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retrograd import dtypes
from retrograd.functions.sampling import FUNCTIONS
from retrograd.ops.declare import TABLE
from retrograd.public import functions
from retrograd.tensor import Tensor

_LINALG = functions("linalg")
_qr: Callable[..., Any] = _LINALG["linalg_qr"]
_svd: Callable[..., Any] = _LINALG["linalg_svd"]


def _basis(a: Any, q: int, niter: int) -> Any:
    """Return q orthonormal columns that nearly span what `a` maps to."""
    start = FUNCTIONS["randn"](a.shape[-1], q, dtype=a.dtype)
    found = _qr(a @ start)[0]
    for _ in range(niter):
        back = _qr(a.mH @ found)[0]
        found = _qr(a @ back)[0]
    return found


def _decomposed(a: Any, q: int, niter: int) -> tuple[Any, Any, Any]:
    wide = a.shape[-2] < a.shape[-1]
    tall = a.mH if wide else a
    basis = _basis(tall, q, niter)
    u, s, vh = _svd(basis.mH @ tall, False)
    u = basis @ u
    return (vh.mH, s, u) if wide else (u, s, vh.mH)


def svd_lowrank(
    A: Tensor,  # noqa: N803 - torch's name
    q: int | None = 6,
    niter: int | None = 2,
    M: Tensor | None = None,  # noqa: N803
) -> tuple[Tensor, Tensor, Tensor]:
    """Return U (m, q), S (q), V (n, q) with A - M nearly U diag(S) V^H; `niter` power steps sharpen it."""
    a: Any = A if M is None else A - M.broadcast_to(A.shape)
    return _decomposed(a, 6 if q is None else q, 2 if niter is None else niter)


def pca_lowrank(
    A: Tensor,  # noqa: N803
    q: int | None = None,
    center: bool = True,
    niter: int = 2,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the q leading principal components of rows: U, S, V as svd_lowrank does, of the centred matrix.

    Raises:
        ValueError: q or niter is out of range.
    """
    a: Any = A
    m, n = a.shape[-2:]
    if a.dtype.category < dtypes.FLOATING:
        raise ValueError(f"pca_lowrank(): expected a floating point or complex tensor, got {a.dtype}")
    if q is None:
        q = min(6, m, n)
    elif not 0 <= q <= min(m, n):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}")
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    mean = TABLE["mean"].function(a, -2, True) if center else None
    return svd_lowrank(a, q, niter, mean)
