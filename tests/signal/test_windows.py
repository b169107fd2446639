"""Window functions are torch's, in both forms, for every length and option."""

from __future__ import annotations

import numpy as np
import pytest

import retrograd
from retrograd.signal import windows

OPTIONS = {
    "bartlett": [{}], "blackman": [{}], "cosine": [{}], "hamming": [{}], "hann": [{}], "nuttall": [{}],
    "exponential": [{}, {"tau": 2.5}, {"tau": 0.7, "sym": False, "center": 1.5}],
    "gaussian": [{}, {"std": 2.5}], "kaiser": [{}, {"beta": 0.0}, {"beta": 3.5}],
    "general_cosine": [{"a": [0.5]}, {"a": (0.4, 0.3, 0.2, 0.1)}], "general_hamming": [{}, {"alpha": 0.3}],
}  # fmt: skip
OLDER = {
    "bartlett_window": [()], "blackman_window": [()], "hann_window": [()],
    "hamming_window": [(), (0.4,), (0.4, 0.3)], "kaiser_window": [(), (5.0,)],
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("length", [0, 1, 2, 7, 16])
def test_windows_equal_torchs(name, length, torch_or_skip):
    for options in OPTIONS[name]:
        for sym in (True, False) if "center" not in options else (False,):
            given = options | {"sym": sym}
            want = getattr(torch_or_skip.signal.windows, name)(length, **given, dtype=torch_or_skip.float64)
            got = getattr(windows, name)(length, **given, dtype=retrograd.float64)
            np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-12, atol=1e-15)
            assert getattr(windows, name)(length, **given).dtype is retrograd.float32


@pytest.mark.parametrize("name", OLDER)
@pytest.mark.parametrize("length", [0, 1, 2, 7, 16])
def test_older_windows_equal_torchs(name, length, torch_or_skip):
    for args in OLDER[name]:
        for periodic in (True, False):
            want = getattr(torch_or_skip, name)(length, periodic, *args, dtype=torch_or_skip.float64)
            got = getattr(retrograd, name)(length, periodic, *args, dtype=retrograd.float64)
            np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-9, atol=1e-12)


def test_hann_is_zero_at_both_ends_and_one_in_the_middle():
    assert windows.hann(5).tolist() == [0, 0.5, 1, 0.5, 0]
    assert retrograd.hann_window(4).tolist() == [0, 0.5, 1, 0.5]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: windows.hann(-1), ValueError, "requires non-negative window length, got M=-1"),
        (lambda: windows.hann(3, dtype=retrograd.int64), ValueError, "expects float32 or float64 dtypes"),
        (lambda: windows.exponential(3, tau=0), ValueError, "Tau must be positive, got: 0 instead."),
        (lambda: windows.exponential(3, center=1), ValueError, "Center must be None for symmetric windows"),
        (lambda: windows.gaussian(3, std=-1), ValueError, "Standard deviation must be positive"),
        (lambda: windows.kaiser(3, beta=-1), ValueError, "beta must be non-negative"),
        (lambda: windows.general_cosine(3, a=1), TypeError, "Coefficients must be a list/tuple"),
        (lambda: windows.hann(3, size=1), TypeError, "unexpected keyword argument 'size'"),
        (lambda: retrograd.hann_window(-1), RuntimeError, "requires non-negative window_length"),
        (lambda: retrograd.hann_window(2, dtype=retrograd.int64), RuntimeError, "floating point dtypes"),
        (lambda: retrograd.hann_window(2, True, 3.0), TypeError, "unexpected argument"),
    ],
)
def test_mistakes_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
