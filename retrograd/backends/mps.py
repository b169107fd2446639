"""Apple's GPU."""

from __future__ import annotations


def is_available() -> bool:
    """Return false."""
    return False


def is_built() -> bool:
    """Return false."""
    return False
