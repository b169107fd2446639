"""What concerns the whole process: threads, random state, switches; and small questions about tensors."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd import devices, dtypes, random
from retrograd.autograd.anomaly import is_anomaly_check_nan_enabled, is_anomaly_enabled, set_anomaly_enabled
from retrograd.autograd.promote import common_dtype
from retrograd.tensor import Tensor, wrap


def get_rng_state() -> Tensor:
    """Return the default generator's state as a uint8 tensor, in torch's layout."""
    return wrap(random.get_rng_state())


def set_rng_state(new_state: Tensor) -> None:
    """Set the default generator's state.

    Raises:
        TypeError: `new_state` is no uint8 tensor.
        RuntimeError: it is no state.
    """
    if not isinstance(new_state, Tensor) or new_state.dtype is not dtypes.uint8:
        raise TypeError("expected a torch.ByteTensor, but got " + typename(new_state))
    random.set_rng_state(new_state._array)


@functools.cache
def _blas() -> Any:
    """Return the OpenBLAS that NumPy's wheels bring, None where it is another."""
    folder = os.path.join(os.path.dirname(os.path.dirname(np.__file__)), "numpy.libs")
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if "openblas" not in name:
            continue
        library = ctypes.CDLL(os.path.join(folder, name))
        if hasattr(library, "scipy_openblas_set_num_threads64_"):
            return library
    return None


def _threads() -> Any:
    from retrograd.native import threads  # noqa: PLC0415 - the room of machine code would lengthen the start-up

    return threads


def get_num_threads() -> int:
    """Return the number of threads that compiled loops and matrix products use."""
    return int(_threads().get_num_threads())


def set_num_threads(num: int) -> None:
    """Set the number of threads that compiled loops and matrix products use (the rest of NumPy runs in one).

    Raises:
        RuntimeError: the number is not positive.
    """
    if not isinstance(num, int):
        raise TypeError(f"set_num_threads expects an int, but got {type(num).__name__}")
    if num <= 0:
        raise RuntimeError("set_num_threads expects a positive integer")
    _threads().set_num_threads(num)
    library = _blas()
    if library:
        library.scipy_openblas_set_num_threads64_(num)


class _Switches:
    deterministic = False
    warn_only = False
    matmul_precision = "highest"


_switches = _Switches()


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Ask for deterministic results; every op has them here, so this only notes the wish."""
    _switches.deterministic, _switches.warn_only = mode, mode and warn_only


def are_deterministic_algorithms_enabled() -> bool:
    """Return what was asked of `use_deterministic_algorithms`."""
    return _switches.deterministic


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Return what was asked of `use_deterministic_algorithms`."""
    return _switches.warn_only


def set_float32_matmul_precision(precision: str) -> None:
    """Note how precise float32 products may be; they are always computed in float32."""
    if precision not in ("highest", "high", "medium"):
        raise RuntimeError(f"Invalid precision '{precision}': expected 'highest', 'high' or 'medium'")
    _switches.matmul_precision = precision


def get_float32_matmul_precision() -> str:
    """Return what was set."""
    return _switches.matmul_precision


def set_flush_denormal(mode: bool) -> bool:
    """Return false: denormal numbers are kept as they are."""
    return False


def get_default_device() -> devices.device:
    """Return the device that new tensors are on: the CPU, unless another was chosen."""
    return devices.chosen.device or devices.CPU


def result_type(tensor1: Any, tensor2: Any) -> dtypes.dtype:
    """Return the dtype that an operation on these tensors or numbers has."""
    return common_dtype([t._array if isinstance(t, Tensor) else t for t in (tensor1, tensor2)])


def typename(obj: Any) -> str:
    """Return the name of a type: a tensor's legacy type, or the class with its module."""
    if isinstance(obj, Tensor):
        return obj.type()  # type: ignore[no-any-return]
    kind = obj if isinstance(obj, type) else type(obj)
    module = "" if kind.__module__ in (None, "builtins") else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"


def is_inference(input: Tensor) -> bool:
    """Return whether a tensor was made in inference mode."""
    return input.is_inference()


def detach(input: Tensor) -> Tensor:
    """Return a tensor on the same memory and version, without history."""
    return input.detach()


def detach_(input: Tensor) -> Tensor:
    """Cut a tensor off its history."""
    return input.detach_()


def is_conj(input: Tensor) -> bool:
    """Return false: conjugates are computed at once."""
    return False


def is_neg(input: Tensor) -> bool:
    """Return false: negatives are computed at once."""
    return False


FUNCTIONS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        are_deterministic_algorithms_enabled, detach, detach_, get_default_device,
        get_float32_matmul_precision, get_num_threads, get_rng_state, is_anomaly_check_nan_enabled,
        is_anomaly_enabled, is_conj, is_deterministic_algorithms_warn_only_enabled, is_inference, is_neg,
        result_type, set_anomaly_enabled,
        set_float32_matmul_precision, set_flush_denormal, set_num_threads, set_rng_state, typename,
        use_deterministic_algorithms,
    )
}  # fmt: skip
