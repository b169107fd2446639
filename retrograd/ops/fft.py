"""The Fourier transforms that the others are made of: complex to complex, real to complex, complex to real.

`norm` is in NumPy's sense: 'backward' divides the inverse transform by n, 'forward' the forward one, 'ortho'
both by the square root of n. The other direction with the same factor has the other of the first two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.declare import Array, Sample, sample
from retrograd.ops.families import composite, general
from retrograd.ops.helpers import numpy_dtype, wrap_dim, wrap_dims
from retrograd.ops.matrices import numbers, real_dtype

OTHER = {"backward": "forward", "forward": "backward", "ortho": "ortho"}
"""The norm with which the transform the other way has the same factor."""

Dims = Sequence[int]


def _batched(op: Any, size: int, args: Any, dims: Any) -> Any:
    """Count dimensions from the back, behind a batch at the front."""
    x = batching.front(args[0], dims[0])
    return batching.call(op, [x, tuple(wrap_dim(d, x.ndim - 1) + 1 for d in args[1]), *args[2:]])


def _complex() -> Iterator[Sample]:
    x = numbers(3, 4) + 1j * numbers(3, 4, shift=1)
    yield sample(x, (1,), "backward", True)
    yield sample(x, (0, -1), "forward", False)
    yield sample(x, (0,), "ortho", True)


@general(
    node="FftC2CBackward0",
    input=lambda ct, dim, norm, forward: fft_c2c(ct, dim, OTHER[norm], not forward),
    jvp={"input": lambda t, dim, norm, forward: fft_c2c(t, dim, norm, forward)},
    batch=_batched,
    holomorphic=False,
    primitive=True,
    samples=_complex,
    places="",
)
def fft_c2c(input: Array, dim: Dims, norm: str, forward: bool) -> Array:
    """Transform complex numbers over `dim`: y_k = sum_n x_n e^(-2 pi i k n / N), with + if not `forward`."""
    if not dim:
        return np.array(input)
    return (np.fft.fftn if forward else np.fft.ifftn)(input, axes=dim, norm=norm)  # type: ignore[arg-type]


def _real() -> Iterator[Sample]:
    for x in (numbers(3, 4), numbers(4, 3)):
        yield sample(x, (1,), "backward", True)
        yield sample(x, (0, -1), "forward", True)
        yield sample(x, (0, 1), "ortho", False)


def _from_half(ct: Any, dim: Dims, n: int) -> Any:
    """Return a one-sided spectrum with zeros in the place of what was left out."""
    axis = wrap_dim(dim[-1], ct.ndim)
    missing = n - ct.shape[axis]
    if not missing:
        return ct
    shape = tuple(missing if i == axis else k for i, k in enumerate(ct.shape))
    return np.concatenate((ct, np.zeros(shape, numpy_dtype(ct.dtype))), axis=axis)


def _real_rule(ct: Any, input_shape: Any, dim: Dims, norm: str, onesided: bool) -> Any:
    whole = _from_half(ct, dim, input_shape[dim[-1]]) if onesided else ct
    return np.real(fft_c2c(whole, dim, OTHER[norm], False))


@general(
    node="FftR2CBackward0",
    input=_real_rule,
    jvp={"input": lambda t, dim, norm, onesided: fft_r2c(t, dim, norm, onesided)},
    batch=_batched,
    holomorphic=False,
    primitive=True,
    kinds="f",
    samples=_real,
    places="",
)
def fft_r2c(input: Array, dim: Dims, norm: str, onesided: bool) -> Array:
    """Transform real numbers over `dim`; `onesided`: only the first N // 2 + 1 of the last of these."""
    if onesided:
        return np.fft.rfftn(input, axes=dim, norm=norm)  # type: ignore[arg-type]
    return np.fft.fftn(input, axes=dim, norm=norm)  # type: ignore[arg-type]


def _halves() -> Iterator[Sample]:
    for n in (4, 5):
        x = numbers(3, 3) + 1j * numbers(3, 3, shift=1)
        yield sample(x, (1,), "backward", n)
        yield sample(x, (0, -1), "forward", n)
        yield sample(x, (1, 0), "ortho", n)


def _half_rule(ct: Any, dim: Dims, norm: str, n: int) -> Any:
    """Pull back: the frequencies that stand for their mirrors too count twice."""
    found = fft_r2c(ct, dim, OTHER[norm], True)
    axis = wrap_dim(dim[-1], found.ndim)
    weight = np.full(found.shape[axis], 2, real_dtype(found))
    weight[0] = 1
    if n % 2 == 0:
        weight[-1] = 1
    return found * np.reshape(weight, (-1, *(1,) * (found.ndim - axis - 1)))


@general(
    node="FftC2RBackward0",
    input=_half_rule,
    jvp={"input": lambda t, dim, norm, n: fft_c2r(t, dim, norm, n)},
    batch=_batched,
    holomorphic=False,
    primitive=True,
    samples=_halves,
    places="",
)
def fft_c2r(input: Array, dim: Dims, norm: str, n: int) -> Array:
    """Transform a one-sided spectrum back over `dim` to real numbers, n of them in the last of these."""
    sizes = [input.shape[d] for d in dim[:-1]]
    return np.fft.irfftn(input, s=[*sizes, n], axes=dim, norm=norm)  # type: ignore[arg-type]


# ---- order of frequencies ----


def _shiftable() -> Iterator[Sample]:
    yield sample(numbers(5))
    yield sample(numbers(2, 3, 4), 1)
    yield sample(numbers(2, 3, 4), (0, -1))


def _shifted(x: Any, dim: Any, back: bool) -> Any:
    dims = wrap_dims(dim, x.ndim)
    if not dims:
        return np.copy(x)
    return np.roll(x, tuple((x.shape[d] + back) // 2 for d in dims), dims)


@composite(samples=_shiftable, places="fft", out=False)
def fftshift(input: Array, dim: Any = None) -> Array:
    """Move the zero frequency from the front of each dimension to its middle."""
    return _shifted(input, dim, False)


@composite(samples=_shiftable, places="fft", out=False)
def ifftshift(input: Array, dim: Any = None) -> Array:
    """Move the zero frequency from the middle of each dimension to its front."""
    return _shifted(input, dim, True)
