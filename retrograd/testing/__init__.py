"""torch.testing: assertions that two tensors are close, and tensors to test with."""

from __future__ import annotations

from retrograd.testing._comparison import assert_allclose, assert_close
from retrograd.testing._creation import make_tensor

__all__ = ["assert_allclose", "assert_close", "make_tensor"]
