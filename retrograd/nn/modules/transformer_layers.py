"""The layers of transformers: attention and linear maps, with norms and dropout between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retrograd.nn import functional as F
from retrograd.nn.functions.attention_heads import additive_mask
from retrograd.nn.module import Module
from retrograd.nn.modules.activation import GELU, ReLU
from retrograd.nn.modules.attention import MultiheadAttention
from retrograd.nn.modules.dropout import Dropout
from retrograd.nn.modules.linear import Linear
from retrograd.nn.modules.normalization import LayerNorm

Activation = str | Callable[[Any], Any]


def _activation(given: Activation) -> Callable[[Any], Any]:
    if not isinstance(given, str):
        return given
    if given not in ("relu", "gelu"):
        raise RuntimeError(f"activation should be relu/gelu, not {given}")
    return F.relu if given == "relu" else F.gelu


def _attended(attention: Any, x: Any, memory: Any, mask: Any, padding: Any, is_causal: bool) -> Any:
    return attention(
        x, memory, memory, attn_mask=mask, key_padding_mask=padding, is_causal=is_causal, need_weights=False
    )[0]


class TransformerEncoderLayer(Module):
    """Attend to oneself, then feed forward; each adds to what it is given, and norms it.

    Args:
        d_model: the size of an element of the sequence.
        nhead: the number of heads.
        dim_feedforward: the size between the two linear maps.
        dropout: the share that is dropped, at four places.
        activation: between the two linear maps: 'relu', 'gelu' or a callable.
        layer_norm_eps: added to the variances.
        batch_first: sequences are (N, L, d_model) instead of (L, N, d_model).
        norm_first: norm what goes into attention and maps, not what comes out.
        bias: whether maps and norms have biases.
        device: where the parameters are.
        dtype: their type.

    Source: A. Vaswani et al. (2017).
    """

    __constants__ = ("norm_first",)

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
        activation: Activation = F.relu, layer_norm_eps: float = 1e-5, batch_first: bool = False,
        norm_first: bool = False, bias: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        kind: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, batch_first=batch_first, **kind)
        self.linear1 = Linear(d_model, dim_feedforward, **kind)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, **kind)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, **kind)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, **kind)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        found = _activation(activation)
        is_relu, is_gelu = (found is f or isinstance(found, m) for f, m in ((F.relu, ReLU), (F.gelu, GELU)))
        self.activation_relu_or_gelu = 1 if is_relu else 2 if is_gelu else 0
        self.activation = found

    def forward(
        self, src: Any, src_mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False
    ) -> Any:
        """Return what becomes of `src`; masks as MultiheadAttention's."""
        padding = additive_mask(src_key_padding_mask, "src_key_padding_mask", src.dtype, src_mask, "src_mask")
        mask = additive_mask(src_mask, "src_mask", src.dtype)
        if self.norm_first:
            x = src + self._sa_block(self.norm1(src), mask, padding, is_causal)
            return x + self._ff_block(self.norm2(x))
        x = self.norm1(src + self._sa_block(src, mask, padding, is_causal))
        return self.norm2(x + self._ff_block(x))

    def _sa_block(self, x: Any, mask: Any, padding: Any, is_causal: bool = False) -> Any:
        return self.dropout1(_attended(self.self_attn, x, x, mask, padding, is_causal))

    def _ff_block(self, x: Any) -> Any:
        return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))


class TransformerDecoderLayer(Module):
    """Attend to oneself, then to the memory, then feed forward; each adds to what it is given, and norms it.

    Args:
        d_model: the size of an element of the sequence.
        nhead: the number of heads.
        dim_feedforward: the size between the two linear maps.
        dropout: the share that is dropped, at six places.
        activation: between the two linear maps: 'relu', 'gelu' or a callable.
        layer_norm_eps: added to the variances.
        batch_first: sequences are (N, L, d_model) instead of (L, N, d_model).
        norm_first: norm what goes into attentions and maps, not what comes out.
        bias: whether maps and norms have biases.
        device: where the parameters are.
        dtype: their type.
    """

    __constants__ = ("norm_first",)

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
        activation: Activation = F.relu, layer_norm_eps: float = 1e-5, batch_first: bool = False,
        norm_first: bool = False, bias: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        kind: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, batch_first=batch_first, **kind)
        self.multihead_attn = MultiheadAttention(d_model, nhead, dropout, batch_first=batch_first, **kind)
        self.linear1 = Linear(d_model, dim_feedforward, **kind)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, **kind)
        self.norm_first = norm_first
        for i in (1, 2, 3):
            setattr(self, f"norm{i}", LayerNorm(d_model, layer_norm_eps, **kind))
        for i in (1, 2, 3):
            setattr(self, f"dropout{i}", Dropout(dropout))
        self.activation = _activation(activation)

    def forward(
        self, tgt: Any, memory: Any, tgt_mask: Any = None, memory_mask: Any = None,
        tgt_key_padding_mask: Any = None, memory_key_padding_mask: Any = None,
        tgt_is_causal: bool = False, memory_is_causal: bool = False,
    ) -> Any:  # fmt: skip
        """Return what becomes of `tgt`; masks as MultiheadAttention's."""
        own = (tgt_mask, tgt_key_padding_mask, tgt_is_causal)
        others = (memory, memory_mask, memory_key_padding_mask, memory_is_causal)
        if self.norm_first:
            x = tgt + self._sa_block(self.norm1(tgt), *own)
            x = x + self._mha_block(self.norm2(x), *others)
            return x + self._ff_block(self.norm3(x))
        x = self.norm1(tgt + self._sa_block(tgt, *own))
        x = self.norm2(x + self._mha_block(x, *others))
        return self.norm3(x + self._ff_block(x))

    def _sa_block(self, x: Any, mask: Any, padding: Any, is_causal: bool = False) -> Any:
        return self.dropout1(_attended(self.self_attn, x, x, mask, padding, is_causal))

    def _mha_block(self, x: Any, memory: Any, mask: Any, padding: Any, is_causal: bool = False) -> Any:
        return self.dropout2(_attended(self.multihead_attn, x, memory, mask, padding, is_causal))

    def _ff_block(self, x: Any) -> Any:
        return self.dropout3(self.linear2(self.dropout(self.activation(self.linear1(x)))))
