"""Attention with several heads: values, gradients, initial values and texts, as torch's."""

from __future__ import annotations

import numpy as np
import pytest
from paired_modules import causal, compare, normal, oracle, pair, seeds, torch

import retrograd
from retrograd import nn
from retrograd.tensor import wrap

pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor")


# ---- initial values and texts ----

# What torch draws for MultiheadAttention(2, 1, add_bias_kv=True) after manual_seed(0).
GOLDEN = {
    "in_proj_weight": [
        -0.017158717, 0.68666244, -0.076854594, 0.22916119, -0.2617242, -0.17023061, -0.82735604, -0.57355314,
        -0.35699567, 0.032080673, 0.34237033, 0.51963496,
    ],
    "bias_k": [-0.18477705, 0.75427061],
    "bias_v": [0.29407948, 0.5936631],
    "out_proj.weight": [-0.0052939812, 0.37932289, -0.58198076, -0.52038747],
}  # fmt: skip

MODULES = [
    ("MultiheadAttention", (4, 2), {}),
    ("MultiheadAttention", (6, 3), {"bias": False, "add_bias_kv": True}),
    ("MultiheadAttention", (4, 2), {"kdim": 3, "add_zero_attn": True}),
    ("MultiheadAttention", (4, 1), {"kdim": 3, "vdim": 5, "add_bias_kv": True}),
    ("TransformerEncoderLayer", (4, 2, 8), {}),
    ("TransformerEncoderLayer", (4, 2, 8), {"activation": "gelu", "bias": False, "norm_first": True}),
    ("TransformerDecoderLayer", (4, 2, 8), {"layer_norm_eps": 1e-3, "dropout": 0.2}),
    ("Transformer", (4, 2, 2, 3, 8), {}),
    ("Transformer", (), {"d_model": 4, "nhead": 1, "dim_feedforward": 3, "bias": False}),
]


@oracle
@pytest.mark.parametrize(("name", "args", "kwargs"), MODULES)
def test_initial_values_and_text(name, args, kwargs):
    seeds(5)
    theirs, ours = getattr(torch.nn, name)(*args, **kwargs), getattr(nn, name)(*args, **kwargs)
    assert repr(ours) == repr(theirs)
    wanted, found = theirs.state_dict(), ours.state_dict()
    assert list(found) == list(wanted)
    for key in wanted:
        assert np.array_equal(found[key].numpy(), wanted[key].numpy()), key
    assert np.array_equal(retrograd.rand(3).numpy(), torch.rand(3).numpy())


@oracle
def test_activation_is_a_module_in_the_text():
    for name in ("TransformerEncoderLayer", "TransformerDecoderLayer"):
        theirs, ours = (getattr(m.nn, name)(4, 2, 8, activation=m.nn.GELU()) for m in (torch, retrograd))
        assert repr(ours) == repr(theirs)


@oracle
def test_stacks_copy_their_layer():
    for stack, name in (
        ("TransformerEncoder", "TransformerEncoderLayer"),
        ("TransformerDecoder", "TransformerDecoderLayer"),
    ):
        made = [
            getattr(m.nn, stack)(getattr(m.nn, name)(4, 2, 8), 2, m.nn.LayerNorm(4))
            for m in (torch, retrograd)
        ]
        assert repr(made[1]) == repr(made[0])
        first, second = (layer.state_dict() for layer in made[1].layers[:2])
        for key in first:
            assert first[key].data_ptr() != second[key].data_ptr()
            assert np.array_equal(first[key].numpy(), second[key].numpy())


def test_initial_values_golden():
    retrograd.manual_seed(0)
    model = nn.MultiheadAttention(2, 1, add_bias_kv=True)
    state = {k: v.numpy() for k, v in model.state_dict().items()}
    assert list(state) == [
        "in_proj_weight",
        "in_proj_bias",
        "bias_k",
        "bias_v",
        "out_proj.weight",
        "out_proj.bias",
    ]
    for key, values in GOLDEN.items():
        np.testing.assert_allclose(state[key].ravel(), values, rtol=1e-6)
    assert not state["in_proj_bias"].any() and not state["out_proj.bias"].any()


# ---- attention ----

Q, K, V = (3, 2, 4), (5, 2, 4), (5, 2, 4)
PAD = np.array([[False, False, True, False, True], [False, True, False, False, False]])
(FLOAT_MASK, HEAD_MASK, FLOAT_PAD) = normal((3, 5), (4, 3, 5), (2, 5), seed=1)
MASKS = [
    {},
    {"need_weights": False},
    {"average_attn_weights": False},
    {"attn_mask": FLOAT_MASK},
    {"attn_mask": HEAD_MASK},
    {"attn_mask": HEAD_MASK, "key_padding_mask": FLOAT_PAD, "need_weights": False},
    {"attn_mask": HEAD_MASK > 1, "key_padding_mask": PAD},
    {"attn_mask": FLOAT_MASK > 1, "need_weights": False},
    {"key_padding_mask": PAD},
    {"key_padding_mask": PAD, "need_weights": False},
    {"attn_mask": FLOAT_MASK, "is_causal": True},
    {"attn_mask": FLOAT_MASK, "is_causal": True, "need_weights": False},
    {"attn_mask": FLOAT_MASK, "key_padding_mask": FLOAT_PAD, "is_causal": True, "need_weights": False},
]
KINDS = [
    {}, {"bias": False}, {"add_bias_kv": True}, {"add_zero_attn": True},
    {"add_bias_kv": True, "add_zero_attn": True}, {"dropout": 0.4}, {"batch_first": True},
]  # fmt: skip


@oracle
@pytest.mark.parametrize("masks", MASKS, ids=range(len(MASKS)))
@pytest.mark.parametrize("kind", KINDS, ids=[",".join(k) or "plain" for k in KINDS])
def test_attention(kind, masks):
    theirs, ours = pair("MultiheadAttention", 4, 2, **kind)
    arrays = normal(Q, K, V)
    if kind.get("batch_first"):
        arrays = [np.ascontiguousarray(a.swapaxes(0, 1)) for a in arrays]
    compare(theirs, ours, arrays, **masks)
    compare(theirs, ours, [arrays[0], arrays[1], arrays[1]], **masks)
    compare(theirs.eval(), ours.eval(), arrays, **masks)


@oracle
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("kind", [*KINDS, {"dropout": 0.4, "batch_first": True}], ids=str)
def test_self_attention_and_without_a_batch(kind, need_weights):
    theirs, ours = pair("MultiheadAttention", 4, 2, **kind)
    (x, single, key) = normal((3, 5, 4), (3, 4), (5, 4))
    compare(theirs, ours, [x] * 3, need_weights=need_weights)
    compare(theirs, ours, [single] * 3, need_weights=need_weights, attn_mask=causal(3))
    masks = {"key_padding_mask": PAD[0], "attn_mask": HEAD_MASK[:2] > 1}
    compare(theirs, ours, [single, key, key], need_weights=need_weights, **masks)


@oracle
@pytest.mark.parametrize("kind", [{}, {"bias": False}, {"add_bias_kv": True, "dropout": 0.3}], ids=str)
def test_keys_and_values_of_other_sizes(kind):
    theirs, ours = pair("MultiheadAttention", 4, 2, kdim=3, vdim=6, **kind)
    compare(theirs, ours, normal((3, 2, 4), (5, 2, 3), (5, 2, 6)), key_padding_mask=PAD)
    compare(theirs, ours, normal((3, 4), (5, 3), (5, 6)), need_weights=False)


@oracle
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("shape", [(3, 2, 8), (17, 2, 8), (5, 8), (17, 8)])
def test_dropout_draws_the_same_in_single_precision(shape, need_weights):
    seeds(4)
    theirs, ours = (m.nn.MultiheadAttention(8, 2, dropout=0.5) for m in (torch, retrograd))
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    made = [
        model(*[module.tensor(x)] * 3, need_weights=need_weights)[0].detach().numpy()
        for module, model in ((torch, theirs), (retrograd, ours))
    ]
    np.testing.assert_allclose(made[1], made[0], rtol=1e-4, atol=1e-6)


def test_one_head_is_the_formula():
    retrograd.manual_seed(1)
    model = nn.MultiheadAttention(4, 1).double()
    q, k, v = (wrap(a) for a in normal((3, 4), (5, 4), (5, 4)))
    found, weights = model(q, k, v)
    parts = np.split(model.in_proj_weight.detach().numpy(), 3)
    p, r, s = (x.numpy() @ w.T for x, w in zip((q, k, v), parts, strict=True))
    scores = np.exp(p @ r.T / 2)
    wanted = scores / scores.sum(-1, keepdims=True)
    np.testing.assert_allclose(weights.detach().numpy(), wanted, rtol=1e-12)
    made = wanted @ s @ model.out_proj.weight.detach().numpy().T
    np.testing.assert_allclose(found.detach().numpy(), made, rtol=1e-10)


def test_a_mask_hides_what_comes_later():
    model = nn.MultiheadAttention(4, 2)
    x = retrograd.randn(3, 4, requires_grad=True)
    mask = nn.Transformer.generate_square_subsequent_mask(3)
    assert mask.tolist() == [[0, -np.inf, -np.inf], [0, 0, -np.inf], [0, 0, 0]]
    found, weights = model(x, x, x, attn_mask=mask)
    assert not np.triu(weights.detach().numpy(), 1).any()
    found[0].sum().backward()
    assert not x.grad[1:].any() and x.grad[0].any()
