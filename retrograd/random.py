"""Random arrays, number for number what torch draws on a CPU from the same generator state.

Every distribution takes (generator, shape, dtype, parameters), where generator None means `default_generator`, and
returns a fresh C-contiguous array. A draw that is refused moves no generator. Bits, uniforms, integers, permutations
and masks equal torch's exactly; where a logarithm or a cosine is taken, to the last rounding.

Source: found by watching torch 2.13 on x86, whose kernels fuse the multiply and the add of `uniform`.
"""

from __future__ import annotations

import contextlib
import math
import operator
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd._mt19937 import Generator

__all__ = ["fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state"]

default_generator = Generator()

_CHUNK = 2**15  # elements worked on at a time: the temporaries then stay in the second-level cache
_PERMUTE_IN_PYTHON = 600  # lengths below which a loop of swaps beats the vectorised shuffle
_WIDE_SPAN = 2**28  # ranges from which torch takes 64 bits per integer
_LARGE_SHUFFLE = 214_748_364  # lengths from which torch takes 64 bits per swap: (2**32 - 1) // 20
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1

_MANTISSA_BITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
_C_NAMES = {
    "bool": "bool", "uint8": "unsigned char", "int8": "signed char", "int16": "short int", "int32": "int",
    "int64": "long int", "uint16": "short unsigned int", "uint32": "unsigned int", "uint64": "long unsigned int",
    "float16": "c10::Half", "bfloat16": "c10::BFloat16", "float32": "float", "float64": "double",
    "complex64": "c10::complex<float>", "complex128": "c10::complex<double>",
}  # fmt: skip
_PLAIN = frozenset(("bool", "uint8", "int8", "int16", "int32", "int64", *_MANTISSA_BITS))


# the default generator


def manual_seed(seed: Any) -> Generator:
    """Seed the default generator and return it; `seed` is anything that int() takes, negative included."""
    return default_generator.manual_seed(int(seed))


def seed() -> int:
    """Seed the default generator from the operating system's entropy and return that seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """Return the seed that the default generator's stream began with."""
    return default_generator.initial_seed()


def get_rng_state() -> np.ndarray:
    """Return the default generator's state, 5056 uint8."""
    return default_generator.get_state()


def set_rng_state(new_state: np.ndarray) -> None:
    """Put the default generator where `get_rng_state` found it."""
    default_generator.set_state(new_state)


@contextlib.contextmanager
def fork_rng(devices: Iterable[Any] | None = None, enabled: bool = True, device_type: str | None = None) -> Iterator[None]:
    """Give the default generator back, on leaving, the state that it had on entering.

    Raises:
        AssertionError: a device other than the CPU is asked for.
    """
    del device_type
    if not enabled:
        yield
        return
    if devices is not None and list(devices):
        raise AssertionError("fork_rng: only the CPU draws random numbers; leave `devices` out or give []")
    state = get_rng_state()
    try:
        yield
    finally:
        set_rng_state(state)


# what every distribution starts with


def _resolve(dtype: Any) -> dtypes.dtype:
    if isinstance(dtype, dtypes.dtype):
        return dtype
    return dtypes.OF_NUMPY[np.dtype(dtype)]


def _sizes(shape: Any) -> tuple[int, ...]:
    sizes = (operator.index(shape),) if hasattr(shape, "__index__") else tuple(map(operator.index, shape))
    for size in sizes:
        if size < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {size}: {list(sizes)}")
    return sizes


def _chunks(count: int) -> Iterator[slice]:
    for start in range(0, count, _CHUNK):
        yield slice(start, min(start + _CHUNK, count))


def _not_implemented(kernel: str, dtype: dtypes.dtype) -> NotImplementedError:
    return NotImplementedError(f"\"{kernel}\" not implemented for '{dtype.scalar_name}'")


def _require_floating(name: str, dtype: dtypes.dtype, dtype_name: str) -> None:
    if not dtype.is_floating_point:
        raise RuntimeError(
            f"{name} distribution is a continuous probability distribution. "
            f"dtype must be a floating point but you specified {dtype_name}"
        )


def _store(out: np.ndarray, values: np.ndarray) -> None:
    """Write float64 or int64 values into `out`; to 16 bits by way of float32, which rounds twice as torch does."""
    out[...] = values.astype(np.float32) if out.dtype.itemsize == 2 and out.dtype.kind not in "iu" else values


def _from_doubles(generator: Generator | None, shape: Any, dtype: dtypes.dtype, transform: Any) -> np.ndarray:
    """Draw one float64 uniform per element and store what `transform` makes of it."""
    generator = generator or default_generator
    out = np.empty(_sizes(shape), dtype.np)
    flat = out.reshape(-1)
    with np.errstate(all="ignore"):  # a uniform of 0 gives log(0), and narrow types overflow to inf
        for part in _chunks(flat.size):
            _store(flat[part], transform(generator.doubles(part.stop - part.start)))
    return out


# continuous distributions


def uniform(generator: Generator | None, shape: Any, dtype: Any, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Draw from [low, high): torch.rand, Tensor.uniform_.

    Numerics: u * (high - low) + low in one rounding; a result that rounds up to `high` becomes `low`.
    """
    dtype = _resolve(dtype)
    if dtype.is_complex:
        pairs = uniform(generator, (*_sizes(shape), 2), dtype.to_real(), low, high)
        return pairs.view(dtype.np)[..., 0]
    _check_uniform(dtype, low, high)
    generator = generator or default_generator
    out = np.empty(_sizes(shape), dtype.np)
    flat = out.reshape(-1)
    real = np.float64 if dtype is dtypes.float64 else np.float32
    start, span = real(low), real(high) - real(low)
    top, bottom = dtype.np.type(real(high)), dtype.np.type(start)
    for part in _chunks(flat.size):
        count = part.stop - part.start
        if start == 0 and span == 1:
            drawn = generator.doubles(count) if real is np.float64 else generator.floats(count)
        elif real is np.float64:
            drawn = _fused_scale(generator.bits53(count), float(span), float(start))
        else:  # the product of two float32 is exact in float64
            drawn = (generator.floats(count) * np.float64(span) + np.float64(start)).astype(np.float32)
        block = flat[part]
        block[...] = drawn
        block[block >= top] = bottom
    return out


def _check_uniform(dtype: dtypes.dtype, low: float, high: float) -> None:
    if not dtype.is_floating_point:
        raise _not_implemented("check_uniform_bounds", dtype)
    limit = dtypes.finfo(dtype).max
    for name, bound in (("from", low), ("to", high)):
        if not -limit <= bound <= limit:
            raise RuntimeError(f"{name} is out of bounds for {_C_NAMES[dtype.name]}")
    if low > high:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}")
    if high - low > limit:
        raise RuntimeError(
            f"uniform_ expects to-from <= std::numeric_limits<{dtype.scalar_name}>::max(), but found to={high:g} "
            f"and from={low:g} which result in to-from to exceed the limit"
        )


def _fused_scale(bits: np.ndarray, span: float, start: float) -> np.ndarray:
    """Return bits * 2**-53 * span + start, rounded once.

    Numerics: T. Dekker (1971): each factor is split in halves whose products are exact, so the product's own error
        is known; D. Knuth's two-sum gives the sum's. Both are added back at the end.
    """
    upper = (bits >> np.uint64(27)).astype(np.float64) * 2.0**-26
    lower = (bits & np.uint64(2**27 - 1)).astype(np.float64) * 2.0**-53
    split = span * (2.0**27 + 1.0)
    span_upper = split - (split - span)
    span_lower = span - span_upper
    product = (upper + lower) * span
    error = ((upper * span_upper - product) + upper * span_lower + lower * span_upper) + lower * span_lower
    total = product + start
    shift = total - product
    return total + (((product - (total - shift)) + (start - shift)) + error)


def normal(generator: Generator | None, shape: Any, dtype: Any, mean: float = 0.0, std: float = 1.0) -> np.ndarray:
    """Draw normal samples: torch.randn, Tensor.normal_.

    Numerics: below 16 elements float64 pairs, the odd one kept for later; from 16 on, blocks of 16 in the type of the
        result (float32 for 16-bit types), the last block drawn anew where it would not be whole.
    """
    dtype = _resolve(dtype)
    if not std >= 0.0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    if dtype.is_complex:  # each part has half the variance, and the whole mean
        pairs = normal(generator, (*_sizes(shape), 2), dtype.to_real(), mean, std / math.sqrt(2.0))
        return pairs.view(dtype.np)[..., 0]
    if not dtype.is_floating_point:
        raise _not_implemented("normal_kernel_cpu", dtype)
    generator = generator or default_generator
    out = np.empty(_sizes(shape), dtype.np)
    flat = out.reshape(-1)
    with np.errstate(all="ignore"):
        if flat.size < 16:
            _store(flat, generator.paired_normals(flat.size) * std + mean)
            return out
        draw = generator.doubles if dtype is dtypes.float64 else generator.floats
        for part in _chunks(flat.size - flat.size % 16):
            flat[part] = _normal_blocks(draw(part.stop - part.start), mean, std)
        if flat.size % 16:
            if dtype.itemsize > 2:  # 16-bit types never draw the uniforms of the incomplete block
                draw(flat.size % 16)
            flat[-16:] = _normal_blocks(draw(16), mean, std)
    return out


def _normal_blocks(uniform: np.ndarray, mean: float, std: float) -> np.ndarray:
    """Turn blocks of 16 uniforms, in place, into normals: number k gives the radius and k + 8 the angle of a pair."""
    real = uniform.dtype.type
    halves = uniform.view(f"V{8 * uniform.itemsize}").reshape(-1, 2)  # eight numbers move as one item: fast copies
    radius, angle = (halves[:, k].copy().view(real) for k in (0, 1))
    np.subtract(real(1), radius, out=radius)
    np.log(radius, out=radius)
    radius *= real(-2)
    np.sqrt(radius, out=radius)
    angle *= real(2 * math.pi)
    for k, turn in enumerate((np.cos, np.sin)):
        samples = turn(angle)
        samples *= radius
        if std != 1:
            samples *= real(std)
        if mean != 0:
            samples += real(mean)
        halves[:, k] = samples.view(halves.dtype)
    return uniform


def log_normal(generator: Generator | None, shape: Any, dtype: Any, mean: float = 1.0, std: float = 2.0) -> np.ndarray:
    """Draw exp of normal samples: Tensor.log_normal_; always by float64 pairs."""
    dtype = _resolve(dtype)
    if not std > 0.0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std:g}")
    if not dtype.is_floating_point:
        raise _not_implemented("log_normal_cpu", dtype)
    out = np.empty(_sizes(shape), dtype.np)
    with np.errstate(all="ignore"):
        drawn = (generator or default_generator).paired_normals(out.size)
        _store(out.reshape(-1), np.exp(drawn * std + mean))
    return out


def exponential(generator: Generator | None, shape: Any, dtype: Any, lambd: float = 1.0) -> np.ndarray:
    """Draw waiting times at rate `lambd`: Tensor.exponential_."""
    dtype = _resolve(dtype)
    _require_floating("Exponential", dtype, dtype.scalar_name)
    if not lambd > 0.0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd:g}")
    return _from_doubles(generator, shape, dtype, lambda u: np.log1p(-u) * (-1.0 / lambd))


def cauchy(generator: Generator | None, shape: Any, dtype: Any, median: float = 0.0, sigma: float = 1.0) -> np.ndarray:
    """Draw from the Cauchy distribution: Tensor.cauchy_."""
    dtype = _resolve(dtype)
    _require_floating("Cauchy", dtype, _C_NAMES[dtype.name])
    if not sigma > 0.0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}")
    return _from_doubles(generator, shape, dtype, lambda u: median + sigma * np.tan(math.pi * (u - 0.5)))


# discrete distributions


def geometric(generator: Generator | None, shape: Any, dtype: Any, p: float) -> np.ndarray:
    """Draw the number of trials up to the first success: Tensor.geometric_."""
    dtype = _resolve(dtype)
    if not 0.0 < p < 1.0:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p:g}")
    if dtype.name not in _PLAIN or dtype is dtypes.bool_:
        raise _not_implemented("geometric_cpu", dtype)
    scale = math.log1p(-p)
    # narrow integers wrap around from 32 bits
    wrap = np.int32 if dtype.kind in "iu" and dtype.itemsize < 8 else np.float64
    return _from_doubles(generator, shape, dtype, lambda u: np.ceil(np.log(u) / scale).astype(wrap))


def bernoulli(generator: Generator | None, shape: Any, dtype: Any, p: Any) -> np.ndarray:
    """Draw ones with probability `p`, else zeros: torch.bernoulli, Tensor.bernoulli_.

    A number `p` compares with float64 uniforms; an array (broadcast to `shape`) with uniforms of its own precision.
    """
    dtype = _resolve(dtype)
    generator = generator or default_generator
    if isinstance(p, np.ndarray):
        return _bernoulli_each(generator, _sizes(shape), dtype, p)
    if not 0.0 <= p <= 1.0:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")
    if dtype.name not in _PLAIN:
        raise _not_implemented("bernoulli_scalar_cpu_", dtype)
    out = np.empty(_sizes(shape), dtype.np)
    flat = out.reshape(-1)
    threshold = np.uint64(math.ceil(p * 2.0**53))  # k * 2**-53 < p, asked of the integers k
    for part in _chunks(flat.size):
        flat[part] = generator.bits53(part.stop - part.start) < threshold
    return out


def _bernoulli_each(generator: Generator, sizes: tuple[int, ...], dtype: dtypes.dtype, p: np.ndarray) -> np.ndarray:
    kind = dtypes.of_array(p)
    if not kind.is_floating_point:
        raise _not_implemented("bernoulli_tensor_cpu_p_", kind)
    if not np.all((p >= 0) & (p <= 1)):
        raise RuntimeError(
            "Expected p_in >= 0 && p_in <= 1 to be true, but got false.  (Could this error message be improved?  "
            "If so, please report an enhancement request to PyTorch.)"
        )
    count = math.prod(sizes)
    drawn = generator.doubles(count) if kind is dtypes.float64 else generator.floats(count)
    return (drawn.reshape(sizes) < p.astype(drawn.dtype)).astype(dtype.np)


def dropout_mask(generator: Generator | None, shape: Any, dtype: Any, p: float) -> np.ndarray:
    """Draw what F.dropout keeps: ones with probability 1 - p. It draws nothing at all where p is 0 or 1."""
    if not 0.0 <= p <= 1.0:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {p:g}")
    dtype = _resolve(dtype)
    if p in (0.0, 1.0):
        return np.full(_sizes(shape), 1 - p, dtype.np)
    return bernoulli(generator, shape, dtype, 1.0 - p)


# integers


def randint(generator: Generator | None, shape: Any, dtype: Any, low: int, high: int) -> np.ndarray:
    """Draw integers from [low, high): torch.randint, Tensor.random_(low, high)."""
    dtype = _resolve(dtype)
    for bound in (low, high):
        if not _INT64_MIN <= operator.index(bound) <= _INT64_MAX:
            raise ValueError("Overflow when unpacking long long")
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    _check_integer_bounds(dtype, {"from": low, "to - 1": high - 1})
    if dtype.is_floating_point:
        low, high = _round_inwards(dtype, low, high)
        if low >= high:
            raise RuntimeError(
                "random_ expects 'from' casted to dtype to be less than 'to' casted to dtype, "
                f"but got from={low} >= to={high}"
            )
    return _integers(generator, shape, dtype, low, high - low)


def random(generator: Generator | None, shape: Any, dtype: Any, low: int | None = None) -> np.ndarray:
    """Draw integers over all that `dtype` counts exactly, from `low` (or 0): Tensor.random_(), random_(low, None).

    With `low` None floating types draw up to 2**(bits of the mantissa), integers up to their maximum.
    """
    dtype = _resolve(dtype)
    count = 2 ** _MANTISSA_BITS[dtype.name] + 1 if dtype.is_floating_point else _integer_limits(dtype)[1] + 1
    if low is None:
        if dtype.name not in _PLAIN:
            raise _not_implemented("random_kernel_cpu", dtype)
        return _integers(generator, shape, dtype, 0, count, wide=dtype.itemsize == 8)
    if not _INT64_MIN <= operator.index(low) <= _INT64_MAX:
        raise ValueError("Overflow when unpacking long long")
    if low == _INT64_MIN:
        return _integers(generator, shape, dtype, 0, 2**64)
    _check_integer_bounds(dtype, {"from": low})
    if dtype.is_floating_point:
        low, _ = _round_inwards(dtype, low, count)
    return _integers(generator, shape, dtype, low, count - low)
