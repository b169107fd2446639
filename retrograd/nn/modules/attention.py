"""Attention with several heads."""

from __future__ import annotations

from typing import Any

from retrograd.nn import functional as F
from retrograd.nn import init
from retrograd.nn.functions.attention_heads import additive_mask
from retrograd.nn.module import Module
from retrograd.nn.modules.linear import NonDynamicallyQuantizableLinear
from retrograd.nn.modules.made import parameter


class MultiheadAttention(Module):
    """Let every query average the values by how well their keys match it, in several heads side by side.

    Args:
        embed_dim: the size of a query, and of a result.
        num_heads: each head has embed_dim / num_heads of it.
        dropout: the share of weights that are dropped in training.
        bias: whether the projections in and out have biases.
        add_bias_kv: whether one more key and value, both learned, are there for all to see.
        add_zero_attn: whether one more key and value of zeros are.
        kdim: the size of a key; embed_dim if None.
        vdim: that of a value.
        batch_first: inputs and results are (N, L, size) instead of (L, N, size).
        device: where the parameters are.
        dtype: their type.

    Shape: query (L, N, embed_dim), key (S, N, kdim), value (S, N, vdim) -> (L, N, embed_dim), weights
        (N, L, S), or (N, num_heads, L, S) if not averaged. All may be without N.
    Source: A. Vaswani et al. (2017).

    Example:
        >>> import retrograd as torch
        >>> x = torch.randn(5, 2, 8)
        >>> result, weights = torch.nn.MultiheadAttention(8, 2)(x, x, x)
        >>> result.shape, weights.shape
        (torch.Size([5, 2, 8]), torch.Size([2, 5, 5]))
    """

    __constants__ = ("batch_first",)

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True,
        add_bias_kv: bool = False, add_zero_attn: bool = False, kdim: int | None = None,
        vdim: int | None = None, batch_first: bool = False, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and "
                f"num_heads={num_heads} instead"
            )
        super().__init__()
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        if self.head_dim * num_heads != embed_dim:
            raise AssertionError("embed_dim must be divisible by num_heads")
        self._make_parameters(bias, add_bias_kv, device, dtype)
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _make_parameters(self, bias: bool, add_bias_kv: bool, device: Any, dtype: Any) -> None:
        size = self.embed_dim
        apart = {f"{x}_proj_weight": (size, n) for x, n in (("q", size), ("k", self.kdim), ("v", self.vdim))}
        shapes: dict[str, Any]
        if self._qkv_same_embed_dim:
            shapes = {"in_proj_weight": (3 * size, size), **dict.fromkeys(apart)}
        else:
            shapes = {**apart, "in_proj_weight": None}
        shapes["in_proj_bias"] = 3 * size if bias else None
        for name, shape in shapes.items():
            self.register_parameter(name, None if shape is None else parameter(shape, dtype, device))
        self.out_proj = NonDynamicallyQuantizableLinear(size, size, bias=bias, device=device, dtype=dtype)
        self.bias_k: Any = parameter((1, 1, size), dtype, device) if add_bias_kv else None
        self.bias_v: Any = parameter((1, 1, size), dtype, device) if add_bias_kv else None

    def _reset_parameters(self) -> None:
        """Draw the parameters anew, but for the weight of `out_proj`."""
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            weight = getattr(self, name)
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def forward(
        self, query: Any, key: Any, value: Any, key_padding_mask: Any = None, need_weights: bool = True,
        attn_mask: Any = None, average_attn_weights: bool = True, is_causal: bool = False,
    ) -> tuple[Any, Any]:  # fmt: skip
        """Attend, and return the results and, if `need_weights`, the weights; else None.

        Args:
            query: (L, N, embed_dim), or (L, embed_dim).
            key: (S, N, kdim).
            value: (S, N, vdim).
            key_padding_mask: (N, S): True, or -inf, at the keys that nobody must see.
            need_weights: whether the weights are returned.
            attn_mask: (L, S) or (N * num_heads, L, S): True where a query must not see a key, or what is
                added to the scores.
            average_attn_weights: whether these weights are the means over the heads.
            is_causal: a hint that `attn_mask` is the causal one.
        """
        padding = additive_mask(key_padding_mask, "key_padding_mask", query.dtype, attn_mask, "attn_mask")
        mask = additive_mask(attn_mask, "attn_mask", query.dtype)
        swapped = self.batch_first and query.dim() == 3
        if swapped:
            query, key, value = _swapped(query, key, value)
        made, weights = F.multi_head_attention_forward(
            query, key, value, self.embed_dim, self.num_heads, self.in_proj_weight, self.in_proj_bias,
            self.bias_k, self.bias_v, self.add_zero_attn, self.dropout, self.out_proj.weight,
            self.out_proj.bias, training=self.training, key_padding_mask=padding,
            need_weights=need_weights, attn_mask=mask,
            use_separate_proj_weight=not self._qkv_same_embed_dim, q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight, v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights, is_causal=is_causal,
        )  # fmt: skip
        return (made.transpose(1, 0) if swapped else made), weights


def _swapped(query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
    """Put the batch second; what was one tensor stays one, so that it is projected at once."""
    if key.dim() != 3 or value.dim() != 3:
        return query, key, value  # refused where ranks are checked
    found: dict[int, Any] = {}
    for x in (query, key, value):
        if id(x) not in found:
            found[id(x)] = x.transpose(1, 0)
    return found[id(query)], found[id(key)], found[id(value)]
