"""Functions composed of others: means without NaN, powers in float64, multivariate gamma, norms."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from retrograd import dtypes
from retrograd.ops.declare import TABLE
from retrograd.public import written_in_place
from retrograd.tensor import Tensor


def _op(name: str) -> Callable[..., Any]:
    return TABLE[name].function  # type: ignore[no-any-return]


def nanmean(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> Any:
    """Compute the mean over `dim` of all but NaN."""
    count = _op("sum")(_op("logical_not")(_op("isnan")(input)), dim, keepdim)
    return _op("div")(_op("nansum")(input, dim, keepdim, dtype=dtype), count, out=out)


# ---- powers in float64 ----


def _wide(x: Any, other: Any) -> Any:
    """Return a base or exponent in float64, or in complex128 if either is complex."""
    any_complex = any(
        v.dtype.is_complex if isinstance(v, Tensor) else isinstance(v, complex) for v in (x, other)
    )
    if isinstance(x, Tensor):
        return x.to(dtypes.complex128 if any_complex else dtypes.float64)
    return complex(x) if any_complex else float(x)


def float_power(input: Any, exponent: Any, *, out: Any = None) -> Any:
    """Raise to a power in float64 (complex128 where an operand is complex)."""
    return _op("pow")(_wide(input, exponent), _wide(exponent, input), out=out)


def float_power_(input: Tensor, exponent: Any) -> Tensor:
    """Raise to a power in place.

    Raises:
        RuntimeError: the tensor is not of the dtype that the result has: float64 or complex128.
    """
    result = float_power(input, exponent)
    if input.dtype is not result.dtype:
        raise RuntimeError(
            f"the base given to float_power_ has dtype {input.dtype.scalar_name} but the operation's result "
            f"requires dtype {result.dtype.scalar_name}"
        )
    return input.copy_(result)  # type: ignore[no-any-return]


# ---- gamma ----


def polygamma(n: int, input: Tensor, *, out: Any = None) -> Any:
    """Compute the n-th derivative of digamma."""
    return _op("polygamma")(input, n, out=out)


def polygamma_method(self: Tensor, n: int) -> Any:
    """Compute the n-th derivative of digamma."""
    return _op("polygamma")(self, n)


def polygamma_(self: Tensor, n: int) -> Any:
    """Compute the n-th derivative of digamma in place."""
    return written_in_place(TABLE["polygamma"])(self, n)


def multigammaln(input: Tensor, p: int) -> Tensor:
    """Compute the logarithm of the multivariate gamma function of dimension p.

    Math: p (p - 1) / 4 log(pi) + the sum of lgamma(input - j / 2) over j < p.

    Raises:
        RuntimeError: some element is not above (p - 1) / 2.
    """
    if not bool((input._array > (p - 1) / 2).all()):
        raise RuntimeError("All elements must be greater than (p-1)/2")
    found: Any = p * (p - 1) / 4 * math.log(math.pi)
    for j in range(p):
        found = _op("lgamma")(input - j / 2) + found
    return found  # type: ignore[no-any-return]


def multigammaln_(self: Tensor, p: int) -> Tensor:
    """Compute multigammaln in place."""
    return self.copy_(multigammaln(self, p))  # type: ignore[no-any-return]


# ---- norms ----


def renorm_(self: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Scale, in place, each slice along `dim` whose p-norm exceeds `maxnorm` down to it."""
    # Of a copy: its rules need the numbers that are overwritten.
    return self.copy_(_op("renorm")(_op("clone")(self), p, dim, maxnorm))  # type: ignore[no-any-return]


def norm(
    input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, out: Any = None, dtype: Any = None
) -> Any:
    """Compute a norm of all elements as one vector, or over `dim`; "nuc" is the nuclear norm of matrices."""
    if p == "nuc":
        return _op("matrix_norm")(input, "nuc", (-2, -1) if dim is None else dim, keepdim, dtype=dtype)
    order = 2 if p in ("fro", None) else p
    return _op("vector_norm")(input, order, dim, keepdim, dtype=dtype, out=out)


def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """Compute the p-norm of input - other."""
    return norm(input - other, p)  # type: ignore[no-any-return]


def fill_diagonal_(input: Tensor, fill_value: float, wrap: bool = False) -> Tensor:
    """Write a number on the main diagonal; with `wrap`, begin anew below it in a tall matrix.

    Raises:
        RuntimeError: fewer than two dimensions; more than two, of different sizes.
    """
    if input.ndim < 2:
        raise RuntimeError("dimensions must larger than 1")
    if input.ndim > 2:
        if len(set(input.shape)) > 1:
            raise RuntimeError(f"all dimensions of input must be of equal length\n[got {tuple(input.shape)}]")
        step, start = sum(input.stride()), input.storage_offset()
        input.as_strided((input.shape[0],), (step,), start).fill_(fill_value)
        return input
    height, width = input.shape
    for top in range(0, height if wrap else 1, width + 1):
        input[top : top + width].diagonal().fill_(fill_value)
    return input


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "nanmean": nanmean, "float_power": float_power, "polygamma": polygamma, "mvlgamma": multigammaln,
    "norm": norm, "dist": dist,
}  # fmt: skip
METHODS: dict[str, Any] = {
    "fill_diagonal_": fill_diagonal_,
    "float_power_": float_power_, "polygamma": polygamma_method, "polygamma_": polygamma_,
    "mvlgamma_": multigammaln_, "renorm_": renorm_,
}  # fmt: skip
SPECIAL: dict[str, Callable[..., Any]] = {
    "gammaln": _op("lgamma"), "psi": _op("digamma"), "polygamma": polygamma, "multigammaln": multigammaln,
    "expit": _op("sigmoid"), "gammainc": _op("igamma"), "gammaincc": _op("igammac"),
}  # fmt: skip
"""What torch.special has under another name, or not under this one."""
