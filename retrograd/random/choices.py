"""Integers, permutations and choices among categories, drawn as torch draws them on a CPU."""

from __future__ import annotations

import operator
import warnings
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.random.distributions import (
    C_NAMES,
    MANTISSA_BITS,
    PLAIN,
    chunks,
    exponential,
    not_implemented,
    resolve,
    sizes_of,
    store,
)
from retrograd.random.mt19937 import Generator, default_generator

_WIDE_SPAN = 2**28  # ranges from which torch takes 64 bits per integer
_LARGE_SHUFFLE = 214_748_364  # lengths from which torch shuffles otherwise: (2**32 - 1) // 20
_SHUFFLE_IN_PYTHON = 500  # lengths below which a loop of swaps beats the vectorised shuffle
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


# integers


def randint(generator: Generator | None, shape: Any, dtype: Any, low: int, high: int) -> np.ndarray:
    """Draw integers from [low, high): torch.randint, Tensor.random_(low, high)."""
    dtype = resolve(dtype)
    low, high = _int64(low), _int64(high)
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    if dtype.is_complex:
        raise RuntimeError("check_random_bounds handles only integral, floating-point and boolean types")
    _check_bounds(dtype, low, high - 1)
    if dtype.is_floating_point:
        low, high = _round_up(dtype, low), _round_down(dtype, high)
        if low >= high:
            raise RuntimeError(
                "random_ expects 'from' casted to dtype to be less than 'to' casted to dtype, "
                f"but got from={low} >= to={high}"
            )
    return _integers(generator, shape, dtype, low, high - low)


def random(generator: Generator | None, shape: Any, dtype: Any, low: int | None = None) -> np.ndarray:
    """Draw integers from `low` to the largest that `dtype` counts up to: Tensor.random_, also with to=None.

    The largest is 2**(bits of the mantissa) for a floating type. Without `low` the range starts at 0 and
    types of 32 bits take one output of the engine each; with it, be it 0, a range from 2**28 on takes two.
    """
    dtype = resolve(dtype)
    if low is None:
        if dtype.name not in PLAIN:
            raise not_implemented("random_kernel_cpu", dtype)
        return _integers(generator, shape, dtype, 0, _largest(dtype) + 1, is_wide=dtype.itemsize == 8)
    low = _int64(low)
    if low == _INT64_MIN and not dtype.is_complex:
        if dtype.name not in ("int64", "float64", "float32", "bfloat16"):
            if dtype.name in PLAIN and dtype.kind in "iu":
                raise RuntimeError(
                    "random_full_64_bits_range_kernel_cpu handles only int64, double, float and bfloat16"
                )
            raise not_implemented("random_full_64_bits_range_kernel_cpu", dtype)
        return _integers(generator, shape, dtype, 0, 2**64)
    if dtype.is_complex:
        raise RuntimeError("random_from_to_impl handles only integral, floating-point and boolean types")
    largest = _largest(dtype)
    _check_bounds(dtype, low, largest)
    if dtype.is_floating_point:
        low = _round_up(dtype, low)
        if low > largest:
            raise RuntimeError(
                "random_ expects 'from' casted to dtype to be less than or equal to 'to_inc' casted to dtype"
                f", but got from={low} > to_inc={largest}"
            )
    return _integers(generator, shape, dtype, low, largest + 1 - low)


def _integers(
    generator: Generator | None,
    shape: Any,
    dtype: dtypes.dtype,
    low: int,
    span: int,
    is_wide: bool | None = None,
) -> np.ndarray:
    """Draw low + (raw bits modulo span)."""
    generator = generator or default_generator
    draw = generator.raw64 if (span >= _WIDE_SPAN if is_wide is None else is_wide) else generator.raw32
    out = np.empty(sizes_of(shape), dtype.np)
    flat = out.reshape(-1)
    for part in chunks(flat.size):
        raw = draw(part.stop - part.start)
        if span & (span - 1):
            raw %= raw.dtype.type(span)
        elif span < 2**64:
            raw &= raw.dtype.type(span - 1)
        values = raw.astype(np.int64)
        values += low
        store(flat[part], values)
    return out


def _int64(value: int) -> int:
    value = operator.index(value)
    if not _INT64_MIN <= value <= _INT64_MAX:
        raise ValueError("Overflow when unpacking long long")
    return value


def _largest(dtype: dtypes.dtype) -> int:
    """Return the last of the integers from 0 on that `dtype` holds without a gap."""
    if dtype.is_floating_point:
        return int(2 ** MANTISSA_BITS[dtype.name])
    return 1 if dtype is dtypes.bool_ else dtypes.iinfo(dtype).max


def _check_bounds(dtype: dtypes.dtype, low: int, last: int) -> None:
    """Refuse bounds that `dtype` cannot hold; warn where a floating type holds them with gaps."""
    if dtype.is_floating_point:
        largest = int(dtypes.finfo(dtype).max)
        smallest = -largest
    else:
        largest = min(_largest(dtype), _INT64_MAX)
        smallest = 0 if dtype is dtypes.bool_ else dtypes.iinfo(dtype).min
    for name, bound in (("from", low), ("to - 1", last)):
        if not smallest <= bound <= largest:
            raise RuntimeError(f"{name} is out of bounds for {C_NAMES[dtype.name]}")
        if dtype.is_floating_point and abs(bound) > _largest(dtype):
            bits = MANTISSA_BITS[dtype.name]
            warnings.warn(
                f"{name} is out of bounds [-(2^{bits}), 2^{bits}]. Due to precision limitations "
                f"{C_NAMES[dtype.name]} can support discrete uniform distribution only within this range. "
                "This warning will become an error in version 1.7 release, please fix the code in advance",
                stacklevel=3,
            )


def _rounded(dtype: dtypes.dtype, value: int) -> tuple[int, int]:
    """Return `value` as `dtype` holds it, and the distance of its neighbours there."""
    out = np.empty(1, dtype.np)
    store(out, np.array([value], dtype=np.int64))
    return int(out[0]), int(2 ** max(abs(value).bit_length() - MANTISSA_BITS[dtype.name], 0))


def _round_up(dtype: dtypes.dtype, low: int) -> int:
    rounded, gap = _rounded(dtype, low + 1)
    return rounded + gap if rounded < low else low


def _round_down(dtype: dtypes.dtype, high: int) -> int:
    rounded, gap = _rounded(dtype, high - 1)
    return rounded - gap if rounded >= high else high


# permutations and choices


def randperm(generator: Generator | None, n: int, dtype: Any = dtypes.int64) -> np.ndarray:
    """Draw a permutation of 0 ... n-1: torch.randperm.

    Source: R. Durstenfeld, "Algorithm 235: Random permutation" (1964), from the front: place i is swapped
        with one of the places i ... n-1. From 214748364 places on, torch's other order.
    """
    dtype, generator = resolve(dtype), generator or default_generator
    (n,) = sizes_of(n)
    if dtype.name not in PLAIN or dtype is dtypes.bool_:
        raise not_implemented("randperm", dtype)
    if dtype.kind in "iu" and n - 1 > _largest(dtype):
        c_name = "int" if dtype is dtypes.int32 else f"{dtype.name}_t"
        raise RuntimeError(f"value cannot be converted to type {c_name} without overflow")
    if dtype.name in ("float16", "float32") and n > _largest(dtype) + 1:
        text = "2049" if dtype is dtypes.float16 else "2^24+1"
        raise RuntimeError(f"n cannot be greater than {text} for {dtype.scalar_name} type.")
    out = np.empty(n, dtype.np)
    store(out, _permutation(generator, n))
    return out


def _permutation(generator: Generator, n: int) -> np.ndarray:
    if n < _LARGE_SHUFFLE:
        steps = generator.raw32(max(n - 1, 0))
        steps %= np.arange(n, 1, -1, dtype=np.uint32)
        targets = steps.astype(np.int64)
        targets += np.arange(targets.size)
        return _shuffle_small(targets, n) if n < _SHUFFLE_IN_PYTHON else _shuffle_large(targets, n)
    # Here torch shuffles inside out: i = 0 ... n-1 in turn changes places with one of the places 0 ... i.
    # Undone from its end, that is the shuffle from the front of the places counted from the back.
    places = generator.raw64(n)
    places %= np.arange(1, n + 1, dtype=np.uint64)
    targets = n - 1 - places[:0:-1].astype(np.int64)
    undone = n - 1 - _shuffle_large(targets, n)[::-1]
    permutation = np.empty(n, np.int64)
    permutation[undone] = np.arange(n)
    return permutation


def _shuffle_small(targets: np.ndarray, n: int) -> np.ndarray:
    places = list(range(n))
    for place, target in enumerate(targets.tolist()):
        places[place], places[target] = places[target], places[place]
    return np.array(places, dtype=np.int64)


def _shuffle_large(targets: np.ndarray, n: int) -> np.ndarray:
    """Do all the swaps (i, targets[i]) of a shuffle at once.

    Step i takes for good what lies in its target and leaves there what lay in place i. So in a place lies
    what the last earlier step that aimed at it left, if there was one, else the place's own number.
    `source[i]` is that step for place i; following it to the end gives what step i leaves. Sorting the steps
    by target finds it, and for each step the one before it with the same target.
    """
    steps = np.arange(n)
    shift = n.bit_length()
    taken = np.append(targets, n - 1)  # the last place, too, has a step, which aims at itself
    order = (taken << shift) | steps
    order.sort()
    sorted_targets, sorted_steps = order >> shift, order & ((1 << shift) - 1)
    is_next_in_same = sorted_targets[1:] == sorted_targets[:-1]
    before = np.full(n, -1)
    before[sorted_steps[1:]] = np.where(is_next_in_same, sorted_steps[:-1], -1)
    source = np.arange(n + 1)  # one slot more, for the steps that others with the same target follow
    source[np.where(np.append(is_next_in_same, False), n, sorted_targets)] = sorted_steps
    # a step that aims at its own place comes too late for it: the one before counts
    source = np.where((taken == steps) & (before >= 0), before, source[:n])
    while True:
        further = source[source]
        if np.array_equal(further, source):
            break
        source = further
    return np.where(before >= 0, source[before], taken)


def multinomial(
    generator: Generator | None, probs: np.ndarray, num_samples: int, replacement: bool = False
) -> np.ndarray:
    """Draw indices with probabilities in proportion to the last axis of `probs`: torch.multinomial.

    Shape: (k,) -> (num_samples,); (n, k) -> (n, num_samples), int64.
    Source: without replacement, and for one sample, the largest of probs / exponential samples:
        P. Efraimidis, P. Spirakis, "Weighted random sampling with a reservoir" (2006). Equal quotients keep
        their order; torch orders them otherwise (they occur in 16-bit types, or where too few probabilities
        are above 0).
    """
    dtype, generator = dtypes.of_array(probs), generator or default_generator
    _check_multinomial(probs, dtype, num_samples, replacement)
    if not probs.shape[0] and probs.ndim == 2:
        return np.empty((0, num_samples), np.int64)
    if replacement and num_samples > 1:
        return _choose_again(generator, probs, num_samples)
    if not probs.size:
        raise RuntimeError(
            "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity."
        )
    if not np.all((probs >= 0) & (probs < np.inf)):
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if not np.all(np.any(probs, axis=-1)):
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    with np.errstate(all="ignore"):
        quotients = probs / exponential(generator, probs.shape, dtype)
    if num_samples == 1:
        best: np.ndarray = np.argmax(quotients, axis=-1, keepdims=True)
        return best
    return np.ascontiguousarray(np.argsort(-quotients, axis=-1, kind="stable")[..., :num_samples])


def _check_multinomial(probs: np.ndarray, dtype: dtypes.dtype, num_samples: int, replacement: bool) -> None:
    if probs.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if not dtype.is_floating_point:
        raise RuntimeError(
            f"multinomial only supports floating-point dtypes for input, got: {dtype.scalar_name}"
        )
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and num_samples > probs.shape[-1]:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    if probs.shape[-1] > 2**24:
        raise RuntimeError("number of categories cannot exceed 2^24")


def _choose_again(generator: Generator, probs: np.ndarray, num_samples: int) -> np.ndarray:
    """Look uniforms up in each row's cumulative sum, which is taken one by one in at least float32."""
    rows = np.atleast_2d(probs)
    sums = []
    for row in rows:
        bad = np.flatnonzero(~((row >= 0) & (row < np.inf)))
        if bad.size:
            what = "= infinity or NaN" if row[bad[0]] > 0 else "< 0"
            raise RuntimeError(f"invalid multinomial distribution (encountering probability entry {what})")
        with np.errstate(all="ignore"):
            total = np.cumsum(row, dtype=np.result_type(row.dtype, np.float32))
            if not np.any(row):
                raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
            total /= total[-1]
        total[-1] = 1
        sums.append(total.astype(np.float64))
    drawn = generator.doubles(len(rows) * num_samples).reshape(-1, num_samples)
    chosen = [np.searchsorted(total, uniform) for total, uniform in zip(sums, drawn, strict=True)]
    return np.array(chosen, dtype=np.int64).reshape(*probs.shape[:-1], num_samples)
