"""torch.compiler: compiling functions, and what goes with it."""

from __future__ import annotations

from retrograd.compiler.api import OptimizedModule, compile, is_compiling, reset  # noqa: A004 - torch's name
from retrograd.compiler.controls import (
    allow_in_graph,
    cudagraph_mark_step_begin,
    disable,
    is_dynamo_compiling,
    is_exporting,
    list_backends,
    set_stance,
)

__all__ = [
    "OptimizedModule", "allow_in_graph", "compile", "cudagraph_mark_step_begin", "disable", "is_compiling",
    "is_dynamo_compiling", "is_exporting", "list_backends", "reset", "set_stance",
]  # fmt: skip
