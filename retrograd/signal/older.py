"""Window functions, by which a stretch of a signal is faded in and out, and torch's older names for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograd.functions.making import finish, numpy_type
from retrograd.tensor import Tensor

HANN, HAMMING = (0.5, 0.5), (0.54, 0.46)
BLACKMAN = (0.42, 0.5, 0.08)
NUTTALL = (0.3635819, 0.4891775, 0.1365995, 0.0106411)


def cosines(n: int, period: float, coefficients: Sequence[float]) -> Any:
    """Return a0 - a1 cos(x) + a2 cos(2 x) - ..., with x running through 2 pi in `period` steps."""
    x = 2 * math.pi / period * np.arange(n)
    return np.sum([(-1) ** k * a * np.cos(k * x) for k, a in enumerate(coefficients)], axis=0)


def triangle(n: int, period: float) -> Any:
    """Return 1 - |2 x - 1|, with x running from 0 to 1 in `period` steps."""
    return 1 - np.abs(np.arange(n) * (2 / period) - 1)


def kaiser(n: int, period: float, beta: float) -> Any:
    """Return I0(beta sqrt(1 - (2 x - 1)**2)) / I0(beta), with x running from 0 to 1 in `period` steps."""
    x = np.arange(n) * (2 / period) - 1
    return np.i0(beta * np.sqrt(np.maximum(1 - x * x, 0))) / np.i0(beta)


def _older(name: str, shape: Callable[..., Any], doc: str, **options: float) -> Callable[..., Tensor]:
    """Return torch.NAME: like those of torch.signal.windows, but periodic unless told otherwise."""

    def function(
        window_length: int, periodic: bool = True, *args: float, dtype: Any = None, layout: Any = None,
        device: Any = None, pin_memory: bool = False, requires_grad: bool = False, **named: float,
    ) -> Tensor:  # fmt: skip
        del layout, pin_memory
        unknown = [n for n in named if n not in options]
        if unknown or len(args) > len(options):
            raise TypeError(f"{name}() got an unexpected argument {unknown[0] if unknown else args!r}")
        kind = numpy_type(name, dtype)
        if window_length < 0:
            raise RuntimeError(
                f"{name} requires non-negative window_length, got window_length={window_length}"
            )
        if kind.kind not in "fV":
            raise RuntimeError(f"{name} expects floating point dtypes, got: {dtype}")
        values = list((options | dict(zip(options, args, strict=False)) | named).values())
        period = window_length if periodic else window_length - 1
        made = np.ones(window_length) if window_length < 2 else shape(window_length, period, *values)
        return finish(made.astype(kind), requires_grad, None, device)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{doc}; `periodic` leaves out its last point, which begins the next period."
    return function


def _hamming(n: int, period: float, alpha: float, beta: float) -> Any:
    return cosines(n, period, (alpha, beta))


bartlett_window = _older("bartlett_window", triangle, "Return a triangle")
blackman_window = _older(
    "blackman_window", lambda n, period: cosines(n, period, BLACKMAN), "Return Blackman's three cosines"
)
hamming_window = _older(
    "hamming_window", _hamming, "Return alpha - beta cos(x)", alpha=HAMMING[0], beta=HAMMING[1]
)
hann_window = _older(
    "hann_window", lambda n, period: cosines(n, period, HANN), "Return one arch of a raised cosine"
)
kaiser_window = _older("kaiser_window", kaiser, "Return Kaiser's window", beta=12.0)
