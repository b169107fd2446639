"""Short-time Fourier transforms and back: torch.stft and torch.istft."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.ops.declare import TABLE
from retrograd.ops.pad import indices_of
from retrograd.public import functions
from retrograd.tensor import Tensor, wrap

_FFT = functions("fft")


def _op(name: str) -> Callable[..., Any]:
    return TABLE[name].function  # type: ignore[no-any-return]


def _describe(x: Any) -> str:
    if x is None:
        return "None"
    return f"torch.{x.dtype.scalar_name}Tensor{list(x.shape)}"


def _check_stft(x: Any, n_fft: int, hop: int, length: int, window: Any, options: str) -> None:
    call = (
        f"stft({_describe(x)}, n_fft={n_fft}, hop_length={hop}, win_length={length}, "
        f"window={_describe(window)}, {options}) : "
    )
    problem = None
    if x.dtype.category < dtypes.FLOATING:
        problem = "expected a tensor of floating point or complex values"
    elif x.ndim not in (1, 2):
        problem = "expected a 1D or 2D tensor"
    elif not 0 < n_fft <= x.shape[-1]:
        problem = f"expected 0 < n_fft < {x.shape[-1]}, but got n_fft={n_fft}"
    elif hop <= 0:
        problem = f"expected hop_length > 0, but got hop_length={hop}"
    elif not 0 < length <= n_fft:
        problem = f"expected 0 < win_length <= n_fft, but got win_length={length}"
    elif window is not None and (window.ndim != 1 or window.shape[0] != length):
        problem = (
            f"expected a 1D window tensor of size equal to win_length={length}, but got window with size "
            f"{list(window.shape)}"
        )
    if problem:
        raise RuntimeError(call + problem)


def _padded(x: Any, n_fft: int, mode: str) -> Any:
    """Return a signal with half a window more at both ends."""
    half = n_fft // 2
    if x.ndim not in (1, 2):
        return x  # what it is will be refused
    if mode == "constant":
        zeros = x.new_zeros((*x.shape[:-1], half))
        return _op("cat")((zeros, x, zeros), -1)
    n = x.shape[-1]
    if mode == "reflect" and half >= n:
        raise RuntimeError(
            "Argument #4: Padding size should be less than the corresponding input dimension, but "
            "got: padding "
            f"({half}, {half}) at dimension {x.ndim} of input {[1] * (3 - x.ndim) + list(x.shape)}"
        )
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if mode == "circular" and half > n:
        raise RuntimeError("Padding value causes wrapping around more than once.")
    names = {"reflect": "Reflection", "replicate": "Replication", "circular": "Circular"}
    return _op("take_at")(x, indices_of(x.shape, (half, half), mode), f"{names[mode]}Pad1DBackward0")


def _wide_window(window: Any, like: Any, length: int, n_fft: int) -> Any:
    """Return a window in the middle of `n_fft` elements; None where all are 1."""
    if length == n_fft:
        return window
    values = like.new_ones(length) if window is None else window
    before = (n_fft - length) // 2
    head, tail = values.new_zeros(before), values.new_zeros(n_fft - length - before)
    return _op("cat")((head, values, tail), 0)


def stft(
    input: Tensor, n_fft: int, hop_length: int | None = None, win_length: int | None = None,
    window: Tensor | None = None, center: bool = True, pad_mode: str = "reflect", normalized: bool = False,
    onesided: bool | None = None, return_complex: bool | None = None, align_to_window: bool | None = None,
) -> Tensor:  # fmt: skip
    """Transform overlapping stretches of a signal: (..., n) -> (..., frequencies, frames).

    Args:
        input: one signal, or a row each.
        n_fft: how many samples are transformed at once.
        hop_length: from one stretch to the next (n_fft // 4).
        win_length: how many of them the window covers, in the middle (n_fft).
        window: what they are multiplied by.
        center: half a stretch is added at both ends, so that frame t is about sample t * hop_length.
        pad_mode: how that is filled: reflect, constant, replicate, circular.
        normalized: divide by the square root of n_fft.
        onesided: only n_fft // 2 + 1 frequencies (default for real signals).
        return_complex: complex numbers, not pairs.
        align_to_window: stretches begin where the window does; only without `center`.
    """
    hop = n_fft // 4 if hop_length is None else hop_length
    length = n_fft if win_length is None else win_length
    if window is None:
        warnings.warn(
            "A window was not provided. A rectangular window will be applied,which is known to cause "
            "spectral "
            "leakage. Other windows such as torch.hann_window or torch.hamming_window are "
            "recommended to reduce "
            "spectral leakage.To suppress this warning and use a rectangular window, explicitly set "
            "`window=torch.ones(n_fft, device=<device>)`.",
            UserWarning,
            stacklevel=2,
        )
    if center and align_to_window is not None:
        raise RuntimeError("stft align_to_window should only be set when center = false")
    x: Any = _padded(input, n_fft, pad_mode) if center else input
    is_complex = x.dtype.is_complex or (window is not None and window.dtype.is_complex)
    if return_complex is None and not is_complex:
        raise RuntimeError(
            "stft requires the return_complex parameter be given for real inputs, and will further "
            "require that "
            "return_complex=True in a future PyTorch release."
        )
    options = (
        f"normalized={int(normalized)}, onesided={onesided if onesided is None else int(onesided)}, "
        f"return_complex={return_complex if return_complex is None else int(return_complex)}, "
        f"align_to_window={align_to_window if align_to_window is None else int(align_to_window)}"
    )
    if align_to_window and 0 < length <= n_fft:
        short = (n_fft - length) // 2
        zeros = x.new_zeros((*x.shape[:-1], short))
        x = _op("cat")((zeros, x, zeros), -1)
    _check_stft(x, n_fft, hop, length, window, options)
    half = not is_complex if onesided is None else onesided
    if half and is_complex:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    frames = x.unfold(-1, n_fft, hop)
    wide = _wide_window(window, x, length, n_fft)
    frames = frames if wide is None else frames * wide
    transform = _FFT["fft"] if is_complex else _FFT["rfft"]
    found = transform(frames, norm="ortho" if normalized else "backward")
    if not half and not is_complex:
        found = _FFT["fft"](frames, norm="ortho" if normalized else "backward")
    found = found.transpose(-1, -2)
    made: Tensor = found if return_complex in (True, None) else _op("view_as_real")(found)
    return made


def _check_istft(x: Any, n_fft: int, hop: int, length: int, window: Any, half: bool, options: str) -> None:
    call = (
        f"istft(CPU{x.dtype.scalar_name}Type{list(x.shape)}, n_fft={n_fft}, hop_length={hop}, "
        f"win_length={length}, "
        f"window={_describe(window)}, {options}) : "
    )
    problem = None
    want = n_fft // 2 + 1 if half else n_fft
    if not x._array.size:
        problem = "input tensor cannot be empty."
    elif x.ndim not in (2, 3):
        problem = f"expected a tensor with 3 or 4 dimensions, but got {x.ndim + 1}"
    elif x.shape[-2] != want:
        problem = (
            "expected the frequency dimension (3rd to the last) of the input tensor to match n_fft"
            f"{' / 2 + 1' if half else ''} when onesided={half}, but got {x.shape[-2]}"
        )
    elif not 0 < hop <= length:
        problem = "expected 0 < hop_length <= win_length"
    elif not 0 < length <= n_fft:
        problem = "expected 0 < win_length <= n_fft"
    elif window is not None and (window.ndim != 1 or window.shape[0] != length):
        problem = "Invalid window shape. window has to be 1D and length of `win_length`"
    if problem:
        raise RuntimeError(call + problem)


def _added(frames: Any, hop: int) -> Any:
    """Return the sum of frames laid `hop` apart: (..., count, n) -> (..., n + hop (count - 1))."""
    count, n = frames.shape[-2:]
    places = (np.arange(count)[:, None] * hop + np.arange(n)).reshape(-1)
    lead = tuple(frames.shape[:-2])
    empty = frames.new_zeros((*lead, n + hop * (count - 1)))
    return _op("index_add")(empty, len(lead), wrap(places), frames.reshape((*lead, count * n)))


def istft(
    input: Tensor, n_fft: int, hop_length: int | None = None, win_length: int | None = None,
    window: Tensor | None = None, center: bool = True, normalized: bool = False, onesided: bool | None = None,
    length: int | None = None, return_complex: bool = False,
) -> Tensor:  # fmt: skip
    """Turn a short-time Fourier transform back into the signal: (..., frequencies, frames) -> (..., n).

    The arguments are those of stft; `length` cuts or fills the signal to that many samples. Where stretches
    overlap, theirs is the least-squares answer.

    Raises:
        RuntimeError: the windows cover some sample with nothing but zeros.
    """
    hop = n_fft // 4 if hop_length is None else hop_length
    width = n_fft if win_length is None else win_length
    if window is None:
        warnings.warn(
            "A window was not provided. A rectangular window will be applied.Please provide the same "
            "window used "
            "by stft to make the inversion lossless.To suppress this warning and use a rectangular window, "
            "explicitly set `window=torch.ones(n_fft, device=<device>)`.",
            UserWarning,
            stacklevel=2,
        )
    if not input.dtype.is_complex:
        raise RuntimeError(
            "istft requires a complex-valued input tensor matching the output from stft with "
            "return_complex=True."
        )
    x: Any = input
    half = x.shape[-2] != n_fft if onesided is None else onesided
    options = (
        f"center={int(center)}, normalized={int(normalized)}, "
        f"onesided={onesided if onesided is None else int(onesided)}, length={length}, "
        f"return_complex={int(return_complex)}"
    )
    _check_istft(x, n_fft, hop, width, window, half, options)
    if return_complex and half:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    if not return_complex and window is not None and window.dtype.is_complex:
        raise RuntimeError("Complex windows are incompatible with return_complex=False")
    norm = "ortho" if normalized else "backward"
    spectra = x.transpose(-1, -2)
    if return_complex:
        frames = _FFT["ifft"](spectra, norm=norm)
    elif half:
        frames = _FFT["irfft"](spectra, n=n_fft, norm=norm)
    else:
        frames = _FFT["irfft"](spectra[..., : n_fft // 2 + 1], n=n_fft, norm=norm)
    wide = _wide_window(window, frames, width, n_fft)
    wide = frames.new_ones(n_fft) if wide is None else wide
    count = frames.shape[-2]
    signal = _added(frames * wide, hop)
    weight = _added((wide * wide).expand(count, n_fft), hop)
    return _cut(signal, weight, n_fft // 2 if center else 0, center, length)


def _cut(signal: Any, weight: Any, start: int, center: bool, length: int | None) -> Tensor:
    """Return the part of the signal that is asked for, divided by how much the windows counted there."""
    total = signal.shape[-1]
    end = start + length if length is not None else total - start if center else total
    signal, weight = signal[..., start:end], weight[start:end]
    smallest = float(np.abs(weight.detach()._array).min(initial=np.inf))
    if smallest <= 1e-11:
        raise RuntimeError(f"istft: window overlap add min: {smallest:g}; each sample must be under a window")
    found = signal / weight
    if end > total:
        warnings.warn(
            "The length of signal is shorter than the length parameter. Result is being padded with "
            "zeros in the "
            "tail. Please check your center and hop_length settings.",
            UserWarning,
            stacklevel=3,
        )
        zeros = found.new_zeros((*found.shape[:-1], end - total))
        found = _op("cat")((found, zeros), -1)
    return found  # type: ignore[no-any-return]


METHODS: dict[str, Callable[..., Any]] = {"stft": stft, "istft": istft}
