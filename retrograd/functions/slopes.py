"""The slope of samples: torch.gradient."""

from __future__ import annotations

from typing import Any

from retrograd import dtypes
from retrograd.functions.calculus import diff, piece
from retrograd.ops.declare import TABLE
from retrograd.ops.helpers import wrap_dim
from retrograd.tensor import Tensor


def _spacings(input: Any, spacing: Any, dims: tuple[int, ...], given: bool) -> list[Any]:
    """Return per dimension how far apart its points are: a number, or a tensor of where they are."""
    if not isinstance(spacing, (list, tuple)):
        step = 1 if spacing is None else spacing.item() if isinstance(spacing, Tensor) else spacing
        return [step] * len(dims)
    if len(spacing) != len(dims):
        wanted = (
            f"'dim' argument ({len(dims)})"
            if given
            else f"'self.dim() = {input.ndim}', since dim argument was not given"
        )
        raise RuntimeError(
            "torch.gradient expected spacing to be unspecified, a scalar, or a list of length equal to "
            f"{wanted}, but got a list of length {len(spacing)}"
        )
    return list(spacing)


def _slope(x: Any, dim: int, at: Any, edge_order: int) -> Any:
    """Return the slope along a dimension: of parabolas inside, of lines or parabolas at the ends."""

    def part(start: int | None, stop: int | None) -> Any:
        return piece(x, dim, start, stop)

    if isinstance(at, Tensor):
        steps = diff(at).reshape([-1 if d == dim else 1 for d in range(x.ndim)])
        before, after = piece(steps, dim, None, -1), piece(steps, dim, 1, None)
        first, second = piece(steps, dim, 0, 1), piece(steps, dim, 1, 2)
        last, second_last = piece(steps, dim, -1, None), piece(steps, dim, -2, -1)
    else:
        before = after = first = second = last = second_last = at
    both = before + after
    inside = (
        part(None, -2) * (-after / (before * both))
        + part(1, -1) * ((after - before) / (before * after))
        + part(2, None) * (before / (after * both))
    )
    if edge_order == 1:
        head, tail = (part(1, 2) - part(0, 1)) / first, (part(-1, None) - part(-2, -1)) / last
    else:
        head = _end_slope(part(0, 1), part(1, 2), part(2, 3), first, second)
        tail = -_end_slope(part(-1, None), part(-2, -1), part(-3, -2), last, second_last)
    return TABLE["cat"].function((head, inside, tail), dim)


def _end_slope(end: Any, next_: Any, third: Any, h: Any, k: Any) -> Any:
    """Return the slope at `end` of the parabola through three points that are h and k apart."""
    return end * (-(2 * h + k) / (h * (h + k))) + next_ * ((h + k) / (h * k)) - third * (h / (k * (h + k)))


def gradient(
    input: Tensor, *, spacing: Any = None, dim: Any = None, edge_order: int = 1
) -> tuple[Tensor, ...]:
    """Estimate the slope of samples along each dimension of `dim` (all by default).

    `spacing` says how far apart the samples are: one number, a number per dimension, or their coordinates.

    Example:
        >>> import retrograd as torch
        >>> torch.gradient(torch.tensor([1.0, 2.0, 4.0]))
        (tensor([1.0000, 1.5000, 2.0000]),)
    """
    dims = tuple(range(input.ndim)) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    found = tuple(wrap_dim(d, input.ndim) for d in dims)
    spacings = _spacings(input, spacing, found, dim is not None)
    for i, d in enumerate(found):
        if d in found[:i]:
            raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    if input.dtype is dtypes.uint8:
        raise RuntimeError("torch.gradient does not support uint8 input.")
    if any(input.shape[d] < edge_order + 1 for d in found):
        raise RuntimeError("torch.gradient expected each dimension size to be at least edge_order+1")
    x = input.to(dtypes.default.float) if input.dtype.category < dtypes.FLOATING else input
    return tuple(_slope(x, d, at, edge_order) for d, at in zip(found, spacings, strict=True))
