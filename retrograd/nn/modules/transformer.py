"""Transformers: encoders and decoders made of layers, and the two together."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np

from retrograd import devices, dtypes
from retrograd.autograd.modes import is_grad_enabled
from retrograd.nn import functional as F
from retrograd.nn import init
from retrograd.nn.functions.attention_heads import additive_mask
from retrograd.nn.module import Module
from retrograd.nn.modules.container import ModuleList
from retrograd.nn.modules.normalization import LayerNorm
from retrograd.nn.modules.transformer_layers import (
    Activation,
    TransformerDecoderLayer,
    TransformerEncoderLayer,
)
from retrograd.tensor import wrap

__all__ = [
    "Transformer", "TransformerDecoder", "TransformerDecoderLayer", "TransformerEncoder",
    "TransformerEncoderLayer",
]  # fmt: skip


def _copies(layer: Any, count: int) -> ModuleList:
    return ModuleList([copy.deepcopy(layer) for _ in range(count)])


class TransformerEncoder(Module):
    """Run `num_layers` copies of a layer, one after the other.

    Args:
        encoder_layer: what is copied, with its values.
        num_layers: how often.
        norm: applied to the last result, if given.
        enable_nested_tensor: in evaluation without gradients, results at padding are zeros (before `norm`)
            where the layer allows it, as when sequences are cut to their lengths.
        mask_check: accepted; whether padding is all at the end is always looked at.
    """

    __constants__ = ("norm",)

    def __init__(
        self, encoder_layer: Any, num_layers: int, norm: Module | None = None,
        enable_nested_tensor: bool = True, mask_check: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.layers = _copies(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm
        self.enable_nested_tensor = enable_nested_tensor
        why_not = _why_not_nested(encoder_layer) if enable_nested_tensor else None
        self.use_nested_tensor = enable_nested_tensor and why_not is None
        self.mask_check = mask_check
        if why_not is not None:
            warnings.warn(
                f"enable_nested_tensor is True, but self.use_nested_tensor is False because {why_not}",
                stacklevel=2,
            )

    def forward(
        self, src: Any, mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool | None = None
    ) -> Any:
        """Return what becomes of `src`; masks as MultiheadAttention's."""
        padding = additive_mask(src_key_padding_mask, "src_key_padding_mask", src.dtype, mask, "mask")
        mask = additive_mask(mask, "mask", src.dtype)
        cut = self._cut(src, padding) if mask is None else None
        if cut is not None:
            padding = additive_mask(cut, "src_key_padding_mask", src.dtype)
        made = src
        for layer in self.layers:
            made = layer(made, src_mask=mask, is_causal=bool(is_causal), src_key_padding_mask=padding)
        if cut is not None:
            made = made.masked_fill(cut.unsqueeze(-1), 0)
        return made if self.norm is None else self.norm(made)

    def _cut(self, src: Any, padding: Any) -> Any:
        """Return where sequences are cut off, their results zeros; None if they are not."""
        if padding is None or not self.use_nested_tensor or src.dim() != 3 or self.layers[0].training:
            return None
        if is_grad_enabled() and any(x.requires_grad for x in (src, *self.layers[0].parameters())):
            return None
        hidden = padding._array != 0
        is_at_end = not (hidden[:, :-1] & ~hidden[:, 1:]).any()
        return wrap(hidden) if is_at_end else None


def _why_not_nested(layer: Any) -> str | None:
    """Return what keeps an encoder of this layer from cutting sequences to their lengths."""
    if not isinstance(layer, TransformerEncoderLayer):
        return "encoder_layer was not TransformerEncoderLayer"
    attention = layer.self_attn
    reasons = {
        "norm_first was True": layer.norm_first,
        "self_attn.batch_first was not True(use batch_first for better inference performance)":
            not attention.batch_first,
        "self_attn._qkv_same_embed_dim was not True": not attention._qkv_same_embed_dim,
        "self_attn was passed bias=False": attention.in_proj_bias is None,
        "activation_relu_or_gelu was not True": not layer.activation_relu_or_gelu,
        "norm1.eps was not equal to encoder_layer.norm2.eps": layer.norm1.eps != layer.norm2.eps,
        "self_attn.num_heads is odd": attention.num_heads % 2 == 1,
    }  # fmt: skip
    return next((f"encoder_layer.{reason}" for reason, holds in reasons.items() if holds), None)


class TransformerDecoder(Module):
    """Run `num_layers` copies of a layer, one after the other, each with the same memory.

    Args:
        decoder_layer: what is copied, with its values.
        num_layers: how often.
        norm: applied to the last result, if given.
    """

    __constants__ = ("norm",)

    def __init__(self, decoder_layer: Any, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _copies(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self, tgt: Any, memory: Any, tgt_mask: Any = None, memory_mask: Any = None,
        tgt_key_padding_mask: Any = None, memory_key_padding_mask: Any = None,
        tgt_is_causal: bool | None = None, memory_is_causal: bool = False,
    ) -> Any:  # fmt: skip
        """Return what becomes of `tgt`; masks as MultiheadAttention's."""
        for layer in self.layers:
            tgt = layer(
                tgt, memory, tgt_mask=tgt_mask, memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask, tgt_is_causal=bool(tgt_is_causal),
                memory_is_causal=memory_is_causal,
            )  # fmt: skip
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """Encode one sequence, and decode another with the result as memory.

    Args:
        d_model: the size of an element of the sequences.
        nhead: the number of heads.
        num_encoder_layers: how many layers the encoder has.
        num_decoder_layers: and the decoder.
        dim_feedforward: the size between the two linear maps of a layer.
        dropout: the share that is dropped.
        activation: between the two linear maps: 'relu', 'gelu' or a callable.
        custom_encoder: used instead of an encoder made here.
        custom_decoder: and instead of a decoder.
        layer_norm_eps: added to the variances.
        batch_first: sequences are (N, L, d_model) instead of (L, N, d_model).
        norm_first: norm what goes into attentions and maps, not what comes out.
        bias: whether maps and norms have biases.
        device: where the parameters are.
        dtype: their type.

    Source: A. Vaswani et al. (2017).
    """

    def __init__(
        self, d_model: int = 512, nhead: int = 8, num_encoder_layers: int = 6, num_decoder_layers: int = 6,
        dim_feedforward: int = 2048, dropout: float = 0.1, activation: Activation = F.relu,
        custom_encoder: Any = None, custom_decoder: Any = None, layer_norm_eps: float = 1e-5,
        batch_first: bool = False, norm_first: bool = False, bias: bool = True, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        kind: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}
        layer = (
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            layer_norm_eps,
            batch_first,
            norm_first,
        )
        if custom_encoder is None:
            encoder_layer = TransformerEncoderLayer(*layer, **kind)
            norm = LayerNorm(d_model, layer_norm_eps, **kind)
            custom_encoder = TransformerEncoder(encoder_layer, num_encoder_layers, norm)
        self.encoder = custom_encoder
        if custom_decoder is None:
            decoder_layer = TransformerDecoderLayer(*layer, **kind)
            norm = LayerNorm(d_model, layer_norm_eps, **kind)
            custom_decoder = TransformerDecoder(decoder_layer, num_decoder_layers, norm)
        self.decoder = custom_decoder
        self._reset_parameters()
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first

    def _reset_parameters(self) -> None:
        """Draw all matrices anew."""
        for weight in self.parameters():
            if weight.dim() > 1:
                init.xavier_uniform_(weight)

    def forward(
        self, src: Any, tgt: Any, src_mask: Any = None, tgt_mask: Any = None, memory_mask: Any = None,
        src_key_padding_mask: Any = None, tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None, src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None, memory_is_causal: bool = False,
    ) -> Any:  # fmt: skip
        """Return what becomes of `tgt`; masks as MultiheadAttention's."""
        batch = 0 if self.batch_first else 1
        if src.dim() != 2 and src.size(batch) != tgt.size(batch):
            raise RuntimeError("the batch number of src and tgt must be equal")
        if not src.size(-1) == tgt.size(-1) == self.d_model:
            raise RuntimeError("the feature number of src and tgt must be equal to d_model")
        memory = self.encoder(
            src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal
        )
        return self.decoder(
            tgt, memory, tgt_mask=tgt_mask, memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask, memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal, memory_is_causal=memory_is_causal,
        )  # fmt: skip

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Any:
        """Return the (sz, sz) mask that lets nobody see what comes later: -inf above the diagonal, else 0."""
        devices.check(device)
        kind = (dtypes.default.float if dtype is None else dtype).np
        return wrap(np.triu(np.full((sz, sz), -np.inf).astype(kind), 1))
