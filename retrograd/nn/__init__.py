"""Neural networks: modules, their functions, parameters and initial values."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from retrograd.nn import functional, init, modules, parallel, utils
from retrograd.nn.modules import *  # noqa: F403 - the modules' names are the package's
from retrograd.nn.parallel import DataParallel
from retrograd.nn.parameter import Buffer, Parameter


def __getattr__(name: str) -> Any:
    if name.startswith("Lazy"):
        return getattr(import_module("retrograd.nn.modules.lazy"), name)
    if name.startswith("Uninitialized"):
        return getattr(import_module("retrograd.nn.lazy_tensors"), name)
    raise AttributeError(f"module 'torch.nn' has no attribute '{name}'")


__all__ = [  # noqa: PLE0604 - the modules' names are strings
    *modules.__all__, "Buffer", "DataParallel", "Parameter", "functional", "init", "modules", "parallel",
    "utils",
]  # fmt: skip
