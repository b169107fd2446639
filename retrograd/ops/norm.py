"""Normalisation: layer, batch and group norm."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.declare import Array, Plain, Sample, error, sample
from retrograd.ops.depend import tied
from retrograd.ops.families import WHOLE_ROWS, general
from retrograd.ops.matmul import grid
from retrograd.ops.neural import total, total_product

Sizes = tuple[int, ...]


def _centred(x: Any, axes: Any, count: int, eps: float) -> tuple[Any, Any]:
    """Return x minus its mean over `axes`, and one over its standard deviation."""
    centred = x - total(x, axes, True) / count
    variance = total_product(centred, centred, axes) / count
    return centred, 1 / np.sqrt(variance + eps)


def _through(g: Any, x: Any, axes: Any, count: int, eps: float) -> Any:
    """Return the cotangent of x, given that of (x - mean) / std."""
    centred, scale = _centred(x, axes, count, eps)
    along = total_product(g, centred, axes) * (scale * scale / count)
    return (g - total(g, axes, True) / count - centred * along) * scale


# ---- layer norm ----


def _layer_axes(ndim: int, normalized_shape: Sequence[int]) -> tuple[Any, int]:
    rank, count = len(normalized_shape), math.prod(normalized_shape)
    return -1 if rank == 1 else tuple(range(ndim - rank, ndim)), count or 1


def _lead(ndim: int, normalized_shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(range(ndim - len(normalized_shape)))  # () where there are none: nothing is summed


def _unit(x: Any, normalized_shape: Sequence[int], eps: float) -> Any:
    centred, scale = _centred(x, *_layer_axes(x.ndim, normalized_shape), eps)
    return centred * scale


def _layer_tangent(t: Any, input: Any, normalized_shape: Any, weight: Any, eps: float) -> Any:
    made = _through(t, input, *_layer_axes(input.ndim, normalized_shape), eps)
    return made if weight is None else made * weight


def _layer_samples() -> Iterator[Sample]:
    x = grid(2, 3, 4)
    yield sample(x, (4,), grid(4, shift=1), grid(4))
    yield sample(x, (3, 4), grid(3, 4, shift=1), grid(3, 4))
    yield sample(x, (4,), None, None, 0.1)
    yield sample(grid(4), (4,), grid(4, shift=1))
    yield sample(np.zeros((0, 4)), (4,), grid(4), grid(4))


def _layer_batch(op: Any, size: int, args: Any, dims: Any) -> Any:
    if dims[2] is not None or dims[3] is not None:
        return batching.loop(op, size, args, dims)
    return op(batching.front(args[0], dims[0]), *args[1:])


@general(
    node="NativeLayerNormBackward0",
    input=lambda ct, input, normalized_shape, weight, eps: _through(
        ct if weight is None else ct * weight, input, *_layer_axes(input.ndim, normalized_shape), eps
    ),
    weight=lambda ct, input, normalized_shape, eps: total(
        ct * _unit(input, normalized_shape, eps), _lead(ct.ndim, normalized_shape)
    ),
    bias=lambda ct, input, normalized_shape: tied(total(ct, _lead(ct.ndim, normalized_shape)), input),
    jvp={
        "input": _layer_tangent,
        "weight": lambda t, input, normalized_shape, eps: t * _unit(input, normalized_shape, eps),
        "bias": lambda t, result: np.broadcast_to(t, result.shape),
    },
    promote="match",
    kinds="f",
    large=WHOLE_ROWS,
    batch=_layer_batch,
    samples=_layer_samples,
    places="nn",
)
def layer_norm(
    input: Array,
    normalized_shape: Sizes,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-05,
) -> Array:
    """Give the last dimensions mean 0 and variance 1, then scale by `weight` and shift by `bias`."""
    check_layer(input, normalized_shape, weight, bias)
    unit = _unit(input, normalized_shape, eps)
    scaled = unit if weight is None else unit * weight
    return scaled if bias is None else scaled + bias


def check_layer(input: Any, normalized_shape: Sequence[int], weight: Any, bias: Any) -> None:
    """Raise unless the input ends in `normalized_shape`, and weight and bias have it."""
    shape = tuple(normalized_shape)
    if not shape:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, "
            "but got normalized_shape = []"
        )
    for name, x in (("weight", weight), ("bias", bias)):
        if x is not None and tuple(x.shape) != shape:
            raise RuntimeError(
                f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape "
                f"{list(x.shape)} and normalized_shape = {list(shape)}"
            )
    if tuple(input.shape[-len(shape) :]) != shape:
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape [*, "
            f"{', '.join(map(str, shape))}], but got input of size{list(input.shape)}"
        )


# ---- batch norm ----


def _channel_axes(x: Any) -> tuple[Any, int]:
    axes = (0, *range(2, x.ndim))
    return axes, math.prod(x.shape[a] for a in axes) or 1


def per_channel(v: Any, ndim: int) -> Any:
    """Return a vector as a shape that multiplies dimension 1."""
    return v if ndim <= 2 else np.reshape(v, (v.shape[0], *(1,) * (ndim - 2)))


def _channel_unit(x: Any, mean: Any, variance: Any, eps: float) -> Any:
    if mean is None:
        centred, scale = _centred(x, *_channel_axes(x), eps)
        return centred * scale
    return (x - per_channel(mean, x.ndim)) * per_channel(1 / np.sqrt(variance + eps), x.ndim)


def _batch_input(ct: Any, input: Any, weight: Any, mean: Any, variance: Any, eps: float) -> Any:
    g = ct if weight is None else ct * per_channel(weight, ct.ndim)
    if mean is None:
        return _through(g, input, *_channel_axes(input), eps)
    return g * per_channel(1 / np.sqrt(variance + eps), ct.ndim)


def _batch_samples() -> Iterator[Sample]:
    x = grid(3, 2, 4)
    yield sample(x, grid(2, shift=1), grid(2), None, None, 1e-5)
    yield sample(grid(4, 3), None, None, None, None, 0.1)
    yield sample(x, grid(2, shift=1), grid(2), np.array([0.1, -0.2]), np.array([0.5, 2.0]), 1e-5)
    yield sample(grid(2, 2, 2, 3), grid(2, shift=1), None, None, None, 1e-5)


@general(
    node="NativeBatchNormBackward0",
    input=lambda ct, input, weight, mean, variance, eps: _batch_input(ct, input, weight, mean, variance, eps),
    weight=lambda ct, input, mean, variance, eps: total(
        ct * _channel_unit(input, mean, variance, eps), _channel_axes(ct)[0]
    ),
    bias=lambda ct, input: tied(total(ct, _channel_axes(ct)[0]), input),
    jvp={
        "input": lambda t, input, weight, mean, variance, eps: _batch_tangent(
            t, input, weight, mean, variance, eps
        ),
        "weight": lambda t, input, mean, variance, eps: (
            per_channel(t, input.ndim) * _channel_unit(input, mean, variance, eps)
        ),
        "bias": lambda t, result: np.broadcast_to(per_channel(t, result.ndim), result.shape),
    },
    promote="same",
    kinds="f",
    large=WHOLE_ROWS,
    batch=batching.loop,
    samples=_batch_samples,
    places="nn",
)
def normalize_channels(
    input: Array,
    weight: Array | None,
    bias: Array | None,
    mean: Plain | None,
    variance: Plain | None,
    eps: float,
) -> Array:
    """Give each channel mean 0 and variance 1 (by the given ones, if any), then scale and shift it."""
    unit = _channel_unit(input, mean, variance, eps)
    scaled = unit if weight is None else unit * per_channel(weight, unit.ndim)
    return scaled if bias is None else scaled + per_channel(bias, unit.ndim)


def _batch_tangent(t: Any, input: Any, weight: Any, mean: Any, variance: Any, eps: float) -> Any:
    made = _batch_input(t, input, None, mean, variance, eps)
    return made if weight is None else made * per_channel(weight, made.ndim)


# ---- group norm ----


def _grouped(x: Any, groups: int) -> Any:
    return np.reshape(x, (x.shape[0], groups, math.prod(x.shape[1:]) // groups))


def _group_unit(x: Any, groups: int, eps: float) -> Any:
    rows = _grouped(x, groups)
    centred, scale = _centred(rows, -1, rows.shape[-1] or 1, eps)
    return np.reshape(centred * scale, x.shape)


def _group_input(ct: Any, input: Any, groups: int, eps: float) -> Any:
    rows = _grouped(input, groups)
    return np.reshape(_through(_grouped(ct, groups), rows, -1, rows.shape[-1] or 1, eps), input.shape)


def _scaled(x: Any, weight: Any) -> Any:
    return x if weight is None else x * per_channel(weight, x.ndim)


@general(
    node="NativeGroupNormBackward0",
    input=lambda ct, input, num_groups, weight, eps: _group_input(
        _scaled(ct, weight), input, num_groups, eps
    ),
    weight=lambda ct, input, num_groups, eps: total(
        ct * _group_unit(input, num_groups, eps), (0, *range(2, ct.ndim))
    ),
    bias=lambda ct, input: tied(total(ct, (0, *range(2, ct.ndim))), input),
    jvp={
        "input": lambda t, input, num_groups, weight, eps: _scaled(
            _group_input(t, input, num_groups, eps), weight
        ),
        "weight": lambda t, input, num_groups, eps: (
            per_channel(t, input.ndim) * _group_unit(input, num_groups, eps)
        ),
        "bias": lambda t, result: np.broadcast_to(per_channel(t, result.ndim), result.shape),
    },
    promote="same",
    kinds="f",
    large=WHOLE_ROWS,
    batch=batching.loop,
    samples=lambda: [
        sample(grid(2, 4, 3), 2, grid(4, shift=1), grid(4)),
        sample(grid(2, 4), 4, None, None, 0.1),
        sample(grid(2, 4, 2, 2), 1, grid(4, shift=1), grid(4)),
    ],
    errors=lambda: [
        error(
            RuntimeError,
            "Expected number of channels in input to be divisible by num_groups",
            grid(2, 4, 3),
            3,
        )
    ],
    places="nn.functional torch",
)
def group_norm(
    input: Array, num_groups: int, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-05
) -> Array:
    """Give groups of each example's channels mean 0 and variance 1, then scale and shift."""
    if input.ndim < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.ndim}")
    channels = input.shape[1]
    if num_groups <= 0:
        raise RuntimeError(f"Expected num groups to be greater than 0, got {num_groups}")
    if channels % num_groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of shape "
            f"{list(input.shape)} and num_groups={num_groups}"
        )
    for name, v in (("weight", weight), ("bias", bias)):
        if v is not None and (v.ndim != 1 or v.shape[0] != channels):
            raise RuntimeError(
                f"Expected {name} to be a vector of size equal to the number of channels in input, but got "
                f"{name} of shape {list(v.shape)} and input of shape {list(input.shape)}"
            )
    made = _scaled(_group_unit(input, num_groups, eps), weight)
    return made if bias is None else made + per_channel(bias, made.ndim)
