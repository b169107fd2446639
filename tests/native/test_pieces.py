"""Arrays put together from pieces, and calls that compare positions, are native and equal to NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
from native.programs import compare
from spread import diagonals

from retrograd.native import joins
from retrograd.native.kernels import Host, Loop
from retrograd.ops.declare import TABLE

KINDS = [np.float32, np.float64, np.int32, np.bool_]
ALL = slice(None)


def given(kind, n=20):
    draw = np.random.default_rng(0)
    return [(draw.standard_normal(shape) * 3).astype(kind) for shape in ((6, n), (3, n), (n,))]


def hosts(machine):
    return [s.instruction.name for s in machine.drawing.fused.steps if isinstance(s, Host)]


def stores(machine):
    steps = machine.drawing.fused.steps
    return [s for step in steps if isinstance(step, Loop) for s in step.stores]


def written(x, index, value):
    made = np.concatenate((x, x))[: len(x)]
    made[index] = value
    return made


CASES = {
    "rows": lambda x, y, v: (np.concatenate((x, y)), np.concatenate((y, x, y[1:2]))),
    "nested": lambda x, y, v: (np.concatenate((np.concatenate((x, y)), np.concatenate((y, x))), axis=1),),
    "nested and used": lambda x, y, v: (a := np.concatenate((x, y)), np.concatenate((a, a[::-1]), axis=1)),
    "the same twice": lambda x, y, v: (np.concatenate((x, x), axis=1), np.stack((v, v, v))),
    "used again": lambda x, y, v: ((a := ~(x > 1)), np.concatenate((a, y > 1)), np.sum(a, axis=1)),
    "read again": lambda x, y, v: ((a := np.concatenate((x, y))), np.max(a, axis=0), np.max(a, axis=1)),
    "a piece that needs a row": lambda x, y, v: (np.concatenate((np.maximum(x, x.min(axis=1)[:, None]), y)),),
    "roll": lambda x, y, v: (np.roll(x, 3), np.roll(x, (1, -2), (0, 1)), np.roll(v, -25), np.roll(x, 0, 1)),
    "pad": lambda x, y, v: (
        TABLE["constant_pad_nd"](x, (1, 2, 3, 0), 1), TABLE["constant_pad_nd"](x, (-1, 2)),
        TABLE["constant_pad_nd"](v, (3, -3)), TABLE["constant_pad_nd"](v, (-len(v), 3), 1),
    ),
    "place": lambda x, y, v: (
        TABLE["place"](v, (6, len(v)), (2,)),
        TABLE["place"](x, (6, 2 * len(v) + 3), (ALL, slice(1, 2 * len(v) + 1, 2))),
    ),
    "write": lambda x, y, v: (
        written(x, 0, v), written(x, (ALL, -1), 1), written(x, (slice(1, 4), slice(None, None, -1)), v),
        written(x, (ALL, slice(0, None, 3)), 1), written(x, (..., None, slice(0, 1)), v[0]),
        written(x, (2, 0), 0), written(x, slice(None, None, -2), y), written(x, slice(4, 2), 0),
        written(x, ..., y[0]),
    ),
    "places in memory": lambda x, y, v: (
        TABLE["take_place"](x, ((3, len(v)), (2 * len(v), 1), len(v))),
        TABLE["take_place"](x, ((len(v), 3), (1, -len(v)), 4 * len(v))),
        TABLE["put_place"](y, (6, len(v)), ((3, len(v)), (len(v), 1), 2 * len(v))),
        TABLE["put_place"](y.T[..., None] * 1, (6, len(v)), ((len(v), 3, 1), (1, 2 * len(v), 7), 0)),
        TABLE["write_place"](x, y, ((3, len(v)), (len(v), 1), len(v))),
        TABLE["write_place"](x, None, ((3,), (2 * len(v),), len(v) - 1)),
    ),
    "triangles": lambda x, y, v: (np.tril(x), np.triu(x, 2), np.tril(x, -1), np.triu(np.stack((x, x)), -30)),
    "arguments": lambda x, y, v: (
        np.argmax(x, axis=0), np.argmin(x, axis=1), np.argmax(x), np.argmin(x, axis=1, keepdims=True),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("size", "kind"), diagonals([1, 16, 20], KINDS, 3))
@pytest.mark.parametrize("name", CASES)
def test_pieces_and_positions(name, size, kind):
    if (kind is np.bool_) <= (name != "roll"):
        assert not hosts(compare(CASES[name], given(kind, size)))


def test_a_write_into_an_input_happens_after_its_last_read():
    x, y, v = given(np.float64)
    for function in (
        lambda x, y, v: (written(x, (ALL, 0), 5.0), x * 2),
        lambda x, y, v: (written(x, 0, v * x[1]), np.sum(x, axis=0)),
        lambda x, y, v: (np.roll(x, 1), x[::-1] + 0),
    ):
        compare(function, [x, y, v], {0: 0})


def test_what_an_update_does_not_change_stays_where_it_is():
    x, y, v = given(np.float64)

    def part(x, y, v):
        made = x[:]
        made = TABLE["write_place"](made, y, ((3, 20), (20, 1), 40))
        return made, np.sum(y, axis=0)

    machine = compare(part, [x, y, v], {0: 0})
    written = sum(np.prod(s.value.shape) for s in stores(machine))
    assert written == y.size
    assert sum(np.prod(s.value.shape) for s in stores(compare(part, [x, y, v]))) == x.size
    for function in (
        lambda x, y, v: (part(x, y, v)[0], x[0] * 2),
        lambda x, y, v: (part(x, y, v)[0], np.sum(x), x @ y.T),
        lambda x, y, v: (part(x, y * np.sum(x), v)[0], np.sum(part(x, y, v)[0])),
        lambda x, y, v: (part(x, x[2:5] + 1, v)[0],),
        lambda x, y, v: (part(x, x[:3] + 1, v)[0],),
        lambda x, y, v: (part(x, x[4:1:-1] * 1, v)[0],),
        lambda x, y, v: (part(x * 1, y, v)[0], part(x, y, v)[0]),
    ):
        compare(function, [x, y, v], {0: 0})


def test_joined_arrays_of_no_elements_have_their_shape():
    x, y = np.ones((0, 2)), np.ones((0, 0))
    compare(
        lambda x, y: (np.concatenate((y, x, x), axis=1), np.concatenate((y, y)), np.stack((x, x))), [x, y]
    )


def test_the_first_of_equals_and_of_what_is_no_number_is_found():
    x = np.array([[1.0, 3, 3, 0], [np.nan, 1, np.nan, 2], [np.inf, np.inf, 0, 0], [-0.0, 0.0, 0, -0.0]])
    machine = compare(lambda x: (np.argmax(x, axis=1), np.argmin(x, axis=1), np.argmax(x, axis=0)), [x])
    assert not hosts(machine)


def test_a_piece_in_the_wrong_place_is_seen(monkeypatch):
    plain = joins.Joins._flat

    def wrong(self, calls, made, corner):
        for part, index in plain(self, calls, made, corner):
            yield part, (*index[:-1], index[-1].scaled(-1).plus(made.shape[-1] - 1))

    monkeypatch.setattr(joins.Joins, "_flat", wrong)
    monkeypatch.setenv("RETROGRAD_CACHE", "0")
    with pytest.raises(AssertionError):
        compare(CASES["rows"], given(np.float64))


@pytest.mark.parametrize(
    "shapes", [((0, 0), (0, 2)), ((0, 2), (0, 0)), ((0, 1), (0, 2)), ((0, 0), (0, 0)), ((2, 0), (2, 3))]
)
@pytest.mark.parametrize("kind", [float, complex])
def test_parts_without_elements(shapes, kind):
    a, b = (np.ones(shape, kind) for shape in shapes)
    compare(lambda a, b, c: (c @ np.concatenate((a, b), axis=1),), [a, b, np.ones((2, len(a)), kind)])
