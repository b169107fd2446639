"""Programs that are apt to go wrong: memory that is shared and overwritten, masks, numbers that are none."""

from __future__ import annotations

import numpy as np
import pytest
from native.programs import compare

from retrograd.arrays import trace
from retrograd.native.machine import Machine
from retrograd.ops.declare import TABLE as T

DRAW = np.random.default_rng(5)
NAN = np.nan


def numbers(*shape, kind=np.float32):
    return DRAW.standard_normal(shape).astype(kind)


def written(x, index, value):
    made = x + 0
    made[index] = value
    return made


X, Y = numbers(2, 19, 19)

UPDATES = {
    "two arrays change places": (lambda x, y: (y + 0, x + 0), {0: 0, 1: 1}),
    "two arrays change places, turned": (lambda x, y: (y.T + 0, x.T + 0), {0: 0, 1: 1}),
    "an array is turned in its place": (lambda x, y: (x.T + 0,), {0: 0}),
    "an array is reversed in its place": (lambda x, y: (x[::-1] * 1, x[:, ::-1] + y), {0: 0, 1: 1}),
    "a row is subtracted from all": (lambda x, y: (x - x[0], y - y[:, 3:4]), {0: 0, 1: 1}),
    "a maximum of the old rows": (lambda x, y: (x - np.max(x, axis=1, keepdims=True), x + y), {0: 0, 1: 1}),
    "a softmax in place": (
        lambda x, y: ((e := np.exp(x - np.max(x, axis=1)[:, None])) / np.sum(e, axis=1)[:, None],),
        {0: 0},
    ),
    "a column's sum of the old": (lambda x, y: (x * 2, np.sum(x, axis=0)[None] + y), {0: 0, 1: 1}),
    "a sum of all of the old": (lambda x, y: (x + np.sum(y), y + np.sum(x)), {0: 0, 1: 1}),
    "a product in place": (lambda x, y: (x @ y, y + 1), {0: 0, 1: 1}),
    "a product of the new": (lambda x, y: ((a := x * 2) + 0, a @ y), {0: 0, 1: 1}),
    "a shift by one": (lambda x, y: (np.concatenate((x[1:], x[:1])), np.roll(y, 1, 1)), {0: 0, 1: 1}),
    "a write to a part": (
        lambda x, y: (written(x, (slice(2, 5), 1), y[0, :3]), written(y, 3, x[3])),
        {0: 0, 1: 1},
    ),
    "a gather of the old": (lambda x, y: (x[(y > 0)[0].astype(np.int64)], y * x), {0: 0, 1: 1}),
    "a scatter of the old": (
        lambda x, y: (T["accumulate"](x, (19, 19), (y > 0)[0].astype(np.int64), 0), x - y),
        {0: 0, 1: 1},
    ),
    "an optimizer": (
        lambda x, y: ((m := x * 0.9 + y * 0.1) + 0, y - 0.1 * m / (np.sqrt(m * m) + 1e-3)),
        {0: 0, 1: 1},
    ),
    "an output that is also another's source": (
        lambda x, y: ((a := np.tanh(x)), a * y, np.sum(a), a[::-1] + y),
        {0: 0, 1: 1},
    ),
    "the input itself": (lambda x, y: (x, y, x, x + y), {3: 1}),
}  # fmt: skip


@pytest.mark.parametrize("name", UPDATES)
def test_updates(name):
    function, updates = UPDATES[name]
    compare(function, [X, Y], updates)
    compare(function, [numbers(19, 19, kind=np.float64), numbers(19, 19, kind=np.float64)], updates)


SPECIAL = np.array([NAN, 1, -NAN, np.inf, -np.inf, 0.0, -0.0, 2, NAN] * 5, np.float32)


@pytest.mark.parametrize("n", [1, 2, 15, 17, 45])
def test_what_is_no_number_survives_reductions_wherever_it_stands(n):
    for shift in (0, 1, 4):
        first, last = np.roll(SPECIAL, shift)[:n], np.roll(SPECIAL, shift + 2)[:n]
        x = np.stack((first, np.arange(n, dtype=np.float32), last))
        compare(
            lambda x: (
                np.max(x, axis=1), np.min(x, axis=1), np.max(x, axis=0), np.min(x, axis=0), np.max(x),
                np.min(x[1:2]), np.any(x, axis=1), np.all(x, axis=1), np.any(x != x, axis=0), np.all(x == x),
                np.argmax(x, axis=1),
                np.argmin(x, axis=0), np.sum(np.where(x == x, x, 0), axis=1), np.maximum(x, x[::-1]),
            ),
            [x],
        )  # fmt: skip


def test_reductions_of_nothing_but_the_infinite():
    for value in (np.inf, -np.inf):
        x = np.full((3, 21), value)
        compare(
            lambda x: (np.max(x, axis=1), np.min(x, axis=1), np.max(x, axis=0), np.argmax(x, axis=1)), [x]
        )


SHAPES = [(2, 1, 3, 2, 1, 5), (2, 3, 2, 2, 3, 17), (1, 1, 1, 1, 1, 1), (3, 0, 2, 1, 4, 2), (0, 5, 1, 1, 1, 2)]


@pytest.mark.parametrize("shape", SHAPES)
def test_six_dimensions(shape):
    x, y = numbers(*shape), numbers(*shape[3:])
    compare(
        lambda x, y: (
            x * y, np.sum(x, axis=(1, 3, 5)), np.transpose(x, (5, 3, 1, 0, 2, 4)) * 2,
            np.sum(x + y, axis=(0, 2)),
            x[::-1, ..., ::-2] + 0, x - np.sum(x, axis=(4, 5), keepdims=True), np.sum(x, axis=2)[..., None],
        ),
        [x, y],
    )  # fmt: skip


EMPTY = [(0,), (0, 3), (3, 0), (2, 0, 4)]


@pytest.mark.parametrize("shape", EMPTY)
def test_arrays_of_no_elements(shape):
    x = np.ones(shape)
    compare(
        lambda x: (
            x * 2, np.sum(x), np.sum(x, axis=0), np.sum(x, axis=-1), np.concatenate((x, x)),
            np.concatenate((x, x), axis=-1),
            np.reshape(x, (-1, 0)) if x.size else x, x[::-1] + 1, np.roll(x, 1), np.all(x), np.any(x, axis=0),
            np.swapaxes(x, 0, -1) @ x if x.ndim == 2 else x,
        ),
        [x],
        {0: 0},
    )  # fmt: skip


def test_a_product_over_nothing_is_zero():
    compare(lambda x, y: (x @ y, (x @ y) + 1), [np.ones((3, 0)), np.ones((0, 5))])


def test_arrays_of_other_strides_are_read_and_updated():
    base = numbers(40, 40)
    for x in (base[::2, ::-1], base.T[3:9], base[:, 5], base[::-3, 1:2], np.broadcast_to(base[0], (3, 40))):
        function = lambda x: (x * 2 + 1, np.sum(x, axis=0))  # noqa: E731 - it is traced twice
        machine = Machine(trace(function, np.array(x)), {}, "strides")
        for found, wanted in zip(machine(x), function(np.array(x)), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-5)
    x, untouched = base[::2, ::-1], base[1::2].copy()
    wanted = x * 2 + 1
    Machine(trace(lambda x: (x * 2 + 1,), np.array(x)), {0: 0}, "strides")(x)
    np.testing.assert_allclose(x, wanted)
    np.testing.assert_array_equal(base[1::2], untouched)


def test_an_array_that_is_given_twice_is_read_as_two():
    x = numbers(5, 20)
    machine = Machine(trace(lambda x, y: (x + y[::-1], np.sum(x * y)), x, x + 0), {}, "twice")
    np.testing.assert_allclose(machine(x, x)[0], x + x[::-1], rtol=1e-6)


@pytest.mark.parametrize("n", [1, 15, 16, 17, 100])
def test_positions_that_are_computed_are_read_under_masks(n):
    x, i = numbers(n, 7), DRAW.integers(0, 7, n)
    j = DRAW.integers(0, n, (3, n))
    compare(
        lambda x, i, j: (
            T["take_class"](x, i, 1), T["take_class"](x, np.minimum(i + 1, 6), 1), x[j], x[j, i],
            x[np.maximum(j - 1, 0), i] * 2, T["put_class"](x[:, 0], np.maximum(i, 1), 1, (n, 7)),
            np.where(i > 3, T["take_class"](np.exp(x), i, 1), 0), np.sum(x[j[0]], axis=0), np.exp(x)[i % n],
        ),
        [x, i, j],
    )  # fmt: skip


def test_many_outputs():
    compare(lambda x, y: tuple(x * k + y if k % 3 else np.sum(x * k, axis=k % 2) for k in range(60)), [X, Y])


def test_numbers_and_vectors_and_matrices_meet():
    s, v = np.array(2.5, np.float32), numbers(19)
    compare(
        lambda x, v, s: (
            x * s + v, v[:, None] * v + s, np.sum(v) * x + np.max(x, axis=1)[:, None], s * s + np.sum(x * v),
            v[:, None] - v, (x - s) / np.sum(v * v), np.sum(x * s, axis=0) * v,
        ),
        [X, v, s],
        {0: 0},
    )  # fmt: skip


def test_a_wrong_position_is_an_error_and_inputs_may_be_written_only_where_they_are_updated():
    x, i, y = numbers(6, 3), np.array([0, 9]), numbers(4)
    machine = Machine(trace(lambda x, i, y: (x[i], y + 1, x * 2), x, i * 0, y), {1: 2}, "range")
    before = x.copy()
    with pytest.raises(IndexError):
        machine(x, i, y)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_allclose(machine(x, i * 0, y)[0], x[i * 0])
