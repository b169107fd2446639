"""The choice of what backward keeps: the fewest bytes, and nothing computed again in vain."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import retrograd as torch
from retrograd.arrays.ir import Instruction, Value
from retrograd.compiler.cut import CHEAP, choose
from retrograd.nn import functional as F


def value(number, size=1):
    return Value(number, (size,), np.dtype(np.float32))


def line(name, made, *operands):
    return Instruction(name, operands, (), (made,))


def test_a_cheap_chain_is_computed_again_from_inputs():
    x, a, b = value(0), value(1), value(2)
    saved, again = choose([line("add", a, x, 1.0), line("multiply", b, a, a)], [x], [b])
    assert saved == []
    assert [i.name for i in again] == ["add", "multiply"]


def test_what_must_be_computed_once_is_saved_as_late_as_possible():
    x, h, t = value(0), value(1), value(2)
    program = [line("matmul", h, x, x), line("add", t, h, 1.0)]
    saved, again = choose(program, [x], [t])
    assert saved == [t]
    assert again == []


def test_the_smaller_of_two_is_saved():
    x, wide, small = value(0), value(1, 100), value(2, 10)
    program = [line("matmul", small, x), line("broadcast_to", wide, small)]
    saved, again = choose(program, [x], [wide])
    assert saved == [small]
    assert [i.name for i in again] == ["broadcast_to"]


def test_one_value_serves_several():
    x, h, a, b = value(0), value(1, 5), value(2, 5), value(3, 5)
    program = [line("exp", h, x), line("add", a, h, 1.0), line("negative", b, h)]
    saved, again = choose(program, [x], [a, b])
    assert saved == [h]
    assert len(again) == 2


@st.composite
def programs(draw):
    count = draw(st.integers(1, 7))
    values = [value(0, 1)]
    lines = []
    for k in range(1, count + 1):
        operands = draw(st.lists(st.sampled_from(values), min_size=1, max_size=2))
        made = value(k, draw(st.integers(1, 6)))
        lines.append(line(draw(st.sampled_from(["add", "matmul"])), made, *operands))
        values.append(made)
    needed = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3, unique_by=lambda v: v.id))
    return lines, values[0], needed


def is_enough(saved, lines, x, needed):
    """Whether what is needed follows from what is saved and the input, by cheap instructions only."""
    there = {x.id} | {v.id for v in saved}
    for made in lines:
        if made.name in CHEAP and all(v.id in there for v in made.operands):
            there.add(made.outputs[0].id)
    return all(v.id in there for v in needed)


@settings(max_examples=200, deadline=None)
@given(programs())
def test_no_other_choice_is_cheaper(program):
    lines, x, needed = program
    saved, again = choose(lines, [x], needed)
    assert is_enough(saved, lines, x, needed)
    assert all(i.name in CHEAP for i in again)
    cost = sum(v.shape[0] for v in saved)
    made = [i.outputs[0] for i in lines]
    best = min(
        sum(v.shape[0] for v in subset)
        for count in range(len(made) + 1)
        for subset in itertools.combinations(made, count)
        if is_enough(subset, lines, x, needed)
    )
    assert cost == best


@pytest.mark.parametrize(
    ("f", "most"),
    [
        (lambda x, w: (x @ w).tanh(), 1),
        (lambda x, w: ((x @ w + 1) * 2).relu(), 1),
        (lambda x, w: F.gelu(x * w), 0),
        (lambda x, w: (x * w + 1) * x, 0),
    ],
)
def test_what_real_functions_save(f, most):
    x, w = torch.randn(4, 4, requires_grad=True), torch.randn(4, 4, requires_grad=True)
    made = torch.compile(f, fullgraph=True)
    made(x, w).sum().backward()
    assert made.state.entries[0].plan.saved[1] <= most
