"""torch._tensor_str: how tensors are printed, under the path by which programs reach the print options."""

from __future__ import annotations

from retrograd.printing import PRINT_OPTS, get_printoptions, printoptions, set_printoptions

__all__ = ["PRINT_OPTS", "get_printoptions", "printoptions", "set_printoptions"]
