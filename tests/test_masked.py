"""torch.masked: what does not count has no influence, and gets no gradient."""

from __future__ import annotations

import numpy as np
import pytest
from paired_calls import assert_same, assert_same_refusal

import retrograd
from retrograd import masked

X = np.random.default_rng(3).permutation(24).reshape(2, 3, 4) / 7 - 1.5
MASKS = {
    "some": np.indices((2, 3, 4)).sum(0) % 3 != 0,
    "broadcast": np.array([[True, False, True, True], [False, True, True, False], [True, True, False, True]]),
    "all": np.ones((2, 3, 4), bool),
}
"""In no line of any dimension is everything masked: there torch's gradients are NaN, and ours zero."""
REDUCTIONS = ["sum", "prod", "amax", "amin", "mean", "norm", "var", "std", "logsumexp"]
ALONG = ["cumsum", "cumprod", "softmax", "log_softmax", "softmin"]


@pytest.fixture(autouse=True)
def _with_torch(torch_or_skip):
    return torch_or_skip


def _shown(x, mask, module):
    """Set what the mask leaves undefined to 0: torch leaves there what it likes."""
    keep = module.tensor(np.broadcast_to(mask, X.shape).copy())
    return module.where(keep, x, module.zeros((), dtype=x.dtype))


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("dim", [None, 1, -1, (0, 2)])
@pytest.mark.parametrize("keepdim", [False, True])
def test_reductions(name, mask, dim, keepdim):
    def call(m, x):
        keep = m.tensor(MASKS[mask])
        return getattr(m.masked, name)(x, dim=dim, keepdim=keepdim, mask=keep)

    assert_same(call, X, second=name not in ("norm", "std"))


@pytest.mark.parametrize("name", ALONG)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("dim", [0, -1])
def test_along_a_dimension(name, mask, dim):
    def call(m, x):
        return _shown(getattr(m.masked, name)(x, dim, mask=m.tensor(MASKS[mask])), MASKS[mask], m)

    assert_same(call, X)


@pytest.mark.parametrize("mask", MASKS)
def test_the_others(mask):
    keep = MASKS[mask]
    assert_same(lambda m, x: m.masked.argmax(x, 1, mask=m.tensor(keep)), X)
    assert_same(lambda m, x: m.masked.argmin(x, None, keepdim=True, mask=m.tensor(keep)), X)
    assert_same(lambda m, x: m.masked.median(x, 1, mask=m.tensor(keep)), X, second=False)
    assert_same(lambda m, x: m.masked.var(x, 1, correction=0, mask=m.tensor(keep)), X)
    assert_same(
        lambda m, x: _shown(m.masked.normalize(x, 2.0, 1, mask=m.tensor(keep)), keep, m), X, second=False
    )
    assert_same(
        lambda m, x, y: _shown(
            m.masked.logaddexp(x, y, input_mask=m.tensor(keep), other_mask=m.tensor(keep)), keep, m
        ),
        X,
        X[::-1] * 0.5,
    )


@pytest.mark.parametrize("name", ["sum", "prod", "amax", "amin", "cumsum", "argmax", "median"])
@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
def test_whole_numbers(name, dtype):
    x = np.arange(24).reshape(2, 3, 4).astype(dtype) % 11
    assert_same(lambda m, x: getattr(m.masked, name)(x, -1, mask=m.tensor(MASKS["broadcast"])), x)


def test_what_does_not_count_may_be_nan_and_gets_no_gradient():
    x = retrograd.tensor([1.0, float("nan"), 3.0], requires_grad=True)
    masked.mean(x, mask=retrograd.tensor([True, False, True])).backward()
    assert x.grad.tolist() == [0.5, 0.0, 0.5]


def test_a_norm_of_negative_order_is_that_of_what_counts():
    """Torch puts zeros into its place, whose norm is 0."""
    x = retrograd.tensor([2.0, 5.0, 4.0])
    found = masked.norm(x, -1.0, 0, mask=retrograd.tensor([True, False, True]))
    assert found.item() == pytest.approx(1 / (1 / 2 + 1 / 4))


def test_nothing_counts():
    x, none = retrograd.ones(2, 3), retrograd.zeros(2, 3, dtype=retrograd.bool)
    assert masked.sum(x, 1, mask=none).tolist() == [0, 0]
    assert masked.amax(x, 1, mask=none).tolist() == [-np.inf, -np.inf]
    assert retrograd.isnan(masked.mean(x, 1, mask=none)).all()
    assert retrograd.isnan(masked.var(x, 1, mask=none)).all()


def test_mistakes():
    assert_same_refusal(lambda m, x: m.masked.sum(x, 1, mask=m.ones(5, 2, 3, 4, dtype=m.bool)), X)
    assert_same_refusal(lambda m, x: m.masked.sum(x, (1, 1)), X)
    assert_same_refusal(lambda m, x: m.masked.sum(x, 7), X)
    assert_same_refusal(lambda m, x: m.masked.mean(x.long(), 1), X)
    assert_same_refusal(lambda m, x: m.masked.median(x.long(), 0, mask=m.zeros(2, 3, 4, dtype=m.bool)), X)
