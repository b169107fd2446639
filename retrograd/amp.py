"""Mixed precision: retrograd.amp, as torch.amp.

`autocast` is for devices that have fast narrow types. There is no GPU here, and on the CPU narrow types are
computed in float32, so that they save memory but no time: autocast("cuda") does nothing, with a warning, and
autocast("cpu") is refused. `GradScaler` works everywhere.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from retrograd.tensor import Tensor


class autocast:  # noqa: N801 - torch's name
    """Compute some ops in a narrow type within a block, or in a function that it decorates.

    Raises:
        NotImplementedError: it is to be on for the CPU.
    """

    def __init__(
        self, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        del cache_enabled
        self.device, self.fast_dtype, self._enabled = device_type, dtype, enabled
        if enabled and device_type == "cuda":
            warnings.warn(
                "CUDA is not available or torch_xla is imported. Disabling autocast.",
                UserWarning,
                stacklevel=2,
            )
            self._enabled = False
        elif enabled and device_type == "cpu":
            raise NotImplementedError(
                "autocast on the CPU is not there: narrow types are computed in float32 here, so it would be "
                "slower. Give enabled=False, or convert the model with .to(torch.bfloat16)"
            )
        elif device_type not in ("cuda", "cpu"):
            raise RuntimeError(f"User specified an unsupported autocast device_type '{device_type}'")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(func)
        def decorated(*args: Any, **kwargs: Any) -> Any:
            with self:
                return func(*args, **kwargs)

        return decorated


def is_autocast_available(device_type: str) -> bool:
    """Return whether autocast can be on for a device: false here."""
    del device_type
    return False


class GradScaler:
    """Scale a loss so that small gradients do not vanish in float16; skip steps that overflow.

    The scale grows by `growth_factor` after `growth_interval` steps without overflow, and shrinks by
    `backoff_factor` at one. For "cuda", of which there is none, all is passed through.
    """

    def __init__(
        self, device: str = "cuda", init_scale: float = 2.0**16, growth_factor: float = 2.0,
        backoff_factor: float = 0.5, growth_interval: int = 2000, enabled: bool = True,
    ) -> None:  # fmt: skip
        if enabled and device == "cuda":
            warnings.warn(
                "torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  Disabling.", stacklevel=2
            )
            enabled = False
        if enabled and growth_factor <= 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if enabled and backoff_factor >= 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._enabled, self._scale = enabled, float(init_scale)
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval, self._growth_tracker = growth_interval, 0
        self._unscaled: dict[int, bool] = {}
        """Which optimizers' gradients were divided by the scale, and whether one was not finite."""

    def is_enabled(self) -> bool:
        """Return whether the scaler does anything."""
        return self._enabled

    def scale(self, outputs: Any) -> Any:
        """Return a tensor, or a sequence of them, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            return outputs * self._scale
        return type(outputs)(self.scale(x) for x in outputs)

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of an optimizer's parameters by the scale, to clip them for instance.

        Raises:
            RuntimeError: that was done already since the last update.
        """
        if not self._enabled:
            return
        if id(optimizer) in self._unscaled:
            raise RuntimeError(
                "unscale_() has already been called on this optimizer since the last update()."
            )
        overflow = False
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    array = parameter.grad._array
                    np.multiply(array, array.dtype.type(1 / self._scale), out=array)
                    parameter.grad._version_cell().bump()
                    overflow = overflow or not bool(np.isfinite(array).all())
        self._unscaled[id(optimizer)] = overflow

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """Take the optimizer's step unless a gradient is infinite or NaN."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if id(optimizer) not in self._unscaled:
            self.unscale_(optimizer)
        return None if self._unscaled[id(optimizer)] else optimizer.step(*args, **kwargs)

    def update(self, new_scale: Any = None) -> None:
        """Set the scale for the next iteration: by what happened in this one, or as given.

        Raises:
            AssertionError: there was no step to judge by.
        """
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale)
        elif not self._unscaled:
            raise AssertionError("No inf checks were recorded prior to update.")
        elif any(self._unscaled.values()):
            self._scale, self._growth_tracker = self._scale * self._backoff_factor, 0
        else:
            self._growth_tracker += 1
            if self._growth_tracker == self._growth_interval:
                self._scale, self._growth_tracker = self._scale * self._growth_factor, 0
        self._unscaled = {}

    def get_scale(self) -> float:
        """Return the scale, 1 if the scaler is off."""
        return self._scale if self._enabled else 1.0

    def state_dict(self) -> dict[str, Any]:
        """Return the scale and how it changes."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale, "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor, "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what state_dict returned.

        Raises:
            RuntimeError: the dictionary is empty, as that of a scaler that is off.
        """
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of "
                "GradScaler."
            )
        self._scale, self._growth_tracker = state_dict["scale"], state_dict["_growth_tracker"]
        self._growth_factor, self._backoff_factor = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
