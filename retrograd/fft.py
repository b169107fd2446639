"""Discrete Fourier transforms: retrograd.fft, as torch.fft.

What they compute is declared in ops/fft.py and ops/fourier.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.public import functions
from retrograd.tensor import Tensor, wrap

globals().update(functions("fft"))


def _frequencies(steps: Any, n: int, d: float, dtype: Any, requires_grad: bool, out: Any) -> Any:
    to = (dtypes.default.float if dtype is None else dtype).np
    values = wrap((steps / (n * d)).astype(to))
    if out is not None:
        return out.resize_(values.shape).copy_(values)
    return values.requires_grad_() if requires_grad else values


def fftfreq(
    n: int, d: float = 1.0, *, out: Tensor | None = None, dtype: Any = None,
    layout: Any = None, device: Any = None, requires_grad: bool = False,  # noqa: ARG001 - torch's signature
) -> Tensor:  # fmt: skip
    """Return the frequencies of the bins of `fft` for n samples that are `d` apart.

    Example:
        >>> import retrograd as torch
        >>> torch.fft.fftfreq(4)
        tensor([ 0.0000,  0.2500, -0.5000, -0.2500])
    """
    steps = np.concatenate((np.arange((n + 1) // 2), np.arange(-(n // 2), 0)))
    return _frequencies(steps, n, d, dtype, requires_grad, out)  # type: ignore[no-any-return]


def rfftfreq(
    n: int, d: float = 1.0, *, out: Tensor | None = None, dtype: Any = None,
    layout: Any = None, device: Any = None, requires_grad: bool = False,  # noqa: ARG001 - torch's signature
) -> Tensor:  # fmt: skip
    """Return the frequencies of the bins of `rfft` for n samples that are `d` apart.

    Example:
        >>> import retrograd as torch
        >>> torch.fft.rfftfreq(4)
        tensor([0.0000, 0.2500, 0.5000])
    """
    return _frequencies(np.arange(n // 2 + 1), n, d, dtype, requires_grad, out)  # type: ignore[no-any-return]
