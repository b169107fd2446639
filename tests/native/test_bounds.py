"""Programs touch no memory but their arrays: inputs and outputs lie against memory that nobody may touch."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from retrograd.arrays import evaluate, trace
from retrograd.native import code
from retrograd.native.machine import Machine
from retrograd.native.memory import OutOfBoundsError, contained, guarded
from retrograd.ops.declare import TABLE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no mprotect")


def numbers(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def row(n):
    return np.arange(n) * 5 % n


PROGRAMS = {
    "pointwise and sums": (
        lambda x: (np.tanh(x), np.sum(x, axis=0), np.sum(x, axis=1), np.sum(x)),
        lambda n: [numbers(3, n)],
    ),
    "narrow and wide": (
        lambda x, m: (np.where(m, x, 0.5), m),
        lambda n: [numbers(2, n).astype(float), numbers(n) > 0],
    ),
    "halves": (lambda x: (x * 2, np.sum(x, axis=0)), lambda n: [numbers(3, n).astype(np.float16)]),
    "bytes": (lambda x: (~x, x[::-1], np.any(x, axis=0)), lambda n: [numbers(3, n) > 0]),
    "views": (lambda x: (x[:, ::-1] + 1, x.T * 2, x[1:, ::2] - x[:2, ::2]), lambda n: [numbers(3, n)]),
    "rows": (lambda x: (np.exp(x - np.max(x, axis=1, keepdims=True)),), lambda n: [numbers(3, n)]),
    "gathered rows": (
        lambda x, i: (x[i], TABLE["accumulate"](x, x.shape, i, 0)),
        lambda n: [numbers(n, 3), row(n)],
    ),
    "gathered": (
        lambda x, i: (x[i], x[:, None][i, 0] * 2, TABLE["accumulate"](x, x.shape, i, 0)),
        lambda n: [numbers(n), row(n)],
    ),
    "classes": (
        lambda x, i: (TABLE["take_class"](x, i, 1), TABLE["put_class"](x[:, 0], i, 1, x.shape)),
        lambda n: [numbers(n, 4), row(n) % 4],
    ),
    "pieces": (
        lambda x: (
            np.concatenate((x, x[:, :1], x), axis=1), np.roll(x, 1, 1), TABLE["constant_pad_nd"](x, (1, 2)),
        ),
        lambda n: [numbers(2, n)],
    ),
    "products": (
        lambda x, y: (x @ y, x.T @ y.T, np.swapaxes(y @ x, 0, 1)),
        lambda n: [numbers(n, n), numbers(n, n)],
    ),
    "narrow products": (lambda x, y: (x @ y, y.T @ x.T), lambda n: [numbers(5, n), numbers(n, 3)]),
}  # fmt: skip


def run(name, n, at):
    """Run a program on guarded arrays, its outputs in memory of inputs, and compare what it gives."""
    function, arrays = PROGRAMS[name]
    given = arrays(n)
    count = len(given)
    wanted = evaluate(trace(function, *given), *given)
    homes = [np.zeros(w.shape, w.dtype) for w in wanted]

    def all_of_it(*a):
        return function(*a[:count])

    program = trace(all_of_it, *given, *homes)
    machine = Machine(program, {i: count + i for i in range(len(homes))}, "bounds")
    inputs = [guarded(a, at=at, writable=False) for a in given]
    outputs = [guarded(h, at=at) for h in homes]

    def work():
        plain = [x.view() for x in inputs]
        machine(*plain, *outputs)

    contained(work)
    for f, w in zip(outputs, wanted, strict=True):
        np.testing.assert_allclose(f, w, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_stay_within_their_arrays(name):
    for n in (1, 7, 15, 16, 17, 33):
        run(name, n, "end")
    for n in (5, 16):
        run(name, n, "start")


def test_a_load_beyond_the_end_is_caught(monkeypatch):
    plain = code.load
    monkeypatch.setattr(
        code, "load", lambda b, pointer, dtype, at, lanes=None, mask=None: plain(b, pointer, dtype, at, lanes)
    )
    monkeypatch.setenv("RETROGRAD_CACHE", "0")
    with pytest.raises(OutOfBoundsError):
        run("pointwise and sums", 17, "end")


def test_a_store_beyond_the_end_is_caught(monkeypatch):
    plain = code.store
    monkeypatch.setattr(
        code, "store", lambda b, pointer, dtype, at, value, mask=None: plain(b, pointer, dtype, at, value)
    )
    monkeypatch.setenv("RETROGRAD_CACHE", "0")
    with pytest.raises(OutOfBoundsError):
        run("narrow and wide", 17, "end")
