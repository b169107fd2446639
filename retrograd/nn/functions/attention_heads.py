"""Attention with several heads: the function behind nn.MultiheadAttention."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.functions.joins import cat
from retrograd.nn.functions.activations import dropout
from retrograd.nn.functions.norms import scaled_dot_product_attention
from retrograd.nn.functions.ops import OPS
from retrograd.tensor import wrap

_linear = OPS["linear"]


# ---- what is checked ----


def additive_mask(mask: Any, name: str, dtype: Any, other: Any = None, other_name: str = "") -> Any:
    """Return a mask as what is added to the scores: -inf where a bool mask is True.

    Args:
        mask: bool, floating, or None.
        name: what errors call it.
        dtype: the type of the scores.
        other: the mask beside it; that the two are of different types is warned of.
        other_name: what the warning calls that.
    """
    if mask is None:
        return None
    is_bool = mask.dtype is dtypes.bool_
    if not is_bool and not mask.dtype.is_floating_point:
        raise AssertionError(f"only bool and floating types of {name} are supported")
    if other is not None and other.dtype is not mask.dtype:
        warnings.warn(
            f"Support for mismatched {name} and {other_name} is deprecated. Use same type for both instead.",
            stacklevel=4,
        )
    return wrap(np.where(mask._array, -math.inf, 0.0).astype(dtype.np)) if is_bool else mask


def _check_ranks(query: Any, key: Any, value: Any, padding: Any, mask: Any, num_heads: int) -> None:
    """Raise unless all have the ranks that go with the query's: 3 with a batch, 2 without."""
    rank = query.ndim
    if rank not in (2, 3):
        raise AssertionError(
            f"query should be unbatched 2D or batched 3D tensor but received {rank}-D query tensor"
        )
    start = f"For {'batched (3-D)' if rank == 3 else 'unbatched (2-D)'} `query`, expected"
    if key.ndim != rank or value.ndim != rank:
        raise AssertionError(
            f"{start} `key` and `value` to be {rank}-D but found {key.ndim}-D and {value.ndim}-D tensors "
            "respectively"
        )
    if padding is not None and padding.ndim != rank - 1:
        raise AssertionError(
            f"{start} `key_padding_mask` to be `None` or {rank - 1}-D but found {padding.ndim}-D tensor "
            "instead"
        )
    if mask is None:
        return
    if mask.ndim not in (2, 3):
        raise AssertionError(
            f"{start} `attn_mask` to be `None`, 2-D or 3-D but found {mask.ndim}-D tensor instead"
        )
    wanted = (num_heads, query.shape[0], key.shape[0])
    if rank == 2 and mask.ndim == 3 and tuple(mask.shape) != wanted:
        raise AssertionError(f"Expected `attn_mask` shape to be {wanted} but got {mask.shape}")


def _check_sizes(query: Any, key: Any, value: Any, embed_dim: int, num_heads: int, separate: bool) -> None:
    size = query.shape[-1]
    if size != embed_dim:
        raise AssertionError(f"was expecting embedding dimension of {embed_dim}, but got {size}")
    if size // num_heads * num_heads != size:
        raise AssertionError(f"embed_dim {size} not divisible by num_heads {num_heads}")
    if not separate and key.shape != value.shape:
        raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")
    if separate and key.shape[:2] != value.shape[:2]:
        raise AssertionError(
            f"key's sequence and batch dims {key.shape[:2]} do not match value's {value.shape[:2]}"
        )


def _check_weights(query: Any, key: Any, value: Any, weights: Any) -> None:
    """Raise unless there are three weights, each of the size that goes with what it projects."""
    size = query.shape[-1]
    for name, weight in zip("qkv", weights, strict=True):
        if weight is None:
            raise AssertionError(f"use_separate_proj_weight is True but {name}_proj_weight is None")
    for name, x, weight in zip(("query", "key", "value"), (query, key, value), weights, strict=True):
        wanted = (size, x.shape[-1])
        if tuple(weight.shape) != wanted:
            raise AssertionError(f"expecting {name} weights shape of {wanted}, but got {weight.shape}")


def _three_dimensional(mask: Any, heads: int, length: int, columns: int) -> Any:
    """Return a mask of the scores as (1 or heads, length, columns); raise if it has another shape."""
    if mask is None:
        return None
    wanted = (length, columns) if mask.ndim == 2 else (heads, length, columns)
    if tuple(mask.shape) != wanted:
        raise RuntimeError(
            f"The shape of the {mask.ndim}D attn_mask is {mask.shape}, but should be {wanted}."
        )
    return mask.unsqueeze(0) if mask.ndim == 2 else mask


def _check_static(static: Any, name: str, bias: Any, heads: int, head: int) -> None:
    """Raise unless a given projected key or value fits: (heads, length, head)."""
    if static is None:
        return
    if bias is not None:
        raise AssertionError(f"bias cannot be added to static {name}.")
    for dim, wanted in ((0, heads), (2, head)):
        if static.shape[dim] != wanted:
            raise AssertionError(
                f"expecting static_{name[0]}.size({dim}) of {wanted}, but got {static.shape[dim]}"
            )


# ---- the steps ----


def _thirds(whole: Any) -> list[Any]:
    size = whole.shape[0] // 3
    return [whole[i * size : (i + 1) * size] for i in range(3)]


def _projected(query: Any, key: Any, value: Any, weight: Any, bias: Any) -> tuple[Any, ...]:
    """Project query, key and value by the three parts of one weight, those that are one tensor at once."""
    size = query.shape[-1]
    if query is key is value:
        made = _linear(query, weight, bias)
        return tuple(made[..., i * size : (i + 1) * size] for i in range(3))
    if key is value:
        shifts = (None, None) if bias is None else (bias[:size], bias[size:])
        both = _linear(key, weight[size:], shifts[1])
        return _linear(query, weight[:size], shifts[0]), both[..., :size], both[..., size:]
    return _projected_apart((query, key, value), _thirds(weight), bias)


def _projected_apart(xs: tuple[Any, ...], weights: Any, bias: Any) -> tuple[Any, ...]:
    """Project query, key and value by a weight each and the three parts of one bias."""
    shifts = (None,) * 3 if bias is None else _thirds(bias)
    return tuple(_linear(x, w, b) for x, w, b in zip(xs, weights, shifts, strict=True))


def _widened(mask: Any) -> Any:
    """Let everyone see one more column."""
    return None if mask is None else OPS["constant_pad_nd"](mask, (0, 1), 0)


def _with_padding(mask: Any, padding: Any, num_heads: int, batch: int, columns: int) -> Any:
    """Add the mask of the padding to that of the scores: (batch * num_heads, 1 or length, columns)."""
    if padding is None:
        return mask
    for dim, wanted in ((0, batch), (1, columns)):
        if padding.shape[dim] != wanted:
            raise AssertionError(
                f"Expected key_padded_mask.shape[{dim}] to be {wanted}, but got {padding.shape[dim]}"
            )
    padding = padding.reshape(batch, 1, 1, columns).expand(-1, num_heads, -1, -1)
    padding = padding.reshape(batch * num_heads, 1, columns)
    return padding if mask is None else mask + padding


def _weigh(q: Any, k: Any, v: Any, mask: Any, dropout_p: float) -> tuple[Any, Any]:
    """Attend, and return the weights too."""
    q = q * math.sqrt(1.0 / q.shape[-1])
    k = k.transpose(-2, -1)
    weights = OPS["softmax"](q @ k if mask is None else OPS["baddbmm"](mask, q, k), -1)
    weights = dropout(weights, dropout_p) if dropout_p > 0 else weights
    return weights @ v, weights


def _attend(q: Any, k: Any, v: Any, mask: Any, batch: int, dropout_p: float, is_causal: bool) -> Any:
    """Attend, heads and batch apart, without a word of the weights."""
    parts = (batch, q.shape[0] // batch)
    if mask is not None:
        mask = mask.unsqueeze(0) if mask.shape[0] == 1 else mask.reshape(*parts, *mask.shape[1:])
    q4, k4, v4 = (x.reshape(*parts, *x.shape[1:]) for x in (q, k, v))
    return scaled_dot_product_attention(q4, k4, v4, mask, dropout_p, is_causal).reshape(q.shape)


# ---- the function ----


def multi_head_attention_forward(
    query: Any, key: Any, value: Any, embed_dim_to_check: int, num_heads: int, in_proj_weight: Any,
    in_proj_bias: Any, bias_k: Any, bias_v: Any, add_zero_attn: bool, dropout_p: float,
    out_proj_weight: Any, out_proj_bias: Any, training: bool = True, key_padding_mask: Any = None,
    need_weights: bool = True, attn_mask: Any = None, use_separate_proj_weight: bool = False,
    q_proj_weight: Any = None, k_proj_weight: Any = None, v_proj_weight: Any = None,
    static_k: Any = None, static_v: Any = None, average_attn_weights: bool = True, is_causal: bool = False,
) -> tuple[Any, Any]:  # fmt: skip
    """Attend with `num_heads` heads at once: (length, batch, size), or (length, size) without a batch.

    Returns:
        The result, and the weights of the values (averaged over heads if `average_attn_weights`) if
        `need_weights`.
    """
    _check_ranks(query, key, value, key_padding_mask, attn_mask, num_heads)
    single = query.ndim == 2
    padding = key_padding_mask
    if single:
        query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)
        padding = None if padding is None else padding.unsqueeze(0)
    length, batch, size = query.shape
    padding = additive_mask(padding, "key_padding_mask", query.dtype, attn_mask, "attn_mask")
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
            "`generate_square_subsequent_mask` to create this mask."
        )
    # The hint replaces the mask only where nothing else needs to be added to the scores or told of them.
    is_causal = is_causal and padding is None and not need_weights
    mask = None if is_causal else additive_mask(attn_mask, "attn_mask", query.dtype)
    _check_sizes(query, key, value, embed_dim_to_check, num_heads, use_separate_proj_weight)
    if use_separate_proj_weight:
        apart = (q_proj_weight, k_proj_weight, v_proj_weight)
        _check_weights(query, key, value, apart)
        q, k, v = _projected_apart((query, key, value), apart, in_proj_bias)
    else:
        q, k, v = _projected(query, key, value, in_proj_weight, in_proj_bias)
    heads, head = batch * num_heads, size // num_heads
    mask = _three_dimensional(mask, heads, length, key.shape[0])
    _check_static(static_k, "key", bias_k, heads, head)
    _check_static(static_v, "value", bias_v, heads, head)
    if bias_k is not None and bias_v is not None:
        k, v = cat([k, bias_k.repeat(1, batch, 1)]), cat([v, bias_v.repeat(1, batch, 1)])
        mask, padding = _widened(mask), _widened(padding)
    elif bias_k is not bias_v:
        given, absent = ("bias_k", "bias_v") if bias_v is None else ("bias_v", "bias_k")
        raise AssertionError(f"{given} is set but {absent} is None")
    q, k, v = (x.reshape(x.shape[0], heads, head).transpose(0, 1) for x in (q, k, v))
    k, v = k if static_k is None else static_k, v if static_v is None else static_v
    if add_zero_attn:
        k, v = (cat([x, x.new_zeros((heads, 1, head))], 1) for x in (k, v))
        mask, padding = _widened(mask), _widened(padding)
    mask = _with_padding(mask, padding, num_heads, batch, k.shape[1])
    rate = dropout_p if training else 0.0
    if need_weights:
        made, weights = _weigh(q, k, v, mask, rate)
        weights = weights.reshape(batch, num_heads, length, k.shape[1])
        weights = weights.mean(1) if average_attn_weights else weights
        weights = weights.squeeze(0) if single else weights
    else:
        made, weights = _attend(q, k, v, mask, batch, rate, is_causal), None
    made = _linear(made.transpose(0, 1).reshape(length * batch, size), out_proj_weight, out_proj_bias)
    made = made.reshape(length, batch, size)
    return (made.squeeze(1) if single else made), weights
