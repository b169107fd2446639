"""CUDA's switches, which switch nothing here."""

from __future__ import annotations


class _Switches:
    allow_tf32 = False
    allow_fp16_reduced_precision_reduction = True
    allow_bf16_reduced_precision_reduction = True


matmul = _Switches()


def is_built() -> bool:
    """Return false."""
    return False
