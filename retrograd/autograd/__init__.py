"""torch.autograd: backward, grad, the modes, and the graph's own module.

Names are imported when first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_NAMES = {
    "backward": "calls", "grad": "calls", "no_grad": "modes", "enable_grad": "modes",
    "set_grad_enabled": "modes", "inference_mode": "modes", "Function": "function",
    "GradientEdge": "calls", "detect_anomaly": "anomaly", "set_detect_anomaly": "anomaly",
    "gradgradcheck": "gradcheck", "Variable": "variable",
    "set_multithreading_enabled": "grad_mode", "is_multithreading_enabled": "grad_mode",
    "enforce_grad_layout_policy": "grad_mode", "is_view_replay_enabled": "grad_mode",
    "SavedTensor": "raw_saved",
    "DeviceType": "profiler", "ProfilerActivity": "profiler", "kineto_available": "profiler",
}  # fmt: skip
_SUBMODULES = (
    "anomaly_mode", "engine", "forward_ad", "function", "functional", "grad_mode", "gradcheck", "graph",
    "modes", "profiler", "profiler_util", "variable",
)  # fmt: skip

__all__ = list(_NAMES)


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(f"retrograd.autograd.{_NAMES[name]}"), name)
    if name in _SUBMODULES:
        return import_module(f"retrograd.autograd.{name}")
    raise AttributeError(f"module 'torch.autograd' has no attribute '{name}'")
