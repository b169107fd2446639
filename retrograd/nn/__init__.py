"""Neural networks: modules, their functions, parameters and initial values."""

from __future__ import annotations

from retrograd.nn import functional, init, modules, utils
from retrograd.nn.modules import *  # noqa: F403 - the modules' names are the package's
from retrograd.nn.parameter import Buffer, Parameter

__all__ = [*modules.__all__, "Buffer", "Parameter", "functional", "init", "modules", "utils"]  # noqa: PLE0604
