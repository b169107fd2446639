"""What each pass makes of small programs, to the letter, and that a fault in one is seen."""

from __future__ import annotations

import numpy as np
import pytest
from native.programs import compare

from retrograd.arrays import evaluate, trace
from retrograd.native import passes
from retrograd.native.passes.canonical import canonical
from retrograd.native.passes.common import common
from retrograd.native.passes.outputs import outputs
from retrograd.native.passes.simplify import simplify

X = np.arange(6.0, dtype=np.float32).reshape(2, 3)


def lines(program):
    """Return a program's instructions and result as text."""
    return [line.strip() for line in str(program).splitlines()[1:]]


CASES = [
    (
        canonical,
        lambda x: (np.swapaxes(x, 0, 1),),
        ["%1: f32[3,2] = transpose(%0, axes=(1, 0))", "return (%1,)"],
    ),
    (
        canonical,
        lambda x: (np.sum(x, axis=-1, keepdims=True),),
        ["%1: f32[2] = sum(%0, axis=(1,))", "%2: f32[2,1] = reshape(%1, shape=(2, 1))", "return (%2,)"],
    ),
    (
        canonical,
        lambda x: (np.expand_dims(np.real(np.conjugate(x)), 0),),
        ["%1: f32[1,2,3] = reshape(%0, shape=(1, 2, 3))", "return (%1,)"],
    ),
    (
        canonical,
        lambda x: (x @ np.ones(3, np.float32),),
        [
            "%1: f32[3] = constant [1.0, 1.0, 1.0]",
            "%2: f32[3,1] = reshape(%1, shape=(3, 1))",
            "%3: f32[2,1] = matmul(%0, %2)",
            "%4: f32[2] = reshape(%3, shape=(2,))",
            "return (%4,)",
        ],
    ),
    (
        canonical,
        lambda x: (x + np.ones((10, 2, 3), np.float32),),
        [
            "%1: f32[] = constant 1.0",
            "%2: f32[10,2,3] = broadcast_to(%1, shape=(10, 2, 3))",
            "%3: f32[10,2,3] = add(%0, %2)",
            "return (%3,)",
        ],
    ),
    (
        canonical,
        lambda x: (np.sum(np.reshape(x, (1, 2, 3)), axis=(0, 1)),),
        [
            "%1: f32[1,2,3] = reshape(%0, shape=(1, 2, 3))",
            "%2: f32[1,3] = sum(%1, axis=(1,))",
            "%3: f32[3] = reshape(%2, shape=(3,))",
            "return (%3,)",
        ],
    ),
    (simplify, lambda x: (x * 1,), ["return (%0,)"]),
    (simplify, lambda x: (x / 8,), ["%1: f32[2,3] = multiply(%0, 0.125)", "return (%1,)"]),
    (simplify, lambda x: (x / 10,), ["%1: f32[2,3] = divide(%0, 10)", "return (%1,)"]),
    (simplify, lambda x: (x + 0,), ["%1: f32[2,3] = add(%0, 0)", "return (%1,)"]),
    (simplify, lambda x: (np.negative(-x) - 0.0,), ["return (%0,)"]),
    (simplify, lambda x: (x**2,), ["%1: f32[2,3] = multiply(%0, %0)", "return (%1,)"]),
    (
        simplify,
        lambda x: (np.transpose(np.transpose(x, (1, 0)), (1, 0)),),
        ["return (%0,)"],
    ),
    (
        common,
        lambda x: (np.exp(x) + np.exp(x) * 2.0, np.exp(x) * 2.0, np.exp(x) * 2),
        [
            "%1: f32[2,3] = exp(%0)",
            "%2: f32[2,3] = multiply(%1, 2.0)",
            "%3: f32[2,3] = add(%1, %2)",
            "%4: f32[2,3] = multiply(%1, 2)",
            "return (%3, %2, %4)",
        ],
    ),
    (
        outputs,
        lambda x: ((y := x + 1), y, x, y[0]),
        [
            "%1: f32[2,3] = add(%0, 1)",
            "%2: f32[3] = getitem(%1, 0)",
            "%3: f32[2,3] = copy(%1)",
            "%4: f32[2,3] = copy(%0)",
            "%5: f32[3] = copy(%2)",
            "return (%1, %3, %4, %5)",
        ],
    ),
]


@pytest.mark.parametrize(("run", "function", "wanted"), CASES)
def test_what_a_pass_makes(run, function, wanted):
    program = trace(function, X)
    made = run(program)
    assert lines(made) == wanted
    for found, expected in zip(evaluate(made, X), evaluate(program, X), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_sign_of_zero_and_what_is_no_number_survive():
    x = np.array([-0.0, 0.0, np.nan, np.inf, -np.inf])
    for function in (lambda x: (x + 0,), lambda x: (x - 0,), lambda x: (x * 0,), lambda x: (x - x, x / x)):
        program = trace(function, x)
        after = passes.prepare(program)
        for found, wanted in zip(evaluate(after, x), evaluate(program, x), strict=True):
            np.testing.assert_array_equal(found, wanted)
            np.testing.assert_array_equal(np.signbit(found), np.signbit(wanted))


def test_a_fault_in_a_pass_is_seen(monkeypatch):
    def wrong(program):
        return canonical(trace(lambda x: (x * 2,), X))

    monkeypatch.setattr(passes, "PASSES", (wrong,))
    with pytest.raises(AssertionError):
        compare(lambda x: (x * 3,), [X])
