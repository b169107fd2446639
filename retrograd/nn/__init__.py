"""Neural networks: modules, their functions, parameters and initial values."""

from __future__ import annotations

from retrograd.nn import functional, init, modules, parallel, utils
from retrograd.nn.modules import *  # noqa: F403 - the modules' names are the package's
from retrograd.nn.parallel import DataParallel
from retrograd.nn.parameter import Buffer, Parameter

__all__ = [  # noqa: PLE0604 - the modules' names are strings
    *modules.__all__, "Buffer", "DataParallel", "Parameter", "functional", "init", "modules", "parallel",
    "utils",
]  # fmt: skip
