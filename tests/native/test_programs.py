"""Programs as machine code give what the evaluator gives: random ones, and those that once went wrong."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native.programs import arrays, compare, random_function
from spread import diagonals

from retrograd.arrays import evaluate, trace, verify
from retrograd.native import threads
from retrograd.native.kernels import Host
from retrograd.native.machine import Machine
from retrograd.native.passes import prepare

HOW = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}


@settings(max_examples=40, **HOW)
@given(st.integers(0, 2**32))
def test_random_programs(seed):
    compare_random(seed)


@pytest.mark.long
@settings(max_examples=400, **HOW)
@given(st.integers(0, 2**32))
def test_many_random_programs(seed):
    compare_random(seed)


def compare_random(seed):
    given = arrays(np.random.default_rng(seed))
    function, updates = random_function(seed + 1)
    compare(function, given, updates)


@settings(max_examples=40, **HOW)
@given(st.integers(0, 2**32))
def test_every_pass_keeps_the_meaning(seed):
    given = arrays(np.random.default_rng(seed))
    program = trace(random_function(seed + 1)[0], *given)
    wanted = evaluate(program, *given)

    def check(name, after):
        verify(after)
        for f, w in zip(evaluate(after, *given), wanted, strict=True):
            np.testing.assert_allclose(
                f, w, rtol=1e-4, atol=1e-4 * (1 + np.max(np.absolute(w), initial=0)), err_msg=name
            )

    prepare(program, check)


def test_an_input_is_read_before_it_is_overwritten_in_the_same_loop():
    x = np.linspace(-2, 2, 40).astype(np.float32)
    compare(lambda x: (np.exp(-np.absolute(x)), x * 2, x - 1), [x], {2: 0})


def test_an_update_whose_old_value_is_read_later_goes_through_memory_of_its_own():
    x, y = np.ones((2, 50))
    compare(lambda x, y: (x + y, np.sum(x + np.sum(y)), x[::-1] * 2), [x, y], {0: 0})
    compare(lambda x, y: (y, x), [x, y * 3], {0: 0, 1: 1})


AXES = [0, 1, 2, (0, 1), (1, 2), (0, 2), (0, 1, 2)]
SHAPES = [(3, 4, 5), (2, 70, 33), (65, 3, 16), (1, 9, 1), (4, 1, 40)]


@pytest.mark.parametrize(("axis", "shape"), diagonals(AXES, SHAPES, 3))
def test_reductions(axis, shape):
    x = np.random.default_rng(0).standard_normal(shape)
    x.flat[3] = np.nan
    for function in (np.sum, np.max, np.min):
        compare(lambda x, function=function: (function(x, axis=axis),), [x])
        compare(lambda x, function=function: (x / (2 + function(x, axis=axis, keepdims=True)),), [x])
    compare(lambda x: (np.all(x > 0, axis=axis), np.any(x > 2, axis=axis), np.sum(x > 0, axis=axis)), [x])


@pytest.mark.parametrize("size", [0, 1, 7, 15, 16, 17, 31, 64, 1000, 4095, 4096, 4097, 100_003])
def test_sizes_around_vectors_and_tiles(size):
    for kind in (np.float32, np.float64):
        x = np.linspace(0, 1, size).astype(kind)
        compare(lambda x: (x * 2 + 1, np.sum(x), np.tanh(x)), [x])
    compare(lambda x: (x[::-1] + x, x.reshape(-1, 1) * 2), [np.arange(size)])


def test_long_sums_do_not_lose_digits():
    x = np.full(3_000_001, 0.1, np.float32)
    (found,) = Machine(trace(lambda x: (np.sum(x),), x), {}, "sum")(x)
    assert abs(found - 300_000.1) < 0.5  # one by one it would be 8,000 off


INTEGERS = [np.int8, np.uint8, np.int16, np.int32, np.uint32, np.int64, np.uint64]


@pytest.mark.parametrize("kind", INTEGERS)
def test_integers_wrap_and_compare_by_their_sign(kind):
    limits = np.iinfo(kind)
    x = np.array([limits.min, limits.max, 0, 1, 2, 100, 3] * 5, kind)
    y = x[::-1].copy()
    compare(lambda x, y: (x + y, x * y, x - y, np.maximum(x, y), x > y, x & y, x ^ y, ~x), [x, y])
    compare(lambda x: (np.absolute(x), np.sign(x), np.sum(x), np.max(x), x != 0), [x])
    compare(lambda x, y: (x * 1.5, np.where(x > y, x, y)), [x, y])


@pytest.mark.parametrize("kind", INTEGERS)
def test_integers_divide_as_numpy_has_it(kind):
    limits = np.iinfo(kind)
    x = np.array([limits.min, limits.min + 1, limits.max, 0, 1, 2, 100, 3, 7] * 3, kind)
    rows, columns = np.meshgrid(x, np.array([0, 1, 2, 3, 7, limits.max, limits.min, x[0] * 0 - 1], kind))
    for y in (rows, rows - columns):
        machine = compare(
            lambda x, y: (x // y, x % y, np.fmod(x, y), x**3, x**7, x // 3, x % 5), [y, columns.copy()]
        )
        assert not any(isinstance(s, Host) for s in machine.drawing.fused.steps)


def test_conversions_between_numbers():
    x = np.array([0.0, -0.5, 1.5, 2.9, -2.9, 100.0, 3e9, -3e9, np.inf, -np.inf, np.nan])
    y = np.arange(-5, 6)

    def cast(kind):
        return lambda x: (x._cast(np.dtype(kind)),)

    for kind in (np.int32, np.int64, np.float32, np.bool_):
        compare(cast(kind), [x])
    for kind in (np.uint8, np.int16, np.uint64, np.float32, np.bool_):
        compare(cast(kind), [y])


def test_values_that_are_no_numbers():
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1e-310] * 3)
    y = np.roll(x, 1)
    for kind in (np.float32, np.float64):
        given = [x.astype(kind), y.astype(kind)]
        machine = compare(
            lambda x, y: (
                np.maximum(x, y), np.minimum(x, y), np.sign(x), np.absolute(x), x == y, x != y, x < y, x >= y,
                np.isnan(x), np.isinf(x), np.isfinite(x), np.where(x > 0, x, y), np.clip(x, -0.5, 0.5), -x,
            ),
            given,
        )  # fmt: skip
        for found, wanted in zip(machine(*given), evaluate(machine.program, *given), strict=True):
            np.testing.assert_array_equal(np.signbit(found * 1.0), np.signbit(wanted * 1.0))


def test_what_is_not_in_c_order_is_taken_and_updated():
    x = np.arange(24.0).reshape(4, 6)[::2, ::3]
    y = np.asfortranarray(np.ones((2, 2)))
    step = Machine(trace(lambda x, y: (x + y, x * y), np.array(x), np.array(y)), {0: 0}, "order")
    wanted = x + y
    new, _ = step(x, y)
    assert new is x
    np.testing.assert_array_equal(x, wanted)


def test_an_index_out_of_range_is_an_error():
    table, rows = np.arange(12.0).reshape(4, 3), np.array([0, 3, 1])
    from retrograd.ops.declare import TABLE

    take = Machine(trace(lambda t, i: (TABLE["embedding"](t, i),), table, rows), {}, "take")
    np.testing.assert_array_equal(take(table, rows)[0], table[rows])
    for bad in (4, -1, 2**40):
        with pytest.raises(IndexError, match="out of range"):
            take(table, np.array([0, bad, 1]))
    np.testing.assert_array_equal(take(table, rows)[0], table[rows])


def heavy():
    x = np.random.default_rng(0).standard_normal((600, 700)).astype(np.float32)
    w = np.random.default_rng(1).standard_normal((700, 90)).astype(np.float32)

    def function(x, w):
        y = np.tanh(x) / (1 + np.sum(np.exp(x), axis=1, keepdims=True))
        return y @ w, np.sum(y, axis=0), np.sum(y), np.max(y, axis=1)

    return trace(function, x, w), (x, w)


def test_results_do_not_depend_on_the_number_of_threads():
    program, given = heavy()
    machine = Machine(program, {}, "threads")
    before = threads.get_num_threads()
    try:
        threads.set_num_threads(1)
        alone = machine(*given)
        threads.set_num_threads(2)
        for _ in range(3):
            for a, b in zip(alone, machine(*given), strict=True):
                np.testing.assert_array_equal(a, b)
    finally:
        threads.set_num_threads(before)


def test_several_threads_call_one_program():
    program, given = heavy()
    machine = Machine(program, {}, "callers")
    wanted = machine(*given)
    wrong = []

    def work(factor):
        for _ in range(5):
            found = machine(given[0] * factor, given[1])
            if factor == 1 and not all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True)):
                wrong.append(factor)

    callers = [threading.Thread(target=work, args=(factor,)) for factor in (1, 2, 1, 3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_runs_programs_of_its_parent():
    program, given = heavy()
    machine = Machine(program, {}, "fork")
    wanted = machine(*given)
    child = os.fork()
    if child == 0:
        try:
            same = all(np.array_equal(a, b) for a, b in zip(machine(*given), wanted, strict=True))
            os._exit(0 if same else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
