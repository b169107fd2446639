"""OpenMP: threads are our own."""

from __future__ import annotations


def is_available() -> bool:
    """Return false."""
    return False
