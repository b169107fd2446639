"""Integers bit by bit, and their divisors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import samples
from retrograd.ops.declare import Array, Operand, Sample, sample
from retrograd.ops.families import pointwise
from retrograd.ops.helpers import cast


def _bits() -> Iterator[Sample]:
    yield from samples.whole_pairs()
    yield sample(np.array([True, False]), np.array([[True], [False]]))


@pointwise(samples=_bits, kinds="bui", numpy=np.bitwise_and)
def bitwise_and(input: Operand, other: Operand) -> Array:
    """Keep the bits that both have."""
    return input & other


@pointwise(samples=_bits, kinds="bui", numpy=np.bitwise_or)
def bitwise_or(input: Operand, other: Operand) -> Array:
    """Join the bits of both."""
    return input | other


@pointwise(samples=_bits, kinds="bui", numpy=np.bitwise_xor)
def bitwise_xor(input: Operand, other: Operand) -> Array:
    """Keep the bits that exactly one has."""
    return input ^ other


def _whole() -> Iterator[Sample]:
    yield sample(np.array([[5, -3], [0, 7]]))
    yield sample(np.array(True))


@pointwise(samples=_whole, kinds="bui", numpy=np.invert)
def bitwise_not(input: Array) -> Array:
    """Flip all bits."""
    return ~input


def _shifts() -> Iterator[Sample]:
    yield sample(np.array([[5, -3], [1, 7]]), np.array([0, 3]))
    yield sample(np.array([5, -3]), 2)
    yield sample(np.array([5, -3]), np.array(64))


def _bit_count(x: Any) -> int:
    return int(8 * x.dtype.itemsize)


@pointwise(samples=_shifts, kinds="ui", torch_name="bitwise_left_shift", numpy=np.left_shift)
def bitwise_left_shift(input: Operand, other: Operand) -> Array:
    """Move bits up: input * 2**other; shifts out of range give 0."""
    bits = _bit_count(input)
    ok = (other >= 0) & (other < bits)
    return np.where(ok, np.left_shift(input, np.where(ok, other, 0)), input.dtype.type(0))


@pointwise(samples=_shifts, kinds="ui", numpy=np.right_shift)
def bitwise_right_shift(input: Operand, other: Operand) -> Array:
    """Move bits down, keeping the sign: floor(input / 2**other)."""
    bits = _bit_count(input)
    last = bits - (input.dtype.kind == "i")
    ok = (other >= 0) & (other < bits)
    return np.right_shift(input, cast(np.where(ok, other, last), input.dtype))


def _tensor_pairs() -> Iterator[Sample]:
    yield from (s for s in samples.whole_pairs() if isinstance(s.args[1], np.ndarray))


@pointwise(samples=_tensor_pairs, kinds="ui", numpy=np.gcd)
def gcd(input: Array, other: Array) -> Array:
    """Compute the greatest common divisor."""
    return np.gcd(input, other)


@pointwise(samples=_tensor_pairs, kinds="ui", numpy=np.lcm)
def lcm(input: Array, other: Array) -> Array:
    """Compute the least common multiple."""
    return np.lcm(input, other)
