"""Transformers: values and gradients as torch's, and what an encoder does with padding."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from paired_modules import causal, compare, normal, oracle, pair, seeds, torch

import retrograd
from retrograd import nn

pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor")

PAD = np.array([[False, False, True], [False, True, True]])
LAYERS = [
    {}, {"norm_first": True}, {"bias": False}, {"activation": "gelu", "batch_first": True}, {"dropout": 0.3},
]  # fmt: skip
MASKS = [
    {},
    {"mask": causal(3)},
    {"mask": causal(3), "is_causal": True},
    {"padding": PAD},
    {"mask": np.where(causal(3), -np.inf, 0.0), "padding": np.where(PAD, -1e9, 0.0)},
]


def _named(masks, names):
    return {names[key]: value for key, value in masks.items()}


@oracle
@pytest.mark.parametrize("masks", MASKS, ids=range(len(MASKS)))
@pytest.mark.parametrize("kind", LAYERS, ids=str)
def test_encoder_layer(kind, masks):
    models = pair("TransformerEncoderLayer", 4, 2, 8, **{"dropout": 0.0} | kind)
    shape = (2, 3, 4) if kind.get("batch_first") else (3, 2, 4)
    names = {"mask": "src_mask", "padding": "src_key_padding_mask", "is_causal": "is_causal"}
    compare(*models, normal(shape), **_named(masks, names))
    compare(*(m.eval() for m in models), normal(shape), **_named(masks, names))
    if "padding" not in masks:
        compare(*models, normal((3, 4)), **_named(masks, names))


@oracle
@pytest.mark.parametrize("masks", MASKS, ids=range(len(MASKS)))
@pytest.mark.parametrize("kind", LAYERS, ids=str)
def test_decoder_layer(kind, masks):
    models = pair("TransformerDecoderLayer", 4, 2, 8, **{"dropout": 0.0} | kind)
    shapes = ((2, 3, 4), (2, 3, 4)) if kind.get("batch_first") else ((3, 2, 4), (3, 2, 4))
    for side in ("tgt", "memory"):
        names = {
            "mask": f"{side}_mask",
            "padding": f"{side}_key_padding_mask",
            "is_causal": f"{side}_is_causal",
        }
        compare(*models, normal(*shapes), **_named(masks, names))
    compare(*models, normal((3, 4), (5, 4)))


@oracle
@pytest.mark.parametrize("kind", LAYERS, ids=str)
def test_transformer(kind):
    models = pair("Transformer", 4, 2, 2, 2, 8, **{"dropout": 0.0} | kind)
    shapes = ((2, 3, 4), (2, 5, 4)) if kind.get("batch_first") else ((3, 2, 4), (5, 2, 4))
    compare(*models, normal(*shapes))
    masks = {
        "tgt_mask": causal(5), "tgt_is_causal": True, "src_key_padding_mask": PAD,
        "memory_key_padding_mask": PAD, "src_mask": np.eye(3, k=2) > 0,
    }  # fmt: skip
    compare(*models, normal(*shapes), **masks)
    compare(*(m.eval() for m in models), normal(*shapes), **masks)


@oracle
def test_activation_may_be_any_callable():
    made = []
    for module in (torch, retrograd):
        seeds(2)
        model = module.nn.TransformerEncoderLayer(4, 2, 8, activation=lambda x: x.tanh() * 2, dropout=0.0)
        x = module.tensor(normal((3, 2, 4))[0].astype(np.float32))
        made.append(model(x).detach().numpy())
    np.testing.assert_allclose(made[1], made[0], rtol=1e-5, atol=1e-6)


@oracle
@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("pad", [PAD, PAD[:, ::-1].copy(), np.float32(-1e9) * PAD], ids=range(3))
@pytest.mark.parametrize("kind", [{}, {"norm_first": True}, {"activation": "gelu"}], ids=str)
def test_padding_in_an_encoder(kind, pad, training, grad):
    made = []
    for module in (torch, retrograd):
        seeds(6)
        layer = module.nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True, **kind)
        model = module.nn.TransformerEncoder(layer, 2, module.nn.LayerNorm(4)).train(training)
        module.nn.init.constant_(model.norm.bias, 2.0)
        x = module.tensor(normal((2, 3, 4))[0].astype(np.float32))
        with module.set_grad_enabled(grad), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made.append(model(x, src_key_padding_mask=module.tensor(pad)).detach().numpy())
    np.testing.assert_allclose(made[1], made[0], rtol=1e-4, atol=1e-5)


@oracle
def test_where_sequences_are_cut_they_are_cut_wholly():
    made = []
    for module in (torch, retrograd):
        seeds(6)
        layer = module.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
        model = module.nn.TransformerEncoder(layer, 2).eval()
        x = module.tensor(normal((2, 3, 4))[0].astype(np.float32))
        with module.no_grad():
            made.append(model(x, src_key_padding_mask=module.tensor(np.float32(-5) * PAD)).numpy())
    np.testing.assert_allclose(made[1], made[0], rtol=1e-4, atol=1e-5)
    assert not made[1][PAD].any()


def _doubtful(m):
    layer = m.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    layer.norm1.eps = 1.0
    return layer


@oracle
@pytest.mark.parametrize(
    "layer",
    [
        lambda m: m.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True),
        lambda m: m.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, activation=m.nn.ReLU()),
        lambda m: m.nn.TransformerEncoderLayer(4, 2, 8),
        lambda m: m.nn.TransformerEncoderLayer(4, 2, 8, norm_first=True),
        lambda m: m.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, bias=False),
        lambda m: m.nn.TransformerEncoderLayer(4, 1, 8, batch_first=True),
        lambda m: m.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, activation=m.nn.Tanh()),
        lambda m: m.nn.TransformerDecoderLayer(4, 2, 8),
        _doubtful,
    ],
    ids=range(9),
)
def test_why_sequences_are_not_cut(layer):
    said = []
    for module in (torch, retrograd):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = module.nn.TransformerEncoder(layer(module), 1)
        said.append(([(w.category, str(w.message)) for w in caught], model.use_nested_tensor))
    assert said[1] == said[0]


@oracle
def test_masks_of_two_types_are_warned_of():
    said = []
    for module in (torch, retrograd):
        x, mask, pad = module.ones(3, 2, 4), module.zeros(3, 3), module.zeros(2, 3, dtype=module.bool)
        attention = module.nn.MultiheadAttention(4, 2)
        layer = module.nn.TransformerEncoderLayer(4, 2, 8)
        encoder = module.nn.TransformerEncoder(layer, 1)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            attention(x, x, x, pad, attn_mask=mask)
            layer(x, mask, pad)
            encoder(x, mask, pad)
        said.append([(w.category, str(w.message)) for w in caught])
    assert said[1] == said[0]


@oracle
@pytest.mark.parametrize("kwargs", [{}, {"dtype": "float64"}, {"dtype": "bool"}], ids=str)
def test_causal_mask(kwargs):
    for size in (0, 1, 4):
        made = []
        for module in (torch, retrograd):
            options = {key: getattr(module, value) for key, value in kwargs.items()}
            made.append(module.nn.Transformer.generate_square_subsequent_mask(size, **options).numpy())
        assert made[1].dtype == made[0].dtype
        assert np.array_equal(made[1], made[0])


def test_custom_parts_are_used():
    class Doubled(nn.Module):
        def forward(self, src, mask=None, src_key_padding_mask=None, is_causal=None):
            return src * 2

    model = nn.Transformer(4, 2, 1, 1, 8, custom_encoder=Doubled())
    assert list(model._modules) == ["encoder", "decoder"]
    x = retrograd.randn(3, 2, 4)
    model.eval()
    assert np.array_equal(model(x, x).detach().numpy(), model.decoder(x, x * 2).detach().numpy())


def test_a_decoder_does_not_look_ahead():
    model = nn.Transformer(4, 2, 1, 1, 8, dropout=0.0)
    src, tgt = retrograd.randn(3, 1, 4), retrograd.randn(5, 1, 4, requires_grad=True)
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    made = model(src, tgt, tgt_mask=mask, tgt_is_causal=True)
    made[2].sin().sum().backward()
    assert not tgt.grad[3:].any() and all(row.any() for row in tgt.grad[:3])


def test_pickle_keeps_a_transformer():
    model = nn.Transformer(4, 2, 1, 1, 8).eval()
    again = pickle.loads(pickle.dumps(model))
    x = retrograd.randn(3, 2, 4)
    assert np.array_equal(again(x, x).detach().numpy(), model(x, x).detach().numpy())
