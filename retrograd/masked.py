"""Reductions and normalisations over part of a tensor: retrograd.masked, as torch.masked.

`mask` is bool and broadcasts to the input: True means that an element counts. Where nothing counts, the
result is the value for nothing (0 for a sum, NaN for a mean). In results of the input's shape the elements
that do not count mean nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import retrograd as torch
from retrograd.ops.helpers import wrap_dim


def _broadcast(mask: Any, input: Any) -> Any:
    """Return a mask as bool, in the input's shape."""
    if mask.ndim > input.ndim:
        raise IndexError(
            "_input_mask expected broadcastable mask (got mask dimensionality higher than of the input)"
        )
    return mask.to(torch.bool).broadcast_to(input.shape)


def _filled(input: Any, mask: Any, value: Any) -> Any:
    """Return the input with `value` where the mask is false."""
    if mask is None:
        return input
    return torch.where(_broadcast(mask, input), input, input.detach().new_full((), value))


def _dims(dim: Any, rank: int) -> tuple[int, ...]:
    """Return dimensions counted from the front; all for None or none."""
    if dim is None or (not isinstance(dim, int) and len(dim) == 0):
        return tuple(range(rank))
    found = tuple(wrap_dim(d, rank) for d in ((dim,) if isinstance(dim, int) else dim))
    for i, d in enumerate(found):
        if d in found[:i]:
            raise RuntimeError(f"dim={d} appears multiple times in the list of dims")
    return found if rank else ()


def _lowest(dtype: Any) -> Any:
    if dtype.is_floating_point or dtype.is_complex:
        return -torch.inf
    return False if dtype is torch.bool else torch.iinfo(dtype).min


def _highest(dtype: Any) -> Any:
    if dtype.is_floating_point:
        return torch.inf
    return True if dtype is torch.bool else torch.iinfo(dtype).max


def _wide(input: Any, dtype: Any) -> Any:
    """Return the input in the dtype in which sums are taken: int64 for whole numbers."""
    if dtype is None:
        dtype = input.dtype if input.dtype.is_floating_point or input.dtype.is_complex else torch.int64
    return input.to(dtype)


def _floating(name: str, input: Any, dtype: Any) -> Any:
    x = input if dtype is None else input.to(dtype)
    if not (x.dtype.is_floating_point or x.dtype.is_complex):
        raise ValueError(
            f"{name}(): Could not infer output dtype. Input dtype must be either a floating point or complex "
            f"dtype. Got: {x.dtype}"
        )
    return x


def _count(input: Any, mask: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
    """Return how many elements count."""
    ones = torch.ones(input.shape, dtype=torch.int64) if mask is None else _broadcast(mask, input)
    return ones.sum(dims, keepdim) if dims else ones.to(torch.int64)


def sum(input: Any, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """Sum over `dim` what counts."""
    dims = _dims(dim, input.ndim)
    x = _filled(_wide(input, dtype), mask, 0)
    return x.sum(dims, keepdim) if dims else x.clone()


def prod(input: Any, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """Multiply over `dim` what counts."""
    x = _filled(_wide(input, dtype), mask, 1)
    dims = sorted(_dims(dim, x.ndim), reverse=True)
    if not dims:
        return x.clone()
    for d in dims:
        x = x.prod(d, keepdim)
    return x


def cumsum(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """Sum what counts up to each element."""
    x = input.to(input.dtype if dtype is None else dtype)
    return _filled(x, mask, 0).cumsum(dim, dtype=x.dtype)


def cumprod(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """Multiply what counts up to each element."""
    x = input.to(input.dtype if dtype is None else dtype)
    return _filled(x, mask, 1).cumprod(dim, dtype=x.dtype)


def amax(input: Any, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """Take the largest over `dim` of what counts."""
    x = input if dtype is None else input.to(dtype)
    return _filled(x, mask, _lowest(x.dtype)).amax(_dims(dim, x.ndim), keepdim)


def amin(input: Any, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """Take the smallest over `dim` of what counts."""
    x = input if dtype is None else input.to(dtype)
    return _filled(x, mask, _highest(x.dtype)).amin(_dims(dim, x.ndim), keepdim)


def argmax(
    input: Any, dim: int | None = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None
) -> Any:
    """Return where the largest that counts is, in the input's dtype, as torch does."""
    x = input if dtype is None else input.to(dtype)
    return _filled(x, mask, _lowest(x.dtype)).argmax(dim, keepdim).to(x.dtype)


def argmin(
    input: Any, dim: int | None = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None
) -> Any:
    """Return where the smallest that counts is, in the input's dtype, as torch does."""
    x = input if dtype is None else input.to(dtype)
    return _filled(x, mask, _highest(x.dtype)).argmin(dim, keepdim).to(x.dtype)


def mean(input: Any, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """Take the mean over `dim` of what counts."""
    x = _floating("mean", input, dtype)
    return sum(x, dim, keepdim=keepdim, mask=mask) / _count(x, mask, _dims(dim, x.ndim), keepdim)


def median(input: Any, dim: int = -1, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """Take the lower median along `dim` of what counts.

    Raises:
        ValueError: nothing counts in some row of whole numbers.
    """
    x = input if dtype is None else input.to(dtype)
    if x.dtype.is_floating_point:
        return _filled(x, mask, torch.nan).nanmedian(dim, keepdim).values
    d = wrap_dim(dim, x.ndim)
    if bool((_count(x, mask, (d,), keepdim=False) == 0).any()):
        raise ValueError("masked median expects no fully masked out rows if dtype is not floating point")
    found = _filled(x.to(torch.float64), mask, torch.nan).nanmedian(d, keepdim)
    at = found.indices if keepdim else found.indices.unsqueeze(d)
    taken = x.gather(d, at)
    return taken if keepdim else taken.squeeze(d)


def norm(
    input: Any, ord: float | None = 2.0, dim: Any = None, *, keepdim: bool = False, dtype: Any = None,
    mask: Any = None,
) -> Any:  # fmt: skip
    """Take the `ord`-norm over `dim` of what counts."""
    x = input if dtype is None else input.to(dtype)
    order = 2.0 if ord is None else float(ord)
    neutral = torch.inf if order < 0 else 0
    return torch.linalg.vector_norm(_filled(x, mask, neutral), order, _dims(dim, x.ndim), keepdim)


def _spread(
    input: Any, dim: Any, unbiased: Any, correction: Any, keepdim: bool, dtype: Any, mask: Any
) -> Any:
    if dim.__class__ is bool:
        dim, unbiased = None, dim
    freedom = correction if correction is not None else 1 if unbiased is None else int(unbiased)
    x = input if dtype is None else input.to(dtype)
    if not (x.dtype.is_floating_point or x.dtype.is_complex):
        x = x.to(torch.get_default_dtype())
    dims = _dims(dim, x.ndim)
    count = _count(x, mask, dims, keepdim=True)
    centred = _filled(x - sum(x, dims, keepdim=True, mask=mask) / count, mask, 0)
    squares = centred * centred.conj()
    total = squares.sum(dims, keepdim) if dims else squares
    left = _count(x, mask, dims, keepdim) - freedom
    return total / torch.where(left > 0, left, 0)


def var(
    input: Any, dim: Any = None, unbiased: bool | None = None, *, correction: float | None = None,
    keepdim: bool = False, dtype: Any = None, mask: Any = None,
) -> Any:  # fmt: skip
    """Take the variance over `dim` of what counts."""
    return _spread(input, dim, unbiased, correction, keepdim, dtype, mask)


def std(
    input: Any, dim: Any = None, unbiased: bool | None = None, *, correction: float | None = None,
    keepdim: bool = False, dtype: Any = None, mask: Any = None,
) -> Any:  # fmt: skip
    """Take the standard deviation over `dim` of what counts."""
    return _spread(input, dim, unbiased, correction, keepdim, dtype, mask).sqrt()


def _normalised(name: str, worst: Callable[[Any], Any], doc: str) -> Callable[..., Any]:
    def function(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
        x = input if dtype is None else input.to(dtype)
        return getattr(torch.nn.functional, name)(_filled(x, mask, worst(x.dtype)), dim)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


softmax = _normalised("softmax", _lowest, "Take the softmax along `dim` of what counts; the rest gets 0.")
log_softmax = _normalised("log_softmax", _lowest, "Take the logarithm of the softmax of what counts.")
softmin = _normalised("softmin", _highest, "Take the softmax of what counts, negated; the rest gets 0.")


def normalize(
    input: Any, ord: float, dim: int, *, eps: float = 1e-12, dtype: Any = None, mask: Any = None
) -> Any:
    """Divide by the `ord`-norm along `dim` of what counts, at least `eps`; the rest gets 0."""
    x = input if dtype is None else input.to(dtype)
    size = norm(x, ord, dim, keepdim=True, mask=mask)
    return _filled(x, mask, 0) / size.clamp(min=eps)


def logaddexp(
    input: Any, other: Any, *, dtype: Any = None, input_mask: Any = None, other_mask: Any = None
) -> Any:
    """Take log(exp(input) + exp(other)) of what counts of either."""
    x, y = (a if dtype is None else a.to(dtype) for a in (input, other))
    return torch.logaddexp(_filled(x, input_mask, -torch.inf), _filled(y, other_mask, -torch.inf))


def logsumexp(
    input: Any, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None
) -> Any:
    """Take the logarithm of the sum over `dim` of exp of what counts."""
    x = input if dtype is None else input.to(dtype)
    found = torch.logsumexp(_filled(x, mask, _lowest(x.dtype)), _dims(dim, x.ndim), keepdim)
    return found.to(x.dtype)


__all__ = [
    "amax", "amin", "argmax", "argmin", "cumprod", "cumsum", "log_softmax", "logaddexp", "logsumexp", "mean",
    "median", "norm", "normalize", "prod", "softmax", "softmin", "std", "sum", "var",
]  # fmt: skip
