"""Random array programs: functions of a few arrays, drawn call by call, and how they are compared."""

from __future__ import annotations

import numpy as np

from retrograd.arrays import evaluate, trace
from retrograd.native.machine import Machine

SIZES = (0, 1, 2, 3, 5, 8, 16, 17, 33)
LARGE = (1, 3, 40, 64, 130, 257)
MOST = 100_000  # elements


def arrays(draw):
    """Return a few random arrays of at most three dimensions, whose sizes meet each other."""
    sizes = draw.choice(LARGE if draw.integers(4) == 0 else SIZES, 4)
    kind = draw.choice([np.float32, np.float64])
    found = []
    for _ in range(draw.integers(1, 4)):
        shape = tuple(int(n) for n in draw.choice(sizes, draw.integers(0, 4)))
        if np.prod(shape) > MOST:
            shape = shape[:2]
        values = draw.standard_normal(shape)
        match draw.integers(6):
            case 0:
                found.append(np.asarray(values * 5).astype(np.int64))
            case 1:
                found.append(np.asarray(values > 0))
            case 2:
                found.append(np.asarray(values).astype(np.float32))
            case _:
                found.append(np.asarray(values).astype(kind))
    return found


def fits(x, y):
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        return False
    return True


def as_number(x):
    return x * 1.0 if x.dtype.kind in "biu" else x


def reduce(draw, x):
    axes = tuple(sorted({int(a) for a in draw.integers(0, x.ndim, draw.integers(1, x.ndim + 1))}))
    function = [np.sum, np.max, np.min][draw.integers(3)]
    if function is not np.sum and any(x.shape[a] == 0 for a in axes):
        function = np.sum
    return function(x, axis=axes, keepdims=bool(draw.integers(2)))


def take(draw, x):
    def part(n):
        match draw.integers(4):
            case 0:
                return slice(None, None, -1)
            case 1:
                return slice(min(1, n), n, 2)
            case _:
                return slice(None)

    return x[tuple(part(n) for n in x.shape)]


def reshaped(draw, x):
    shape = list(x.shape)
    if len(shape) > 1 and draw.integers(2):
        at = int(draw.integers(len(shape) - 1))
        shape[at : at + 2] = [shape[at] * shape[at + 1]]
        return np.reshape(x, tuple(shape))
    return np.reshape(x, (*shape, 1)) if draw.integers(2) else np.reshape(x, (1, *shape))


def written(draw, x):
    made = as_number(x) * 2
    if x.shape[-1] and draw.integers(2):
        made[..., 0] = made[..., -1] * 3
    elif x.ndim > 1 and x.shape[0]:
        made[0] = 1.5
        made[:, 1::2] = made[:, : made.shape[1] // 2] if draw.integers(2) else -2
    return made


def call(draw, values):
    """Return the result of one random call on some of the values."""
    x = values[draw.integers(len(values))]
    others = [v for v in values if fits(x, v)]
    y = others[draw.integers(len(others))]
    match int(draw.integers(20)):
        case 0:
            return as_number(x) + y
        case 1:
            return as_number(x) - y
        case 2:
            return as_number(x) * y
        case 3:
            return np.maximum(as_number(x), y)
        case 4:
            return np.tanh(as_number(x))
        case 5:
            return np.exp(-np.absolute(as_number(x)))
        case 6 | 7 if x.ndim:
            return reduce(draw, as_number(x))
        case 8:
            return np.transpose(x, tuple(int(i) for i in draw.permutation(x.ndim)))
        case 9 if x.ndim:
            return take(draw, x)
        case 10:
            return reshaped(draw, x)
        case 11:
            return np.where(as_number(x) > 0.3, as_number(x), as_number(y) * 0.5)
        case 12 if x.ndim == 2:
            right = [v for v in values if v.ndim == 2 and v.shape[0] == x.shape[1]]
            return as_number(x) @ as_number(right[0]) if right else as_number(x) + 1
        case 13:
            return np.sum(as_number(x))
        case 14 if x.ndim:
            return written(draw, x)
        case 15 if x.ndim and x.shape[-1]:
            x = as_number(x)
            return x - np.max(x, axis=-1, keepdims=True)
        case 16 if x.ndim:
            same = [v for v in values if v.shape[1:] == x.shape[1:] and v.ndim == x.ndim]
            return np.concatenate((x, as_number(same[draw.integers(len(same))]), x[:1]))
        case 17 if x.ndim and x.size:
            return np.roll(x, int(draw.integers(-3, 4)), int(draw.integers(x.ndim)))
        case 18 if x.ndim and x.size:
            return (np.argmax if draw.integers(2) else np.argmin)(x, axis=int(draw.integers(x.ndim)))
        case 19 if x.ndim == 2:
            return (np.tril if draw.integers(2) else np.triu)(as_number(x), k=int(draw.integers(-2, 3)))
        case _:
            return as_number(x) * 1.5 + 0.25


def random_function(seed):
    """Return a function of arrays, the same program at every call, and where its outputs may be written."""
    updates = {}

    def function(*given):
        draw = np.random.default_rng(seed)
        values = list(given)
        for _ in range(draw.integers(3, 14)):
            made = call(draw, values)
            if made.size <= 2 * MOST:
                values.append(made)
        made = values[len(given) :] or values
        outputs = [made[-1], *(made[i] for i in draw.integers(0, len(made), draw.integers(1, 4)))]
        for at, output in enumerate(outputs):
            for target, array in enumerate(given):
                alike = (array.shape, array.dtype) == (output.shape, output.dtype)
                if alike and target not in updates.values() and draw.integers(3) == 0:
                    updates[at] = target
                    break
        return tuple(outputs)

    return function, updates


def close(found, wanted, single):
    """Compare: sums are joined in another order, and what follows from them may cancel."""
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    finite = np.isfinite(wanted) if wanted.dtype.kind == "f" else np.ones(wanted.shape, bool)
    largest = np.max(np.absolute(wanted.astype(float)), initial=1.0, where=finite)
    bound = 1e-3 if single else 1e-9
    np.testing.assert_allclose(found, wanted, rtol=bound, atol=bound * largest)


def compare(function, given, updates=None):
    """Build a function's program; what it gives must be what the evaluator gives. Return the machine."""
    program = trace(function, *given)
    updates = {} if updates is None else updates
    wanted = evaluate(program, *given)
    machine = Machine(program, updates, "test")
    own = [np.array(a) for a in given]
    found = machine(*own)
    single = any(v.dtype == np.float32 for v in [*program.inputs, *program.outputs])
    for at, (f, w) in enumerate(zip(found, wanted, strict=True)):
        close(f, w, single)
        if at in updates:
            assert f is own[updates[at]]
    for at, (mine, array) in enumerate(zip(own, given, strict=True)):
        if at not in updates.values():
            np.testing.assert_array_equal(mine, array)
    return machine
