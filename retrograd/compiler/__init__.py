"""torch.compiler: compiling functions, and what goes with it."""

from __future__ import annotations

from retrograd.compiler.api import (
    OptimizedModule,
    compile,  # noqa: A004 - torch's name
    compile_forward,
    is_compiling,
    reset,
)
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
    "OptimizedModule", "allow_in_graph", "compile", "compile_forward", "cudagraph_mark_step_begin", "disable",
    "is_compiling", "is_dynamo_compiling", "is_exporting", "list_backends", "reset", "set_stance",
]  # fmt: skip
