"""The Fourier transforms of torch.fft: pad or cut to the sizes asked for, then transform."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.ops.declare import TABLE, Array, ErrorSample, Sample, error, sample
from retrograd.ops.families import Declared, Definition, composite
from retrograd.ops.fft import OTHER, fft_c2c, fft_c2r, fft_r2c
from retrograd.ops.helpers import cast, name_of, wrap_dim
from retrograd.ops.matrices import numbers

# ---- arguments ----


def _norm(norm: str | None) -> str:
    if norm not in (None, "forward", "backward", "ortho"):
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    return norm or "backward"


def _floating(x: Any) -> Any:
    """Return integers as the default floating type.

    Raises:
        RuntimeError: the input is of float16 or bfloat16.
    """
    array = getattr(x, "_array", x)
    if array.dtype.itemsize == 2 and array.dtype.kind in "fV":
        raise RuntimeError(f"Unsupported dtype {name_of(array)}")
    if array.dtype.kind in "fc":
        return x

    return cast(x, dtypes.default.float.np)


def _complex(x: Any) -> Any:
    """Return real numbers as complex ones."""
    x = _floating(x)
    return x if x.dtype.kind == "c" else x + 0j


def _real(x: Any, name: str, adjective: str = "real") -> Any:
    if x.dtype.kind == "c":
        raise RuntimeError(
            f"{name} expects a {adjective} input tensor, but got {name_of(getattr(x, '_array', x))}"
        )
    return _floating(x)


def _one_dim(x: Any, dim: int) -> int:
    if not x.ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    return wrap_dim(dim, x.ndim)


def _dims(x: Any, s: Any, dim: Any, name: str = "") -> tuple[list[int], list[int | None]]:
    """Return the dimensions to transform and the sizes asked for (None: as it is).

    Raises:
        RuntimeError: there are more sizes than dimensions, or a dimension is named twice.
    """
    s = [s] if isinstance(s, int) else s
    if dim is not None:
        asked = [dim] if isinstance(dim, int) else list(dim)
        if not x.ndim and asked:
            raise IndexError(f"Dimension specified as {asked[0]} but tensor has no dimensions")
        found = [wrap_dim(d, x.ndim) for d in asked]
        if len(set(found)) < len(found):
            raise RuntimeError("FFT dims must be unique")
        if s is not None and len(s) != len(found):
            raise RuntimeError("When given, dim and shape arguments must have the same length")
    elif s is not None:
        if len(s) > x.ndim:
            raise RuntimeError(
                f"Got shape with {len(s)} values but input tensor only has {x.ndim} dimensions."
            )
        found = list(range(x.ndim - len(s), x.ndim))
    else:
        found = list(range(x.ndim))
    if name and not found:
        raise RuntimeError(f"{name} must transform at least one axis")
    sizes: list[int | None] = [None] * len(found) if s is None else [None if n == -1 else int(n) for n in s]
    return found, sizes


def _resized(x: Any, dims: list[int], sizes: list[int | None]) -> Any:
    """Cut or pad with zeros, to the sizes asked for."""
    pad = [0] * (2 * x.ndim)
    index = [slice(None)] * x.ndim
    for d, n in zip(dims, sizes, strict=True):
        size = x.shape[d] if n is None else n
        if size < 1:
            raise RuntimeError(f"Invalid number of data points ({size}) specified")
        pad[2 * (x.ndim - 1 - d) + 1] = max(0, size - x.shape[d])
        if size < x.shape[d]:
            index[d] = slice(0, size)
    x = x[tuple(index)] if any(i != slice(None) for i in index) else x
    return TABLE["constant_pad_nd"](x, pad) if any(pad) else x


def _forward(x: Any, dims: list[int], norm: str) -> Any:
    """Transform real or complex numbers."""
    if x.dtype.kind == "c" or not dims:
        return fft_c2c(_complex(x), tuple(dims), norm, True)
    return fft_r2c(x, tuple(dims), norm, False)


def _inverse(x: Any, dims: list[int], norm: str) -> Any:
    if x.dtype.kind == "c" or not dims:
        return fft_c2c(_complex(x), tuple(dims), norm, False)
    return np.conjugate(fft_r2c(x, tuple(dims), OTHER[norm], False))


def _half_sizes(x: Any, dims: list[int], sizes: list[int | None]) -> tuple[list[int | None], int]:
    """Return the sizes to bring a one-sided spectrum to, and that of the last dimension of the result."""
    last = 2 * (x.shape[dims[-1]] - 1) if sizes[-1] is None else sizes[-1]
    if last < 1:
        raise RuntimeError(f"Invalid number of data points ({last}) specified")
    return [*sizes[:-1], last // 2 + 1], last


# ---- samples ----


def _signals() -> Iterator[Sample]:
    for x in (numbers(4), numbers(2, 5)):
        yield sample(x)
        yield sample(x, 3)
        yield sample(x, 6, 0, "ortho")
        yield sample(x, norm="forward")


def _spectra() -> Iterator[Sample]:
    for s in _signals():
        yield Sample((s.args[0] + 0.5j, *s.args[1:]), s.kwargs)


def _planes() -> Iterator[Sample]:
    x = numbers(3, 2, 4)
    yield sample(x)
    yield sample(x, (2, 3))
    yield sample(x, (4, 3), (0, -1), "ortho")
    yield sample(x, dim=(1, 2), norm="forward")


def _complex_planes() -> Iterator[Sample]:
    for s in _planes():
        yield Sample((s.args[0] + 0.5j, *s.args[1:]), s.kwargs)


def _errors() -> Iterator[ErrorSample]:
    yield error(IndexError, "but tensor has no dimensions", np.array(1.0), dim=-1)
    yield error(RuntimeError, 'Invalid normalization mode: "x"', numbers(3), norm="x", dim=-1)
    yield error(IndexError, "Dimension out of range", numbers(3), dim=3)


def _transform(samples: Callable[[], Iterator[Sample]], name: str) -> Callable[[Definition], Declared]:
    return composite(samples=samples, errors=_errors, places="fft", name=f"fft_{name}", torch_name=name)


# ---- one dimension ----


@_transform(_signals, "fft")
def fft(input: Array, n: int | None = None, dim: int = -1, norm: str | None = None) -> Array:
    """Transform along one dimension: y_k = sum_j x_j e^(-2 pi i j k / n)."""
    x, at = _floating(input), [_one_dim(input, dim)]
    return _forward(_resized(x, at, [n]), at, _norm(norm))


@_transform(_spectra, "ifft")
def ifft(input: Array, n: int | None = None, dim: int = -1, norm: str | None = None) -> Array:
    """Transform back along one dimension: x_j = (1 / n) sum_k y_k e^(2 pi i j k / n)."""
    x, at = _floating(input), [_one_dim(input, dim)]
    return _inverse(_resized(x, at, [n]), at, _norm(norm))


@_transform(_signals, "rfft")
def rfft(input: Array, n: int | None = None, dim: int = -1, norm: str | None = None) -> Array:
    """Transform real numbers along one dimension; return the n // 2 + 1 frequencies that are not negative."""
    x, at = _real(input, "rfft"), [_one_dim(input, dim)]
    return fft_r2c(_resized(x, at, [n]), tuple(at), _norm(norm), True)


@_transform(_spectra, "irfft")
def irfft(input: Array, n: int | None = None, dim: int = -1, norm: str | None = None) -> Array:
    """Transform what `rfft` returned back to n real numbers (by default an even number)."""
    x, at = _complex(input), [_one_dim(input, dim)]
    sizes, last = _half_sizes(x, at, [n])
    return fft_c2r(_resized(x, at, sizes), tuple(at), _norm(norm), last)


@_transform(_spectra, "hfft")
def hfft(input: Array, n: int | None = None, dim: int = -1, norm: str | None = None) -> Array:
    """Transform a Hermitian signal, given by its first half, to n real frequencies."""
    sizes = None if n is None else [n]
    return hfftn.definition(input, sizes, [_one_dim(input, dim)], norm)  # type: ignore[attr-defined]  # an Op


@_transform(_signals, "ihfft")
def ihfft(input: Array, n: int | None = None, dim: int = -1, norm: str | None = None) -> Array:
    """Transform real frequencies back to the first half of a Hermitian signal."""
    x, at = _real(input, "ihfft"), [_one_dim(input, dim)]
    return np.conjugate(fft_r2c(_resized(x, at, [n]), tuple(at), OTHER[_norm(norm)], True))


# ---- several dimensions ----


@_transform(_planes, "fftn")
def fftn(input: Array, s: Any = None, dim: Any = None, norm: str | None = None) -> Array:
    """Transform over several dimensions: all, or the last len(s), if `dim` does not say."""
    x = _floating(input)
    dims, sizes = _dims(x, s, dim)
    return _forward(_resized(x, dims, sizes), dims, _norm(norm))


@_transform(_complex_planes, "ifftn")
def ifftn(input: Array, s: Any = None, dim: Any = None, norm: str | None = None) -> Array:
    """Transform back over several dimensions."""
    x = _floating(input)
    dims, sizes = _dims(x, s, dim)
    return _inverse(_resized(x, dims, sizes), dims, _norm(norm))


@_transform(_planes, "rfftn")
def rfftn(input: Array, s: Any = None, dim: Any = None, norm: str | None = None) -> Array:
    """Transform real numbers over several dimensions, one-sided in the last of them."""
    x = _real(input, "rfftn", "real-valued")
    dims, sizes = _dims(x, s, dim, "rfftn")
    return fft_r2c(_resized(x, dims, sizes), tuple(dims), _norm(norm), True)


@_transform(_complex_planes, "irfftn")
def irfftn(input: Array, s: Any = None, dim: Any = None, norm: str | None = None) -> Array:
    """Transform what `rfftn` returned back to real numbers."""
    x = _complex(input)
    dims, sizes = _dims(x, s, dim, "irfftn")
    sizes, last = _half_sizes(x, dims, sizes)
    return fft_c2r(_resized(x, dims, sizes), tuple(dims), _norm(norm), last)


@_transform(_complex_planes, "hfftn")
def hfftn(input: Array, s: Any = None, dim: Any = None, norm: str | None = None) -> Array:
    """Transform a signal that is Hermitian in the last of several dimensions to real frequencies."""
    x = _complex(input)
    dims, sizes = _dims(x, s, dim, "hfftn")
    sizes, last = _half_sizes(x, dims, sizes)
    return fft_c2r(np.conjugate(_resized(x, dims, sizes)), tuple(dims), OTHER[_norm(norm)], last)


@_transform(_planes, "ihfftn")
def ihfftn(input: Array, s: Any = None, dim: Any = None, norm: str | None = None) -> Array:
    """Transform real frequencies back to one half of a signal that is Hermitian in the last dimension."""
    x = _real(input, "ihfftn", "real-valued")
    dims, sizes = _dims(x, s, dim, "ihfftn")
    return np.conjugate(fft_r2c(_resized(x, dims, sizes), tuple(dims), OTHER[_norm(norm)], True))


def _of_two(many: Any, name: str, samples: Callable[[], Iterator[Sample]]) -> Any:
    """Declare the transform over the last two dimensions."""

    def transform(input: Array, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Array:
        return many.definition(input, s, dim, norm)

    transform.__name__ = transform.__qualname__ = name
    transform.__doc__ = (
        f"Do what `{name[:-1]}n` does, over the last two dimensions if `dim` does not say otherwise."
    )
    return _transform(samples, name)(transform)


fft2 = _of_two(fftn, "fft2", _planes)
ifft2 = _of_two(ifftn, "ifft2", _complex_planes)
rfft2 = _of_two(rfftn, "rfft2", _planes)
irfft2 = _of_two(irfftn, "irfft2", _complex_planes)
hfft2 = _of_two(hfftn, "hfft2", _complex_planes)
ihfft2 = _of_two(ihfftn, "ihfft2", _planes)
