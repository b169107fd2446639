"""Dropout."""

from __future__ import annotations

from typing import Any

from retrograd.nn import functional as F
from retrograd.nn.module import Module
from retrograd.nn.modules.made import options


class _Dropout(Module):
    """Keeps the probability of an element's (or channel's) being set to zero."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        return options(self, "p inplace")


class Dropout(_Dropout):
    """Set elements to zero with probability `p` in training, and scale the others by 1 / (1 - p).

    Source: G. Hinton et al. (2012).
    """

    def forward(self, input: Any) -> Any:
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """Set whole channels of (N, C, L) to zero."""

    def forward(self, input: Any) -> Any:
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """Set whole channels of (N, C, H, W) to zero."""

    def forward(self, input: Any) -> Any:
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """Set whole channels of (N, C, D, H, W) to zero."""

    def forward(self, input: Any) -> Any:
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """Replace elements by SELU's negative limit, keeping mean and variance.

    Source: G. Klambauer et al. (2017).
    """

    def forward(self, input: Any) -> Any:
        return F.alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_Dropout):
    """Replace whole channels by SELU's negative limit, keeping mean and variance."""

    def forward(self, input: Any) -> Any:
        return F.feature_alpha_dropout(input, self.p, self.training)
