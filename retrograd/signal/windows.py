"""Window functions: retrograd.signal.windows, as torch.signal.windows.

`sym` windows are the same from both ends (filters); the others begin a period again (spectra).

Numerics: computed in float64 and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd import devices, dtypes
from retrograd.functions.making import finish
from retrograd.signal.older import BLACKMAN, HAMMING, NUTTALL, cosines, triangle
from retrograd.signal.older import kaiser as kaiser_shape
from retrograd.tensor import Tensor


def _window(
    name: str, shape: Callable[..., Any], m: int, options: dict[str, Any], *, scaled: bool = True
) -> Tensor:
    """Check what all windows share, and make `shape(M, period)` a tensor.

    `scaled` ones stretch over the period: one element alone has none, and is 1.
    """
    sym, dtype = options.pop("sym", True), options.pop("dtype", None)
    layout, device = options.pop("layout", devices.strided), options.pop("device", None)
    requires_grad = options.pop("requires_grad", False)
    if options:
        raise TypeError(f"{name}() got an unexpected keyword argument '{next(iter(options))}'")
    dtype = dtypes.default.float if dtype is None else dtype
    if m < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={m}")
    if layout is not devices.strided:
        raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
    if dtype not in (dtypes.float32, dtypes.float64):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {dtype}")
    made = np.ones(m) if m < 2 and scaled else shape(m, m - 1 if sym or m < 2 else m)
    return finish(made.astype(dtype.np), requires_grad, None, device)


# What `options` are: sym=True, dtype=None, layout=strided, device=None, requires_grad=False.


def general_cosine(M: int, *, a: Any, **options: Any) -> Tensor:  # noqa: N803 - torch's name
    """Return a[0] - a[1] cos(x) + a[2] cos(2 x) - ...

    Raises:
        TypeError: the coefficients are no list or tuple.
        ValueError: there are none.
    """
    if not isinstance(a, (list, tuple)):
        raise TypeError("Coefficients must be a list/tuple")
    if not a:
        raise ValueError("Coefficients cannot be empty")
    return _window("general_cosine", lambda n, period: cosines(n, period, a), M, options)


def general_hamming(M: int, *, alpha: float = 0.54, **options: Any) -> Tensor:  # noqa: N803
    """Return alpha - (1 - alpha) cos(x)."""
    return general_cosine(M, a=[alpha, 1 - alpha], **options)


def hamming(M: int, **options: Any) -> Tensor:  # noqa: N803
    """Return 0.54 - 0.46 cos(x)."""
    return general_cosine(M, a=HAMMING, **options)


def hann(M: int, **options: Any) -> Tensor:  # noqa: N803
    """Return one arch of a raised cosine.

    Example:
        >>> import retrograd as torch
        >>> torch.signal.windows.hann(5)
        tensor([0.0000, 0.5000, 1.0000, 0.5000, 0.0000])
    """
    return general_hamming(M, alpha=0.5, **options)


def blackman(M: int, **options: Any) -> Tensor:  # noqa: N803
    """Return Blackman's three cosines."""
    return general_cosine(M, a=BLACKMAN, **options)


def nuttall(M: int, **options: Any) -> Tensor:  # noqa: N803
    """Return Nuttall's four cosines, the minimum 4-term Blackman-Harris window."""
    return general_cosine(M, a=NUTTALL, **options)


def bartlett(M: int, **options: Any) -> Tensor:  # noqa: N803
    """Return a triangle."""
    return _window("bartlett", triangle, M, options)


def cosine(M: int, **options: Any) -> Tensor:  # noqa: N803
    """Return one arch of a sine."""
    return _window(
        "cosine", lambda n, period: np.sin(math.pi / (period + 1) * (np.arange(n) + 0.5)), M, options
    )


def exponential(M: int, *, center: float | None = None, tau: float = 1.0, **options: Any) -> Tensor:  # noqa: N803
    """Return exp(-|k - center| / tau).

    Raises:
        ValueError: tau is not positive; a symmetric window is given a centre.
    """
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if options.get("sym", True) and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    return _window(
        "exponential",
        lambda n, period: np.exp(-np.abs(np.arange(n) - (period / 2 if center is None else center)) / tau),
        M,
        options,
        scaled=False,
    )


def gaussian(M: int, *, std: float = 1.0, **options: Any) -> Tensor:  # noqa: N803
    """Return exp(-((k - middle) / std)**2 / 2).

    Raises:
        ValueError: std is not positive.
    """
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    return _window(
        "gaussian",
        lambda n, period: np.exp(-(((np.arange(n) - period / 2) / std) ** 2) / 2),
        M,
        options,
        scaled=False,
    )


def kaiser(M: int, *, beta: float = 12.0, **options: Any) -> Tensor:  # noqa: N803
    """Return I0(beta sqrt(1 - t**2)) / I0(beta), t running from -1 to 1.

    Raises:
        ValueError: beta is negative.
    """
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    return _window("kaiser", lambda n, period: kaiser_shape(n, period, beta), M, options)


__all__ = [
    "bartlett", "blackman", "cosine", "exponential", "gaussian", "general_cosine", "general_hamming",
    "hamming", "hann", "kaiser", "nuttall",
]  # fmt: skip
