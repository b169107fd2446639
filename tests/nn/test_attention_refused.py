"""What attention and transformers refuse, in torch's words."""

from __future__ import annotations

import pytest
from paired_modules import compare_failures, oracle

pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor")


def _f(*shape):
    return ("randn", shape)


X, Y = _f(3, 2, 4), _f(5, 2, 4)
WRONG = [
    ([_f(4)] * 3, {}),
    ([_f(1, 1, 1, 4), Y, Y], {}),
    ([X, _f(3, 4), _f(3, 4)], {}),
    ([_f(3, 4), Y, Y], {}),
    ([_f(3, 2, 6), Y, Y], {}),
    ([X, Y, _f(4, 2, 4)], {}),
    ([X, _f(5, 2, 3), _f(5, 2, 3)], {}),
    ([X, _f(5, 3, 4), _f(5, 3, 4)], {}),
    ([X, Y, Y], {"attn_mask": _f(3, 4)}),
    ([X, Y, Y], {"attn_mask": _f(2, 3, 5)}),
    ([X, Y, Y], {"attn_mask": _f(5)}),
    ([X, Y, Y], {"attn_mask": _f(1, 4, 3, 5)}),
    ([X, Y, Y], {"attn_mask": ("long", (3, 5))}),
    ([X, Y, Y], {"key_padding_mask": _f(2, 4)}),
    ([X, Y, Y], {"key_padding_mask": _f(5)}),
    ([X, Y, Y], {"key_padding_mask": ("bool", (5, 2))}),
    ([X, Y, Y], {"key_padding_mask": ("long", (2, 5))}),
    ([X, Y, Y], {"is_causal": True}),
    ([_f(3, 4), _f(5, 4), _f(5, 4)], {"attn_mask": _f(3, 3, 5)}),
    ([_f(3, 4), _f(5, 4), _f(5, 4)], {"attn_mask": _f(5)}),
    ([_f(3, 4), _f(5, 4), _f(5, 4)], {"key_padding_mask": _f(1, 5)}),
    ([_f(3, 4), _f(5, 4), _f(5, 4)], {"key_padding_mask": _f(4)}),
]


def _made(module, given):
    if not isinstance(given, tuple):
        return given
    kind, shape = given
    return module.randn(*shape) if kind == "randn" else module.zeros(shape, dtype=getattr(module, kind))


@oracle
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize(("inputs", "kwargs"), WRONG, ids=range(len(WRONG)))
def test_wrong_inputs(inputs, kwargs, need_weights):
    def call(m):
        options = {k: _made(m, v) for k, v in kwargs.items()}
        m.nn.MultiheadAttention(4, 2)(*(_made(m, x) for x in inputs), need_weights=need_weights, **options)

    compare_failures(call)


@oracle
@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.nn.MultiheadAttention(5, 2),
        lambda m: m.nn.MultiheadAttention(0, 2),
        lambda m: m.nn.MultiheadAttention(4, -2),
        lambda m: m.nn.TransformerEncoderLayer(4, 2, activation="tanh"),
        lambda m: m.nn.TransformerDecoderLayer(4, 2, activation="tanh"),
        lambda m: m.nn.Transformer(4, 2, 1, 1, 8)(m.randn(3, 2, 4), m.randn(5, 3, 4)),
        lambda m: m.nn.Transformer(4, 2, 1, 1, 8, batch_first=True)(m.randn(3, 2, 4), m.randn(5, 2, 4)),
        lambda m: m.nn.Transformer(4, 2, 1, 1, 8)(m.randn(3, 2, 6), m.randn(3, 2, 4)),
        lambda m: m.nn.Transformer(4, 2, 1, 1, 8)(m.randn(3, 2, 4), m.randn(3, 2, 6)),
        lambda m: m.nn.Transformer(4, 2, 1, 1, 8)(m.randn(3, 4), m.randn(2, 2, 4)),
        lambda m: m.nn.TransformerEncoderLayer(4, 2)(m.randn(2, 3, 4), m.ones(2, 2, dtype=m.int64)),
        lambda m: m.nn.TransformerEncoderLayer(4, 2)(m.randn(2, 3, 4), None, m.ones(3, 2, dtype=m.int64)),
        lambda m: m.nn.TransformerDecoderLayer(4, 2)(m.randn(2, 3, 4), m.randn(2, 3, 4), tgt_is_causal=True),
    ],
    ids=range(13),
)
def test_wrong_modules_and_sequences(call):
    compare_failures(call)


FUNCTION = [
    {"use_separate_proj_weight": True},
    {"use_separate_proj_weight": True, "q_proj_weight": _f(4, 4)},
    {"use_separate_proj_weight": True, "q_proj_weight": _f(4, 5), "k_proj_weight": _f(4, 4),
     "v_proj_weight": _f(4, 4)},
    {"use_separate_proj_weight": True, "q_proj_weight": _f(4, 4), "k_proj_weight": _f(4, 4),
     "v_proj_weight": _f(4, 3)},
    {"num_heads": 3}, {"bias_k": _f(1, 1, 4)}, {"bias_v": _f(1, 1, 4)}, {"static_k": _f(3, 6, 2)},
    {"static_v": _f(4, 5, 3)}, {"bias_k": _f(1, 1, 4), "bias_v": _f(1, 1, 4), "static_k": _f(4, 6, 2)},
    {"bias_k": _f(1, 1, 4), "bias_v": _f(1, 1, 4), "static_v": _f(4, 6, 2)},
    {"add_zero_attn": True, "key_padding_mask": _f(2, 4)},
]  # fmt: skip


@oracle
@pytest.mark.parametrize("change", FUNCTION, ids=range(len(FUNCTION)))
def test_wrong_arguments_of_the_function(change):
    def call(m):
        given = {
            "query": X, "key": Y, "value": Y, "embed_dim_to_check": 4, "num_heads": 2,
            "in_proj_weight": _f(12, 4), "in_proj_bias": None, "bias_k": None, "bias_v": None,
            "add_zero_attn": False, "dropout_p": 0.0, "out_proj_weight": _f(4, 4), "out_proj_bias": None,
        }  # fmt: skip
        m.nn.functional.multi_head_attention_forward(**{k: _made(m, v) for k, v in (given | change).items()})

    compare_failures(call)
