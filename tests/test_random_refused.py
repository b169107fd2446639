"""Prove that a draw that torch refuses is refused with torch's type and text, and moves no generator."""

from __future__ import annotations

import random as python_random
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from random_draws import (
    BF16,
    BOOL,
    C64,
    F16,
    F32,
    F64,
    FLOATS,
    I8,
    I16,
    I32,
    I64,
    INF,
    INT64_MIN,
    NAN,
    U8,
    U16,
    U32,
    U64,
    Draw,
    bernoulli_,
    bernoulli_with,
    cauchy_,
    exponential_,
    geometric_,
    log_normal_,
    normal_,
    rand,
    randint,
    randn,
    random_,
    random_from,
    randperm,
    to_numpy,
    uniform_,
)

from retrograd import random as rr
from retrograd.random import Generator

pytestmark = pytest.mark.filterwarnings("ignore:.*Due to precision limitations:UserWarning")


def choose(probs: Any, samples: int = 1, replacement: bool = False, dtype: Any = np.float32) -> Draw:
    array = np.array(probs, dtype)
    return Draw(
        f"multinomial {probs} {samples} {replacement} {np.dtype(dtype)}",
        lambda g: rr.multinomial(g, array, samples, replacement),
        lambda torch, g: torch.multinomial(torch.from_numpy(array), samples, replacement, generator=g),
    )


def drop(p: float) -> Draw:
    return Draw(
        f"dropout {p}",
        lambda g: rr.dropout_mask(g, 3, F32, p),
        lambda torch, g: torch.dropout(torch.ones(3), p, True),
    )


RANGE = "random_ expects 'from' to be less than 'to', but got from={} >= to={}"
CAST = "random_ expects 'from' casted to dtype to be less than "
CONTINUOUS = (
    "{} distribution is a continuous probability distribution. "
    "dtype must be a floating point but you specified {}"
)
TOO_WIDE = (
    "uniform_ expects to-from <= std::numeric_limits<{}>::max(), but found to={} and from={} "
    "which result in to-from to exceed the limit"
)
NO_SUM = "invalid multinomial distribution (sum of probabilities <= 0)"
BAD_PROBS = "probability tensor contains either `inf`, `nan` or element < 0"
BAD_ENTRY = "invalid multinomial distribution (encountering probability entry {})"
FULL_RANGE = "random_full_64_bits_range_kernel_cpu handles only int64, double, float and bfloat16"
P_ASSERTION = (
    "Expected p_in >= 0 && p_in <= 1 to be true, but got false.  (Could this error message be improved?  "
    "If so, please report an enhancement request to PyTorch.)"
)
REFUSED: list[tuple[Draw, type[Exception], str]] = [
    (rand(F32, (2, -1)), RuntimeError, "Trying to create tensor with negative dimension -1: [2, -1]"),
    (rand(I64, 3), NotImplementedError, "\"check_uniform_bounds\" not implemented for 'Long'"),
    (rand(BOOL, 3), NotImplementedError, "\"check_uniform_bounds\" not implemented for 'Bool'"),
    (uniform_(F32, 3, 2, 1), RuntimeError,
     "uniform_ expects to return a [from, to) range, but found from=2 > to=1"),
    (uniform_(F32, 3, -3e38, 3e38), RuntimeError, TOO_WIDE.format("Float", "3e+38", "-3e+38")),
    (uniform_(F16, 3, -60000, 60000), RuntimeError, TOO_WIDE.format("Half", "60000", "-60000")),
    (uniform_(F32, 3, 0, 1e39), RuntimeError, "to is out of bounds for float"),
    (uniform_(F32, 3, NAN, 1), RuntimeError, "from is out of bounds for float"),
    (uniform_(F64, 3, -INF, 1), RuntimeError, "from is out of bounds for double"),
    (uniform_(F16, 3, 0, 1e5), RuntimeError, "to is out of bounds for c10::Half"),
    (uniform_(BF16, 3, 0, INF), RuntimeError, "to is out of bounds for c10::BFloat16"),
    (randn(I64, 3), NotImplementedError, "\"normal_kernel_cpu\" not implemented for 'Long'"),
    (normal_(F32, 3, 0, -1.5), RuntimeError, "normal expects std >= 0.0, but found std -1.5"),
    (normal_(F32, 0, 0, NAN), RuntimeError, "normal expects std >= 0.0, but found std nan"),
    (log_normal_(F32, 3, 0, 0), RuntimeError, "log_normal_ expects std > 0.0, but found std=0"),
    (log_normal_(I64, 3, 0, 1), NotImplementedError, "\"log_normal_cpu\" not implemented for 'Long'"),
    (exponential_(F32, 3, 0), RuntimeError, "exponential_ expects lambda > 0.0, but found lambda=0"),
    (exponential_(F32, 3, NAN), RuntimeError, "exponential_ expects lambda > 0.0, but found lambda=nan"),
    (exponential_(I64, 3, 1), RuntimeError, CONTINUOUS.format("Exponential", "Long")),
    (exponential_(C64, 3, 1), RuntimeError, CONTINUOUS.format("Exponential", "ComplexFloat")),
    (cauchy_(F32, 3, 0, -2), RuntimeError, "cauchy_ expects sigma > 0.0, but found sigma=-2"),
    (cauchy_(I64, 3, 0, 1), RuntimeError, CONTINUOUS.format("Cauchy", "long int")),
    (cauchy_(C64, 3, 0, 1), RuntimeError, CONTINUOUS.format("Cauchy", "c10::complex<float>")),
    (geometric_(F32, 3, 0), RuntimeError, "geometric_ expects p to be in (0, 1), but got p=0"),
    (geometric_(F32, 3, 1), RuntimeError, "geometric_ expects p to be in (0, 1), but got p=1"),
    (geometric_(BOOL, 3, 0.5), NotImplementedError, "\"geometric_cpu\" not implemented for 'Bool'"),
    (bernoulli_(F32, 3, 1.5), RuntimeError, "bernoulli_ expects p to be in [0, 1], but got p=1.5"),
    (bernoulli_(F32, 3, NAN), RuntimeError, "bernoulli_ expects p to be in [0, 1], but got p=nan"),
    (bernoulli_(C64, 3, 0.5), NotImplementedError,
     "\"bernoulli_scalar_cpu_\" not implemented for 'ComplexFloat'"),
    (bernoulli_with([1.5, 0.0]), RuntimeError, P_ASSERTION),
    (bernoulli_with([NAN, 0.0]), RuntimeError, P_ASSERTION),
    (bernoulli_with([1, 0]), NotImplementedError, "\"bernoulli_tensor_cpu_p_\" not implemented for 'Long'"),
    (bernoulli_with([0.5], U16), NotImplementedError,
     "\"bernoulli_tensor_cpu_self_\" not implemented for 'UInt16'"),
    (drop(1.5), RuntimeError, "dropout probability has to be between 0 and 1, but got 1.5"),
    (drop(NAN), RuntimeError, "dropout probability has to be between 0 and 1, but got nan"),
    (randint(I64, 3, 5, 5), RuntimeError, RANGE.format(5, 5)),
    (randint(I64, 0, 0, -3), RuntimeError, RANGE.format(0, -3)),
    (randint(U8, 3, 0, 257), RuntimeError, "to - 1 is out of bounds for unsigned char"),
    (randint(U8, 3, -5, 3), RuntimeError, "from is out of bounds for unsigned char"),
    (randint(I8, 3, -129, 300), RuntimeError, "from is out of bounds for signed char"),
    (randint(I16, 3, 0, 2**40), RuntimeError, "to - 1 is out of bounds for short int"),
    (randint(I32, 3, 0, 2**31 + 1), RuntimeError, "to - 1 is out of bounds for int"),
    (randint(U16, 3, 0, 2**16 + 1), RuntimeError, "to - 1 is out of bounds for short unsigned int"),
    (randint(U32, 3, -1, 2), RuntimeError, "from is out of bounds for unsigned int"),
    (randint(U64, 3, -1, 2), RuntimeError, "from is out of bounds for long unsigned int"),
    (randint(BOOL, 3, 0, 3), RuntimeError, "to - 1 is out of bounds for bool"),
    (randint(F16, 3, 0, 70000), RuntimeError, "to - 1 is out of bounds for c10::Half"),
    (randint(C64, 3, 0, 3), RuntimeError,
     "check_random_bounds handles only integral, floating-point and boolean types"),
    (randint(I64, 3, 0, 2**63), ValueError, "Overflow when unpacking long long"),
    (randint(BF16, 3, 1753758678, 1753758682), RuntimeError,
     CAST + "'to' casted to dtype, but got from=1761607680 >= to=1753758682"),
    (random_(C64, 3), NotImplementedError, "\"random_kernel_cpu\" not implemented for 'ComplexFloat'"),
    (random_(U16, 3), NotImplementedError, "\"random_kernel_cpu\" not implemented for 'UInt16'"),
    (random_from(U8, 3, 300), RuntimeError, "from is out of bounds for unsigned char"),
    (random_from(U64, 3, 0), RuntimeError, "to - 1 is out of bounds for long unsigned int"),
    (random_from(BF16, 3, 1048579), RuntimeError,
     CAST + "or equal to 'to_inc' casted to dtype, but got from=1056768 > to_inc=256"),
    (random_from(U8, 3, INT64_MIN), RuntimeError, FULL_RANGE),
    (random_from(I32, 3, INT64_MIN), RuntimeError, FULL_RANGE),
    (random_from(F16, 3, INT64_MIN), NotImplementedError,
     "\"random_full_64_bits_range_kernel_cpu\" not implemented for 'Half'"),
    (random_from(C64, 3, 0), RuntimeError,
     "random_from_to_impl handles only integral, floating-point and boolean types"),
    (random_from(I32, 3, 2**63), ValueError, "Overflow when unpacking long long"),
    (randperm(-1, I64), RuntimeError, "Trying to create tensor with negative dimension -1: [-1]"),
    (randperm(257, U8), RuntimeError, "value cannot be converted to type uint8_t without overflow"),
    (randperm(2**15 + 1, I16), RuntimeError, "value cannot be converted to type int16_t without overflow"),
    (randperm(2050, F16), RuntimeError, "n cannot be greater than 2049 for Half type."),
    (randperm(2**24 + 2, F32), RuntimeError, "n cannot be greater than 2^24+1 for Float type."),
    (randperm(3, BOOL), NotImplementedError, "\"randperm\" not implemented for 'Bool'"),
    (choose(1.0), RuntimeError, "prob_dist must be 1 or 2 dim"),
    (choose([[[1.0]]], 0), RuntimeError, "prob_dist must be 1 or 2 dim"),
    (choose([1, 1], 0, dtype=np.int64), RuntimeError,
     "multinomial only supports floating-point dtypes for input, got: Long"),
    (choose([1, 1, 1], 0), RuntimeError, "cannot sample n_sample <= 0 samples"),
    (choose([1, 1, 1], 4), RuntimeError,
     "cannot sample n_sample > prob_dist.size(-1) samples without replacement"),
    (choose(np.ones(2**24 + 1), 2, True), RuntimeError, "number of categories cannot exceed 2^24"),
    (choose([], 1, True), RuntimeError,
     "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity."),
    (choose([0, 0]), RuntimeError, NO_SUM), (choose([[1, 1], [0, 0]], 2), RuntimeError, NO_SUM),
    (choose([[1, 1], [0, 0]], 3, True), RuntimeError, NO_SUM),
    (choose([[], []], 2, True), RuntimeError, NO_SUM),
    (choose([-1, 2]), RuntimeError, BAD_PROBS), (choose([INF, 2], 2), RuntimeError, BAD_PROBS),
    (choose([NAN, 2], 1, True), RuntimeError, BAD_PROBS),
    (choose([1, -2, INF], 2, True), RuntimeError, BAD_ENTRY.format("< 0")),
    (choose([1, NAN, INF], 2, True), RuntimeError, BAD_ENTRY.format("< 0")),
    (choose([1, INF, -2], 2, True), RuntimeError, BAD_ENTRY.format("= infinity or NaN")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("draw", "error", "text"), REFUSED, ids=lambda value: getattr(value, "name", "")[:60]
)
def test_a_refused_draw_says_why_and_moves_nothing(draw: Draw, error: Any, text: str) -> None:
    generator = Generator().manual_seed(1)
    before = generator.get_state()
    with pytest.raises(error) as caught:
        draw.ours(generator)
    assert str(caught.value) == text
    np.testing.assert_array_equal(generator.get_state(), before)


@pytest.mark.parametrize(
    ("draw", "error", "text"), REFUSED, ids=lambda value: getattr(value, "name", "")[:60]
)
def test_torch_refuses_it_in_the_same_words(draw: Draw, error: Any, text: str, torch_or_skip: Any) -> None:
    with pytest.raises(error) as caught:
        draw.theirs(torch_or_skip, torch_or_skip.Generator())
    assert str(caught.value) == text


def test_a_p_that_does_not_fit_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"bernoulli: p must broadcast to \(2,\); got p \(3,\)"):
        rr.bernoulli(Generator(), 2, F32, np.full(3, 0.5))


def test_an_integer_range_with_gaps_warns() -> None:
    text = (
        "{} is out of bounds [-(2^{}), 2^{}]. Due to precision limitations {} can support discrete uniform "
        "distribution only within this range. This warning will become an error in version 1.7 release, "
        "please fix the code in advance"
    )
    with pytest.warns(UserWarning, match=re.escape(text.format("to - 1", 11, 11, "c10::Half"))):
        rr.randint(Generator(), 3, F16, 0, 3000)
    with pytest.warns(UserWarning, match=re.escape(text.format("from", 24, 24, "float"))):
        rr.random(Generator(), 3, F32, -(2**30))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_bounds_beyond_the_precision_are_rounded_as_torch_rounds_them(dtype: Any, torch_or_skip: Any) -> None:
    def outcome(draw_it: Callable[..., Any], *args: Any) -> list[float] | str:
        try:
            drawn = draw_it(*args)
        except (RuntimeError, ValueError) as error:
            return str(error)
        return (drawn if isinstance(drawn, np.ndarray) else to_numpy(drawn)).astype(np.float64).tolist()

    rng = python_random.Random(5)
    outcomes = set()
    width = 15 if dtype is F16 else 62
    for _ in range(60):
        low = rng.randint(-(2 ** rng.randint(1, width)), 2 ** rng.randint(1, width))
        draw = randint(dtype, 40, low, low + rng.randint(1, 2 ** rng.randint(1, width)))
        ours = outcome(draw.ours, Generator().manual_seed(1))
        assert ours == outcome(draw.theirs, torch_or_skip, torch_or_skip.Generator().manual_seed(1)), (
            draw.name
        )
        outcomes.add(type(ours))
    assert outcomes == {list, str}
