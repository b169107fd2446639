"""Packed sequences, and recurrent layers that run over them, are torch's."""

from __future__ import annotations

import numpy as np
import pytest
from paired_calls import assert_same, assert_same_refusal
from paired_modules import oracle, pair

import retrograd
from retrograd.nn.utils import rnn

RNG = np.random.default_rng(1)
X = RNG.standard_normal((5, 4, 3))
pytestmark = oracle


def fields(packed):
    return [p for p in packed if p is not None]


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("lengths", [[5, 3, 3, 1], [2, 5, 1, 5]], ids=str)
def test_packing_and_padding(lengths, batch_first):
    is_sorted = lengths == sorted(lengths, reverse=True)

    def call(m, x):
        x = x.transpose(0, 1) if batch_first else x
        packed = m.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first, is_sorted)
        back = m.nn.utils.rnn.pad_packed_sequence(packed, not batch_first, -2.0, 6)
        return fields(packed), back, m.nn.utils.rnn.pad_packed_sequence(packed, batch_first)

    assert_same(call, X)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_sequences(side, batch_first):
    def call(m, *xs):
        u = m.nn.utils.rnn
        padded = u.pad_sequence(list(xs), batch_first, 0.5, side)
        packed = u.pack_sequence(xs, enforce_sorted=False)
        lengths = m.tensor([2, 5, 1])
        bare = u.unpad_sequence(padded * 1, lengths, batch_first)  # torch transposes what it is given
        return padded, fields(packed), u.unpack_sequence(packed), bare

    assert_same(call, X[:2, 0], X[:, 1], X[:1, 2])


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize(
    "options", [{}, {"bidirectional": True, "num_layers": 2}, {"bias": False, "num_layers": 2}], ids=str
)
@pytest.mark.parametrize("with_state", [False, True])
def test_recurrent_layers_over_packed_sequences(name, options, with_state):
    theirs, ours = pair(name, 3, 4, **options)
    count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    h, c = RNG.standard_normal((count, 4, 4)), RNG.standard_normal((count, 4, 4))

    def call(m, x, h, c):
        model = ours if m is retrograd else theirs
        model.zero_grad()
        packed = m.nn.utils.rnn.pack_padded_sequence(x, [2, 5, 1, 5], enforce_sorted=False)
        hx = (h, c) if name == "LSTM" else h
        output, states = model(packed, hx) if with_state else model(packed)
        loss = (output.data**2).sum()
        grads = m.autograd.grad(loss, list(model.parameters()), retain_graph=True)
        return fields(output), states, grads

    assert_same(call, X, h, c, second=False)


def test_an_lstm_with_projection_over_packed_sequences():
    theirs, ours = pair("LSTM", 3, 4, proj_size=2, bidirectional=True)

    def call(m, x):
        packed = m.nn.utils.rnn.pack_padded_sequence(x, [5, 4, 4, 2])
        output, states = (ours if m is retrograd else theirs)(packed)
        return output.data, states

    assert_same(call, X, second=False)


def test_what_a_packed_sequence_offers():
    packed = rnn.pack_padded_sequence(retrograd.ones(3, 2, 2), [1, 3], enforce_sorted=False)
    assert packed.double().data.dtype is retrograd.float64 and packed.to(retrograd.float32) is packed
    assert packed.unsorted_indices.tolist() == [1, 0] and not packed.is_cuda and packed.pin_memory() is packed
    assert rnn.invert_permutation(None) is None
    data, sizes, *_ = packed
    assert rnn.PackedSequence(data, sizes).unsorted_indices is None


def test_mistakes():
    for lengths, options in (
        ([2, 3, 1, 1], {}), ([3, 2, 1, 0], {}), ([3], {}), ([3, 2, 1, 0], {"enforce_sorted": False}),
    ):  # fmt: skip
        assert_same_refusal(
            lambda m, x, n=lengths, o=options: m.nn.utils.rnn.pack_padded_sequence(x, n, **o), X
        )
    assert_same_refusal(lambda m, x: m.nn.utils.rnn.pack_padded_sequence(x, m.tensor([[3, 1]])), X)
    assert_same_refusal(
        lambda m, x: m.nn.utils.rnn.pad_packed_sequence(
            m.nn.utils.rnn.pack_padded_sequence(x, [5, 3, 1, 1]), total_length=2
        ),
        X,
    )
    for wrong in ([], 5):
        assert_same_refusal(lambda m, x, w=wrong: m.nn.utils.rnn.pad_sequence(w), X)
    assert_same_refusal(lambda m, x: m.nn.utils.rnn.pad_sequence([x], padding_side="top"), X)
    with pytest.raises(RuntimeError, match="a length is 9"):
        rnn.pack_padded_sequence(retrograd.ones(3, 1, 2), [9])
