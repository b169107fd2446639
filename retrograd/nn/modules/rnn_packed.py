"""Recurrent layers over packed sequences: at each step only those sequences run that are not over yet."""

from __future__ import annotations

from typing import Any

from retrograd.functions.joins import cat, stack
from retrograd.nn import functional as F
from retrograd.nn.functions.ops import OPS
from retrograd.nn.utils.rnn import PackedSequence

Walk = Any
"""One of rnn_steps: a walk over some steps with one batch size."""


def run_packed(module: Any, walk: Walk, packed: Any, hx: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return the packed results and the last states of each sequence, in the order that was given."""
    data, sizes = packed.data, packed.batch_sizes.tolist()
    if data.shape[-1] != module.input_size:
        raise RuntimeError(
            f"input.size(-1) must be equal to input_size. Expected {module.input_size}, got {data.shape[-1]}"
        )
    if hx is not None and packed.sorted_indices is not None:
        hx = tuple(OPS["index_select"](state, 1, packed.sorted_indices) for state in hx)
    states = module._states(data[: sizes[0]].unsqueeze(0), hx)
    directions = 2 if module.bidirectional else 1
    last: list[list[Any]] = [[] for _ in states]
    for layer in range(module.num_layers):
        outputs = []
        for direction in range(directions):
            i = layer * directions + direction
            w_ih, w_hh, *rest = module.all_weights[i]
            b_ih, b_hh = rest[:2] if module.bias else (None, None)
            steps = list(F.linear(data, w_ih, b_ih).split(sizes))
            recurrent = (w_hh, b_hh, rest[-1] if module.proj_size > 0 else None)
            run = _backward if direction else _forward
            results, final = run(walk, steps, sizes, [s[i] for s in states], recurrent)
            outputs.append(cat(results, 0))
            for gathered, state in zip(last, final, strict=True):
                gathered.append(state)
        data = outputs[0] if directions == 1 else cat(outputs, -1)
        if module.dropout > 0 and layer < module.num_layers - 1:
            data = F.dropout(data, module.dropout, module.training)
    finals = tuple(stack(gathered) for gathered in last)
    if packed.unsorted_indices is not None:
        finals = tuple(OPS["index_select"](state, 1, packed.unsorted_indices) for state in finals)
    return PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices), finals


def _forward(
    walk: Walk, steps: list[Any], sizes: list[int], states: list[Any], recurrent: tuple[Any, ...]
) -> tuple[list[Any], list[Any]]:
    """Run from the first step to the last; sequences that end leave their state behind."""
    results: list[Any] = []
    ended: list[list[Any]] = [[] for _ in states]
    running = sizes[0]
    for step, size in zip(steps, sizes, strict=True):
        if size < running:
            for over, state in zip(ended, states, strict=True):
                over.append(state[size:])
            states = [state[:size] for state in states]
            running = size
        made, states = walk([step], states, *recurrent)
        results += made
    finals = [
        cat([state, *reversed(over)], 0) if over else state for state, over in zip(states, ended, strict=True)
    ]
    return results, finals


def _backward(
    walk: Walk, steps: list[Any], sizes: list[int], states: list[Any], recurrent: tuple[Any, ...]
) -> tuple[list[Any], list[Any]]:
    """Run from the last step to the first; sequences join, with their first state, where they end."""
    results: list[Any] = []
    running = sizes[-1]
    now = [state[:running] for state in states]
    for step, size in zip(reversed(steps), reversed(sizes), strict=True):
        if size > running:
            now = [cat([n, first[running:size]], 0) for n, first in zip(now, states, strict=True)]
            running = size
        made, now = walk([step], now, *recurrent)
        results += made
    results.reverse()
    return results, now
