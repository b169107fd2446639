"""Normalisation layers' functions, and attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.nn.functions.ops import OPS
from retrograd.ops.norm import check_layer
from retrograd.tensor import wrap

_layer_norm, _normalize_channels = OPS["layer_norm"], OPS["normalize_channels"]


def layer_norm(
    input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """Give the last dimensions mean 0 and variance 1, then scale by `weight` and shift by `bias`."""
    if normalized_shape.__class__ is not tuple:
        normalized_shape = (
            (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        )
    return _layer_norm(input, normalized_shape, weight, bias, eps)


def rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Any:
    """Divide by the root of the mean square over the last dimensions, then scale by `weight`."""
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    check_layer(input, shape, weight, None)
    if eps is None:
        eps = dtypes.finfo(input.dtype.to_real()).eps
    wide = input.float() if input.dtype in (dtypes.float16, dtypes.bfloat16) else input
    scaled = wide * ((wide * wide).mean(tuple(range(-len(shape), 0)), True) + eps).rsqrt()
    if weight is not None:
        scaled = scaled * weight
    return scaled if wide is input else scaled.to(input.dtype)


def _check_batch(input: Any, values: Any) -> None:
    """Raise unless each vector has one element per channel."""
    if input.ndim < 2:
        return
    channels = input.shape[1]
    for name, v in values.items():
        if v is not None and v.shape[0] != channels:
            raise RuntimeError(f"{name} should contain {channels} elements not {v.shape[0]}")


def _update_running(running: Any, new: Any, momentum: float) -> None:
    """Move a running statistic in place towards a new one."""
    if running is not None:
        array = running._array
        array *= 1 - momentum
        array += (momentum * new).astype(array.dtype)
        running._version_cell().bump()


def _statistics(x: Any, axes: tuple[int, ...], running_mean: Any, running_var: Any, momentum: float) -> None:
    """Move the running mean and (unbiased) variance towards those of an array."""
    if running_mean is None and running_var is None:
        return
    x = x.astype(np.float32) if x.dtype.itemsize == 2 else x
    count = math.prod(x.shape[a] for a in axes)
    mean = x.mean(axes)
    centred = x - mean.reshape([1 if a in axes else n for a, n in enumerate(x.shape)])
    _update_running(running_mean, mean, momentum)
    _update_running(
        running_var, (centred * centred).sum(axes) / np.asarray(max(count - 1, 0), x.dtype), momentum
    )


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Give each channel mean 0 and variance 1, those of the batch or (not `training`) the running ones."""
    if training:
        shape = input.shape
        if math.prod(shape) == (shape[1] if len(shape) > 1 else 0) and math.prod(shape):
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {shape}")
    if not training and (running_mean is None or running_var is None):
        raise RuntimeError("running_mean and running_var must be defined in evaluation mode")
    _check_batch(
        input, {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    )
    if not training:
        return _normalize_channels(input, weight, bias, running_mean, running_var, eps)
    made = _normalize_channels(input, weight, bias, None, None, eps)
    array = input._array
    _statistics(array, (0, *range(2, array.ndim)), running_mean, running_var, momentum)
    return made


def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Give each channel of each example mean 0 and variance 1."""
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise RuntimeError(
                "Expected running_mean and running_var to be defined when use_input_stats is false"
            )
        return _normalize_channels(input, weight, bias, running_mean, running_var, eps)
    shape = input.shape
    if math.prod(shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {shape}")
    flat = input.reshape(1, shape[0] * shape[1], *shape[2:])
    each = [None if v is None else v.repeat(shape[0]) for v in (weight, bias)]
    made = _normalize_channels(flat, *each, None, None, eps).reshape(shape)
    if running_mean is not None or running_var is not None:
        _follow_instances(input._array, running_mean, running_var, momentum)
    return made


def _follow_instances(x: Any, running_mean: Any, running_var: Any, momentum: float) -> None:
    axes = tuple(range(2, x.ndim))
    _update_running(running_mean, x.mean(axes).mean(0), momentum)
    _update_running(running_var, x.var(axes, ddof=1).mean(0), momentum)


def local_response_norm(
    input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    """Divide by a power of the mean square over neighbouring channels."""
    if input.ndim < 3:
        raise ValueError(
            f"Expected 3D or higher dimensionality                          input (got {input.ndim} "
            "dimensions)"
        )
    if not math.prod(input.shape):
        return input
    square = (input * input).unsqueeze(1)
    shape = square.shape
    flat = square.reshape(shape[0], 1, shape[2], math.prod(shape[3:]))
    padded = OPS["constant_pad_nd"](flat, (0, 0, size // 2, (size - 1) // 2), 0)
    mean = OPS["avg_pool"](padded, (size, 1), (1, 1), (0, 0), False, True, None).reshape(input.shape)
    return input / (mean * alpha + k).pow(beta)


# ---- attention ----


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """Average the values by how well their keys match each query: softmax(query key^T scale + mask) value.

    Args:
        query: (..., queries, n).
        key: (..., keys, n).
        value: (..., keys, m).
        attn_mask: what is added to the scores, or a bool tensor, False where a value must not be seen.
        dropout_p: the share of weights that are dropped.
        is_causal: query i sees values 0 to i only.
        scale: what the scores are multiplied by; 1 / sqrt(n) if None.
        enable_gqa: keys and values may have fewer heads (dimension -3) than the queries, which then share
        them.
    """
    for x in (query, key, value):
        if x.ndim < 2:
            raise RuntimeError(
                "scaled_dot_product_attention: Expected query, key, and value to all be at least 2 "
                "dimensional, but got "
                f"Query dim: {query.ndim}, Key dim: {key.ndim}, Value dim: {value.ndim} instead."
            )
    if not query.dtype is key.dtype is value.dtype:
        raise RuntimeError(
            "Expected query, key, and value to have the same dtype, but got "
            f"query.dtype: {query.dtype.c_name} key.dtype: {key.dtype.c_name} and value.dtype: "
            f"{value.dtype.c_name} instead."
        )
    if enable_gqa:
        heads = query.shape[-3]
        key = key.repeat_interleave(heads // key.shape[-3], -3)
        value = value.repeat_interleave(heads // value.shape[-3], -3)
    if scale is None:
        scale = 1 / math.sqrt(query.shape[-1]) if query.shape[-1] else math.nan
    bias = _bias(query, key, attn_mask, is_causal)
    if dropout_p > 0.0:
        from retrograd.nn.functions.activations import dropout  # noqa: PLC0415 - its file takes from this room too

        scores = (query * scale) @ key.transpose(-2, -1)
        weights = OPS["softmax"](scores if bias is None else scores + bias, -1)
        return dropout(weights, dropout_p) @ value
    if bias is None or not _is_blind(bias._array):
        scores = (query * scale) @ key.transpose(-2, -1)
        return OPS["weigh"](OPS["softmax"](scores if bias is None else scores + bias, -1), value)
    return OPS["attention"](query, key, value, bias, scale)


def _is_blind(bias: Any) -> bool:
    """Whether some query sees no value at all: its result is then 0, where softmax gives nan."""
    return bool((bias == -math.inf).all(-1).any()) if bias.ndim else bool(bias == -math.inf)


def _bias(query: Any, key: Any, mask: Any, is_causal: bool) -> Any:
    """Return what is added to the scores."""
    if is_causal:
        if mask is not None:
            raise RuntimeError(
                "_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True"
            )
        seen = np.tri(query.shape[-2], key.shape[-2], dtype=bool)
    elif mask is None:
        return None
    elif mask.dtype is dtypes.bool_:
        seen = mask._array
    else:
        return mask if mask.dtype is query.dtype else mask.to(query.dtype)
    return wrap(np.where(seen, 0.0, -math.inf).astype(query._array.dtype))
