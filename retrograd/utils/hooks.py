"""torch.utils.hooks: the handle that registering a hook returns."""

from __future__ import annotations

from retrograd.hooks import RemovableHandle

__all__ = ["RemovableHandle"]
