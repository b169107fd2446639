"""Convolutions of any number of dimensions, transposed ones, and their adjoints.

A convolution multiplies the weight, as a matrix, with the *columns* of the input: one column per place of the
kernel, holding what the kernel sees there. Columns are laid out with the examples of the batch innermost, so
that they are copied in long stretches whatever the size of the images, and in blocks of places that fit the
cache.

Three maps are bilinear and each other's adjoints: the convolution, the transposed convolution (input's
cotangent), and `convolution_weight` (weight's cotangent).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from retrograd.ops import batching, conv_planes
from retrograd.ops.declare import Array, Sample, sample
from retrograd.ops.depend import tied
from retrograd.ops.families import general, linear
from retrograd.ops.matmul import grid
from retrograd.ops.neural import total

Sizes = tuple[int, ...]
_SHORT = 512  # elements of a channel for which a loop over each costs more than repeating the bias
_BLOCK = 2**20  # elements of columns worked on at a time: they stay in the second-level cache


def out_sizes(sizes: Sequence[int], kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Sizes:
    """Return at how many places a kernel fits, per dimension."""
    found = zip(sizes, kernel, stride, padding, dilation, strict=True)
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in found)


# ---- columns ----


def _padded(x: Any, padding: Sizes) -> Any:
    """Return (n, c, *sizes) as a contiguous (c, *sizes, n) with zeros around."""
    turned = np.moveaxis(x, 0, -1)
    if not any(padding):
        return np.ascontiguousarray(turned)
    sizes = [n + 2 * p for n, p in zip(x.shape[2:], padding, strict=True)]
    made = np.zeros((x.shape[1], *sizes, x.shape[0]), x.dtype)
    made[(slice(None), *(slice(p, p + n) for n, p in zip(x.shape[2:], padding, strict=True)))] = turned
    return made


def _columns(padded: Any, kernel: Sizes, stride: Sizes, dilation: Sizes, places: Sizes, first: int) -> Any:
    """Return the columns (c, *kernel, *places, n) of the places from row `first` on, as a view."""
    rank = len(kernel)
    steps = padded.strides
    inner = [s * d for s, d in zip(steps[1 : 1 + rank], dilation, strict=True)]
    outer = [s * d for s, d in zip(steps[1 : 1 + rank], stride, strict=True)]
    return np.ndarray(
        (padded.shape[0], *kernel, *places, padded.shape[-1]),
        padded.dtype,
        padded,
        first * outer[0],
        (steps[0], *inner, *outer, steps[-1]),
    )


def _blocks(places: Sizes, row: int) -> Iterator[tuple[int, int]]:
    """Yield stretches of the first dimension's places whose columns, `row` elements each, fit a block."""
    step = max(1, _BLOCK // max(row, 1))
    for first in range(0, places[0], step):
        yield first, min(first + step, places[0])


def _forward(x: Any, weight: Any, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int) -> Any:
    """Convolve: (n, c, *sizes), (o, c / groups, *kernel) -> (n, o, *places)."""
    kernel, n = weight.shape[2:], x.shape[0]
    places = out_sizes(x.shape[2:], kernel, stride, padding, dilation)
    channels, window = x.shape[1], math.prod(kernel)
    matrix = weight.reshape(groups, weight.shape[0] // groups, -1)
    if window == 1 and not any(padding) and all(s == 1 for s in stride):
        made = matrix @ np.ascontiguousarray(x).reshape(n, groups, channels // groups, -1)
        return made.reshape(n, -1, *places)
    if conv_planes.serves(x, weight.shape, stride, groups, places):
        return conv_planes.forward(x, weight, padding, dilation, places)
    if groups == 1 and _is_narrow(channels * window, weight.shape[0], places, n):
        return _forward_by_example(x, matrix[0], kernel, stride, padding, dilation, places)
    padded = _padded(x, padding)
    made = np.empty((n, weight.shape[0], *places), x.dtype)
    turned = np.moveaxis(made, 0, -1)
    for first, last in _blocks(places, channels * window * math.prod(places[1:]) * n):
        part = (last - first, *places[1:])
        columns = _columns(padded, kernel, stride, dilation, part, first).reshape(groups, matrix.shape[2], -1)
        turned[:, first:last] = (matrix @ columns).reshape(weight.shape[0], *part, n)
    return made


def _is_narrow(rows: int, results: int, places: Sizes, n: int) -> bool:
    """Whether copying short stretches per example costs less than turning the result round at the end.

    The three constants are relative costs per stretch and per element, fitted once on
    one machine; they only choose the path.
    """
    return (
        rows * 5.6 / places[-1] < rows * 0.18 + results * 1.1 and rows * math.prod(places) * n <= 4 * _BLOCK
    )


def _forward_by_example(
    x: Any, matrix: Any, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, places: Sizes
) -> Any:
    """Convolve with the examples outermost."""
    if any(padding):
        around = [(p, p + m) for m, p in zip(x.shape[2:], padding, strict=True)]
        made = np.zeros(
            (*x.shape[:2], *(m + 2 * p for m, p in zip(x.shape[2:], padding, strict=True))), x.dtype
        )
        made[(slice(None), slice(None), *(slice(a, b) for a, b in around))] = x
        x = made
    steps = x.strides
    inner = [s * d for s, d in zip(steps[2:], dilation, strict=True)]
    outer = [s * d for s, d in zip(steps[2:], stride, strict=True)]
    shape, strides = (*x.shape[:2], *kernel, *places), (*steps[:2], *inner, *outer)
    columns = (
        np.lib.stride_tricks.as_strided(x, shape, strides)
        if x.base is not None
        else np.ndarray(shape, x.dtype, x, 0, strides)
    )
    return (matrix @ columns.reshape(x.shape[0], matrix.shape[1], -1)).reshape(x.shape[0], -1, *places)


def _backward(
    ct: Any, weight: Any, sizes: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Any:
    """Apply the adjoint in the input: (n, o, *places), (o, c / groups, *kernel) -> (n, c, *sizes)."""
    kernel, n = weight.shape[2:], ct.shape[0]
    channels, window = weight.shape[1] * groups, math.prod(kernel)
    places = ct.shape[2:]
    if conv_planes.serves(ct, weight.shape, stride, groups, places):
        return conv_planes.backward(ct, weight, sizes, padding, dilation)
    matrix = np.swapaxes(weight.reshape(groups, weight.shape[0] // groups, -1), 1, 2)
    made = np.zeros((channels, *(m + 2 * p for m, p in zip(sizes, padding, strict=True)), n), ct.dtype)
    turned = np.moveaxis(ct, 0, -1)
    for first, last in _blocks(places, channels * window * math.prod(places[1:]) * n):
        part = (last - first, *places[1:])
        rows = turned[:, first:last].reshape(groups, ct.shape[1] // groups, -1)
        columns = (matrix @ rows).reshape(channels, *kernel, *part, n)
        for offset in product(*map(range, kernel)):
            start = [o * d for o, d in zip(offset, dilation, strict=True)]
            start[0] += first * stride[0]
            at = (slice(a, a + (m - 1) * s + 1, s) for a, m, s in zip(start, part, stride, strict=True))
            made[(slice(None), *at)] += columns[(slice(None), *offset)]
    inside = made[(slice(None), *(slice(p, p + m) for m, p in zip(sizes, padding, strict=True)))]
    return np.moveaxis(inside, -1, 0)


def _weight_ct(
    ct: Any, x: Any, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Any:
    """Apply the adjoint in the weight: (n, o, *places), (n, c, *sizes) -> (o, c / groups, *kernel)."""
    n, channels, places, window = x.shape[0], x.shape[1], ct.shape[2:], math.prod(kernel)
    if conv_planes.serves(x, (ct.shape[1], channels, *kernel), stride, groups, places):
        return conv_planes.weight_ct(ct, x, kernel, padding, dilation)
    padded, turned = _padded(x, padding), np.moveaxis(ct, 0, -1)
    made = np.zeros((groups, ct.shape[1] // groups, channels // groups * window), ct.dtype)
    for first, last in _blocks(places, channels * window * math.prod(places[1:]) * n):
        part = (last - first, *places[1:])
        columns = _columns(padded, kernel, stride, dilation, part, first).reshape(groups, made.shape[2], -1)
        rows = turned[:, first:last].reshape(groups, made.shape[1], -1)
        made += rows @ np.swapaxes(columns, 1, 2)
    return made.reshape(ct.shape[1], channels // groups, *kernel)


# ---- the ops ----


def transposed_sizes(
    sizes: Sequence[int], kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, output_padding: Sizes
) -> Sizes:
    """Return the sizes that a transposed convolution gives."""
    found = zip(sizes, kernel, stride, padding, dilation, output_padding, strict=True)
    return tuple((n - 1) * s - 2 * p + d * (k - 1) + o + 1 for n, k, s, p, d, o in found)


def _rest(shape: Any, places: Any, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Sizes:
    """Return the output padding with which transposed `places` get this shape."""
    sizes = tuple(shape[2:])
    least = transposed_sizes(places[2:], kernel, stride, padding, dilation, (0,) * len(kernel))
    return tuple(n - m for n, m in zip(sizes, least, strict=True))


def _input_ct(
    ct: Any,
    input_shape: Any,
    weight: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: Any,
    groups: Any,
) -> Any:
    kernel = tuple(weight.shape[2:])
    if transposed:
        made = convolution(ct, weight, None, stride, padding, dilation, False, (0,) * len(kernel), groups)
        wanted = tuple(input_shape)  # output padding may have made room for further places
        return made if tuple(made.shape) == wanted else made[tuple(slice(0, n) for n in wanted)]
    extra = _rest(input_shape, ct.shape, kernel, stride, padding, dilation)
    return convolution(ct, weight, None, stride, padding, dilation, True, extra, groups)


def _kernel_ct(
    ct: Any,
    input: Any,
    weight_shape: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: Any,
    groups: Any,
) -> Any:
    image, places = (ct, input) if transposed else (input, ct)
    return convolution_weight(places, image, tuple(weight_shape[2:]), stride, padding, dilation, groups)


def _add_bias(made: Any, bias: Any) -> None:
    """Add a number per channel in place; for small images in rows as long as an example."""
    count = math.prod(made.shape[2:])
    if made.flags.c_contiguous and 0 < count <= _SHORT:
        lines = made.reshape(-1, bias.size * count)
        np.add(lines, np.repeat(bias, count), out=lines)
    else:
        made += bias.reshape(-1, *(1,) * (made.ndim - 2))


def _bias_ct(ct: Any) -> Any:
    """Sum over all but the channels; over the examples first, in rows as long as an example."""
    if ct.__class__ is np.ndarray and ct.size:
        count = math.prod(ct.shape[2:])
        return total(total(ct.reshape(ct.shape[0], ct.shape[1] * count), 0).reshape(ct.shape[1], count), 1)
    return total(ct, (0, *range(2, ct.ndim)))


def _samples() -> Iterator[Sample]:
    x, w = grid(2, 2, 5, 4), grid(3, 2, 3, 2, shift=1)
    none = (0, 0)
    yield sample(x, w, grid(3), (1, 1), none, (1, 1), False, none, 1)
    yield sample(x, w, None, (2, 1), (1, 0), (1, 2), False, none, 1)
    yield sample(grid(2, 4, 5), grid(4, 2, 3), grid(4), (2,), (1,), (1,), False, (0,), 2)
    yield sample(
        grid(1, 2, 3, 3, 3), grid(2, 2, 2, 2, 2), None, (1,) * 3, (0,) * 3, (1,) * 3, False, (0,) * 3, 1
    )
    yield sample(grid(2, 3, 3, 2), w, grid(2), (2, 1), (1, 0), (1, 1), True, (1, 0), 1)
    yield sample(grid(2, 4, 3), grid(4, 1, 2), None, (2,), (0,), (2,), True, (1,), 2)
    yield sample(grid(2, 2, 3, 3), grid(3, 2, 1, 1), None, (1, 1), none, (1, 1), False, none, 1)


def _batch(op: Any, size: int, args: Any, dims: Any) -> Any:
    """Join the batch to the examples where the weight is shared, else to the channels, as groups."""
    x, weight, bias, stride, padding, dilation, transposed, extra, groups = args
    if dims[1] is None and (bias is None or dims[2] is None):
        x = batching.front(x, dims[0])
        made = op(np.reshape(x, (math.prod(x.shape[:2]), *x.shape[2:])), *args[1:])
        return np.reshape(made, (*x.shape[:2], *made.shape[1:]))
    weight = batching.spread(weight, dims[1], size)
    if bias is not None:
        bias = np.reshape(batching.spread(bias, dims[2], size), (-1,))
    made = op(
        _as_channels(batching.spread(x, dims[0], size)),
        np.reshape(weight, (size * weight.shape[1], *weight.shape[2:])),
        bias, stride, padding, dilation, transposed, extra, groups * size,
    )  # fmt: skip
    return np.moveaxis(np.reshape(made, (made.shape[0], size, -1, *made.shape[2:])), 1, 0)


def _as_channels(x: Any) -> Any:
    """Return examples of a batch, (size, n, c, ...), with the batch among the channels: (n, size c, ...)."""
    size, n, channels, *rest = x.shape
    return np.reshape(np.swapaxes(x, 0, 1), (n, size * channels, *rest))


def _batch_weight(op: Any, size: int, args: Any, dims: Any) -> Any:
    """Join the batch to the channels, as groups."""
    ct, image = (_as_channels(batching.spread(x, d, size)) for x, d in zip(args[:2], dims[:2], strict=True))
    made = op(ct, image, *args[2:6], args[6] * size)
    return np.reshape(made, (size, made.shape[0] // size, *made.shape[1:]))


@general(
    node="ConvolutionBackward0",
    input=_input_ct,
    weight=_kernel_ct,
    bias=lambda ct, input: tied(_bias_ct(ct), input),
    jvp={
        "input": lambda t, weight, stride, padding, dilation, transposed, output_padding, groups: convolution(
            t, weight, None, stride, padding, dilation, transposed, output_padding, groups
        ),
        "weight": lambda t, input, stride, padding, dilation, transposed, output_padding, groups: convolution(
            input, t, None, stride, padding, dilation, transposed, output_padding, groups
        ),
        "bias": lambda t, result: np.broadcast_to(
            np.reshape(t, (t.shape[0], *(1,) * (result.ndim - 2))), result.shape
        ),
    },
    promote="match",
    kinds="uifc",
    primitive=True,
    batch=_batch,
    samples=_samples,
    places="nn torch",
)
def convolution(
    input: Array,
    weight: Array,
    bias: Array | None,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    transposed: bool,
    output_padding: Sizes,
    groups: int,
) -> Array:
    """Convolve, or apply the adjoint of a convolution when `transposed`.

    Shape: (n, c, *sizes), (o, c / groups, *kernel) -> (n, o, *places); transposed, (n, c, *places), (c, o /
        groups, *kernel) -> (n, o, *sizes).
    """
    if transposed:
        sizes = transposed_sizes(input.shape[2:], weight.shape[2:], stride, padding, dilation, output_padding)
        made = _backward(input, weight, sizes, stride, padding, dilation, groups)
        made = np.ascontiguousarray(made)
    else:
        made = _forward(input, weight, stride, padding, dilation, groups)
    if bias is not None:
        _add_bias(made, bias)
    return made


def _weight_samples() -> Iterator[Sample]:
    for s in _samples():
        x, w, _, stride, padding, dilation, transposed, extra, groups = s.args
        made = convolution(x, w, None, stride, padding, dilation, transposed, extra, groups)
        ct, image = (x, made) if transposed else (made, x)
        yield sample(ct, image, w.shape[2:], stride, padding, dilation, groups)


@linear(
    node="ConvolutionBackwardBackward0",
    input=lambda ct, input_shape, image, stride, padding, dilation, groups: _input_ct(
        image, input_shape, ct, stride, padding, dilation, True, groups
    ),
    image=lambda ct, input, image_shape, kernel, stride, padding, dilation, groups: convolution(
        input,
        ct,
        None,
        stride,
        padding,
        dilation,
        True,
        _rest(image_shape, input.shape, kernel, stride, padding, dilation),
        groups,
    ),
    kinds="uifc",
    primitive=True,
    batch=_batch_weight,
    samples=_weight_samples,
    places="",
)
def convolution_weight(
    input: Array, image: Array, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Array:
    """Apply the adjoint of a convolution in its weight, to the cotangent `input` of its result."""
    return _weight_ct(input, image, kernel, stride, padding, dilation, groups)
