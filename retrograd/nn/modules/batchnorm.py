"""Normalisation over the batch, and over single instances."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

from retrograd import dtypes
from retrograd.nn import functional as F
from retrograd.nn import init
from retrograd.nn.module import Module
from retrograd.nn.modules.made import options, parameter, tensor


class _NormBase(Module):
    """What the norms share: scale and shift per channel, and running statistics."""

    _version = 2  # version 1 did not count batches
    ndims: ClassVar[tuple[int, ...]]

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.register_parameter("weight", parameter(num_features, dtype, device) if affine else None)
        self.register_parameter("bias", parameter(num_features, dtype, device) if affine and bias else None)
        if track_running_stats:
            self.register_buffer("running_mean", tensor(num_features, dtype, device, fill=0))
            self.register_buffer("running_var", tensor(num_features, dtype, device, fill=1))
            self.register_buffer("num_batches_tracked", tensor((), dtypes.int64, device, fill=0))
        else:
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                self.register_buffer(name, None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget the running statistics."""
        if self.track_running_stats:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Set scale 1, shift 0, and forget the running statistics."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_input_dim(self, input: Any) -> None:
        if input.dim() not in self.ndims:
            wanted = " or ".join(f"{n}D" for n in self.ndims)
            raise ValueError(f"expected {wanted} input (got {input.dim()}D input)")

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, {options(self, 'eps momentum affine')}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, *rest: Any) -> None:
        version = local_metadata.get("version", None)
        if (version is None or version < 2) and self.track_running_stats:
            key = prefix + "num_batches_tracked"
            if key not in state_dict:
                state_dict[key] = self.num_batches_tracked
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


class _BatchNorm(_NormBase):
    def forward(self, input: Any) -> Any:
        self._check_input_dim(input)
        average = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked._array += 1
            self.num_batches_tracked._version_cell().bump()
            if self.momentum is None:  # the plain average over all batches
                average = 1.0 / float(self.num_batches_tracked._array)
        uses_batch = self.training or (self.running_mean is None and self.running_var is None)
        tracks = not self.training or self.track_running_stats
        return F.batch_norm(
            input, self.running_mean if tracks else None, self.running_var if tracks else None, self.weight,
            self.bias,
            uses_batch, average, self.eps,
        )  # fmt: skip


class BatchNorm1d(_BatchNorm):
    """Normalise each channel of (N, C) or (N, C, L) over the batch, then scale and shift it.

    Args:
        num_features: the number of channels.
        eps: added to the variance.
        momentum: the weight of a new batch in the running statistics; None averages all batches equally.
        affine: whether there is a scale and a shift.
        track_running_stats: whether running statistics are kept, and used in evaluation.
        device: where the tensors are.
        dtype: their type.
        bias: whether there is a shift.

    Source: S. Ioffe, C. Szegedy (2015).
    """

    ndims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Normalise each channel of (N, C, H, W) over the batch; the arguments are those of BatchNorm1d."""

    ndims = (4,)


class BatchNorm3d(_BatchNorm):
    """Normalise each channel of (N, C, D, H, W) over the batch; the arguments are those of BatchNorm1d."""

    ndims = (5,)


class _InstanceNorm(_NormBase):
    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
        track_running_stats: bool = False, device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input: Any) -> Any:
        self._check_input_dim(input)
        dim = input.dim() - (self.ndims[-1] - 1)
        if input.shape[dim] != self.num_features:
            if self.affine:
                raise ValueError(
                    f"expected input's size at dim={dim} to match num_features ({self.num_features}), but "
                    "got: "
                    f"{input.shape[dim]}."
                )
            warnings.warn(
                f"input's size at dim={dim} does not match num_features. You can silence this warning by "
                "not passing "
                "in num_features, which is not used because affine=False",
                stacklevel=3,
            )
        if dim == 0:
            return self._normalised(input.unsqueeze(0)).squeeze(0)
        return self._normalised(input)

    def _normalised(self, input: Any) -> Any:
        return F.instance_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias,
            self.training or not self.track_running_stats, 0.0 if self.momentum is None else self.momentum,
            self.eps,
        )  # fmt: skip


class InstanceNorm1d(_InstanceNorm):
    """Normalise each channel of each instance of (N, C, L) or (C, L).

    Source: D. Ulyanov, A. Vedaldi, V. Lempitsky (2016).
    """

    ndims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Normalise each channel of each instance of (N, C, H, W) or (C, H, W)."""

    ndims = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Normalise each channel of each instance of (N, C, D, H, W) or (C, D, H, W)."""

    ndims = (4, 5)
