"""Limits on gradients."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from retrograd.ops.helpers import ArrayLike
from retrograd.tensor import Tensor, wrap


def _norm(arrays: list[Any], kind: float) -> Any:
    """Return the norm of the arrays' norms, in their type."""
    if isinstance(arrays[0], ArrayLike):
        return _traced_norm(arrays, kind)
    if kind == math.inf:
        return max((np.abs(a).max() for a in arrays if a.size), default=arrays[0].dtype.type(0))
    flat = [a.reshape(-1) for a in arrays]
    if kind == 2.0:
        squares = [np.vdot(a, a).real for a in flat]
        return np.sqrt(np.sum(np.array(squares)))
    return np.sum(np.array([np.sum(np.abs(a) ** kind) for a in flat])) ** (1.0 / kind)


def _traced_norm(arrays: list[Any], kind: float) -> Any:
    """Return the same of arrays whose elements are not known yet."""
    sizes = [np.absolute(a) for a in arrays if a.size]
    if not sizes:
        return arrays[0].dtype.type(0)
    if kind == math.inf:
        return functools.reduce(np.maximum, [np.max(a) for a in sizes])
    total = functools.reduce(np.add, [np.sum(a * a if kind == 2.0 else a**kind) for a in sizes])
    return np.sqrt(total) if kind == 2.0 else total ** (1.0 / kind)


def get_total_norm(
    tensors: Any, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Tensor:
    """Return the norm of the vector of all elements of all tensors.

    Raises:
        RuntimeError: it is not finite, and `error_if_nonfinite`.
    """
    del foreach
    arrays = [t._array for t in ([tensors] if isinstance(tensors, Tensor) else tensors)]
    if not arrays:
        return wrap(np.zeros((), np.float32))
    kind = float(norm_type)
    with np.errstate(all="ignore"):
        total = _norm(arrays, kind)
    if error_if_nonfinite and not np.isfinite(total):
        raise RuntimeError(
            f"The total norm of order {kind} for gradients from `parameters` is non-finite, so it cannot be "
            "clipped. To disable this error and scale the gradients by the non-finite norm anyway, set "
            "`error_if_nonfinite=False`"
        )
    real = np.abs(arrays[0].ravel()[:0]).dtype
    return wrap(total._cast(real) if isinstance(total, ArrayLike) else np.asarray(total, real))


def clip_grads_with_norm_(
    parameters: Any, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale the gradients by max_norm / (total_norm + 1e-6), if that is less than 1."""
    del foreach
    grads = _grads(parameters)
    factor = float(max_norm) / (total_norm._array + total_norm._array.dtype.type(1e-6))
    factor = np.minimum(factor, 1.0)
    is_known = not isinstance(factor, ArrayLike)
    if is_known and factor == 1.0:
        return
    for grad in grads:
        kind = grad._array.dtype
        scale = kind.type(factor) if is_known else factor._cast(kind)
        np.multiply(grad._array, scale, out=grad._array)
        grad._version_cell().bump()


def clip_grad_norm_(
    parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:  # fmt: skip
    """Scale the gradients in place so that their norm, taken together, is at most `max_norm`.

    Returns:
        The norm before.
    """
    if isinstance(parameters, Iterable) and not isinstance(parameters, Tensor):
        parameters = list(parameters)
        if not parameters:
            warnings.warn(
                "`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=2
            )
    total = get_total_norm(_grads(parameters), norm_type, error_if_nonfinite, foreach)
    clip_grads_with_norm_(parameters, max_norm, total, foreach)
    return total


def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Keep the elements of the gradients between -clip_value and clip_value, in place."""
    del foreach
    limit = float(clip_value)
    for grad in _grads(parameters):
        np.clip(grad._array, -limit, limit, out=grad._array)
        grad._version_cell().bump()


def _grads(parameters: Any) -> list[Any]:
    found = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in found if p.grad is not None]
