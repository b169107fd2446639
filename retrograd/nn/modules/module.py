"""Module under torch's path, with the hooks of all modules."""

from __future__ import annotations

from retrograd.nn.module import Module
from retrograd.nn.module_hooks import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
)
from retrograd.nn.module_state import _IncompatibleKeys

__all__ = [
    "Module", "_IncompatibleKeys", "register_module_forward_hook", "register_module_forward_pre_hook",
    "register_module_full_backward_hook", "register_module_full_backward_pre_hook",
]  # fmt: skip
