"""Windows as columns, and back."""

from __future__ import annotations

from typing import Any

from retrograd.nn import functional as F
from retrograd.nn.module import Module
from retrograd.nn.modules.made import options


class Unfold(Module):
    """Return the windows of (N, C, *) as columns: (N, C prod(kernel_size), L)."""

    def __init__(self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Any) -> Any:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return options(self, "kernel_size dilation padding stride")


class Fold(Module):
    """Add windows, given as columns, to an image of a given size."""

    def __init__(
        self, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
    ) -> None:
        super().__init__()
        self.output_size = output_size
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Any) -> Any:
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return options(self, "output_size kernel_size dilation padding stride")
