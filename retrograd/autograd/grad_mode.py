"""torch's public path of the recording modes."""

from __future__ import annotations

from retrograd.autograd.modes import enable_grad, inference_mode, no_grad, set_grad_enabled

__all__ = ["enable_grad", "inference_mode", "no_grad", "set_grad_enabled"]
