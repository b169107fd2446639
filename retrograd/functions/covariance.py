"""Covariances and correlations of variables, one a row, over observations, one a column."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from retrograd import dtypes
from retrograd.functions.overloads import real
from retrograd.ops.declare import TABLE
from retrograd.tensor import Tensor


def _op(name: str) -> Callable[..., Any]:
    return TABLE[name].function  # type: ignore[no-any-return]


def _check_weights(name: str, weights: Tensor, observations: int, integral: bool) -> None:
    if weights.ndim > 1:
        raise RuntimeError(
            f"cov(): expected {name} to have one or fewer dimensions but got {name} with {weights.ndim} "
            "dimensions"
        )
    category = dtypes.INTEGER if integral else dtypes.FLOATING
    if weights.dtype.category != category:
        raise RuntimeError(
            f"cov(): expected {name} to have {'integral' if integral else 'floating point'} dtype but got "
            f"{name} with {weights.dtype.scalar_name} dtype"
        )
    if weights.numel() != observations:
        raise RuntimeError(
            f"cov(): expected {name} to have the same numel as there are observations in the input but got "
            f"{weights.numel()} != {observations}"
        )
    if bool((weights < 0).any()):
        raise RuntimeError(f"cov(): {name} cannot be negative")


def _freedom(weights: Any, aweights: Any, observations: int, correction: int) -> Any:
    """Return by what the sums of products are divided, and the sum of the weights (None without any)."""
    if weights is None:
        return observations - correction, None
    total = weights.sum()
    if not bool(total != 0):
        raise RuntimeError("cov(): weights sum to zero, can't be normalized")
    if aweights is None or correction == 0:
        return total - correction, total
    return total - correction * (weights * aweights).sum() / total, total


def cov(
    input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None
) -> Tensor:
    """Compute the covariance matrix of the rows of `input`; of a vector its variance.

    `fweights` says how often each observation occurs, `aweights` how much it counts.

    Example:
        >>> import retrograd as torch
        >>> torch.cov(torch.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
        tensor([[ 1., -1.],
                [-1.,  1.]])
    """
    if input.ndim > 2:
        raise RuntimeError(
            "cov(): expected input to have two or fewer dimensions but got an input with "
            f"{input.ndim} dimensions"
        )
    if input.dtype is dtypes.bool_:
        raise RuntimeError("cov(): bool dtype is not supported for input")
    x: Any = input if input.ndim == 2 else input.reshape(1, -1)
    observations = x.shape[1]
    if fweights is not None:
        _check_weights("fweights", fweights, observations, integral=True)
    if aweights is not None:
        _check_weights("aweights", aweights, observations, integral=False)
    given = [w for w in (fweights, aweights) if w is not None]
    weights: Any = given[0] if len(given) == 1 else given[0] * given[1] if given else None
    freedom, total = _freedom(weights, aweights, observations, correction)
    if bool(freedom <= 0):
        warnings.warn(
            "cov(): degrees of freedom is <= 0. Correction should be strictly less than the number of "
            "observations.",
            UserWarning,
            stacklevel=2,
        )
        freedom = 0
    if x.dtype.category < dtypes.FLOATING:
        x = x.to(dtypes.default.float)
    mean = x.mean(1, keepdim=True) if weights is None else (x * weights).sum(1, keepdim=True) / total
    centred = x - mean
    other = centred if weights is None else centred * weights
    return (centred @ other.to(centred.dtype).mH / freedom).squeeze()  # type: ignore[no-any-return]


def corrcoef(input: Tensor) -> Tensor:
    """Compute the matrix of Pearson's correlation coefficients of the rows of `input`.

    Numerics: held within [-1, 1], real and imaginary part each.
    """
    if input.ndim > 2:
        raise RuntimeError(
            "corrcoef(): expected input to have two or fewer dimensions but got an input with "
            f"{input.ndim} dimensions"
        )
    found: Any = cov(input)
    if found.ndim == 0:
        return found / found  # type: ignore[no-any-return]
    spread = real(found.diagonal()).sqrt()
    found = found / spread[:, None] / spread
    if not found.dtype.is_complex:
        return found.clamp(-1, 1)  # type: ignore[no-any-return]
    return _op("complex")(found.real.clamp(-1, 1), found.imag.clamp(-1, 1))  # type: ignore[no-any-return]


METHODS: dict[str, Callable[..., Any]] = {"cov": cov, "corrcoef": corrcoef}
