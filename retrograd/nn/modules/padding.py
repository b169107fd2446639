"""Padding."""

from __future__ import annotations

from typing import Any

from retrograd.nn import functional as F
from retrograd.nn.module import Module
from retrograd.nn.modules.made import spread


class _Pad(Module):
    """Keeps the numbers of elements added on either side, the last dimension first."""

    dims: int
    mode: str

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = spread(padding, 2 * self.dims)

    def forward(self, input: Any) -> Any:
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    mode = "constant"

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Any) -> Any:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _CircularPad(_Pad):
    mode = "circular"

    def forward(self, input: Any) -> Any:
        if input.dim() not in (self.dims + 1, self.dims + 2):
            raise ValueError(
                f"expected {self.dims + 1}D or {self.dims + 2}D input (got {input.dim()}D input)"
            )
        return super().forward(input)


class ConstantPad1d(_ConstantPad):
    """Add a value at the ends of one dimension."""

    dims = 1


class ZeroPad1d(_ZeroPad):
    """Add zeros at the ends of one dimension."""

    dims = 1


class ReflectionPad1d(_Pad):
    """Add what lies before the ends, mirrored, at the ends of one dimension."""

    dims = 1
    mode = "reflect"


class ReplicationPad1d(_Pad):
    """Repeat the first and last elements of one dimension."""

    dims = 1
    mode = "replicate"


class CircularPad1d(_CircularPad):
    """Go on at one end with what lies at the other of one dimension."""

    dims = 1


class ConstantPad2d(_ConstantPad):
    """Add a value at the ends of two dimensions."""

    dims = 2


class ZeroPad2d(_ZeroPad):
    """Add zeros at the ends of two dimensions."""

    dims = 2


class ReflectionPad2d(_Pad):
    """Add what lies before the ends, mirrored, at the ends of two dimensions."""

    dims = 2
    mode = "reflect"


class ReplicationPad2d(_Pad):
    """Repeat the first and last elements of two dimensions."""

    dims = 2
    mode = "replicate"


class CircularPad2d(_CircularPad):
    """Go on at one end with what lies at the other of two dimensions."""

    dims = 2


class ConstantPad3d(_ConstantPad):
    """Add a value at the ends of three dimensions."""

    dims = 3


class ZeroPad3d(_ZeroPad):
    """Add zeros at the ends of three dimensions."""

    dims = 3


class ReflectionPad3d(_Pad):
    """Add what lies before the ends, mirrored, at the ends of three dimensions."""

    dims = 3
    mode = "reflect"


class ReplicationPad3d(_Pad):
    """Repeat the first and last elements of three dimensions."""

    dims = 3
    mode = "replicate"


class CircularPad3d(_CircularPad):
    """Go on at one end with what lies at the other of three dimensions."""

    dims = 3
