"""Modules and helpers that few programs use are torch's."""

from __future__ import annotations

import numpy as np
import pytest
from paired_calls import assert_same, assert_same_refusal
from paired_modules import oracle, pair

import retrograd

pytestmark = oracle
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("head_bias", [False, True])
@pytest.mark.parametrize("div_value", [2.0, 4.0])
def test_adaptive_log_softmax(head_bias, div_value):
    theirs, ours = pair("AdaptiveLogSoftmaxWithLoss", 16, 20, [4, 10, 15], div_value, head_bias)
    x, y = RNG.standard_normal((7, 16)), np.array([0, 3, 4, 9, 14, 19, 5])

    def call(m, x):
        model = ours if m is retrograd else theirs
        found = model(x, m.tensor(y))
        grads = m.autograd.grad(found.loss, list(model.parameters()), retain_graph=True)
        single = model(x[0], m.tensor(17))
        return found, grads, single, model.log_prob(x), model.predict(x)

    assert_same(call, x, second=False)
    for labels in ([1, 2], [1] * 6 + [20], [[1] * 7]):
        assert_same_refusal(lambda m, x, n=labels: (ours if m is retrograd else theirs)(x, m.tensor(n)), x)


def test_adaptive_log_softmax_refuses_other_cutoffs():
    for cutoffs in ([], [4, 4], [20], [0, 3], [5, 2]):
        assert_same_refusal(lambda m, c=cutoffs: m.nn.AdaptiveLogSoftmaxWithLoss(8, 20, c))


def test_data_parallel_without_gpus():
    theirs, ours = pair("Linear", 3, 2)
    x = RNG.standard_normal((4, 3))
    assert_same(lambda m, x: m.nn.DataParallel(ours if m is retrograd else theirs)(x), x)
    assert list(retrograd.nn.DataParallel(ours).state_dict()) == ["module.weight", "module.bias"]


@pytest.mark.parametrize("name", ["FractionalMaxPool2d", "FractionalMaxPool3d"])
def test_fractional_pooling_draws_torchs_places(name):
    rank = int(name[-2])
    x = RNG.standard_normal((2, 3, 7, 8, 9)[: rank + 2])

    def call(m, x):
        m.manual_seed(1)
        return getattr(m.nn, name)(2, output_ratio=0.5, return_indices=True)(x)

    assert_same(call, x)
    assert_same_refusal(lambda m: getattr(m.nn, name)(2))
    assert_same_refusal(lambda m: getattr(m.nn, name)(2, output_size=3, output_ratio=0.5))
    assert_same_refusal(lambda m: getattr(m.nn, name)(2, output_ratio=1.5))
    assert_same_refusal(lambda m, x: getattr(m.nn, name)(2, output_size=7)(x), x, words=0)


def test_linear_cross_entropy_as_a_module():
    theirs, ours = pair("LinearCrossEntropyLoss", 3, 4, out_features=(2,), bias=True, label_smoothing=0.1)
    x, y = RNG.standard_normal((5, 3)), RNG.integers(0, 4, (5, 2))
    assert_same(lambda m, x: (ours if m is retrograd else theirs)(x, m.tensor(y)), x, second=False)
    assert repr(ours) == repr(theirs)
    with pytest.raises(ValueError, match="positive"):
        retrograd.nn.LinearCrossEntropyOptions(batch_chunk_size=0)


@pytest.mark.parametrize("kind", ["Conv2d", "ConvTranspose2d", "Linear"])
def test_batch_norm_folded_into_the_layer_before(kind):
    linear = kind == "Linear"
    theirs, ours = pair(kind, 3, 4) if linear else pair(kind, 3, 4, 2)
    norms = pair("BatchNorm1d" if linear else "BatchNorm2d", 4)
    x = RNG.standard_normal((5, 3) if linear else (2, 3, 5, 5))
    for layer, norm in ((theirs, norms[0]), (ours, norms[1])):
        layer.eval()
        norm.running_mean += 0.5
        norm.running_var *= 2
        norm.eval()

    def call(m, x):
        layer, norm = (ours, norms[1]) if m is retrograd else (theirs, norms[0])
        u = m.nn.utils
        fused = (
            u.fuse_linear_bn_eval(layer, norm) if linear else u.fuse_conv_bn_eval(layer, norm, "T" in kind)
        )
        return fused(x), norm(layer(x)), fused.weight, fused.bias

    assert_same(call, x, rtol=1e-8)
    with pytest.raises(AssertionError, match="Fusion only for eval!"):
        retrograd.nn.utils.fuse_conv_bn_eval(ours.train(), norms[1])


def test_skip_init():
    layer = retrograd.nn.utils.skip_init(retrograd.nn.Linear, 3, 2, bias=False)
    assert layer.weight.shape == (2, 3) and not layer.weight.is_meta and layer.bias is None
    with pytest.raises(RuntimeError, match="must support a 'device'"):
        retrograd.nn.utils.skip_init(retrograd.nn.ReLU)
    with pytest.raises(RuntimeError, match="Expected a Module"):
        retrograd.nn.utils.skip_init(int)
