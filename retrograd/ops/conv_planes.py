"""Convolutions of images at stride 1, from shifted planes.

The *planes* of an image are copies of it, one per column of the kernel, each shifted by that column's offset:
a place of the kernel then is a stretch of whole rows in one plane. So the columns that a convolution
multiplies with are copied in stretches as long as an image, or a block of its rows, and made block by block
in memory that stays in the second-level cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

Sizes = tuple[int, ...]
_BLOCK = 2**17  # elements of columns at a time: with what is read for them they stay in the cache
_FEWEST_PLACES = 32  # per image; for smaller ones the products become too small


def serves(x: Any, weight_shape: Sizes, stride: Sizes, groups: int, places: Sizes) -> bool:
    """Whether this is a convolution for this file; `x` is the image or the result's cotangent."""
    if len(places) != 2 or tuple(stride) != (1, 1) or groups != 1 or math.prod(places) < _FEWEST_PLACES:
        return False
    return bool(x.size and math.prod(weight_shape))


def forward(x: Any, weight: Any, padding: Sizes, dilation: Sizes, places: Sizes) -> Any:
    """Convolve: (n, c, h, w), (o, c, i, j) -> (n, o, *places)."""
    n, kernel, (down, across) = x.shape[0], weight.shape[2:], places
    planes = _planes(x, kernel, padding, dilation, across)
    matrix = _matrix(weight)
    made = np.empty((n, weight.shape[0], down * across), x.dtype)
    for examples, rows in _blocks(n, matrix.shape[1], places):
        columns = _columns(planes, kernel[0], dilation[0], examples, rows)
        stretch = slice(rows.start * across, rows.stop * across)
        np.matmul(matrix, columns.reshape(len(columns), matrix.shape[1], -1), out=made[examples, :, stretch])
    return made.reshape(n, -1, *places)


def backward(ct: Any, weight: Any, sizes: Sizes, padding: Sizes, dilation: Sizes) -> Any:
    """Apply the adjoint in the input: (n, o, *places), (o, c, i, j) -> (n, c, h, w).

    The cotangents of the planes are a convolution along the rows alone, of the result's cotangent with the
    kernel turned upside down.
    """
    n, o, down, across = ct.shape
    channels, high, wide = weight.shape[1:]
    reach = (high - 1) * dilation[0]
    source = _row_padded(ct, reach)[:, None]
    matrix = weight[:, :, ::-1].transpose(3, 1, 0, 2).reshape(wide * channels, o * high)
    planes = np.empty((n, wide, channels, down + reach, across), ct.dtype)
    flat = planes.reshape(n, len(matrix), -1)
    for examples, rows in _blocks(n, o * high, planes.shape[3:]):
        columns = _columns(source, high, dilation[0], examples, rows)
        stretch = slice(rows.start * across, rows.stop * across)
        np.matmul(matrix, columns.reshape(len(columns), o * high, -1), out=flat[examples, :, stretch])
    return _fold(planes, sizes, padding, dilation[1])


def weight_ct(ct: Any, x: Any, kernel: Sizes, padding: Sizes, dilation: Sizes) -> Any:
    """Apply the adjoint in the weight: (n, o, *places), (n, c, h, w) -> (o, c, i, j)."""
    n, o, down, across = ct.shape
    planes = _planes(x, kernel, padding, dilation, across)
    count = x.shape[1] * math.prod(kernel)
    made = np.zeros((count, o), ct.dtype)
    for examples, rows in _blocks(n, count, (down, across)):
        columns = _columns(planes, kernel[0], dilation[0], examples, rows, examples_last=True)
        columns = columns.reshape(count, -1)
        results = np.moveaxis(ct[examples, :, rows], 0, 1).reshape(o, -1)
        # The larger factor first: OpenBLAS takes longer for the transposed product.
        made += columns @ results.T if count > o else (results @ columns.T).T
    return np.ascontiguousarray(made.reshape(kernel[1], x.shape[1], kernel[0], o).transpose(3, 1, 2, 0))


def _matrix(weight: Any) -> Any:
    """Return a weight (o, c, i, j) as a matrix (o, j c i)."""
    return weight.transpose(0, 3, 1, 2).reshape(weight.shape[0], -1)


def _blocks(n: int, count: int, places: Sizes) -> Iterator[tuple[slice, slice]]:
    """Yield (examples, rows) of results that are worked on together; `count` elements are needed for each."""
    down, across = places
    rows = max(1, min(down, _BLOCK // max(count * across, 1)))
    examples = max(1, _BLOCK // max(count * across * rows, 1)) if rows == down else 1
    for first in range(0, n, examples):
        for top in range(0, down, rows):
            yield slice(first, min(first + examples, n)), slice(top, min(top + rows, down))


def _planes(x: Any, kernel: Sizes, padding: Sizes, dilation: Sizes, across: int) -> Any:
    """Return (n, c, h, w) as planes (n, j, c, rows with padding, across)."""
    n, channels, _, width = x.shape
    padded = _row_padded(x, padding[0])
    length = channels * padded.shape[2] * width
    made = np.empty((n, kernel[1], channels, padded.shape[2], across), x.dtype)
    for j in range(kernel[1]):
        plane, shift = made[:, j], j * dilation[1] - padding[1]
        into, of = _overlap(shift, across, width)
        if across == width:  # to move an example's memory at once moves all of its rows
            whole_into, whole_of = _overlap(shift, length, length)
            plane.reshape(n, length)[:, whole_into] = padded.reshape(n, length)[:, whole_of]
        else:
            plane[..., into] = padded[..., of]
        plane[..., : into.start] = 0
        plane[..., into.stop :] = 0
    return made


def _row_padded(x: Any, around: int) -> Any:
    """Return images with rows of zeros above and below, in memory of their own order."""
    if not around:
        return np.ascontiguousarray(x)
    n, channels, down, width = x.shape
    made = np.empty((n, channels, down + 2 * around, width), x.dtype)
    made[:, :, :around] = 0
    made[:, :, around : around + down] = x
    made[:, :, around + down :] = 0
    return made


def _fold(planes: Any, sizes: Sizes, padding: Sizes, step: int) -> Any:
    """Apply the adjoint of `_planes`; writes to the planes."""
    (n, wide, channels, down, across), width, around = planes.shape, sizes[1], padding[0]
    length = channels * down * width
    made = np.zeros((n, channels, down, width), planes.dtype)
    for j in range(wide):
        plane, shift = planes[:, j], j * step - padding[1]
        into, of = _overlap(shift, across, width)
        if across == width:
            plane[..., : into.start] = 0
            plane[..., into.stop :] = 0
            whole_into, whole_of = _overlap(shift, length, length)
            made.reshape(n, length)[:, whole_of] += plane.reshape(n, length)[:, whole_into]
        else:
            made[..., of] += plane[..., into]
    return np.ascontiguousarray(made[:, :, around : around + sizes[0]])


def _overlap(shift: int, results: int, sources: int) -> tuple[slice, slice]:
    """Return which results k, of so many, have a source k + shift, and these sources."""
    first, last = max(0, -shift), max(0, -shift, min(results, sources - shift))
    first, last = min(first, results), min(last, results)
    return slice(first, last), slice(first + shift, last + shift)


def _columns(
    planes: Any, high: int, step: int, examples: slice, rows: slice, examples_last: bool = False
) -> Any:
    """Copy the columns of some results: (n, j, c, i, places), or (j, c, i, n, places)."""
    _, wide, channels, _, across = planes.shape
    by_example, by_column, by_channel, by_row, by_element = planes.strides
    count, places = examples.stop - examples.start, (rows.stop - rows.start) * across
    view: np.ndarray[Any, Any] = np.ndarray(
        (count, wide, channels, high, places),
        planes.dtype,
        planes,
        examples.start * by_example + rows.start * by_row,
        (by_example, by_column, by_channel, step * by_row, by_element),
    )
    return np.ascontiguousarray(np.moveaxis(view, 0, 3) if examples_last else view)
