"""The result for a number does not depend on the lanes around it, nor on how many there are."""

from __future__ import annotations

import re

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from hypothesis import given, settings
from hypothesis import strategies as st
from llvmlite import ir
from native.lanes_harness import KINDS, ArrayFunction, array_function, assembly_for
from native.maths_reference import BINARY, LIMITS, ROUNDED_RIGHT_BINARY, UNARY, samples, special_values, ulps
from spread import diagonals

from retrograd.native.maths import FUNCTIONS

ALL = {name: 2 if name in {*BINARY, *ROUNDED_RIGHT_BINARY} else 1 for name in FUNCTIONS}

REMAINDERS = {"fmod", "remainder", "floor_divide"}


def numbers(bits):
    return np.concatenate([special_values(bits), samples(bits, 3_000, np.random.default_rng(0))])


def arguments(name, bits):
    x = numbers(bits)
    return (x, np.random.default_rng(1).permutation(x)) if ALL[name] == 2 else (x,)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("name", ALL)
def test_every_width_gives_the_same_bits(name, bits):
    given = arguments(name, bits)
    want = array_function(name, bits, 512 // bits, ALL[name])(*given)
    for lanes in (1, 2, 256 // bits, 1024 // bits):
        got = array_function(name, bits, lanes, ALL[name])(*given)
        np.testing.assert_array_equal(got, want, err_msg=f"{lanes} lanes")


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("name", ALL)
def test_any_processor_gives_nearly_the_same(name, bits):
    """Without AVX-512 other instructions divide and look up; each way is as accurate as promised."""
    given = arguments(name, bits)
    want = array_function(name, bits, 512 // bits, ALL[name])(*given)
    got = array_function(name, bits, 256 // bits, ALL[name], plain=True)(*given)
    with np.errstate(all="ignore"):
        apart = ulps(got, want.astype(np.longdouble))
    assert apart.max() <= LIMITS[bits], given[0][np.argmax(apart)]


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize(
    ("name", "processor"),
    diagonals(
        list(ALL), [("x86_64-linux-gnu", "haswell", 256), ("aarch64-linux-gnu", "neoverse-n1", 128)], 2
    ),
)
def test_code_for_other_processors_stays_in_vectors(name, processor, bits):
    """It calls nothing that goes through the lanes one by one, the rare cases' own functions excepted."""
    triple, cpu, width = processor
    code = assembly_for(triple, cpu, name, bits, width // bits, ALL[name])
    called = set(re.findall(r"(?m)^\t(?:callq|movabsq|bl)\t\$?([A-Za-z][\w.]*)", code))
    ours = {symbol for symbol in called if symbol.startswith("retrograd.")}
    assert called - ours <= ({"fmod", "fmodf"} if name in REMAINDERS else set()), called
    assert "zmm" not in code


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_neighbours_do_not_matter(name, bits):
    """Numbers that take a branch of their own among numbers that do not."""
    given = arguments(name, bits)
    function = array_function(name, bits, 512 // bits, ALL[name])
    alone = np.concatenate([function(*(np.repeat(x[k], 16) for x in given))[:1] for k in range(200)])
    np.testing.assert_array_equal(function(*given)[:200], alone)


FREE = sorted(set(ALL) - {"isnan", "isinf", "isfinite", "signbit"})


@st.composite
def programs(draw):
    """Return straight-line programs: for each instruction a function and the values it takes."""
    steps = []
    for known in range(2, draw(st.integers(3, 8))):
        name = draw(st.sampled_from(FREE))
        steps.append((name, [draw(st.integers(0, known - 1)) for _ in range(ALL[name])]))
    return steps


def emitter(steps):
    def emit(builder, *values):
        known = list(values)
        for name, places in steps:
            known.append(FUNCTIONS[name](builder, *(known[place] for place in places)))
        return known[-1]

    return emit


@settings(max_examples=15, deadline=None)
@given(programs(), st.sampled_from([32, 64]), st.sampled_from([128, 256, 512]))
def test_programs_are_their_functions_one_after_the_other(steps, bits, width):
    """What LLVM makes of several functions together is what each of them computes alone."""
    x = numbers(bits)[:1000]
    known = [x, np.random.default_rng(2).permutation(x)]
    function = ArrayFunction(emitter(steps), bits, width // bits, 2)
    got = function(*known)
    for name, places in steps:
        known.append(array_function(name, bits, width // bits, ALL[name])(*(known[p] for p in places)))
    np.testing.assert_array_equal(got, known[-1])


@pytest.mark.parametrize("lanes", [3, 24, 40])
def test_widths_that_no_register_has(lanes):
    """Memory has vectors of powers of two: the lanes are taken from one, and put into one."""

    def emit(builder, x):
        def ordered(count, width):
            places = [min(place, count - 1) for place in range(width)]
            return ir.Constant(ir.VectorType(ir.IntType(32), width), places)

        some = builder.shuffle_vector(x, x, ordered(64, lanes))
        made = FUNCTIONS["log"](builder, FUNCTIONS["tanh"](builder, some))
        return builder.shuffle_vector(made, made, ordered(lanes, 64))

    x = np.linspace(0.1, 5, 64, dtype=np.float32)
    got = ArrayFunction(emit, 32, 64, 1)(x)[:lanes]
    want = array_function("log", 32, 16)(array_function("tanh", 32, 16)(x))[:lanes]
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("bits", [32, 64])
def test_a_function_is_emitted_once_per_type_and_module(bits):
    module = ir.Module("twice")
    vector = ir.VectorType(KINDS[bits], 4)
    function = ir.Function(module, ir.FunctionType(vector, [vector]), "f")
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(FUNCTIONS["exp"](builder, FUNCTIONS["exp"](builder, function.args[0])))
    defined = [f.name for f in module.functions if not f.is_declaration]
    assert defined == ["f", f"retrograd.exp.v4f{bits}"]
