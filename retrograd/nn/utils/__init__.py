"""Helpers around parameters: limits on gradients, and parameters as one vector."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from retrograd.nn.utils import rnn
from retrograd.nn.utils.clip_grad import (
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)
from retrograd.nn.utils.convert_parameters import parameters_to_vector, vector_to_parameters

_LATER = {
    **dict.fromkeys(
        ("remove_spectral_norm", "remove_weight_norm", "spectral_norm", "weight_norm"), "older_norms"
    ),
    **dict.fromkeys(
        (
            "fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights",
            "skip_init",
        ),
        "fusion",
    ),
    "parametrizations": "", "parametrize": "",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'torch.nn.utils' has no attribute '{name}'")
    module = import_module(f"retrograd.nn.utils.{_LATER[name] or name}")
    return getattr(module, name) if _LATER[name] else module


__all__ = [
    "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm", "parameters_to_vector",
    "rnn", "vector_to_parameters",
]  # fmt: skip
