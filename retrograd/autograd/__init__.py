"""torch.autograd: backward, grad, the modes, and the graph's own module. Names are imported when first asked
for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_NAMES = {
    "backward": "calls", "grad": "calls", "no_grad": "modes", "enable_grad": "modes", "set_grad_enabled": "modes",
    "inference_mode": "modes", "Function": "function", "GradientEdge": "calls", "detect_anomaly": "anomaly",
    "set_detect_anomaly": "anomaly",
}  # fmt: skip
_SUBMODULES = ("engine", "forward_ad", "function", "functional", "grad_mode", "graph", "modes")

__all__ = list(_NAMES)


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(f"retrograd.autograd.{_NAMES[name]}"), name)
    if name in _SUBMODULES:
        return import_module(f"retrograd.autograd.{name}")
    raise AttributeError(f"module 'torch.autograd' has no attribute '{name}'")
