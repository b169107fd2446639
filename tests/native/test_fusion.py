"""What runs in one loop: the composites that training is made of, and what keeps loops apart."""

from __future__ import annotations

import time

import numpy as np
import pytest
from native.programs import compare

from retrograd.native import code, epilogue
from retrograd.native.kernels import Host, Loop, Product
from retrograd.ops import apply
from retrograd.ops.declare import TABLE

DRAW = np.random.default_rng(0)
X, CT = DRAW.standard_normal((2, 6, 40)).astype(np.float32)


def both(name, *args):
    """Return a function of an op's arrays and a cotangent: the result, and the arguments' cotangents."""
    op = TABLE[name]
    keyword = [p.name for p in op.parameters if p.keyword_only]
    count = len(op.parameters) - len(keyword)

    def run(ct, *arrays):
        rest = iter(arrays)
        given = [next(rest) if isinstance(a, np.ndarray) else a for a in args]
        result = op(*given[:count], **dict(zip(keyword, given[count:], strict=True)))
        return (result, *(c for c in apply.vjp(op, given, ct, result) if c is not None))

    return run, [a for a in args if isinstance(a, np.ndarray)]


def steps(name, ct, *args):
    function, given = both(name, *args)
    return compare(function, [ct, *given]).drawing.fused.steps


def wide(found):
    """Return the steps that go over arrays, not over single numbers or one number per row."""
    return [s for s in found if not isinstance(s, Loop) or len(s.frame) > 1]


COMPOSITES = [
    ("softmax", CT, X, 1, None),
    ("log_softmax", CT, X, 1, None),
    ("layer_norm", CT, X, (40,), np.ones(40, np.float32), np.zeros(40, np.float32), 1e-5),
    ("gelu", CT, X, "none"),
    ("silu", CT, X),
    ("cross_entropy", np.float32(1), X, np.arange(6), None, -100, "mean"),
    ("binary_cross_entropy_with_logits", np.float32(1), X, (X > 0).astype(np.float32), None, None, "mean"),
]


@pytest.mark.parametrize("case", COMPOSITES, ids=lambda case: case[0])
def test_forward_and_backward_are_one_loop(case):
    name, ct, *args = case
    found = wide(steps(name, np.asarray(ct), *args))
    assert [type(s) for s in found] == [Loop]


def test_a_linear_layer_is_its_products_and_a_sum():
    w, b = DRAW.standard_normal((5, 40)).astype(np.float32), np.ones(5, np.float32)
    found = steps("linear", np.ones((6, 5), np.float32), X, w, b)
    assert sum(isinstance(s, Product) for s in found) == 3
    assert not any(isinstance(s, Host) for s in found)


def test_sums_in_both_directions_share_a_loop():
    machine = compare(lambda x: (np.sum(x * 2, axis=0), np.sum(x * 2, axis=1), np.sum(x * x)), [X])
    assert [type(s) for s in machine.drawing.fused.steps] == [Loop]


def test_what_needs_all_of_a_sum_comes_in_a_loop_of_its_own():
    machine = compare(lambda x: (x / np.sum(x),), [X])
    assert len([s for s in machine.drawing.fused.steps if s.frame == (6, 40)]) == 2


def test_a_row_is_not_read_where_another_row_is_meant():
    x = DRAW.standard_normal((20, 20))
    compare(lambda x: (x - np.max(x, axis=1)[None, :] + np.max(x, axis=1)[:, None],), [x])
    compare(lambda x: ((y := np.exp(x - np.max(x, axis=1, keepdims=True))), y + y.T), [x])


def test_long_chains_of_shared_values_are_quick_to_fuse():
    def chain(x):
        for _ in range(60):
            x = x * x + x
            x = x / (1 + np.max(np.absolute(x), axis=1, keepdims=True))
        return (x,)

    compare(chain, [X.astype(np.float64)])


@pytest.mark.parametrize("shape", [(), (40,)])
def test_chains_longer_than_the_stack_are_built_in_time_that_grows_with_them(shape):
    def chain(x):
        y = x
        for k in range(700):
            y = y * 0.999 + x if k % 2 else np.maximum(y, x * 0.5) - y * y
        return (y,)

    begun = time.process_time()
    compare(chain, [np.full(shape, 0.3)])
    assert time.process_time() - begun < 20  # it takes 2


def test_many_rows_that_wait_for_each_other_are_built_in_time_that_grows_with_them():
    def chain(x):
        for _ in range(40):
            for _ in range(5):
                x = np.maximum(x * 1.01, x - 0.5)
            x = x / (1 + np.max(np.absolute(x), axis=1, keepdims=True))
        return (x,)

    begun = time.process_time()
    compare(chain, [X.astype(np.float64)])
    assert time.process_time() - begun < 30  # it takes 3


def test_a_fault_in_the_code_is_seen(monkeypatch):
    monkeypatch.setitem(code.COMBINE, "sum", lambda builder, kind, x, y: x)
    monkeypatch.setenv("RETROGRAD_CACHE", "0")
    with pytest.raises(AssertionError):
        compare(lambda x: (np.sum(x * 1.25, axis=1),), [X])


def absorbed(machine):
    """Return which products of a program take in which loops."""
    found = machine.drawing.fused
    return epilogue.absorbed(found.graph, found.steps, set())


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (2, 3, 4), (17, 33, 65), (64, 784, 10), (128, 1, 100), (70, 900, 33)]
)
def test_a_bias_and_an_activation_are_done_by_the_product(shape):
    m, k, n = shape
    x, w = DRAW.standard_normal((m, k)), DRAW.standard_normal((n, k))
    b = DRAW.standard_normal(n)
    for kind in (np.float32, np.float64):
        given = [a.astype(kind) for a in (x, w, b)]
        machine = compare(lambda x, w, b: (np.maximum(x @ w.T + b, 0),), given)
        assert len(absorbed(machine)) == (m > 1 and n > 1)
        compare(lambda x, w, b: (np.tanh((x @ w.T + b) * 2) * np.exp(-np.absolute(x @ w.T)),), given)


def test_what_a_product_does_not_take_in():
    x, w, p = DRAW.standard_normal((3, 20, 20))
    for function, updates in (
        (lambda x, w, p: (p - 0.1 * (x @ w),), {0: 2}),  # its tiles overlap: some elements are written twice
        (lambda x, w, p: ((y := x @ w), y + 1), {}),
        (lambda x, w, p: ((y := x @ w) + y.T,), {}),
        (lambda x, w, p: (np.sum(x @ w + p, axis=0),), {}),
        (lambda x, w, p: ((x @ w + 1, (x @ w) * p)), {}),
    ):
        machine = compare(function, [x, w, p], updates)
        written = {machine.drawing.program.outputs[o] for o in updates}
        found = machine.drawing.fused
        assert epilogue.absorbed(found.graph, found.steps, written) == {}
