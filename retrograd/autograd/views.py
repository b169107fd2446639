"""What a tensor handle knows beyond its array: whose view it is, its mode, the gradient it keeps."""

from __future__ import annotations

from typing import Any

VIEW_MADE_INSIDE = (
    "Output {number} of {name} is a view and is being modified inplace. This view was created inside a "
    "custom Function (or because an input was returned as-is) and the autograd logic to handle view+inplace "
    "would override the custom backward associated with the custom Function, leading to incorrect gradients. "
    "This behavior is forbidden. You can fix this by cloning the output of the custom Function."
)
"""Why a view of a custom Function's input, returned by it, may not be written to; a Meta's `origin`."""


class Meta:
    """The rare facts of a tensor; most tensors have none.

    base: the tensor whose memory this one views, always the root, never a view itself.
    origin: why in-place writes to this view are refused: 'no_grad', 'multi' (one of several views), or the
        message itself.
    epoch: the number of rebasings of the base that this view's history has taken in.
    """

    base: Any = None
    origin: str | None = None
    epoch = 0
    grad: Any = None
    retains = False
    inference = False
