"""Differences, integrals by trapezoids, and quantiles: functions made of others, along a dimension."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retrograd import dtypes
from retrograd.functions.reshaping import in_place_name
from retrograd.ops.declare import TABLE
from retrograd.ops.helpers import wrap_dim
from retrograd.tensor import Tensor, wrap


def _op(name: str) -> Callable[..., Any]:
    return TABLE[name].function  # type: ignore[no-any-return]


def piece(x: Any, dim: int, start: int | None, stop: int | None) -> Any:
    """Return x[start:stop] along a dimension."""
    return x[(slice(None),) * wrap_dim(dim, x.ndim) + (slice(start, stop),)]


def _check_ends(input: Tensor, n: int, ends: tuple[Any, ...]) -> None:
    if input.ndim == 0:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    for name, end in zip(("prepend", "append"), ends, strict=True):
        if end is not None and end.ndim != input.ndim:
            raise RuntimeError(
                f"diff expects prepend or append to be the same dimension as input ({name} is not)"
            )


def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None, *,
    out: Any = None,
) -> Tensor:  # fmt: skip
    """Compute the n-th difference x[i + 1] - x[i] along a dimension, of `prepend`, input and `append` joined.

    Example:
        >>> import retrograd as torch
        >>> torch.diff(torch.tensor([1, 3, 2]))
        tensor([ 2, -1])
    """
    _check_ends(input, n, (prepend, append))
    parts = [x for x in (prepend, input, append) if x is not None] if n else [input]
    x: Any = _op("cat")(parts, dim) if len(parts) > 1 else input
    for _ in range(min(n, x.shape[dim])):
        later, earlier = piece(x, dim, 1, None), piece(x, dim, None, -1)
        x = _op("logical_xor")(later, earlier) if x.dtype is dtypes.bool_ else later - earlier
    x = _op("clone")(x) if x is input else x
    return x if out is None else out.resize_(x.shape).copy_(x)  # type: ignore[no-any-return]


def _areas(name: str, y: Any, x: Any, dx: Any, dim: int) -> Any:
    """Return the areas of the trapezoids between neighbouring samples."""
    if x is not None and dx is not None:
        raise RuntimeError(f"{name}: `x` and `dx` exclude each other; got both")
    sums = piece(y, dim, 1, None) + piece(y, dim, None, -1)
    if x is None:
        return sums * ((1 if dx is None else dx) / 2)
    if x.ndim == 1:
        if x.shape[0] != y.shape[dim]:
            raise RuntimeError(f"{name}: There must be one `x` value for each sample point")
        x = x.reshape([-1 if d == wrap_dim(dim, y.ndim) else 1 for d in range(y.ndim)])
        return sums * diff(x, dim=dim) / 2
    lacking = y.ndim - x.ndim
    x = x.reshape([1] * lacking + list(x.shape)) if lacking > 0 else x
    return sums * diff(x, dim=dim) / 2


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """Integrate samples along a dimension by the trapezoidal rule; they are at `x`, or `dx` (1) apart."""
    if y.shape[dim] == 0:
        y = y.to(dtypes.default.float) if y.dtype.category < dtypes.FLOATING else y
        return _op("sum")(y, dim)  # type: ignore[no-any-return]
    return _op("sum")(_areas("trapezoid", y, x, dx, dim), dim)  # type: ignore[no-any-return]


def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """Compute the running integral of samples along a dimension by the trapezoidal rule; see trapezoid."""
    return _op("cumsum")(_areas("cumulative_trapezoid", y, x, dx, dim), dim)  # type: ignore[no-any-return]


# ---- quantiles ----

_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _check_quantile(name: str, input: Any, q: Any, interpolation: str) -> Any:
    """Return q as an array in the input's dtype."""
    if input.dtype not in (dtypes.float32, dtypes.float64):
        raise RuntimeError(f"{name}() input tensor must be either float or double dtype")
    if isinstance(q, Tensor):
        if q.ndim > 1:
            raise RuntimeError(f"{name}() q must be a scalar or 1D tensor")
        if q.dtype is not input.dtype:
            raise RuntimeError(f"{name}() q tensor must be same dtype as the input tensor")
        values = q._array
        if not ((values >= 0) & (values <= 1)).all():
            raise RuntimeError(f"{name}() q values must be in the range [0, 1]")
    else:
        if not 0 <= q <= 1:
            raise RuntimeError(f"{name}() q must be in the range [0, 1] but got {q:g}")
        values = input._array.dtype.type(q)
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(
            f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got "
            f"{interpolation}"
        )
    if input._array.size == 0:
        raise RuntimeError(f"{name}() input tensor must be non-empty")
    return values


def _ranks(q: Any, values: Any, x: Any, ignore_nan: bool) -> Any:
    """Return where in each sorted row (the last dimension of x) the quantiles lie: (..., quantiles)."""
    nan = x != x
    last = x.shape[-1] - 1
    count = (~nan).sum(-1, keepdims=True)
    # A row with a NaN has it at its end, and shows it; a row of nothing but NaN likewise.
    lost = count == 0 if ignore_nan else nan.any(-1, keepdims=True)
    top = (count - 1 if ignore_nan else count * 0 + last).astype(x.dtype)
    row: Any = _op("reshape")(q, (-1,)) if isinstance(q, Tensor) else wrap(values.reshape(1))
    return _op("where")(row * wrap(top), wrap(~lost), float(last))


def _rows(input: Any, dim: int | None, keepdim: bool) -> Any:
    """Return the input with what the quantiles are taken of as rows; a 1 in its place if it is to be kept."""
    if dim is None:
        return input.reshape((*(1,) * input.ndim, -1) if keepdim else -1)
    if input.ndim == 0:
        return input.reshape(1)
    return input.unsqueeze(-1).transpose(dim, -1) if keepdim else input.movedim(dim, -1)


def _quantile(
    name: str, input: Any, q: Any, dim: int | None, keepdim: bool, interpolation: str, out: Any
) -> Tensor:
    values = _check_quantile(name, input, q, interpolation)
    flat = _rows(input, dim, keepdim)
    ordered = _op("sort")(flat, -1)[0]
    ranks = _ranks(q, values, flat._array, name == "nanquantile")
    if interpolation in ("lower", "higher", "nearest"):
        rounded = {"lower": "floor", "higher": "ceil", "nearest": "round"}[interpolation]
        found = _op("gather")(ordered, -1, _op(rounded)(ranks).long())
    else:
        below, above = _op("floor")(ranks.detach()), _op("ceil")(ranks.detach())
        weight = ranks - below if interpolation == "linear" else 0.5
        found = _op("lerp")(
            _op("gather")(ordered, -1, below.long()), _op("gather")(ordered, -1, above.long()), weight
        )
    if values.ndim:  # the quantiles in front
        found = in_place_name(_op("transpose")(in_place_name(found.unsqueeze(0)), 0, -1))
    found = in_place_name(found.squeeze(-1))
    return found if out is None else out.resize_(found.shape).copy_(found)


def quantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *,
    interpolation: str = "linear", out: Any = None,
) -> Tensor:  # fmt: skip
    """Compute the values below which the fractions `q` of the elements lie, along a dimension or of all.

    A row with a NaN in it has NaN quantiles. Quantiles come in front: shape (len(q), ...).

    Example:
        >>> import retrograd as torch
        >>> torch.quantile(torch.tensor([1.0, 2.0, 4.0]), 0.75)
        tensor(3.)
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, out)


def nanquantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *,
    interpolation: str = "linear", out: Any = None,
) -> Tensor:  # fmt: skip
    """Compute quantiles of all elements but NaN; see quantile."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, out)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "diff": diff, "quantile": quantile, "nanquantile": nanquantile,
    "trapezoid": trapezoid, "trapz": trapezoid, "cumulative_trapezoid": cumulative_trapezoid,
}  # fmt: skip
