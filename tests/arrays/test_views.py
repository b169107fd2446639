"""Random views, views of views and writes through any of them: all handles see what NumPy's would."""

from __future__ import annotations

import numpy as np
import pytest

from retrograd.arrays import evaluate, trace, verify


def random_index(rng, shape):
    """Return a basic index that leaves something; `...` makes it an array, never a NumPy scalar."""
    index = []
    for n in shape:
        kind = rng.integers(5)
        if kind == 0 and n > 1:
            index.append(slice(int(rng.integers(n - 1)), None))
        elif kind == 1:
            index.append(slice(None, None, -1))
        elif kind == 2 and n > 2:
            index.append(slice(None, None, 2))
        elif kind == 3 and len(shape) > 1:
            index.append(int(rng.integers(-n, n)))
        else:
            index.append(slice(None))
    if rng.random() < 0.2:
        index.insert(int(rng.integers(len(index) + 1)), None)
    return (*index, ...)


def random_view(rng, x):
    """Return one more view (or, where a reshape needs it, a copy) of an array."""
    kind = rng.integers(6)
    if kind <= 1:
        return x[random_index(rng, x.shape)]
    if kind == 2:
        return np.transpose(x, tuple(int(i) for i in rng.permutation(x.ndim)))
    if kind == 3:
        return np.reshape(x, (-1,) if rng.random() < 0.5 else (1, *x.shape))
    if kind == 4:
        return np.flip(x, int(rng.integers(x.ndim))) if x.ndim else np.expand_dims(x, 0)
    return np.moveaxis(x, 0, -1) if x.ndim else x[...]


def random_write(rng, x):
    """Write to part of an array or to all of it."""
    number = float(rng.integers(1, 9))
    kind = rng.integers(3)
    if kind == 0:
        x[random_index(rng, x.shape)] = number
    elif kind == 1:
        x *= number
    else:
        x[random_index(rng, x.shape)] += number


def play(seed):
    def f(x):
        rng = np.random.default_rng(seed)
        handles = [x]
        for _ in range(12):
            chosen = handles[int(rng.integers(len(handles)))]
            if rng.random() < 0.6:
                handles.append(random_view(rng, chosen))
            else:
                random_write(rng, chosen)
        return tuple(handles)

    return f


@pytest.mark.parametrize("seed", range(150))
def test_random_writes_are_seen_as_in_numpy(seed):
    x = np.arange(24.0).reshape(2, 3, 4)
    wanted = play(seed)(np.array(x))
    program = trace(play(seed), x)
    verify(program)
    for w, g in zip(wanted, evaluate(program, x), strict=True):
        np.testing.assert_array_equal(g, w, strict=True)
