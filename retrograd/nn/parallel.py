"""Data parallelism over GPUs, of which there are none: the model runs as it is."""

from __future__ import annotations

from typing import Any

from retrograd.nn.module import Module


class DataParallel(Module):
    """Run a module; its parameters are found under `module.`, as with several GPUs."""

    def __init__(self, module: Any, device_ids: Any = None, output_device: Any = None, dim: int = 0) -> None:
        super().__init__()
        self.module = module
        self.device_ids = list(device_ids or [])
        self.output_device, self.dim = output_device, dim

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)


__all__ = ["DataParallel"]
