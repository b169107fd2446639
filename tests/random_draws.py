"""Ways to draw random numbers: ours, and the same in torch. What the tests of random numbers share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from retrograd import dtypes
from retrograd import random as rr
from retrograd.random import Generator

F16, BF16, F32, F64 = dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64
C64, C128, BOOL = dtypes.complex64, dtypes.complex128, dtypes.bool_
U8, I8, I16, I32, I64 = dtypes.uint8, dtypes.int8, dtypes.int16, dtypes.int32, dtypes.int64
U16, U32, U64 = dtypes.uint16, dtypes.uint32, dtypes.uint64
FLOATS, INTEGERS = (F16, BF16, F32, F64), (U8, I8, I16, I32, I64)
INF, NAN = float("inf"), float("nan")
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

RTOL = {"complex64": 1e-6, "complex128": 1e-12, "float64": 1e-12, "float32": 1e-6}
RTOL |= {"float16": 2**-10, "bfloat16": 2**-7}  # one unit in the last place


class Draw(NamedTuple):
    """One way to draw; `magnitude` is that of a number added last, which may cancel most of the digits."""

    name: str
    ours: Callable[[Generator], np.ndarray]
    theirs: Callable[[Any, Any], Any]
    is_exact: bool = True
    magnitude: float = 0.0


def to_torch(torch: Any, array: np.ndarray) -> Any:
    if array.dtype == BF16.np:
        return torch.from_numpy(array.astype(np.float32)).bfloat16()
    return torch.from_numpy(array)


def to_numpy(tensor: Any) -> np.ndarray:
    if str(tensor.dtype) == "torch.bfloat16":
        return tensor.float().numpy().astype(BF16.np)
    return tensor.numpy()


def filled(
    method: str, ours: Any, dtype: Any, shape: Any, *args: Any, is_exact: bool = True, magnitude: float = 0.0
) -> Draw:
    def theirs(torch: Any, generator: Any) -> Any:
        return getattr(torch.empty(shape, dtype=getattr(torch, dtype.name)), method)(
            *args, generator=generator
        )

    name = " ".join(map(str, (method, dtype.name, shape, *args))).replace("None", "on")
    return Draw(name, lambda g: ours(g, shape, dtype, *args), theirs, is_exact, magnitude)


def made(function: str, ours: Any, dtype: Any, shape: Any, *args: Any, is_exact: bool = True) -> Draw:
    sizes = (shape,) if isinstance(shape, int) else shape

    def theirs(torch: Any, generator: Any) -> Any:
        return getattr(torch, function)(*args, sizes, dtype=getattr(torch, dtype.name), generator=generator)

    name = " ".join(map(str, (function, dtype.name, shape, *args)))
    return Draw(name, lambda g: ours(g, shape, dtype, *args), theirs, is_exact)


def rand(dtype: Any, shape: Any) -> Draw:
    return made("rand", rr.uniform, dtype, shape)


def randn(dtype: Any, shape: Any) -> Draw:
    return made("randn", rr.normal, dtype, shape, is_exact=False)


def randint(dtype: Any, shape: Any, low: int, high: int) -> Draw:
    return made("randint", rr.randint, dtype, shape, low, high)


def uniform_(dtype: Any, shape: Any, low: float, high: float) -> Draw:
    return filled("uniform_", rr.uniform, dtype, shape, low, high)


def normal_(dtype: Any, shape: Any, mean: float, std: float) -> Draw:
    return filled("normal_", rr.normal, dtype, shape, mean, std, is_exact=False, magnitude=abs(mean))


def log_normal_(dtype: Any, shape: Any, mean: float, std: float) -> Draw:
    return filled("log_normal_", rr.log_normal, dtype, shape, mean, std, is_exact=False)


def exponential_(dtype: Any, shape: Any, rate: float) -> Draw:
    return filled("exponential_", rr.exponential, dtype, shape, rate, is_exact=False)


def cauchy_(dtype: Any, shape: Any, median: float, sigma: float) -> Draw:
    return filled("cauchy_", rr.cauchy, dtype, shape, median, sigma, is_exact=False, magnitude=abs(median))


def geometric_(dtype: Any, shape: Any, p: float) -> Draw:
    return filled("geometric_", rr.geometric, dtype, shape, p)


def bernoulli_(dtype: Any, shape: Any, p: float) -> Draw:
    return filled("bernoulli_", rr.bernoulli, dtype, shape, p)


def random_(dtype: Any, shape: Any) -> Draw:
    return filled("random_", rr.random, dtype, shape)


def random_from(dtype: Any, shape: Any, low: int) -> Draw:
    draw = filled("random_", rr.random, dtype, shape, low, None)
    return draw._replace(ours=lambda g: rr.random(g, shape, dtype, low))


def bernoulli(dtype: Any, p_dtype: Any, shape: Any) -> Draw:
    p = np.linspace(0, 1, int(np.prod(shape))).astype(p_dtype.np).reshape(shape)

    return bernoulli_with(p, dtype)._replace(name=f"bernoulli {dtype.name} p {p_dtype.name} {shape}")


def bernoulli_with(p: Any, dtype: Any = F32) -> Draw:
    array = np.array(p)

    def theirs(torch: Any, generator: Any) -> Any:
        out = torch.empty(array.shape, dtype=getattr(torch, dtype.name))
        return out.bernoulli_(to_torch(torch, array), generator=generator)

    return Draw(f"bernoulli p {p} {dtype.name}", lambda g: rr.bernoulli(g, array.shape, dtype, array), theirs)


def randperm(n: int, dtype: Any) -> Draw:
    return Draw(
        f"randperm {n} {dtype.name}",
        lambda g: rr.randperm(g, n, dtype),
        lambda torch, g: torch.randperm(n, dtype=getattr(torch, dtype.name), generator=g),
    )


def multinomial(dtype: Any, shape: Any, samples: int, replacement: bool) -> Draw:
    size = int(np.prod(shape))
    probs = ((np.arange(size) * 7919 % 101 + 1) / 101).astype(dtype.np).reshape(shape)
    return Draw(
        f"multinomial {dtype.name} {shape} {samples} {replacement}",
        lambda g: rr.multinomial(g, probs, samples, replacement),
        lambda torch, g: torch.multinomial(to_torch(torch, probs), samples, replacement, generator=g),
    )


def dropout(dtype: Any, shape: Any, p: float) -> Draw:
    def theirs(torch: Any, g: Any) -> Any:
        with torch.random.fork_rng():
            torch.set_rng_state(g.get_state())
            ones = torch.ones(shape, dtype=getattr(torch, dtype.name))
            kept = (torch.nn.functional.dropout(ones, p) != 0).to(ones.dtype)
            g.set_state(torch.get_rng_state())
        return kept

    return Draw(f"dropout {dtype.name} {shape} {p}", lambda g: rr.dropout_mask(g, shape, dtype, p), theirs)


def compare(draw: Draw, ours: np.ndarray, theirs: np.ndarray) -> None:
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), draw.name
    assert ours.flags.c_contiguous and ours.flags.writeable, draw.name
    if draw.is_exact:
        np.testing.assert_array_equal(ours, theirs, err_msg=draw.name)
    else:
        rtol = RTOL[dtypes.of_array(ours).name]
        if ours.dtype.itemsize == 2:
            ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
        atol = rtol * draw.magnitude + (2.0**-24 if rtol > 1e-5 else 0)  # the last: float16's smallest step
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol, err_msg=draw.name)
