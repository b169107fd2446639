"""Helpers around tensors, under their public names: `utils.data`, `utils.checkpoint`, `utils.hooks`."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    if name in ("checkpoint", "data", "hooks"):
        return import_module(f"retrograd.utils.{name}")
    raise AttributeError(f"module 'torch.utils' has no attribute '{name}'")
