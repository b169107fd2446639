"""Traced arrays record what NumPy would compute: calls, indexing, writes; what they cannot, they refuse."""

from __future__ import annotations

import operator

import numpy as np
import pytest

from retrograd.arrays import ValueDependentError, evaluate, trace, verify
from retrograd.ops import declare
from retrograd.tensor import wrap


def replays(function, *arrays):
    """Trace a function, check the program, and compare what it gives with what the function gives."""
    wanted = function(*[np.array(a) for a in arrays])
    program = trace(function, *arrays)
    verify(program)
    found = evaluate(program, *arrays)
    several = isinstance(wanted, tuple)
    for w, g in zip(wanted if several else (wanted,), found if several else (found,), strict=True):
        np.testing.assert_array_equal(g, w, strict=True)
    return program


def grid(*shape):
    return np.arange(1.0, 1.0 + np.prod(shape)).reshape(shape)


BINARY = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.pow,
    operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge,
]  # fmt: skip


@pytest.mark.parametrize("op", BINARY)
def test_operators(op):
    x, y = grid(2, 3), grid(3)
    replays(op, x, y)
    replays(lambda x: op(x, 2.5), x)
    replays(lambda x: op(2.5, x), x)
    replays(lambda x: op(y, x), x)


@pytest.mark.parametrize("op", [operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift])
def test_bit_operators(op):
    x, y = np.array([5, 6, 7]), np.array([1, 2, 3])
    replays(op, x, y)
    replays(lambda x: op(x, 2), x)
    replays(lambda x: op(9, x), x)


def test_unary_operators_divmod_and_matmul():
    replays(lambda x: (-x, +x, abs(x)), grid(2, 3))
    replays(lambda x: ~x, np.array([True, False]))
    replays(lambda x: divmod(x, 2), np.array([5, 6, 7]))
    for left, right in (
        ((2, 3), (3, 4)),
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 2)),
        ((5, 2, 3), (3, 4)),
        ((4, 1, 2, 3), (5, 3, 2)),
    ):
        replays(operator.matmul, grid(*left), grid(*right))


def test_python_numbers_take_the_dtype_of_the_array():
    for dtype in (np.float32, np.float16, np.int8, np.complex64):
        replays(lambda x: (x * 2, x + 1, 3 - x), np.ones(3, dtype))
    replays(lambda x: x * 2.5, np.ones(3, np.int8))
    replays(lambda x: x * np.float64(2.5), np.ones(3, np.float32))  # a NumPy number has a dtype of its own


def test_facts_are_known():
    def f(x):
        assert (x.shape, x.ndim, x.size, len(x), x.dtype) == ((2, 3), 2, 6, 2, np.float32)
        assert (np.shape(x), np.ndim(x), np.size(x), np.size(x, 1)) == ((2, 3), 2, 6, 3)
        assert not np.iscomplexobj(x)
        assert np.result_type(x, np.float64) == np.float64
        return sum(row[0] for row in x)

    replays(f, np.ones((2, 3), np.float32))


INDICES = [
    0, -1, slice(1, None), (0, 1), (slice(None), 2), (Ellipsis, 1), None, (None, 0), slice(None, None, -1),
    [1, 0], np.array([0, 1, 1]), (slice(None), np.array([2, 0])), (np.array([0, 1]), np.array([1, 2])),
    np.array([[True, False, True], [False, False, True]]), np.int64(1), (),
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_indexing_reads_and_writes(index):
    replays(lambda x: x[index], grid(2, 3))

    def write(x):
        x[index] = 7
        x[index] += 2.5
        return x

    replays(write, grid(2, 3))


def test_traced_indices():
    i = np.array([1, 0, 1])
    replays(lambda x, i: (x[i], x[:, i], x[i, i]), grid(2, 3), i)
    replays(lambda x, i: x[i[0]], grid(2, 3), i)

    def write(x, i, v):
        x[i] = v
        return x * 2

    replays(write, grid(2, 3), np.array([1, 0]), grid(2, 3) + 10)


def test_real_imag_cast_and_transposition():
    z = grid(2, 3) + 1j
    replays(lambda z: (z.real, z.imag, np.conjugate(z), z.real.T), z)
    replays(lambda x: (x.real, x.imag), grid(2))

    def casts(x):
        assert x._cast(np.float64) is x
        return x._cast(np.float32), x._cast("complex128"), x._cast(np.int32)

    program = trace(casts, grid(3))
    assert [v.dtype.name for v in program.outputs] == ["float32", "complex128", "int32"]


# ---- writes and views ----


def through_a_row(x):
    row = x[1]
    row += 1.5
    return x, row


def through_a_view_of_a_view(x):
    first = x.T
    second = first[1:]
    third = np.reshape(second[0], (2, 1))
    third[0] = -4.0
    second *= 2.0
    return x, first, second, third


def the_base_is_seen_by_its_views(x):
    row, column, flipped = x[0], x[:, 1], np.flip(x, 0)
    x[0, 1] = -9.0
    x *= 3.0
    return row, column, flipped, x


def a_value_taken_before_stays(x):
    before = x + 0
    copied = x[np.array([0, 1])]
    x[...] = 5.0
    return before, copied, x


def by_out(x):
    np.multiply(x, 2.0, out=x)
    np.copyto(x[0], x[1])
    return x


def a_reshape_that_cannot_be_a_view(x):
    flat = np.reshape(np.transpose(x), (6,))
    flat[0] = 100.0
    return x, flat


def a_write_to_a_broken_off_handle(x):
    y = x
    x = x + 1
    x[0] = 0.0
    return x, y


def overlapping(x):
    x[1:] = x[:-1]
    return x


def squeezed(x):
    y = np.squeeze(np.expand_dims(x, 1), 1)
    z = np.moveaxis(np.swapaxes(y, 0, 1), 0, 1)
    z[0, 0] = 42.0
    return x, y, z


@pytest.mark.parametrize(
    "function",
    [through_a_row, through_a_view_of_a_view, the_base_is_seen_by_its_views, a_value_taken_before_stays,
     by_out, a_reshape_that_cannot_be_a_view, a_write_to_a_broken_off_handle, overlapping, squeezed],
)  # fmt: skip
def test_writes_are_seen_as_in_numpy(function):
    x = grid(2, 3)
    kept = x.copy()
    replays(function, x)
    np.testing.assert_array_equal(x, kept)  # a program writes to nobody's memory


def test_one_array_given_twice_is_one_input():
    x = grid(3)

    def f(a, b):
        a[0] = 10.0
        return a + b

    program = trace(f, x, x)
    assert len(program.inputs) == 1
    np.testing.assert_array_equal(evaluate(program, x), [20.0, 4.0, 6.0])


def test_in_place_operators_keep_shape_and_dtype():
    def into(other):
        def f(x):
            x += other
            return x

        return f

    with pytest.raises(TypeError, match="same_kind"):
        trace(into(1.5), np.ones(3, np.int64))
    with pytest.raises(
        ValueError, match=r"shape \(3,\) doesn't match the broadcast shape \(2,3\)|doesn't match"
    ):
        trace(into(np.ones((2, 3))), np.ones(3))
    replays(into(1.5), np.ones(3, np.float32))


def test_a_broadcast_view_is_read_only():
    def f(x):
        y = np.broadcast_to(x, (2, 3))
        y[0] = 1.0
        return y

    with pytest.raises(ValueError, match="read-only"):
        trace(f, grid(3))


def test_a_long_chain_of_views_does_not_recurse():
    def f(x):
        y = x
        for _ in range(3000):
            y = y[...]
        y[0] = 5.0
        return x

    np.testing.assert_array_equal(evaluate(trace(f, grid(2)), grid(2)), [5.0, 2.0])


# ---- refusals ----


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (lambda x: x if x[0] > 0 else -x, "a truth value"),
        (lambda x: float(x[0]), r"float\(\)"),
        (lambda x: int(x[0]), r"int\(\)"),
        (lambda x: complex(x[0]), r"complex\(\)"),
        (lambda x: x[0].item(), r"item\(\)"),
        (lambda x: x.tolist(), r"tolist\(\)"),
        (lambda x: np.asarray(x + 0), "conversion to a NumPy array"),
        (lambda x: np.array([x, x]), "conversion to a NumPy array"),
        (lambda x: range(x[0]), "a Python index or size"),
        (lambda x: x[x > 1], "indexing with a mask"),
        (lambda x: x[: x[0]], "a slice"),
    ],
)  # fmt: skip
def test_what_depends_on_values_is_refused(function, what):
    with pytest.raises(
        ValueDependentError, match=f"value-dependent: .*{what}.* at .*test_traced.py:\\d+ in <lambda>"
    ):
        trace(function, grid(3))


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: np.fft.hfft(x + 0), "np.fft.hfft"),
        (lambda x: np.unwrap(x + 0), "np.unwrap"),
        (lambda x: np.add.reduce(x + 0), "np.add.reduce"),
        (lambda x: np.add(x, 1, where=[True, False, True]), "np.add with where="),
    ],
)  # fmt: skip
def test_what_no_op_answers_is_refused_by_name_and_place(function, name):
    with pytest.raises(TypeError, match=f"{name} cannot be traced.* at .*test_traced.py:\\d+ in <lambda>"):
        trace(function, grid(3))


def test_writing_a_traced_array_into_another_array_is_refused():
    def f(x):
        held = np.zeros(3)
        held[:] = x
        return held

    with pytest.raises(TypeError, match="conversion to a NumPy array"):
        trace(f, grid(3))
    with pytest.raises(TypeError, match="its write would be lost"):
        trace(lambda x: np.add(x, 1, out=np.zeros(3)), grid(3))


def test_traces_do_not_mix():
    kept = []
    trace(lambda x: kept.append(x) or x, grid(3))
    with pytest.raises(TypeError, match="another trace"):
        trace(lambda x: x + kept[0], grid(3))


def test_arrays_of_other_kinds_are_refused():
    tensor = wrap(grid(3))
    with pytest.raises(
        TypeError, match=r"a Tensor cannot be used together with a traced array, at .*test_traced.py"
    ):
        trace(lambda x: np.add(x, tensor), grid(3))


def test_an_array_that_the_function_brings_along_is_one_constant():
    held = grid(3)
    program = replays(lambda x: (x + held) * held, grid(3))
    assert len(program.constants) == 1
    both = trace(lambda x: x + held, held)  # given as an argument as well, it is the input
    assert both.constants == ()


def test_errors_are_numpys_own():
    with pytest.raises(
        ValueError, match=r"operands could not be broadcast together with shapes \(2,3\) \(2,\)"
    ):
        trace(operator.add, grid(2, 3), grid(2))
    with pytest.raises(ValueError, match="mismatch in its core dimension"):
        trace(operator.matmul, grid(2, 3), grid(2, 3))
    with pytest.raises(IndexError, match="index 5 is out of bounds"):
        trace(lambda x: x[5], grid(3))
    with pytest.raises(ValueError, match="cannot reshape array of size 6"):
        trace(lambda x: np.reshape(x, (4,)), grid(6))


# ---- types ----


def test_large_arrays_cost_nothing_to_trace():
    held = np.broadcast_to(np.float32(1), (1 << 18, 1 << 18))  # 256 GiB, were it real
    program = trace(lambda x: (x @ x.T + 1.0)[:2, :3], held)
    assert program.outputs.shape == (2, 3)


def test_keyword_and_positional_calls_give_one_instruction():
    x = grid(2, 3)
    wanted = str(trace(lambda x: np.sum(x, axis=1), x))
    assert str(trace(lambda x: np.sum(x, 1), x)) == wanted
    assert str(trace(lambda x: np.sum(a=x, axis=1, dtype=None), x)) == wanted


def test_primitive_ops_become_one_instruction_others_their_definition():
    plain = declare.TABLE["mul"]
    program = replays(plain, grid(2, 3), grid(3))
    assert [i.name for i in program.instructions] == ["multiply"]
    for op in declare.TABLE.values():
        if op.primitive and not op.outputs:
            sample = next(iter(op.samples()))
            arrays = [a for a in sample.args if isinstance(a, np.ndarray)]
            rest = [a for a in sample.args if not isinstance(a, np.ndarray)]
            if all(isinstance(a, np.ndarray) for a in sample.args[: len(arrays)]) and not sample.kwargs:
                program = replays(lambda *xs, op=op, rest=rest: op(*xs, *rest), *arrays)
                assert [i.name for i in program.instructions] == [f"ops.{op.name}"]
                return
    raise AssertionError("no primitive op was found")
