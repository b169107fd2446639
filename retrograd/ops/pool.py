"""Pooling over windows, by maximum and by sum, for any number of dimensions.

A window of k elements is k shifted slices of the input: pooling combines those, and its adjoint adds to them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.declare import Array, Plain, Sample, sample
from retrograd.ops.depend import tied
from retrograd.ops.families import general, linear
from retrograd.ops.helpers import cast, numpy_dtype
from retrograd.ops.matmul import grid

Sizes = tuple[int, ...]


def pooled_sizes(
    sizes: Sequence[int], kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, ceil_mode: bool
) -> Sizes:
    """Return at how many places a window fits; `ceil_mode`: the last may reach beyond the end."""
    found = []
    for n, k, s, p, d in zip(sizes, kernel, stride, padding, dilation, strict=True):
        room = n + 2 * p - d * (k - 1) - 1
        count = -(-room // s) + 1 if ceil_mode else room // s + 1
        if ceil_mode and (count - 1) * s >= n + p:
            count -= 1
        found.append(count)
    return tuple(found)


def _reach(n: int, count: int, k: int, s: int, p: int, d: int) -> int:
    """Return how far the windows reach beyond the end of a dimension of size `n`."""
    return max(0, (count - 1) * s + d * (k - 1) + 1 - p - n)


def _framed(
    x: Any, places: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, fill: Any
) -> Any:
    """Return `x` with its last dimensions padded so that every window lies inside."""
    rank = len(kernel)
    sizes = x.shape[-rank:]
    beyond = [_reach(*a) for a in zip(sizes, places, kernel, stride, padding, dilation, strict=True)]
    if not any(padding) and not any(beyond):
        return x
    full = [p + n + b for p, n, b in zip(padding, sizes, beyond, strict=True)]
    made = np.full((*x.shape[:-rank], *full), fill, x.dtype)
    inside: Any = (..., *(slice(p, p + n) for p, n in zip(padding, sizes, strict=True)))
    made[inside] = x
    return made


def _windows(kernel: Sizes, places: Sizes, stride: Sizes, dilation: Sizes) -> Iterator[Any]:
    """Yield, for each element of the window, the index of all the places' elements there."""
    for offset in product(*map(range, kernel)):
        yield (
            ...,
            *(
                slice(o * d, o * d + (n - 1) * s + 1, s)
                for o, d, n, s in zip(offset, dilation, places, stride, strict=True)
            ),
        )


def _lowest(dtype: Any) -> Any:
    return -math.inf if dtype.kind not in "iu" else np.iinfo(dtype).min


# ---- the maximum ----


def _max_samples() -> Iterator[Sample]:
    x = grid(2, 2, 5, 6)
    yield sample(x, (2, 2), (2, 2), (0, 0), (1, 1), False)
    yield sample(x, (3, 2), (2, 1), (1, 0), (1, 2), False)
    yield sample(x, (2, 2), (2, 2), (1, 1), (1, 1), True)
    yield sample(grid(2, 7), (3,), (2,), (1,), (1,), True)
    yield sample(grid(1, 2, 3, 4, 3), (2, 2, 2), (1, 2, 1), (0,) * 3, (1,) * 3, False)


def _fold_batch(op: Any, size: int, args: Any, dims: Any) -> Any:
    """Join the batch to the dimensions in front, which the op passes over."""
    ready = [
        a if p.is_static else batching.spread(a, d, size)
        for p, a, d in zip(op.parameters, args, dims, strict=True)
    ]
    return batching.call(op, ready)


def _node(name: str, rank: int) -> str:
    return "SqueezeBackward1" if rank == 1 else name.format(rank)


@general(
    node=lambda kernel: _node("MaxPool{}DWithIndicesBackward0", len(kernel)),
    input=lambda ct, input, result, kernel, stride, padding, dilation: tied(
        put_largest(ct, input, result, kernel, stride, padding, dilation), input
    ),
    jvp={
        "input": lambda t, input, result, kernel, stride, padding, dilation: take_largest(
            t, input, result, kernel, stride, padding, dilation
        )
    },
    promote="same",
    kinds="uif",
    primitive=True,
    batch=_fold_batch,
    samples=_max_samples,
    places="nn",
)
def max_pool(
    input: Array, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, ceil_mode: bool
) -> Array:
    """Take the maximum of each window; the first of equal ones gets the cotangent."""
    places = pooled_sizes(input.shape[-len(kernel) :], kernel, stride, padding, dilation, ceil_mode)
    framed = _framed(input, places, kernel, stride, padding, dilation, _lowest(input.dtype))
    made = None
    for at in _windows(kernel, places, stride, dilation):
        made = framed[at].copy() if made is None else np.maximum(made, framed[at], out=made)
    return made


def _first_largest(
    x: Any, result: Any, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Iterator[Any]:
    """Yield, per element of the window, its index in the framed input and where it is the first maximum."""
    places = result.shape[-len(kernel) :]
    framed = _framed(x, places, kernel, stride, padding, dilation, _lowest(x.dtype))
    odd = np.isnan(result) if x.dtype.kind == "f" else None
    odd = odd if odd is not None and odd.any() else None
    free = None
    for at in _windows(kernel, places, stride, dilation):
        hit = framed[at] == result
        if odd is not None:
            hit |= odd & np.isnan(framed[at])
        if free is None:
            free = ~hit
        else:
            hit &= free
            free ^= hit
        yield at, hit


def _routes() -> Iterator[Sample]:
    for s in _max_samples():
        x, *rest = s.args
        result = max_pool(x, *rest)
        yield sample(np.cos(result), x, result, *rest[:4])


@linear(
    node="MaxPoolBackward0",
    input=lambda ct, image, result_, kernel, stride, padding, dilation: take_largest(
        ct, image, result_, kernel, stride, padding, dilation
    ),
    promote="none",
    primitive=True,
    batch=_fold_batch,
    samples=_routes,
    places="",
)
def put_largest(
    input: Array, image: Plain, result_: Plain, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Array:
    """Add each place's number to where the maximum of its window is in `image`."""
    places = result_.shape[-len(kernel) :]
    made = _framed(np.zeros(image.shape, input.dtype), places, kernel, stride, padding, dilation, 0)
    is_apart = all(k <= s and d == 1 for k, s, d in zip(kernel, stride, dilation, strict=True))
    for at, hit in _first_largest(image, result_, kernel, stride, padding, dilation):
        if is_apart:  # every element is in one window at most
            np.multiply(input, hit, out=made[at])
        else:
            made[at] += input * hit
    return made[_inside(image.shape, padding)]


def _inside(shape: Sizes, padding: Sizes) -> Any:
    return (..., *(slice(p, p + n) for p, n in zip(padding, shape[-len(padding) :], strict=True)))


@linear(
    node="MaxPoolBackwardBackward0",
    input=lambda ct, image, result_, kernel, stride, padding, dilation: put_largest(
        ct, image, result_, kernel, stride, padding, dilation
    ),
    promote="none",
    primitive=True,
    batch=_fold_batch,
    samples=lambda: [sample(np.cos(s.args[1]), *s.args[1:]) for s in _routes()],
    places="",
)
def take_largest(
    input: Array, image: Plain, result_: Plain, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Array:
    """Take for each place the number that lies where the maximum of its window is in `image`."""
    places = result_.shape[-len(kernel) :]
    framed = _framed(input, places, kernel, stride, padding, dilation, 0)
    made = np.zeros(result_.shape, input.dtype)
    for at, hit in _first_largest(image, result_, kernel, stride, padding, dilation):
        made += framed[at] * hit
    return made


@general(
    promote="none",
    primitive=True,
    batch=_fold_batch,
    samples=lambda: [sample(s.args[0], max_pool(*s.args), *s.args[1:5]) for s in _max_samples()],
    places="nn",
)
def max_positions(
    image: Plain, result_: Plain, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Array:
    """Return where in `image` each window's maximum is, as an index into its last dimensions laid flat."""
    sizes = image.shape[-len(kernel) :]
    flat = np.arange(math.prod(sizes)).reshape(sizes)
    framed = _framed(flat, result_.shape[-len(kernel) :], kernel, stride, padding, dilation, 0)
    made = np.zeros(result_.shape, np.int64)
    for at, hit in _first_largest(image, result_, kernel, stride, padding, dilation):
        made += framed[at] * hit
    return made


# ---- the sum ----


def _sums() -> Iterator[Sample]:
    for s in _max_samples():
        x, kernel, stride, padding, _, ceil_mode = s.args
        ones = (1,) * len(kernel)
        places = pooled_sizes(x.shape[-len(kernel) :], kernel, stride, padding, ones, ceil_mode)
        yield sample(x, kernel, stride, padding, places)


@linear(
    node="SumPoolBackward0",
    input=lambda ct, input_shape, kernel, stride, padding: window_spread(
        ct, kernel, stride, padding, tuple(input_shape[-len(kernel) :])
    ),
    promote="same",
    primitive=True,
    batch=_fold_batch,
    samples=_sums,
    places="",
)
def window_sum(input: Array, kernel: Sizes, stride: Sizes, padding: Sizes, places: Sizes) -> Array:
    """Sum each window over the last dimensions."""
    ones = (1,) * len(kernel)
    framed = _framed(input, places, kernel, stride, padding, ones, 0)
    made = None
    for at in _windows(kernel, places, stride, ones):
        made = framed[at].copy() if made is None else np.add(made, framed[at], out=made)
    return made


@linear(
    node="SumPoolBackwardBackward0",
    input=lambda ct, input_shape, kernel, stride, padding: window_sum(
        ct, kernel, stride, padding, tuple(input_shape[-len(kernel) :])
    ),
    promote="same",
    primitive=True,
    batch=_fold_batch,
    samples=lambda: [
        sample(window_sum(*s.args), *s.args[1:4], s.args[0].shape[-len(s.args[1]) :]) for s in _sums()
    ],
    places="",
)
def window_spread(input: Array, kernel: Sizes, stride: Sizes, padding: Sizes, sizes: Sizes) -> Array:
    """Add each place's number to all elements of its window: the adjoint of `window_sum`."""
    ones, places = (1,) * len(kernel), input.shape[-len(kernel) :]
    lead = input.shape[: -len(kernel)]
    made = _framed(np.zeros((*lead, *sizes), input.dtype), places, kernel, stride, padding, ones, 0)
    for at in _windows(kernel, places, stride, ones):
        made[at] += input
    return made[_inside((*lead, *sizes), padding)]


def _counts(
    sizes: Sizes, places: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, with_pad: bool, dtype: Any
) -> Any:
    """Return by how many elements each window's sum is divided: a number if they all agree."""
    counts: Any = 1.0
    rank = len(kernel)
    for i, (n, count, k, s, p) in enumerate(zip(sizes, places, kernel, stride, padding, strict=True)):
        first = np.arange(count) * s - p
        last = np.minimum(first + k, n + p)
        mine = last - first if with_pad else np.minimum(last, n) - np.maximum(first, 0)
        if (mine == mine[:1]).all() and count:
            counts = counts * int(mine[0])
        else:
            counts = counts * mine.reshape((-1,) + (1,) * (rank - 1 - i))
    return counts if isinstance(counts, float) else counts.astype(dtype)


@linear(
    node=lambda kernel: _node("AvgPool{}DBackward0", len(kernel)),
    input=lambda ct, input, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override: tied(
        window_spread(
            ct / _divisor(input, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override),
            kernel, stride, padding, tuple(input.shape[-len(kernel) :]),
        ),
        input,
    ),
    promote="same",
    kinds="uif",
    batch=_fold_batch,
    samples=lambda: [
        sample(x, kernel, stride, padding, ceil, pad, divisor)
        for (x, kernel, stride, padding, _, ceil), pad, divisor in zip(
            [s.args for s in _max_samples()],
            [True, False, True, False, True],
            [None, None, None, None, 3],
            strict=True,
        )
    ],
    places="nn",
)  # fmt: skip
def avg_pool(
    input: Array,
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """Take the mean of each window over the last dimensions."""
    places = pooled_sizes(input.shape[-len(kernel) :], kernel, stride, padding, (1,) * len(kernel), ceil_mode)
    divisor = _divisor(input, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)
    made = window_sum(input, kernel, stride, padding, places) / divisor
    return cast(made, input.dtype)  # integers are truncated


def _divisor(
    x: Any, kernel: Sizes, stride: Sizes, padding: Sizes, ceil_mode: bool, with_pad: bool, given: int | None
) -> Any:
    if given is not None:
        return given
    sizes = tuple(x.shape[-len(kernel) :])
    places = pooled_sizes(sizes, kernel, stride, padding, (1,) * len(kernel), ceil_mode)
    return _counts(sizes, places, kernel, stride, padding, with_pad, numpy_dtype(x.dtype))
