"""CUDA as a program without a GPU finds it: there is none, and what needs one says so."""

from __future__ import annotations

from typing import Any

from retrograd.cuda import amp

_NONE = "Torch not compiled with CUDA enabled"


def is_available() -> bool:
    """Return false: tensors live in the computer's own memory."""
    return False


def is_initialized() -> bool:
    """Return false."""
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Return false."""
    del including_emulation
    return False


def device_count() -> int:
    """Return 0."""
    return 0


def empty_cache() -> None:
    """Do nothing: no memory is kept on a GPU."""


def manual_seed(seed: int) -> None:
    """Do nothing: a GPU's generator would be seeded when it is first used."""
    int(seed)


def manual_seed_all(seed: int) -> None:
    """Do nothing, likewise."""
    int(seed)


def _bytes(device: Any = None) -> int:
    """Return 0: nothing lies on a GPU."""
    del device
    return 0


memory_allocated = max_memory_allocated = memory_reserved = max_memory_reserved = _bytes


def _refused(*args: Any, **kwargs: Any) -> Any:
    """Raise: there is no GPU.

    Raises:
        AssertionError: always.
    """
    del args, kwargs
    raise AssertionError(_NONE)


init = synchronize = current_device = set_device = get_device_name = get_device_properties = _refused
get_device_capability = current_stream = default_stream = mem_get_info = ipc_collect = _refused
get_rng_state = set_rng_state = _refused


class device:  # noqa: N801 - torch's name
    """Choose a GPU within a block: with none there is nothing to choose."""

    def __init__(self, device: Any) -> None:
        self.idx = device

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        pass


__all__ = [
    "amp", "current_device", "current_stream", "default_stream", "device", "device_count", "empty_cache",
    "get_device_capability", "get_device_name", "get_device_properties", "get_rng_state", "init",
    "ipc_collect", "is_available", "is_bf16_supported", "is_initialized", "manual_seed", "manual_seed_all",
    "max_memory_allocated", "max_memory_reserved", "mem_get_info", "memory_allocated", "memory_reserved",
    "set_device", "set_rng_state", "synchronize",
]  # fmt: skip
