"""What makes machine code: an array program (arrays/ir.py) becomes something that can be called on arrays.

This room knows no Tensor and no derivatives: forward, backward and an optimizer's update reach it as one
program. llvmlite is imported when the first program is built.
"""

from __future__ import annotations

from retrograd.native.executable import Executable, build

__all__ = ["Executable", "build"]
