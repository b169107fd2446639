"""What is declared: one declaration per op, in one file per family; nothing knows tensors or the tape."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """Give the names of ops below torch's public functions: `torch.ops.aten`, `torch.ops.prim`."""
    if name in ("aten", "prim"):
        import retrograd.ops.aten_names as namespaces  # noqa: PLC0415 - it needs the table, which is made of these files

        return getattr(namespaces, name)
    raise AttributeError(f"module 'torch.ops' has no attribute '{name}'")
