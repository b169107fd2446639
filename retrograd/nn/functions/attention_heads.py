"""Attention with several heads: the function behind nn.MultiheadAttention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.nn.functions.activations import dropout
from retrograd.nn.functions.norms import scaled_dot_product_attention
from retrograd.nn.functions.ops import OPS
from retrograd.tensor import wrap

_linear = OPS["linear"]


def _projected(query: Any, key: Any, value: Any, weight: Any, bias: Any) -> tuple[Any, Any, Any]:
    """Project the three by the three parts of one weight."""
    size = query.shape[-1]
    if query is key is value:
        made = _linear(query, weight, bias)
        return tuple(made[..., i * size : (i + 1) * size] for i in range(3))
    parts = [weight[i * size : (i + 1) * size] for i in range(3)]
    shifts = [None if bias is None else bias[i * size : (i + 1) * size] for i in range(3)]
    return tuple(_linear(x, w, b) for x, w, b in zip((query, key, value), parts, shifts, strict=True))


def _as_bias(mask: Any, dtype: Any) -> Any:
    """Return a mask as what is added to the scores."""
    if mask is None or mask.dtype is not dtypes.bool_:
        return mask
    return wrap(np.where(mask._array, -math.inf, 0.0).astype(dtype.np))


def _widened(mask: Any, columns: int) -> Any:
    return mask if mask is None or not columns else OPS["constant_pad_nd"](mask, (0, columns), 0)


def multi_head_attention_forward(
    query: Any,
    key: Any,
    value: Any,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Any,
    in_proj_bias: Any,
    bias_k: Any,
    bias_v: Any,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Any,
    out_proj_bias: Any,
    training: bool = True,
    key_padding_mask: Any = None,
    need_weights: bool = True,
    attn_mask: Any = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Any = None,
    k_proj_weight: Any = None,
    v_proj_weight: Any = None,
    static_k: Any = None,
    static_v: Any = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Any, Any]:
    """Attend with `num_heads` heads at once: (length, batch, size), or (length, size) without a batch.

    Returns:
        The result, and the weights of the values (averaged over heads if `average_attn_weights`) if
        `need_weights`.
    """
    single = query.ndim == 2
    if single:
        query, key, value = (x.unsqueeze(1) for x in (query, key, value))
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    length, batch, size = query.shape
    if size != embed_dim_to_check:
        raise AssertionError(f"was expecting embedding dimension of {embed_dim_to_check}, but got {size}")
    head = size // num_heads
    if head * num_heads != size:
        raise AssertionError(f"embed_dim {size} not divisible by num_heads {num_heads}")
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
    if use_separate_proj_weight:
        shifts = (
            (None,) * 3
            if in_proj_bias is None
            else tuple(in_proj_bias[i * size : (i + 1) * size] for i in range(3))
        )
        weights = (q_proj_weight, k_proj_weight, v_proj_weight)
        q, k, v = (_linear(x, w, b) for x, w, b in zip((query, key, value), weights, shifts, strict=True))
    else:
        q, k, v = _projected(query, key, value, in_proj_weight, in_proj_bias)
    mask, padding = _as_bias(attn_mask, query.dtype), _as_bias(key_padding_mask, query.dtype)
    if mask is not None and mask.ndim == 2:
        mask = mask.unsqueeze(0)
    if bias_k is not None:
        k, v = (
            np.concatenate([k, bias_k.repeat(1, batch, 1)]),
            np.concatenate([v, bias_v.repeat(1, batch, 1)]),
        )
        mask, padding = _widened(mask, 1), _widened(padding, 1)
    q, k, v = (x.reshape(x.shape[0], batch * num_heads, head).transpose(0, 1) for x in (q, k, v))
    k, v = static_k if static_k is not None else k, static_v if static_v is not None else v
    if add_zero_attn:
        k, v = (np.concatenate([x, x.new_zeros((batch * num_heads, 1, head))], 1) for x in (k, v))
        mask, padding = _widened(mask, 1), _widened(padding, 1)
    if padding is not None:
        columns = k.shape[1]
        padding = padding.reshape(batch, 1, 1, columns).expand(-1, num_heads, -1, -1).reshape(-1, 1, columns)
        mask = padding if mask is None else mask + padding
    dropout_p = dropout_p if training else 0.0
    if need_weights:
        scores = (q * math.sqrt(1.0 / head)) @ k.transpose(-2, -1)
        weights_ = OPS["softmax"](scores if mask is None else scores + mask, -1)
        weights_ = dropout(weights_, dropout_p) if dropout_p > 0 else weights_
        made = weights_ @ v
    else:
        weights_ = None
        four = (batch, num_heads)
        mask = (
            None
            if mask is None
            else (mask.unsqueeze(0) if mask.shape[0] == 1 else mask.reshape(*four, *mask.shape[1:]))
        )
        q, k, v = (x.reshape(*four, *x.shape[1:]) for x in (q, k, v))
        made = scaled_dot_product_attention(q, k, v, mask, dropout_p).reshape(batch * num_heads, length, head)
    made = _linear(made.transpose(0, 1).reshape(length * batch, size), out_proj_weight, out_proj_bias)
    made = made.reshape(length, batch, size)
    if weights_ is not None:
        weights_ = weights_.reshape(batch, num_heads, length, k.shape[1])
        weights_ = weights_.mean(1) if average_attn_weights else weights_
        weights_ = weights_.squeeze(0) if single else weights_
    return (made.squeeze(1) if single else made), weights_
