"""Elements taken and added at positions that are read: native, and equal to NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
from native.programs import compare
from spread import diagonals

from retrograd.arrays import trace
from retrograd.native import threads
from retrograd.native.kernels import Host
from retrograd.native.machine import Machine
from retrograd.ops.declare import TABLE as T


def given(kind, d):
    draw = np.random.default_rng(d)
    return {
        "x": (draw.standard_normal((6, d)) * 5).astype(kind),
        "u": (draw.standard_normal((4, 5, d)) * 5).astype(kind),
        "i": draw.integers(0, 6, (4, 5)),
        "j": draw.integers(-6, 6, (7,)).astype(np.int32),
        "k": draw.integers(-d, d, (7,)),
        "g": draw.integers(0, 6, (9, d)),
        "v": np.arange(300).astype(kind),
        "w": draw.integers(-50, 50, 300),
    }


CASES = {
    "embedding": lambda x, i, **_: (T["embedding"](x, i),),
    "embedding_ct": lambda u, i, x, **_: (
        T["embedding_ct"](u, x.shape, i, -1, False), T["embedding_ct"](u * 2, x.shape, i, 2, False) + 1,
    ),
    "rows": lambda x, j, **_: (T["index"](x, j, 0), x[j], np.sum(x[j] * 2, axis=1)),
    "columns": lambda x, k, **_: (T["index"](x, k, 1), x[:, k], x[1:3, k], x[..., k[:, None]]),
    "pairs": lambda x, j, k, **_: (
        x[j, k], x[j[:, None], k], x[j, 0], x[2, k], T["index_many"](x, (j, k), (0, 1)),
    ),
    "gather": lambda x, g, **_: (T["gather"](x, 0, g), T["gather"](g + 0, 0, g[:1])),
    "accumulate": lambda x, j, k, **_: (
        T["accumulate"](x[j] + x[:1], x.shape, j, 0), T["accumulate"](x[:, k], x.shape, k, 1),
    ),
    "put_along": lambda x, g, **_: (
        T["put_along"](x[g, 0], x.shape, 0, g), T["scatter_add"](x, 0, g, x[g, 0]),
    ),
    "slices": lambda x, j, g, **_: (
        T["index_add"](x, 0, np.maximum(j, 0).astype(np.int64), x[j], alpha=2),
        T["pick"](x, g[:6], 0), T["gathered_back"](x, g[:6], 0),
    ),
    "one by one": lambda v, w, **_: (T["accumulate"](v, (50,), w, 0), np.sum(v)),
    "flat": lambda x, j, **_: (T["take"](x, j.astype(np.int64)), T["put_flat"](x[j, 0], x.shape, j)),
    "many": lambda x, j, k, **_: (T["accumulate_many"](x[j, k], x.shape, (j, k), (0, 1)),),
}  # fmt: skip


@pytest.mark.parametrize(("d", "kind"), diagonals([1, 3, 37], [np.float32, np.float64, np.int64], 2))
@pytest.mark.parametrize("name", CASES)
def test_lookups_and_scatters(name, d, kind):
    arrays = given(kind, d)

    def function(*a):
        return CASES[name](**dict(zip(arrays, a, strict=True)))

    machine = compare(function, list(arrays.values()))
    assert not any(isinstance(s, Host) for s in machine.drawing.fused.steps)


@pytest.mark.parametrize("bad", [50, -51, 2**40])
def test_a_position_out_of_range_is_an_error_and_nothing_else_is_touched(bad):
    v, w = np.ones(300), np.zeros(300, np.int64)
    w[299] = bad
    machine = Machine(trace(lambda v, w: (T["accumulate"](v, (50,), w, 0), v[w % 50]), v, w), {}, "bad")
    with pytest.raises(IndexError, match="out of range"):
        machine(v, w)
    w[299] = -1
    assert machine(v, w)[0][49] == 1


def test_sums_at_positions_do_not_depend_on_the_number_of_threads():
    draw = np.random.default_rng(0)
    v, w = draw.standard_normal((200_000, 4)).astype(np.float32), draw.integers(0, 50, 200_000)
    machine = Machine(trace(lambda v, w: (T["accumulate"](v, (50, 4), w, 0),), v, w), {}, "serial")
    before = threads.get_num_threads()
    try:
        found = []
        for count in (1, 2):
            threads.set_num_threads(count)
            found.append(machine(v, w)[0])
    finally:
        threads.set_num_threads(before)
    np.testing.assert_array_equal(*found)
