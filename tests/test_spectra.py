"""stft, istft, cov, corrcoef, gradient, histograms, renorm, sum_to_size are torch's, derivatives included."""

from __future__ import annotations

import numpy as np
import pytest
from paired_calls import assert_same, assert_same_refusal

import retrograd

RNG = np.random.default_rng(5)
SIGNAL, ROWS = RNG.standard_normal(40), RNG.standard_normal((2, 40))
WINDOW = np.hanning(8) + 0.1
TABLE = RNG.standard_normal((3, 7))


@pytest.fixture(autouse=True)
def _with_torch(torch_or_skip):
    return torch_or_skip


OPTIONS = [
    {}, {"hop_length": 3}, {"center": False}, {"normalized": True}, {"onesided": False},
    {"pad_mode": "constant"}, {"pad_mode": "replicate"}, {"pad_mode": "circular"},
    {"return_complex": False}, {"center": False, "align_to_window": True, "win_length": 8},
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("x", [SIGNAL, ROWS, SIGNAL + 1j * SIGNAL[::-1]], ids=["one", "rows", "complex"])
def test_stft(options, x):
    if np.iscomplexobj(x):
        options = options | {"onesided": False}
    given = {"return_complex": True} | options
    n_fft = 10 if "win_length" in options else 8
    assert_same(lambda m, x, w: m.stft(x, n_fft, window=w, **given), x, WINDOW)


def test_stft_with_narrow_windows_and_without_any():
    assert_same(lambda m, x, w: m.stft(x, 12, 4, 8, w, return_complex=True), SIGNAL, WINDOW)
    assert_same(lambda m, x: m.stft(x, 7, 4, return_complex=True), ROWS)
    assert_same(lambda m, x: x.stft(7, 4, 5, return_complex=True), ROWS)


@pytest.mark.parametrize(
    "options",
    [{}, {"length": 37}, {"length": 46}, {"center": False, "length": 40}, {"normalized": True}],
    ids=str,
)
def test_istft(options):
    x = np.fft.rfft(RNG.standard_normal((2, 9, 8))).transpose(0, 2, 1)
    assert_same(lambda m, x, w: m.istft(x, 8, 3, window=w, **options), x, WINDOW, rtol=1e-7)


def test_istft_of_two_sided_spectra():
    x = np.fft.fft(RNG.standard_normal((9, 8))).T
    given = {"onesided": False, "return_complex": True}
    assert_same(lambda m, x, w: m.istft(x, 8, 3, window=w, **given), x, WINDOW)
    assert_same(lambda m, x, w: m.istft(x, 8, 3, window=w, onesided=False), x, WINDOW)


def test_istft_undoes_stft():
    x = retrograd.randn(3, 50, dtype=retrograd.float64)
    window = retrograd.hann_window(16, dtype=retrograd.float64)
    spectrum = retrograd.stft(x, 16, window=window, return_complex=True)
    back = retrograd.istft(spectrum, 16, window=window, length=50)
    assert retrograd.allclose(back, x, atol=1e-12)


@pytest.mark.parametrize(
    "options",
    [{"n_fft": 0}, {"n_fft": 100, "center": False}, {"n_fft": 8, "hop_length": 0},
     {"n_fft": 8, "win_length": 9}, {"n_fft": 8, "window": [1.0, 2.0]},
     {"n_fft": 8, "return_complex": None}, {"n_fft": 8, "align_to_window": True}],
    ids=str,
)  # fmt: skip
def test_stft_refuses(options):
    def call(m, x):
        given = {"return_complex": True} | options
        if "window" in given:
            given["window"] = m.tensor(given["window"])
        return m.stft(x, **given)

    assert_same_refusal(call, SIGNAL, words=2)


def test_stft_and_istft_refuse_other_input():
    assert_same_refusal(lambda m, x: m.stft(x, 4, return_complex=True), np.arange(9), words=1)
    assert_same_refusal(lambda m, x: m.stft(x, 4, return_complex=True), np.zeros((1, 1, 9)), words=1)
    for x in (np.zeros((3, 5)), np.zeros((3, 0)) + 0j, np.zeros((1, 1, 3, 5)) + 0j, np.zeros((4, 5)) + 0j):
        assert_same_refusal(lambda m, x: m.istft(x, 4, onesided=True), x, words=1)
    with pytest.raises(RuntimeError, match="window overlap add min"):
        retrograd.istft(retrograd.ones(3, 5) + 0j, 4, window=retrograd.zeros(4))


# ---- covariance ----


def test_cov_and_corrcoef():
    counts = np.array([1, 2, 0, 3, 1, 1, 4])
    weights = np.abs(RNG.standard_normal(7)) + 0.1
    for x in (TABLE, TABLE[0], TABLE + 1j * TABLE[::-1]):
        assert_same(lambda m, x: m.cov(x), x)
        assert_same(lambda m, x: m.corrcoef(x), x, second=not np.iscomplexobj(x))
        assert_same(lambda m, x: m.cov(x, correction=0, fweights=m.tensor(counts)), x)
        assert_same(lambda m, x, w: m.cov(x, aweights=w), x, weights)
        assert_same(lambda m, x, w: x.cov(fweights=m.tensor(counts), aweights=w, correction=2), x, weights)
    assert_same(lambda m, x: m.cov(x), np.arange(6).reshape(2, 3))
    assert_same(lambda m, x: m.cov(x), np.array(3.0))


def test_cov_refuses():
    for x, options in (
        (TABLE[None], {}), (TABLE > 0, {}), (TABLE, {"fweights": [1.0] * 7}), (TABLE, {"fweights": [1, 2]}),
        (TABLE, {"fweights": [-1] * 7}), (TABLE, {"aweights": [1] * 7}), (TABLE, {"aweights": [-1.0] * 7}),
        (TABLE, {"fweights": [[1] * 7]}), (TABLE, {"fweights": [0] * 7}),
    ):  # fmt: skip
        assert_same_refusal(
            lambda m, x, options=options: m.cov(x, **{k: m.tensor(v) for k, v in options.items()}), x
        )


def test_cov_warns_of_too_few_observations():
    with pytest.warns(UserWarning, match="degrees of freedom is <= 0"):
        assert retrograd.isnan(retrograd.cov(retrograd.tensor(3.0)))


# ---- gradient ----


@pytest.mark.parametrize("edge_order", [1, 2])
@pytest.mark.parametrize(
    "options",
    [{}, {"dim": 0}, {"dim": -1}, {"dim": (1, 0)}, {"spacing": 0.5}, {"spacing": [2.0, 3]},
     {"spacing": 2.0, "dim": 1}, {"dim": ()}],
    ids=str,
)  # fmt: skip
def test_gradient(options, edge_order):
    assert_same(lambda m, x: m.gradient(x, edge_order=edge_order, **options), TABLE)


@pytest.mark.parametrize("edge_order", [1, 2])
def test_gradient_at_given_places(edge_order):
    places = np.cumsum(np.abs(RNG.standard_normal(7)) + 0.2), np.array([0.0, 1.0, 3.0])

    def call(m, x):
        at = [m.tensor(p) for p in places]
        return m.gradient(x, spacing=at[::-1], edge_order=edge_order), m.gradient(x, spacing=at[:1], dim=1)

    assert_same(call, TABLE)
    assert_same(lambda m, x: m.gradient(x), np.arange(12).reshape(3, 4) ** 2)


def test_gradient_refuses():
    for options in (
        {"spacing": [1.0]}, {"dim": 5}, {"dim": (0, 0)}, {"edge_order": 3}, {"dim": 0, "edge_order": 5},
        {"dim": 0, "spacing": [1.0, 2.0]},
    ):  # fmt: skip
        assert_same_refusal(lambda m, x, options=options: m.gradient(x, **options), TABLE, words=4)
    assert_same_refusal(lambda m, x: m.gradient(x), np.zeros((3, 3), np.uint8))
    assert_same_refusal(lambda m, x: m.gradient(x), np.zeros((3, 1)))


# ---- histograms ----

POINTS = RNG.random((20, 2)).astype(np.float32)


def test_histograms():
    edges = np.array([0.1, 0.3, 0.7, 0.9], np.float32)
    weights = RNG.random(20).astype(np.float32)
    for options in ({}, {"density": True}, {"range": (0.2, 0.8)}):
        assert_same(lambda m, x, o=options: m.histogram(x.detach(), 5, **o), POINTS, rtol=1e-6)
    assert_same(lambda m, x, e: m.histogram(x.detach(), e.detach()), POINTS, edges, rtol=1e-6)
    assert_same(
        lambda m, x, w: m.histogram(x.detach(), 4, weight=w.detach()), POINTS[:, 0], weights, rtol=1e-6
    )
    assert_same(lambda m, x: m.histogramdd(x.detach(), [3, 2]), POINTS, rtol=1e-6)
    assert_same(lambda m, x: m.histogramdd(x.detach(), 3, range=[0.0, 1.0, 0.2, 0.8]), POINTS, rtol=1e-6)
    assert_same(
        lambda m, x, e, w: m.histogramdd(x.detach(), [e.detach()] * 2, weight=w.detach(), density=True),
        POINTS, edges, weights, rtol=1e-6,
    )  # fmt: skip
    for x in (np.zeros(0, np.float32), np.ones(3, np.float32)):
        assert_same(lambda m, x: m.histogram(x.detach(), 3), x, rtol=1e-6)


def test_histograms_refuse():
    for options in (
        {"bins": 0}, {"bins": 3, "range": (2.0, 1.0)}, {"bins": 3, "range": (0.0, np.inf)},
    ):  # fmt: skip
        assert_same_refusal(lambda m, x, o=options: m.histogram(x, **o), POINTS, words=6)
    assert_same_refusal(lambda m, x: m.histogram(x, 3), np.arange(3))
    assert_same_refusal(lambda m, x: m.histogramdd(x, [2]), POINTS)
    assert_same_refusal(lambda m, x: m.histogramdd(x, 2, range=[0.0, 1.0]), POINTS)
    assert_same_refusal(lambda m, x: m.histogramdd(x, 2, weight=m.ones(3)), POINTS, words=8)
    assert_same_refusal(lambda m, x: m.histogram(x, m.ones(2, 2)), POINTS)


# ---- methods ----


def test_renorm_in_place_and_sum_to_size():
    x = np.abs(TABLE) * 4
    assert_same(lambda m, x: (x * 1).renorm_(2, 0, 3.0), x)
    for size in ((1, 7), (7,), (3, 1), (), (3, 7)):
        assert_same(lambda m, x, size=size: x.sum_to_size(size), x)
    assert_same(lambda m, x: x.sum_to_size(1, 7), x)
    assert_same_refusal(lambda m, x: x.sum_to_size(2), x)
    assert_same_refusal(lambda m, x: x.sum_to_size(1, 1, 3, 7), x)
