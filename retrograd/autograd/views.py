"""What a tensor handle knows beyond its array: whose view it is, its mode, the gradient it keeps."""

from __future__ import annotations

from typing import Any


class Meta:
    """The rare facts of a tensor; most tensors have none.

    base: the tensor whose memory this one views, always the root, never a view itself.
    origin: why in-place writes to this view are refused: it was made under 'no_grad' or in 'inference' mode,
        it is one of several views ('multi'), or a custom Function made it ('function').
    epoch: the number of rebasings of the base that this view's history has taken in.
    """

    base: Any = None
    origin: str | None = None
    epoch = 0
    grad: Any = None
    retains = False
    inference = False
