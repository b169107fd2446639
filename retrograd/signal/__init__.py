"""Signals: retrograd.signal, as torch.signal. It has the window functions."""

from __future__ import annotations

from retrograd.signal import windows

__all__ = ["windows"]
