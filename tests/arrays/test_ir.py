"""Array programs: their text, what verification finds, and what tidying leaves."""

from __future__ import annotations

import numpy as np
import pytest

from retrograd import dtypes
from retrograd.arrays import Instruction, Program, ProgramError, Value, evaluate, tidy, trace, verify
from retrograd.arrays.ir import short

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
X, Y, Z = Value(0, (4, 5), F32), Value(1, (5,), F32), Value(2, (4, 5), F32)
MULTIPLY = Instruction("multiply", (X, Y), (), (Z,))


def program(*instructions, inputs=(X, Y), constants=(), outputs=Z):
    return Program(inputs, constants, instructions, outputs)


def test_text_of_a_program():
    constant = np.array([1.5, 2.5], np.float32)

    def f(x, y, pair):
        top = np.where(x > 0, x * y, 0.5)
        rows = np.sum(top, axis=1, keepdims=True)
        return (
            np.concatenate((rows, rows + 1), 1),
            (pair[0] + constant)[::-1],
            x._cast(np.float64)[None, 1:, ..., 2],
        )

    x, y, pair = np.ones((4, 5), np.float32), np.ones(5, np.float32), [np.ones(2, np.float32), 3]
    made = trace(f, x, y, pair)
    verify(made)
    assert (
        str(made)
        == """\
program(%0: f32[4,5], %1: f32[5], %2: f32[2]):
    %3: f32[2] = constant [1.5, 2.5]
    %4: bool[4,5] = greater(%0, 0)
    %5: f32[4,5] = multiply(%0, %1)
    %6: f32[4,5] = where(%4, %5, 0.5)
    %7: f32[4,1] = sum(%6, axis=1, keepdims=True)
    %8: f32[4,1] = add(%7, 1)
    %9: f32[4,2] = concatenate((%7, %8), axis=1)
    %10: f32[2] = add(%2, %3)
    %11: f32[2] = getitem(%10, ::-1)
    %12: f64[4,5] = cast(%0, dtype=f64)
    %13: f64[1,3] = getitem(%12, (None, 1:, ..., 2))
    return (%9, %11, %13)"""
    )


@pytest.mark.parametrize(
    ("dtype", "name"),
    [(d.np, n) for d, n in zip(
        (dtypes.float32, dtypes.float16, dtypes.bfloat16, dtypes.complex64, dtypes.uint8, dtypes.bool_),
        ("f32", "f16", "bf16", "c64", "u8", "bool"), strict=True,
    )],
)  # fmt: skip
def test_short_names_of_dtypes(dtype, name):
    assert short(dtype) == name


def test_a_good_program_passes():
    verify(program(MULTIPLY))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (program(outputs=Z), r"%2: f32\[4,5\] is used before it is defined in: return %2"),
        (program(MULTIPLY, MULTIPLY), r"%2 is defined twice, the second time in: %2: f32\[4,5\] = multiply"),
        (program(MULTIPLY, inputs=(X, X)), "%0 is defined twice, the second time in: the inputs"),
        (program(MULTIPLY, inputs=(X,)), "%1: f32.5. is used before it is defined in: %2"),
        (
            program(Instruction("multiply", (X, Y), (), (Value(2, (4, 6), F32),)), outputs=X),
            r"the call gives f32\[4,5\], the line says otherwise: %2: f32\[4,6\]",
        ),
        (
            program(Instruction("multiply", (X, Y), (), (Value(2, (4, 5), F64),)), outputs=X),
            r"the call gives f32\[4,5\], the line says otherwise: %2: f64\[4,5\]",
        ),
        (
            program(MULTIPLY, Instruction("negative", (Value(2, (4,), F32),), (), (Value(3, (4,), F32),))),
            r"%2: f32\[4\] is used with another type than it is defined with in: %3",
        ),
        (
            program(MULTIPLY, inputs=(X,), constants=((Y, np.ones(6, np.float32)),)),
            r"a constant of shape \(6,\) and dtype float32 in: %1: f32\[5\] = constant",
        ),
    ],
)  # fmt: skip
def test_verification_names_the_line(bad, message):
    with pytest.raises(ProgramError, match=message):
        verify(bad)


def test_an_unknown_function_is_refused():
    with pytest.raises(LookupError, match="no function frobnicate"):
        verify(program(Instruction("frobnicate", (X,), (), (Z,))))


def test_tidying_drops_what_no_output_needs_and_numbers_anew():
    unused = Instruction("negative", (X,), (), (Value(7, (4, 5), F32),))
    constant = (Value(9, (2,), F32), np.ones(2, np.float32))
    last = Instruction("exp", (Z,), (), (Value(12, (4, 5), F32),))
    made = tidy(program(MULTIPLY, unused, last, constants=(constant,), outputs=Value(12, (4, 5), F32)))
    verify(made)
    assert [i.name for i in made.instructions] == ["multiply", "exp"]
    assert made.constants == ()
    assert made.outputs.id == 3
    assert len(made.inputs) == 2


def test_evaluation_checks_what_it_is_given_and_what_it_gets():
    good = program(MULTIPLY)
    with pytest.raises(TypeError, match="takes 2 arrays; got 1"):
        evaluate(good, np.ones((4, 5), np.float32))
    with pytest.raises(TypeError, match=r"%1 must be f32\[5\]; got f64\[5\] from an input"):
        evaluate(good, np.ones((4, 5), np.float32), np.ones(5))
    wrong = program(
        Instruction("multiply", (X, Y), (), (Value(2, (5, 4), F32),)), outputs=Value(2, (5, 4), F32)
    )
    with pytest.raises(ProgramError, match=r"%2 must be f32\[5,4\]; got f32\[4,5\] from %2"):
        evaluate(wrong, np.ones((4, 5), np.float32), np.ones(5, np.float32))
