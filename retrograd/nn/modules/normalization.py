"""Normalisation within single samples."""

from __future__ import annotations

import numbers
from typing import Any

from retrograd.nn import functional as F
from retrograd.nn import init
from retrograd.nn.module import Module
from retrograd.nn.modules.made import options, parameter


class LayerNorm(Module):
    """Normalise over the last dimensions, then scale and shift each element.

    Args:
        normalized_shape: the sizes of these dimensions.
        eps: added to the variance.
        elementwise_affine: whether there is a scale, and with `bias` a shift.
        bias: see above.
        device: where the parameters are.
        dtype: their type.

    Source: J. Ba, J. Kiros, G. Hinton (2016).
    """

    def __init__(
        self, normalized_shape: Any, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        shape = self.normalized_shape
        self.register_parameter("weight", parameter(shape, dtype, device) if elementwise_affine else None)
        self.register_parameter(
            "bias", parameter(shape, dtype, device) if elementwise_affine and bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set scale 1 and shift 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Any) -> Any:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        kind = options(self, "eps elementwise_affine")
        return f"{self.normalized_shape}, {kind}, bias={self.bias is not None}"


class RMSNorm(Module):
    """Divide by the root mean square over the last dimensions, then scale each element.

    Source: B. Zhang, R. Sennrich (2019).
    """

    def __init__(
        self, normalized_shape: Any, eps: float | None = None, elementwise_affine: bool = True, device: Any =
        None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        made = parameter(self.normalized_shape, dtype, device) if elementwise_affine else None
        self.register_parameter("weight", made)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set scale 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Any) -> Any:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, {options(self, 'eps elementwise_affine')}"


def _shape(sizes: Any) -> tuple[int, ...]:
    return (sizes,) if isinstance(sizes, numbers.Integral) else tuple(sizes)  # type: ignore[return-value]


class GroupNorm(Module):
    """Normalise groups of channels of (N, C, *), then scale and shift each channel.

    Source: Y. Wu, K. He (2018).
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, device: Any = None,
        dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        if num_channels % num_groups != 0:
            raise ValueError(f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})")
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self.register_parameter("weight", parameter(num_channels, dtype, device) if affine else None)
        self.register_parameter("bias", parameter(num_channels, dtype, device) if affine and bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set scale 1 and shift 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Any) -> Any:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        kind = options(self, "eps affine")
        return f"{self.num_groups}, {self.num_channels}, {kind}, bias={self.bias is not None}"


class LocalResponseNorm(Module):
    """Divide by a power of the sum of squares over neighbouring channels.

    Source: A. Krizhevsky, I. Sutskever, G. Hinton (2012).
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Any) -> Any:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, {options(self, 'alpha beta k')}"
