"""cuDNN: there is none. Programs may set its switches, which then switch nothing."""

from __future__ import annotations

enabled = True
benchmark = False
deterministic = False
allow_tf32 = True


def is_available() -> bool:
    """Return false."""
    return False


def version() -> None:
    """Return None."""
