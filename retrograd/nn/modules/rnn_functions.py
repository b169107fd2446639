"""Recurrent layers and cells as functions of all their weights: torch.lstm, torch.gru_cell, ..."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from retrograd.nn import functional as F
from retrograd.nn.modules.rnn import RNNBase
from retrograd.nn.modules.rnn_steps import gru_step, lstm_step


def _layers(mode: str) -> Callable[..., tuple[Any, ...]]:
    def run(
        input: Any, hx: Any, params: Sequence[Any], has_biases: bool, num_layers: int, dropout: float,
        train: bool, bidirectional: bool, batch_first: bool,
    ) -> tuple[Any, ...]:  # fmt: skip
        count = num_layers * (2 if bidirectional else 1)
        each = len(params) // count
        layer = SimpleNamespace(
            mode=mode, input_size=params[0].shape[1], hidden_size=params[1].shape[0] // RNNBase.gates[mode],
            num_layers=num_layers, bias=has_biases, bidirectional=bidirectional, dropout=dropout,
            training=train, proj_size=params[1].shape[1] if each in (3, 5) else 0,
            all_weights=[params[i * each : (i + 1) * each] for i in range(count)],
        )  # fmt: skip
        layer._states = lambda given, states: RNNBase._states(layer, given, states)  # type: ignore[arg-type]
        steps = input.transpose(0, 1) if batch_first else input
        states = tuple(hx) if mode == "LSTM" else (hx,)
        output, last = RNNBase._run(layer, steps, states)  # type: ignore[arg-type]
        return (output.transpose(0, 1) if batch_first else output, *last)

    run.__name__ = run.__qualname__ = mode.lower()
    run.__doc__ = f"Run the layers of {mode} over sequences: the results, then the last states."
    return run


lstm, gru = _layers("LSTM"), _layers("GRU")
rnn_tanh, rnn_relu = _layers("RNN_TANH"), _layers("RNN_RELU")


def lstm_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """Return the new (h, c) of a long short-term memory cell."""
    h, c = hx
    return lstm_step(F.linear(input, w_ih, b_ih) + F.linear(h, w_hh, b_hh), c)


def gru_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """Return the new h of a gated recurrent unit."""
    return gru_step(F.linear(input, w_ih, b_ih), F.linear(hx, w_hh, b_hh), hx)


def rnn_tanh_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """Return tanh(W x + b + V h + c)."""
    return (F.linear(input, w_ih, b_ih) + F.linear(hx, w_hh, b_hh)).tanh()


def rnn_relu_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """Return relu(W x + b + V h + c)."""
    return (F.linear(input, w_ih, b_ih) + F.linear(hx, w_hh, b_hh)).relu()
