"""Padding, resizing and sampling of images."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd.nn.functions.ops import OPS
from retrograd.nn.functions.pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from retrograd.ops.pad import indices_of
from retrograd.tensor import wrap


def pad(input: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Any:
    """Pad the last dimensions with `value`, or with elements of the input (other modes).

    Args:
        input: what is padded.
        pad: what goes before and after the last dimension, then before and after the one before it, ...
        mode: constant, reflect, replicate or circular.
        value: what a constant padding holds; 0 if left out.
    """
    amounts = tuple(int(p) for p in pad)
    if len(amounts) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(amounts) > 2 * input.ndim:
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got padding "
            "length "
            f"{len(amounts)} and input of dimension {input.ndim}"
        )
    if mode == "constant":
        return OPS["constant_pad_nd"](input, amounts, 0 if value is None else value)
    if value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    rank = len(amounts) // 2
    if input.ndim not in (rank + 1, rank + 2):
        raise NotImplementedError(
            "Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now"
        )
    _check_pad(input, amounts, mode, rank)
    name = {"reflect": "Reflection", "replicate": "Replication", "circular": "Circular"}[mode]
    return OPS["take_at"](input, indices_of(input.shape, amounts, mode), f"{name}Pad{rank}DBackward0")


def _check_pad(input: Any, amounts: tuple[int, ...], mode: str, rank: int) -> None:
    for i in range(rank):
        n, before, after = input.shape[-1 - i], amounts[2 * i], amounts[2 * i + 1]
        if mode == "reflect" and (before >= n or after >= n):
            raise RuntimeError(
                "Argument #4: Padding size should be less than the corresponding input dimension, but got: "
                "padding "
                f"({before}, {after}) at dimension {input.ndim - 1 - i} of input {list(input.shape)}"
            )
        if mode == "circular" and (before > n or after > n):
            raise RuntimeError("Padding value causes wrapping around more than once.")
        if n + before + after < 1:
            raise RuntimeError(f"input (W: {n}) is too small. Calculated output W: {n + before + after}")


# ---- resizing ----

_LINEAR = {"linear": 1, "bilinear": 2, "trilinear": 3}


def interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Any:
    """Resize the dimensions behind the channels to `size`, or by `scale_factor`.

    Args:
        input: (n, channels, *sizes), with one to three sizes.
        size: the new sizes, or one for all.
        scale_factor: how many times larger instead, for each dimension or for all.
        mode: nearest, nearest-exact, linear, bilinear, trilinear, bicubic, or area.
        align_corners: put the corner elements' centres onto each other, instead of the outer edges.
        recompute_scale_factor: resample by the ratio of the sizes, which were rounded, not by `scale_factor`.
        antialias: widen the kernel by the scale when reducing (bilinear and bicubic).
    """
    if mode in ("nearest", "area", "nearest-exact") and align_corners is not None:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear | "
            "bicubic | trilinear"
        )
    align_corners = bool(align_corners)
    rank = input.ndim - 2
    wanted, scales = _output_size(input, size, scale_factor, recompute_scale_factor, rank)
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueError(
            "Anti-alias option is restricted to bilinear and bicubic modes and requires a 4-D tensor as input"
        )
    _check_mode(input, mode, rank)
    old = tuple(input.shape[2:])
    if any(n < 1 for n in (*old, *wanted)):
        raise RuntimeError(
            f"Input and output sizes should be greater than 0, but got input (H: {old[0]}, W: {old[-1]}) "
            "output (H: "
            f"{wanted[0]}, W: {wanted[-1]})"
        )
    if mode == "area":
        return {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}[rank](input, wanted)
    name = {"nearest": f"UpsampleNearest{rank}D", "nearest-exact": f"UpsampleNearestExact{rank}D"}.get(
        mode, f"Upsample{mode.capitalize()}{rank}D"
    ) + ("Aa" if antialias else "")
    ratios = [_ratio(n, m, s) for n, m, s in zip(old, wanted, scales, strict=True)]
    if mode.startswith("nearest"):
        half = 0.5 if mode == "nearest-exact" else 0.0
        at = [
            np.minimum(
                np.floor((np.arange(m, dtype=np.float32) + half) * np.float32(r)).astype(np.int64), n - 1
            )
            for n, m, r in zip(old, wanted, ratios, strict=True)
        ]
        return OPS["take_at"](input, tuple(at), f"{name}Backward0")
    kernel = _cubic if mode == "bicubic" else _triangle
    matrices = [
        _matrix(n, m, r, kernel, align_corners, antialias)
        for n, m, r in zip(old, wanted, ratios, strict=True)
    ]
    return OPS["resample"](input, tuple(matrices), f"{name}Backward0")


def _check_mode(input: Any, mode: str, rank: int) -> None:
    needs = {**_LINEAR, "bicubic": 2}.get(mode)
    if mode not in ("nearest", "nearest-exact", "area") and needs is None:
        raise NotImplementedError(
            "Input Error: Only 3D, 4D and 5D input Tensors supported (got "
            f"{input.ndim}D) for the modes: nearest | linear | bilinear | bicubic | trilinear | lanczos | "
            "area | nearest-exact "
            f"(got {mode})"
        )
    if needs is not None and needs != rank:
        if mode in _LINEAR and rank in (1, 2, 3):
            raise NotImplementedError(f"Got {input.ndim}D input, but {mode} mode needs {needs + 2}D input")
        rank = 0
    if rank not in (1, 2, 3):
        raise NotImplementedError(
            "Input Error: Only 3D, 4D and 5D input Tensors supported (got "
            f"{input.ndim}D) for the modes: nearest | linear | bilinear | bicubic | trilinear | lanczos | "
            "area | nearest-exact "
            f"(got {mode})"
        )


def _output_size(
    input: Any, size: Any, scale_factor: Any, recompute: bool | None, rank: int
) -> tuple[tuple[int, ...], list[float | None]]:
    """Return the sizes to resize to, and the scales that are not to be computed from them."""
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is None and scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    given = size if size is not None else scale_factor
    what = "output" if size is not None else "scale_factor"
    values = tuple(given) if isinstance(given, (list, tuple)) else (given,) * rank
    if len(values) != rank:
        raise ValueError(
            f"Input and {what} must have the same number of spatial dimensions, but got input with spatial "
            "dimensions of "
            f"{list(input.shape[2:])} and {'output size' if size is not None else 'scale_factor of shape'} "
            f"of {list(values)}. "
            "Please provide input tensor in (N, C, d1, d2, ...,dK) format and "
            f"{'output size' if size is not None else 'scale_factor'} in (s1, s2, ...,sK) format."
        )
    if size is not None:
        if recompute is not None and recompute:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        return tuple(int(v) for v in values), [None] * rank
    wanted = tuple(math.floor(float(n) * float(s)) for n, s in zip(input.shape[2:], values, strict=True))
    return wanted, [None] * rank if recompute else [float(s) for s in values]


def _ratio(old: int, new: int, scale: float | None) -> float:
    return 1 / scale if scale is not None and scale > 0 else old / new


def _triangle(x: Any) -> Any:
    return np.maximum(1 - np.abs(x), 0)


def _cubic(x: Any, a: float = -0.75) -> Any:
    """Compute R. Keys' cubic convolution kernel (1981)."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * a - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def _matrix(
    old: int, new: int, ratio: float, kernel: Callable[..., Any], align_corners: bool, antialias: bool
) -> Any:
    """Return the (new, old) matrix that resizes one dimension."""
    at = np.arange(new, dtype=np.float64)
    if align_corners:
        source = at * ((old - 1) / (new - 1) if new > 1 else 0.0)
    else:
        source = (at + 0.5) * ratio - 0.5
    made = np.zeros((new, old))
    if antialias:
        wide = max((old - 1) / (new - 1) if align_corners and new > 1 else ratio, 1.0)
        reach = (2 if kernel is _cubic else 1) * wide
        for i, centre in enumerate(source + 0.5):
            first, last = max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), old)
            x = (np.arange(first, last) - centre + 0.5) / wide
            weights = _cubic(x, -0.5) if kernel is _cubic else kernel(x)
            made[i, first:last] = weights / weights.sum()
        return made
    if kernel is _triangle:
        source = np.maximum(source, 0)
    below = np.floor(source).astype(np.int64)
    for tap in range(-1, 3) if kernel is _cubic else range(2):
        np.add.at(made, (np.arange(new), np.clip(below + tap, 0, old - 1)), kernel(source - (below + tap)))
    return made


def upsample(
    input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: Any = None
) -> Any:
    """Resize; the old name of `interpolate`."""
    warnings.warn(
        "`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2
    )
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """Resize by repeating elements."""
    warnings.warn(
        "`nn.functional.upsample_nearest` is deprecated. Use `nn.functional.interpolate` instead.",
        stacklevel=2,
    )
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """Resize images linearly, corners on corners."""
    warnings.warn(
        "`nn.functional.upsample_bilinear` is deprecated. Use `nn.functional.interpolate` instead.",
        stacklevel=2,
    )
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


# ---- sampling at given places ----


def _base(n: int, align_corners: bool) -> Any:
    if n == 1:
        return np.zeros(1)
    line = np.linspace(-1, 1, n)
    return line if align_corners else line * (n - 1) / n


def affine_grid(theta: Any, size: Any, align_corners: bool | None = None) -> Any:
    """Return where an affine map of an output's places lies in the input, in coordinates from -1 to 1."""
    if align_corners is None:
        _warn_corners("affine_grid")
    if not theta.dtype.is_floating_point:
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    size = tuple(int(n) for n in size)
    rank = len(size) - 2
    if rank not in (2, 3):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. Got "
            "size "
            f"{list(size)}."
        )
    if theta.ndim != 3 or tuple(theta.shape[-2:]) != (rank, rank + 1):
        raise ValueError(
            f"Expected a batch of {rank}D affine matrices of shape Nx{rank}x{rank + 1} for size "
            f"{list(size)}. Got {list(theta.shape)}."
        )
    if min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {list(size)}")
    lines = np.meshgrid(*(_base(n, bool(align_corners)) for n in size[2:]), indexing="ij")
    points = np.stack([*reversed(lines), np.ones(size[2:])], -1).reshape(-1, rank + 1)
    made = wrap(points.astype(theta._array.dtype)) @ theta.transpose(1, 2)
    return made.reshape(theta.shape[0], *size[2:], rank)


def _warn_corners(name: str) -> None:
    warnings.warn(
        "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. "
        "Please specify "
        f"align_corners=True if the old behavior is desired. See the documentation of {name} for details.",
        stacklevel=3,
    )


def _reflected(x: Any, low: float, high: float) -> Any:
    """Reflect coordinates at the two ends until they lie between them."""
    if low == high:
        return x * 0
    span = high - low
    away = (x - low).abs()
    turns = (away / span).detach().floor()
    rest = away - turns * span
    is_even = wrap(turns._array % 2 == 0)
    return np.where(is_even, rest + low, span - rest + low)


def _coordinate(x: Any, n: int, padding_mode: str, align_corners: bool) -> Any:
    """Return coordinates from -1 to 1 as positions among `n` elements."""
    x = (x + 1) / 2 * (n - 1) if align_corners else ((x + 1) * n - 1) / 2
    return _into(x, n, padding_mode, align_corners)


def _into(x: Any, n: int, padding_mode: str, align_corners: bool) -> Any:
    if padding_mode == "reflection":
        x = _reflected(x, 0, n - 1) if align_corners else _reflected(x, -0.5, n - 0.5)
    return x if padding_mode == "zeros" else x.clamp(0, n - 1)


def _gather(input: Any, places: list[Any]) -> Any:
    """Take elements at positions, 0 outside: (n, c, *sizes), one (n, *out) each -> (n, c, *out)."""
    shape = input.shape
    inside: Any = True
    flat: Any = 0
    for at, n in zip(places, shape[2:], strict=True):
        inside = inside & (at >= 0) & (at < n)
        flat = flat * n + np.clip(at, 0, n - 1)
    count, out = shape[0], places[0].shape[1:]
    rows = np.broadcast_to(flat.reshape(count, 1, -1), (count, shape[1], math.prod(out)))
    taken = input.reshape(count, shape[1], -1).gather(2, wrap(np.ascontiguousarray(rows)))
    return (taken * wrap(np.asarray(inside).reshape(count, 1, -1))).reshape(count, shape[1], *out)


def grid_sample(
    input: Any,
    grid: Any,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Any:
    """Sample images at coordinates from -1 to 1: (n, c, h, w), (n, *out, 2) -> (n, c, *out)."""
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(
            "nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: "
            f"'{mode}'"
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', "
            "but got: "
            f"'{padding_mode}'"
        )
    if align_corners is None:
        _warn_corners("grid_sample")
        align_corners = False
    _check_grid(input, grid, mode)
    rank = input.ndim - 2
    old = tuple(input.shape[2:])
    axes = [grid[..., rank - 1 - i] for i in range(rank)]
    if mode == "bicubic":
        return _grid_bicubic(input, axes, padding_mode, align_corners)
    axes = [_coordinate(x, n, padding_mode, align_corners) for x, n in zip(axes, old, strict=True)]
    if mode == "nearest":
        at = [np.nan_to_num(np.rint(x._array), nan=-100.0) for x in axes]
        return _gather(input, [np.clip(a, -(2**31), 2**31).astype(np.int64) for a in at])
    lows = [np.clip(np.nan_to_num(np.floor(x._array), nan=-100.0), -(2**31), 2**31) for x in axes]
    made: Any = 0
    for corner in np.ndindex(*(2,) * rank):
        weight: Any = 1
        for x, low, bit in zip(axes, lows, corner, strict=True):
            part = x - wrap(low.astype(x._array.dtype))
            weight = weight * (part if bit else 1 - part)
        places = [low.astype(np.int64) + bit for low, bit in zip(lows, corner, strict=True)]
        made = made + _gather(input, places) * weight.unsqueeze(1)
    return made


def _check_grid(input: Any, grid: Any, mode: str) -> None:
    if input.ndim not in (4, 5) or input.ndim != grid.ndim:
        raise RuntimeError(
            "grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but got input "
            "with sizes "
            f"{list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    if input.shape[0] != grid.shape[0]:
        raise RuntimeError(
            "grid_sampler(): expected grid and input to have same batch size, but got input with sizes "
            f"{list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    if grid.shape[-1] != input.ndim - 2:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {input.ndim - 2} in last dimension, but got grid "
            "with sizes "
            f"{list(grid.shape)}"
        )
    if 0 in input.shape[2:]:
        raise RuntimeError(
            "grid_sampler(): expected input to have non-empty spatial dimensions, but input has sizes "
            f"{list(input.shape)}"
        )
    if mode == "bicubic" and input.ndim == 5:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")


def _taps(part: Any, a: float = -0.75) -> list[Any]:
    """Return the four weights of the cubic kernel at a fractional position."""
    weights = []
    for tap in (-1, 0, 1, 2):
        x = (part - tap).abs()
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((x - 5) * x + 8) * x * a - 4 * a
        weights.append(near if tap in (0, 1) else far)
    return weights


def _grid_bicubic(input: Any, axes: list[Any], padding_mode: str, align_corners: bool) -> Any:
    positions, weights = [], []
    for x, n in zip(axes, input.shape[2:], strict=True):
        x = _coordinate(x, n, "zeros", align_corners)
        low = np.floor(x._array)
        weights.append(_taps(x - wrap(low)))
        taps = [wrap(low + tap) for tap in (-1, 0, 1, 2)]
        positions.append([_into(t, n, padding_mode, align_corners)._array.astype(np.int64) for t in taps])
    made: Any = 0
    for i in range(4):
        for j in range(4):
            taken = _gather(input, [positions[0][i], positions[1][j]])
            made = made + taken * (weights[0][i] * weights[1][j]).unsqueeze(1)
    return made
