"""The recurrences: one step of each cell, and the walk over a sequence.

A walk takes the input's part of the gates for every step, the initial states, the recurrent weights, and the
LSTM's
projection; it returns the results of all steps and the last states.
"""

from __future__ import annotations

from typing import Any

from retrograd.nn import functional as F


def lstm_step(gates: Any, c: Any) -> tuple[Any, Any]:
    """Return the new (h, c) from the sum of the input's and the state's parts of the gates."""
    i, f, g, o = gates.chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def gru_step(of_input: Any, of_state: Any, h: Any) -> Any:
    """Return the new h from the input's and the state's parts of the gates."""
    r_i, z_i, n_i = of_input.chunk(3, -1)
    r_h, z_h, n_h = of_state.chunk(3, -1)
    r = (r_i + r_h).sigmoid()
    z = (z_i + z_h).sigmoid()
    n = (n_i + r * n_h).tanh()
    return n + z * (h - n)


def lstm(steps: list[Any], states: list[Any], w: Any, b: Any, projection: Any) -> tuple[list[Any], list[Any]]:
    h, c = states
    results = []
    for of_input in steps:
        h, c = lstm_step(of_input + F.linear(h, w, b), c)
        if projection is not None:
            h = F.linear(h, projection)
        results.append(h)
    return results, [h, c]


def gru(steps: list[Any], states: list[Any], w: Any, b: Any, projection: Any) -> tuple[list[Any], list[Any]]:
    del projection
    (h,) = states
    results = []
    for of_input in steps:
        h = gru_step(of_input, F.linear(h, w, b), h)
        results.append(h)
    return results, [h]


def rnn_tanh(
    steps: list[Any], states: list[Any], w: Any, b: Any, projection: Any
) -> tuple[list[Any], list[Any]]:
    del projection
    (h,) = states
    results = []
    for of_input in steps:
        h = (of_input + F.linear(h, w, b)).tanh()
        results.append(h)
    return results, [h]


def rnn_relu(
    steps: list[Any], states: list[Any], w: Any, b: Any, projection: Any
) -> tuple[list[Any], list[Any]]:
    del projection
    (h,) = states
    results = []
    for of_input in steps:
        h = (of_input + F.linear(h, w, b)).relu()
        results.append(h)
    return results, [h]
