"""What a tensor handle knows beyond its array: whose view it is, what it was made in, what gradient it keeps."""

from __future__ import annotations

from typing import Any


class Meta:
    """The rare facts of a tensor; most tensors have none.

    base: the tensor whose memory this one views, always the root, never a view itself.
    origin: why in-place writes to this view are refused: 'no_grad', 'multi' (one of several views), 'function'.
    epoch: the number of rebasings of the base that this view's history has taken in.
    """

    __slots__ = ("base", "epoch", "grad", "inference", "origin", "retains", "source")

    def __init__(self, base: Any = None) -> None:
        self.base = base
        self.origin: str | None = None
        self.source: Any = None
        self.epoch = 0
        self.grad: Any = None
        self.retains = False
        self.inference = False
