"""Distributions of real numbers and of yes and no, drawn as torch draws them on a CPU.

What all distributions have in common is said at the head of `__init__.py`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.random.mt19937 import Generator, default_generator

_CHUNK = 2**15  # elements worked on at a time: the temporaries then stay in the second-level cache
MANTISSA_BITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
_LIMITS = {name: dtypes.finfo(dtypes.BY_NAME[name]).max for name in MANTISSA_BITS}
C_NAMES = {  # what torch's messages call the element types
    "bool": "bool", "uint8": "unsigned char", "int8": "signed char", "int16": "short int", "int32": "int",
    "int64": "long int", "uint16": "short unsigned int", "uint32": "unsigned int",
    "uint64": "long unsigned int", "float16": "c10::Half", "bfloat16": "c10::BFloat16", "float32": "float",
    "float64": "double", "complex64": "c10::complex<float>", "complex128": "c10::complex<double>",
}  # fmt: skip
PLAIN = frozenset(
    ("bool", "uint8", "int8", "int16", "int32", "int64", *MANTISSA_BITS)
)  # what most draws accept


# what every distribution starts with


def resolve(dtype: Any) -> dtypes.dtype:
    if isinstance(dtype, dtypes.dtype):
        return dtype
    return dtypes.OF_NUMPY[np.dtype(dtype)]


def sizes_of(shape: Any) -> tuple[int, ...]:
    sizes = (operator.index(shape),) if hasattr(shape, "__index__") else tuple(map(operator.index, shape))
    for size in sizes:
        if size < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {size}: {list(sizes)}")
    return sizes


def chunks(count: int) -> Iterator[slice]:
    for start in range(0, count, _CHUNK):
        yield slice(start, min(start + _CHUNK, count))


def not_implemented(kernel: str, dtype: dtypes.dtype) -> NotImplementedError:
    return NotImplementedError(f"\"{kernel}\" not implemented for '{dtype.scalar_name}'")


def _require_floating(name: str, dtype: dtypes.dtype, dtype_name: str) -> None:
    if not dtype.is_floating_point:
        raise RuntimeError(
            f"{name} distribution is a continuous probability distribution. "
            f"dtype must be a floating point but you specified {dtype_name}"
        )


def _pairs_as_complex(pairs: np.ndarray) -> np.ndarray:
    return pairs.view(np.result_type(pairs.dtype, np.complex64)).reshape(pairs.shape[:-1])


def store(out: np.ndarray, values: np.ndarray) -> None:
    """Write float64 or int64 values into `out`; into 16 bits by way of float32: torch, too, rounds twice."""
    is_half = out.dtype.itemsize == 2 and out.dtype.kind not in "iu"
    out[...] = values.astype(np.float32) if is_half else values


def _from_doubles(generator: Generator | None, shape: Any, dtype: dtypes.dtype, transform: Any) -> np.ndarray:
    """Draw one float64 uniform per element and store what `transform` makes of it."""
    generator = generator or default_generator
    out = np.empty(sizes_of(shape), dtype.np)
    flat = out.reshape(-1)
    with np.errstate(all="ignore"):  # a uniform of 0 gives log(0), and narrow types overflow to inf
        for part in chunks(flat.size):
            store(flat[part], transform(generator.doubles(part.stop - part.start)))
    return out


# continuous distributions


def uniform(
    generator: Generator | None, shape: Any, dtype: Any, low: float = 0.0, high: float = 1.0
) -> np.ndarray:
    """Draw from [low, high): torch.rand, Tensor.uniform_.

    Numerics: u * (high - low) + low in one rounding; a result that rounds up to `high` becomes `low`.
    """
    dtype = resolve(dtype)
    if dtype.is_complex:
        return _pairs_as_complex(uniform(generator, (*sizes_of(shape), 2), dtype.to_real(), low, high))
    _check_uniform(dtype, low, high)
    generator = generator or default_generator
    out = np.empty(sizes_of(shape), dtype.np)
    flat = out.reshape(-1)
    real = np.float64 if dtype is dtypes.float64 else np.float32
    start, span = real(low), real(high) - real(low)
    top, bottom = dtype.np.type(real(high)), dtype.np.type(start)
    can_reach_top = start != 0 or span != 1 or dtype.itemsize == 2
    draw = generator.doubles if real is np.float64 else generator.floats
    for part in chunks(flat.size):
        block = flat[part]
        block[...] = _multiply_add(draw(part.stop - part.start), float(span), float(start))
        if can_reach_top:
            block[block >= top] = bottom
    return out


def _check_uniform(dtype: dtypes.dtype, low: float, high: float) -> None:
    if not dtype.is_floating_point:
        raise not_implemented("check_uniform_bounds", dtype)
    limit = _LIMITS[dtype.name]
    for name, bound in (("from", low), ("to", high)):
        if not -limit <= bound <= limit:
            raise RuntimeError(f"{name} is out of bounds for {C_NAMES[dtype.name]}")
    if low > high:
        raise RuntimeError(
            f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}"
        )
    if high - low > limit:
        raise RuntimeError(
            f"uniform_ expects to-from <= std::numeric_limits<{dtype.scalar_name}>::max(), "
            f"but found to={high:g} and from={low:g} which result in to-from to exceed the limit"
        )


def _multiply_add(x: np.ndarray, factor: float, addend: float) -> np.ndarray:
    """Return x * factor + addend rounded once, as the processor's fused instruction does.

    Numerics: the product of two float32 is exact in float64. For float64 the product's own error is found
        from halves of the factors, whose products are exact, the sum's by undoing it; both are added last.
    Source: T. Dekker, "A floating-point technique for extending the available precision" (1971).
    """
    real = x.dtype.type
    factor, addend = float(real(factor)), float(real(addend))
    if factor == 1 or addend == 0:  # rounded once by itself
        scaled: np.ndarray = x if factor == 1 else x * real(factor)
        return scaled if addend == 0 else scaled + real(addend)
    if real is np.float32:
        return (x * np.float64(factor) + np.float64(addend)).astype(np.float32)
    product: np.ndarray = x * factor
    total = product + addend
    if not (math.isfinite(factor) and math.isfinite(addend)):
        return total
    if max(abs(factor), abs(addend)) > 2.0**900:  # the halves would overflow
        return _multiply_add(x, factor * 2.0**-512, addend * 2.0**-512) * 2.0**512
    x_upper, factor_upper = _upper_half(x), _upper_half(factor)
    x_lower, factor_lower = x - x_upper, factor - factor_upper
    error = x_upper * factor_upper - product
    error += x_upper * factor_lower
    error += x_lower * factor_upper
    error += x_lower * factor_lower
    added = total - product
    error += (product - (total - added)) + (addend - added)
    total += error
    return total


def _upper_half(x: Any) -> Any:
    """Return `x` rounded to 26 bits, which leaves 26 bits and a sign."""
    scaled = x * (2.0**27 + 1.0)
    return scaled - (scaled - x)


def normal(
    generator: Generator | None, shape: Any, dtype: Any, mean: float = 0.0, std: float = 1.0, *,
    in_pairs: bool = False,
) -> np.ndarray:  # fmt: skip
    """Draw normal samples: torch.randn, Tensor.normal_.

    `in_pairs` draws as for fewer than 16 elements.

    Numerics: below 16 elements float64 pairs, the odd one kept for later; from 16 on, blocks of 16 in the
        type of the result (float32 for 16-bit types), the last 16 drawn anew where they are no whole block.
    """
    dtype = resolve(dtype)
    if not std >= 0.0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    if dtype.is_complex:  # each part has half the variance, and the whole mean
        part_std = std / math.sqrt(2.0)
        pairs = normal(generator, (*sizes_of(shape), 2), dtype.to_real(), mean, part_std, in_pairs=in_pairs)
        return _pairs_as_complex(pairs)
    if not dtype.is_floating_point:
        raise not_implemented("normal_kernel_cpu", dtype)
    generator = generator or default_generator
    out = np.empty(sizes_of(shape), dtype.np)
    flat = out.reshape(-1)
    with np.errstate(all="ignore"):
        if flat.size < 16 or in_pairs:
            store(flat, _multiply_add(generator.paired_normals(flat.size), std, mean))
            return out
        draw = generator.doubles if dtype is dtypes.float64 else generator.floats
        for part in chunks(flat.size - flat.size % 16):
            flat[part] = _normal_blocks(draw(part.stop - part.start), mean, std)
        if flat.size % 16:
            if dtype.itemsize > 2:  # 16-bit types never draw the uniforms of the incomplete block
                draw(flat.size % 16)
            flat[-16:] = _normal_blocks(draw(16), mean, std)
    return out


def _normal_blocks(uniform: np.ndarray, mean: float, std: float) -> np.ndarray:
    """Turn blocks of 16 uniforms, in place, into normals.

    Number k of a block gives the radius and number k + 8 the angle of a point in the plane, whose coordinates
    take their places.
    """
    real = uniform.dtype.type
    halves = uniform.view(f"V{8 * uniform.itemsize}").reshape(-1, 2)  # eight numbers move as one: fast copies
    radius, angle = (halves[:, k].copy().view(real) for k in (0, 1))
    np.subtract(real(1), radius, out=radius)
    radius = np.log(radius.astype(np.float64)).astype(real)  # NumPy's float32 log is less exact than torch's
    radius *= real(-2)
    np.sqrt(radius, out=radius)
    angle *= real(2 * math.pi)
    for k, turn in enumerate((np.cos, np.sin)):
        samples = turn(angle)
        samples *= radius
        halves[:, k] = _multiply_add(samples, std, mean).view(halves.dtype)
    return uniform


def log_normal(
    generator: Generator | None, shape: Any, dtype: Any, mean: float = 1.0, std: float = 2.0
) -> np.ndarray:
    """Draw exp of normal samples: Tensor.log_normal_; always by float64 pairs."""
    dtype = resolve(dtype)
    if not std > 0.0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std:g}")
    if not dtype.is_floating_point:
        raise not_implemented("log_normal_cpu", dtype)
    out = np.empty(sizes_of(shape), dtype.np)
    with np.errstate(all="ignore"):
        drawn = (generator or default_generator).paired_normals(out.size)
        store(out.reshape(-1), np.exp(_multiply_add(drawn, std, mean)))
    return out


def exponential(generator: Generator | None, shape: Any, dtype: Any, lambd: float = 1.0) -> np.ndarray:
    """Draw waiting times at rate `lambd`: Tensor.exponential_."""
    dtype = resolve(dtype)
    _require_floating("Exponential", dtype, dtype.scalar_name)
    if not lambd > 0.0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd:g}")
    return _from_doubles(generator, shape, dtype, lambda u: np.log1p(-u) * (-1.0 / lambd))


def cauchy(
    generator: Generator | None, shape: Any, dtype: Any, median: float = 0.0, sigma: float = 1.0
) -> np.ndarray:
    """Draw from the Cauchy distribution: Tensor.cauchy_."""
    dtype = resolve(dtype)
    _require_floating("Cauchy", dtype, C_NAMES[dtype.name])
    if not sigma > 0.0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}")
    return _from_doubles(generator, shape, dtype, lambda u: median + sigma * np.tan(math.pi * (u - 0.5)))


# discrete distributions


def geometric(generator: Generator | None, shape: Any, dtype: Any, p: float) -> np.ndarray:
    """Draw the number of trials up to the first success: Tensor.geometric_."""
    dtype = resolve(dtype)
    if not 0.0 < p < 1.0:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p:g}")
    if dtype.name not in PLAIN or dtype is dtypes.bool_:
        raise not_implemented("geometric_cpu", dtype)
    scale = math.log1p(-p)
    # narrow integers wrap around from 32 bits
    wrap = np.int32 if dtype.kind in "iu" and dtype.itemsize < 8 else np.float64
    return _from_doubles(generator, shape, dtype, lambda u: np.ceil(np.log(u) / scale).astype(wrap))


def bernoulli(generator: Generator | None, shape: Any, dtype: Any, p: Any) -> np.ndarray:
    """Draw ones with probability `p`, else zeros: torch.bernoulli, Tensor.bernoulli_.

    A number `p` compares with float64 uniforms; an array, broadcast to `shape`, with ones of its precision.
    """
    dtype = resolve(dtype)
    generator = generator or default_generator
    if isinstance(p, np.ndarray):
        return _bernoulli_each(generator, sizes_of(shape), dtype, p)
    if not 0.0 <= p <= 1.0:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")
    if dtype.name not in PLAIN:
        raise not_implemented("bernoulli_scalar_cpu_", dtype)
    out = np.empty(sizes_of(shape), dtype.np)
    flat = out.reshape(-1)
    threshold = np.uint64(math.ceil(p * 2.0**53))  # k * 2**-53 < p, asked of the integers k
    for part in chunks(flat.size):
        flat[part] = generator.bits53(part.stop - part.start) < threshold
    return out


def _bernoulli_each(
    generator: Generator, sizes: tuple[int, ...], dtype: dtypes.dtype, p: np.ndarray
) -> np.ndarray:
    kind = dtypes.of_array(p)
    if dtype.name not in PLAIN:
        raise not_implemented("bernoulli_tensor_cpu_self_", dtype)
    if not kind.is_floating_point:
        raise not_implemented("bernoulli_tensor_cpu_p_", kind)
    if not np.all((p >= 0) & (p <= 1)):
        raise RuntimeError(
            "Expected p_in >= 0 && p_in <= 1 to be true, but got false.  (Could this error message be "
            "improved?  If so, please report an enhancement request to PyTorch.)"
        )
    try:
        p = np.broadcast_to(p, sizes)
    except ValueError:
        raise RuntimeError(f"bernoulli: p must broadcast to {sizes}; got p {p.shape}") from None
    drawn = generator.doubles(p.size) if kind is dtypes.float64 else generator.floats(p.size)
    return (drawn.reshape(sizes) < p.astype(drawn.dtype)).astype(dtype.np)


def dropout_mask(generator: Generator | None, shape: Any, dtype: Any, p: float) -> np.ndarray:
    """Draw what F.dropout keeps: ones with probability 1 - p. It draws nothing at all where p is 0 or 1."""
    if not 0.0 <= p <= 1.0:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {p:g}")
    dtype = resolve(dtype)
    if p in (0.0, 1.0):
        return np.full(sizes_of(shape), 1 - p, dtype.np)
    return bernoulli(generator, shape, dtype, 1.0 - p)
