"""Prove that a generator starts, saves, copies and refuses as torch's does."""

from __future__ import annotations

import copy
import pickle
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from retrograd import dtypes
from retrograd import random as rr
from retrograd.random import Generator

F32, F64, I32 = dtypes.float32, dtypes.float64, dtypes.int32


@pytest.mark.parametrize("count", [0, 1, 3, 16, 622, 623, 624, 625, 1248, 5000])
def test_a_state_goes_to_torch_and_back(count: int, torch_or_skip: Any) -> None:
    theirs = torch_or_skip.Generator().manual_seed(-7)
    torch_or_skip.randint(0, 9, (count,), generator=theirs)
    torch_or_skip.randn(3, generator=theirs)  # leaves a normal sample for later
    ours = Generator().set_state(theirs.get_state().numpy())
    np.testing.assert_array_equal(ours.get_state(), theirs.get_state().numpy())
    assert ours.initial_seed() == theirs.initial_seed() == 2**64 - 7
    ours_normal, theirs_normal = (
        rr.normal(ours, 2, F64),
        torch_or_skip.randn(2, dtype=torch_or_skip.float64, generator=theirs),
    )
    np.testing.assert_allclose(ours_normal, theirs_normal.numpy(), rtol=1e-12)
    rr.random(ours, 700, I32)
    back = torch_or_skip.Generator()
    back.set_state(torch_or_skip.from_numpy(ours.get_state()))
    torch_or_skip.empty(700, dtype=torch_or_skip.int32).random_(generator=theirs)
    assert torch_or_skip.equal(back.get_state(), theirs.get_state())


def test_a_generator_nobody_seeded_starts_where_torch_starts() -> None:
    assert Generator().initial_seed() == 67280421310721
    assert zlib.crc32(Generator().get_state().tobytes()) == 0xD096FA09
    assert Generator().get_state().shape == (5056,)


@pytest.mark.parametrize("seed", [0, 5, -1, -(2**63), 2**63, 2**64 - 1])
def test_seeds_outside_32_bits(seed: int, torch_or_skip: Any) -> None:
    ours, theirs = Generator().manual_seed(seed), torch_or_skip.Generator().manual_seed(seed)
    assert ours.initial_seed() == theirs.initial_seed() == seed % 2**64
    np.testing.assert_array_equal(ours.get_state(), theirs.get_state().numpy())


def test_seeding_forgets_the_normal_kept_for_later() -> None:
    generator = Generator().manual_seed(1)
    first = rr.normal(generator, 3, F64)
    np.testing.assert_array_equal(rr.normal(generator.manual_seed(1), 3, F64), first)
    fresh = Generator().manual_seed(1).get_state()
    assert not np.array_equal(generator.get_state(), fresh)
    np.testing.assert_array_equal(generator.manual_seed(1).get_state(), fresh)


def test_seed_takes_a_new_seed() -> None:
    generator = Generator()
    seeds = {generator.seed() for _ in range(4)}
    assert len(seeds) == 4
    assert generator.initial_seed() in seeds
    np.testing.assert_array_equal(
        generator.raw32(3), Generator().manual_seed(generator.initial_seed()).raw32(3)
    )


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, Generator.clone_state, lambda g: pickle.loads(pickle.dumps(g))]
)
def test_a_copy_continues_by_itself(again: Callable[[Generator], Generator]) -> None:
    generator = Generator().manual_seed(11)
    rr.normal(generator, 5, F32)
    other = again(generator)
    assert other is not generator
    expected = rr.normal(generator, 20, F32)
    np.testing.assert_array_equal(rr.normal(other, 20, F32), expected)
    np.testing.assert_array_equal(other.get_state(), generator.get_state())


def test_a_saved_state_does_not_move_with_the_generator() -> None:
    generator = Generator().manual_seed(11)
    state = generator.get_state()
    kept = state.copy()
    generator.raw32(1000)
    np.testing.assert_array_equal(state, kept)
    generator.set_state(state)
    state[:] = 0
    np.testing.assert_array_equal(generator.get_state(), kept)


def test_what_a_generator_shows() -> None:
    assert repr(Generator()).startswith("<torch._C.Generator object at 0x")
    assert str(Generator("cpu").device) == "cpu"


def test_the_default_generator_serves_the_module() -> None:
    assert rr.manual_seed("-3") is rr.default_generator
    assert rr.initial_seed() == 2**64 - 3
    first = rr.uniform(None, 4, F32)
    rr.manual_seed(-3.9)
    np.testing.assert_array_equal(rr.uniform(rr.default_generator, 4, F32), first)
    state = rr.get_rng_state()
    following = rr.randperm(None, 9)
    rr.set_rng_state(state)
    np.testing.assert_array_equal(rr.randperm(None, 9), following)
    assert rr.seed() == rr.initial_seed() != 2**64 - 3


def test_fork_rng_gives_the_state_back() -> None:
    before = rr.get_rng_state()
    with rr.fork_rng():
        rr.manual_seed(1)
        rr.uniform(None, 4, F32)
    np.testing.assert_array_equal(rr.get_rng_state(), before)
    with pytest.raises(KeyError), rr.fork_rng(devices=[]):
        rr.manual_seed(1)
        raise KeyError
    np.testing.assert_array_equal(rr.get_rng_state(), before)
    with rr.fork_rng(enabled=False):
        rr.uniform(None, 4, F32)
    assert not np.array_equal(rr.get_rng_state(), before)

    @rr.fork_rng()
    def draws() -> None:
        rr.uniform(None, 4, F32)

    before = rr.get_rng_state()
    draws()
    np.testing.assert_array_equal(rr.get_rng_state(), before)


def broken(at: int, content: bytes) -> np.ndarray:
    state = Generator().manual_seed(1).get_state()
    state[at : at + len(content)] = np.frombuffer(content, np.uint8)
    return state


# what is done to a generator, the error, and whether torch refuses it in the same words
LONG = "manual_seed expected a long, but got "
OVERFLOW, NO_OFFSET = "Overflow when unpacking long long", "CPU Generator does not use offset"
INVALID = "Invalid mt19937 state"
SIZE = "Expected a CPUGeneratorImplState of size 5056 but found the input RNG state size to be 5"
MISUSE: list[tuple[str, Any, type[Exception], str, bool]] = [
    ("float seed", lambda g, a: g.manual_seed(1.5), RuntimeError, LONG + "float", True),
    ("bool seed", lambda g, a: g.manual_seed(True), RuntimeError, LONG + "bool", True),
    ("str seed", lambda g, a: g.manual_seed("3"), RuntimeError, LONG + "str", True),
    ("large seed", lambda g, a: g.manual_seed(2**64), ValueError, OVERFLOW, True),
    ("small seed", lambda g, a: g.manual_seed(-(2**63) - 1), ValueError, OVERFLOW, True),
    ("state of 5", lambda g, a: g.set_state(a(np.zeros(5, np.uint8))), RuntimeError, SIZE, True),
    ("state of 0", lambda g, a: g.set_state(a(np.zeros(5056, np.uint8))), RuntimeError, INVALID, True),
    ("state of floats", lambda g, a: g.set_state(a(np.zeros(5056, np.float32))), TypeError,
     "RNG state must be a torch.ByteTensor", True),
    ("no state", lambda g, a: g.set_state(3), TypeError, "expected a torch.ByteTensor, but got int", True),
    ("unseeded", lambda g, a: g.set_state(a(broken(12, b"\0"))), RuntimeError, INVALID, True),
    ("none left", lambda g, a: g.set_state(a(broken(8, b"\0\0"))), RuntimeError, INVALID, True),
    ("word 625", lambda g, a: g.set_state(a(broken(16, b"\x71\x02"))), RuntimeError, INVALID, True),
    ("position in dispute", lambda g, a: g.set_state(a(broken(16, b"\5"))), RuntimeError, INVALID, False),
    ("offset", lambda g, a: g.get_offset(), RuntimeError, NO_OFFSET, True),
    ("set offset", lambda g, a: g.set_offset(3), RuntimeError, NO_OFFSET, True),
]  # fmt: skip


@pytest.mark.parametrize(("_name", "misuse", "error", "text", "in_torch"), MISUSE, ids=[m[0] for m in MISUSE])
def test_misuse_of_a_generator_is_refused(
    _name: str, misuse: Any, error: Any, text: str, in_torch: bool
) -> None:
    generator = Generator().manual_seed(1)
    rr.normal(generator, 3, F32)
    before = generator.get_state()
    with pytest.raises(error) as caught:
        misuse(generator, lambda array: array)
    assert str(caught.value) == text
    np.testing.assert_array_equal(generator.get_state(), before)


@pytest.mark.parametrize(("_name", "misuse", "error", "text", "in_torch"), MISUSE, ids=[m[0] for m in MISUSE])
def test_torch_refuses_the_same_misuse(
    _name: str, misuse: Any, error: Any, text: str, in_torch: bool, torch_or_skip: Any
) -> None:
    if not in_torch:
        misuse(torch_or_skip.Generator(), torch_or_skip.from_numpy)
        return
    with pytest.raises(error) as caught:
        misuse(torch_or_skip.Generator(), torch_or_skip.from_numpy)
    assert str(caught.value) == text


@pytest.mark.parametrize("device", ["cuda", "meta", "cpu:1"])
def test_other_devices_have_no_generator(device: str) -> None:
    with pytest.raises(RuntimeError, match=f"expected device 'cpu'; got '{device}'"):
        Generator(device)
    with pytest.raises(AssertionError, match="only the CPU draws random numbers"), rr.fork_rng(devices=[0]):
        pass
