"""Padding, and moving windows in and out of a dimension of their own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.conv import out_sizes
from retrograd.ops.declare import Array, Sample, error, sample
from retrograd.ops.depend import tied
from retrograd.ops.families import general, linear, movement
from retrograd.ops.helpers import numpy_dtype
from retrograd.ops.matmul import grid

Sizes = tuple[int, ...]


# ---- by a constant ----


def _pads() -> Iterator[Sample]:
    yield sample(grid(2, 3), (1, 2), 0.5)
    yield sample(grid(2, 3, 2), (1, 0, 0, 2, 1, 1))
    yield sample(grid(2, 3), (-1, 1, 1, -1), 2.0)
    yield sample(grid(3), (-1, -1))


def _negative(pad: Any) -> tuple[int, ...]:
    return tuple(-p for p in pad)


@general(
    node="ConstantPadNdBackward0",
    input=lambda ct, pad: constant_pad_nd(ct, _negative(pad)),
    jvp={"input": lambda t, pad: constant_pad_nd(t, pad)},
    promote="none",
    primitive=True,
    batch=lambda op, size, args, dims: op(batching.front(args[0], dims[0]), *args[1:]),
    samples=_pads,
    errors=lambda: [
        error(
            RuntimeError,
            "Length of pad should be no more than twice the number of dimensions",
            grid(2),
            (1, 1, 1, 1),
        )
    ],
    places="torch nn",
)
def constant_pad_nd(input: Array, pad: Sizes, value: Any = 0) -> Array:
    """Put `value` around: pad[0] before and pad[1] after the last dimension, ...; cut where negative."""
    count = len(pad) // 2
    if len(pad) % 2:
        raise RuntimeError(f"Length of pad must be even but instead it equals {len(pad)}")
    if count > input.ndim:
        raise RuntimeError(
            "Length of pad should be no more than twice the number of dimensions of the input. Pad length is "
            f"{len(pad)} while the input has {input.ndim} dimensions."
        )
    shape, to, source = list(input.shape), [], []
    for i in range(input.ndim):
        back = input.ndim - 1 - i
        before, after = (pad[2 * back], pad[2 * back + 1]) if back < count else (0, 0)
        n = input.shape[i]
        shape[i] = n + before + after
        if shape[i] < 0:
            raise RuntimeError(
                f"The input size {n}, plus negative padding {before} and {after} resulted in a negative "
                "output size, "
                f"which is invalid. Check dimension {i} of your input."
            )
        source.append(slice(max(0, -before), max(0, n - max(0, -after))))
        to.append(slice(max(0, before), max(0, shape[i] - max(0, after))))
    made = np.full(shape, value or 0, input.dtype)
    made[tuple(to)] = input[tuple(source)]
    return made


# ---- by elements of the input ----


def _source(n: int, before: int, after: int, mode: str) -> Any:
    """Return which element of a dimension of size `n` is at each place of the padded one."""
    if mode == "circular":
        kept = np.arange(max(0, -before), n - max(0, -after))
        return kept[np.arange(-max(0, before), len(kept) + max(0, after)) % len(kept)]
    at = np.arange(-before, n + after)
    if mode == "replicate":
        return np.clip(at, 0, n - 1)
    at = np.abs(at)
    return np.where(at >= n, 2 * (n - 1) - at, at)


def indices_of(shape: Any, pad: Sizes, mode: str) -> tuple[Any, ...]:
    """Return, for each padded dimension from the first on, which element is at each place."""
    rank = len(pad) // 2
    sizes = shape[len(shape) - rank :]
    return tuple(
        _source(n, pad[2 * (rank - 1 - i)], pad[2 * (rank - 1 - i) + 1], mode) for i, n in enumerate(sizes)
    )


def _kept(value: Any, input: Any, kind: str) -> Any:
    """Tie a gradient to the input where torch's node saves it."""
    return value if kind.startswith("Upsample") else tied(value, input)


@linear(
    node=lambda kind: kind,
    input=lambda ct, input, indices, kind: _kept(
        put_at(ct, indices, kind, tuple(input.shape[-len(indices) :])), input, kind
    ),
    promote="none",
    primitive=True,
    batch=lambda op, size, args, dims: op(batching.front(args[0], dims[0]), *args[1:]),
    samples=lambda: [sample(grid(2, 3, 4), (np.array([1, 0, 2, 2]), np.array([3, 0, 1])), "TakeBackward0")],
    places="nn",
)
def take_at(input: Array, indices: tuple[Any, ...], kind: str) -> Array:
    """Take elements of the last dimensions, one index array for each of them; `kind` names the node."""
    made = input
    for i, index in enumerate(indices):
        made = np.take(made, index, axis=i - len(indices))
    return made


@linear(
    node="PutBackward0",
    input=lambda ct, indices, kind: take_at(ct, indices, kind),
    promote="none",
    primitive=True,
    batch=lambda op, size, args, dims: op(batching.front(args[0], dims[0]), *args[1:]),
    samples=lambda: [
        sample(grid(2, 4, 3), (np.array([1, 0, 2, 2]), np.array([3, 0, 1])), "TakeBackward0", (3, 4))
    ],
    places="",
)
def put_at(input: Array, indices: tuple[Any, ...], kind: str, sizes: Sizes) -> Array:
    """Add elements of the last dimensions into zeros, where `take_at` would take them from."""
    made = input
    for i, index in enumerate(indices):
        axis = made.ndim + i - len(indices)
        moved = np.moveaxis(made, axis, 0)
        total = np.zeros((sizes[i], *moved.shape[1:]), input.dtype)
        np.add.at(total, index, moved)
        made = np.moveaxis(total, 0, axis)
    return made


# ---- along matrices ----


def _apply(x: Any, matrices: Any) -> Any:
    for i, matrix in enumerate(matrices):
        axis = x.ndim + i - len(matrices)
        weights = np.asarray(matrix, numpy_dtype(x.dtype))
        x = np.swapaxes(np.swapaxes(x, axis, -1) @ weights.T, axis, -1)
    return x


@linear(
    node=lambda kind: kind,
    input=lambda ct, input, matrices, kind: _kept(
        resample(ct, tuple(m.T for m in matrices), kind), input, kind
    ),
    promote="same",
    kinds="f",
    batch=lambda op, size, args, dims: op(batching.front(args[0], dims[0]), *args[1:]),
    samples=lambda: [sample(grid(2, 3, 4), (grid(2, 3, shift=1), grid(5, 4)), "ResampleBackward0")],
    places="nn",
)
def resample(input: Array, matrices: tuple[Any, ...], kind: str) -> Array:
    """Multiply each of the last dimensions by its own matrix (new size, old size); `kind` names the node."""
    return _apply(input, matrices)


# ---- windows as a dimension ----


def _with_examples(op: Any, size: int, args: Any, dims: Any) -> Any:
    """Batch an op whose first dimension is one of examples: the batch joins them."""
    x = batching.front(args[0], dims[0])
    made = op(np.reshape(x, (size * x.shape[1], *x.shape[2:])), *args[1:])
    return np.reshape(made, (size, x.shape[1], *made.shape[1:]))


def _folds() -> Iterator[Sample]:
    yield sample(grid(2, 3, 4, 5), (2, 3), (1, 1), (0, 0), (1, 1))
    yield sample(grid(2, 1, 4, 5), (2, 2), (1, 2), (1, 0), (2, 1))


@linear(
    node="Im2ColBackward0",
    input=lambda ct, input_shape, kernel, dilation, padding, stride: col2im(
        ct, tuple(input_shape[2:]), kernel, dilation, padding, stride
    ),
    promote="same",
    primitive=True,
    batch=_with_examples,
    samples=_folds,
    places="nn",
)
def im2col(input: Array, kernel: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes) -> Array:
    """Lay each window out as a column: (n, c, h, w) -> (n, c * window, places)."""
    places = out_sizes(input.shape[2:], kernel, stride, padding, dilation)
    sizes = [n + 2 * p for n, p in zip(input.shape[2:], padding, strict=True)]
    padded = np.zeros((*input.shape[:2], *sizes), input.dtype)
    inside: Any = (..., *(slice(p, p + n) for n, p in zip(input.shape[2:], padding, strict=True)))
    padded[inside] = input
    made = np.empty((*input.shape[:2], *kernel, *places), input.dtype)
    for offset, at in _offsets(kernel, places, stride, dilation):
        made[(slice(None), slice(None), *offset)] = padded[at]
    return made.reshape(input.shape[0], input.shape[1] * math.prod(kernel), math.prod(places))


def _offsets(kernel: Sizes, places: Sizes, stride: Sizes, dilation: Sizes) -> Iterator[Any]:
    for offset in product(*map(range, kernel)):
        starts = [o * d for o, d in zip(offset, dilation, strict=True)]
        yield (
            offset,
            (
                ...,
                *(slice(a, a + (n - 1) * s + 1, s) for a, n, s in zip(starts, places, stride, strict=True)),
            ),
        )


@linear(
    node="Col2ImBackward0",
    input=lambda ct, kernel, dilation, padding, stride: im2col(ct, kernel, dilation, padding, stride),
    promote="same",
    primitive=True,
    batch=_with_examples,
    samples=lambda: [sample(im2col(*s.args), s.args[0].shape[2:], *s.args[1:]) for s in _folds()],
    places="nn",
)
def col2im(
    input: Array, sizes: Sizes, kernel: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes
) -> Array:
    """Add each column to its window: (n, c * window, places) -> (n, c, h, w)."""
    places = out_sizes(sizes, kernel, stride, padding, dilation)
    columns = input.reshape(input.shape[0], input.shape[1] // math.prod(kernel), *kernel, *places)
    made = np.zeros(
        (*columns.shape[:2], *(n + 2 * p for n, p in zip(sizes, padding, strict=True))), input.dtype
    )
    for offset, at in _offsets(kernel, places, stride, dilation):
        made[at] += columns[(slice(None), slice(None), *offset)]
    inside: Any = (..., *(slice(p, p + n) for n, p in zip(sizes, padding, strict=True)))
    return made[inside]


# ---- channels to pixels ----


def _fold_front(op: Any, size: int, args: Any, dims: Any) -> Any:
    return op(batching.front(args[0], dims[0]), *args[1:])


@movement(
    node="PixelShuffleBackward0",
    input=lambda ct, upscale_factor: pixel_unshuffle(ct, upscale_factor),
    batch=_fold_front,
    samples=lambda: [sample(grid(2, 8, 2, 3), 2)],
    errors=lambda: [
        error(
            RuntimeError,
            "pixel_shuffle expects its input's 'channel' dimension to be divisible",
            grid(1, 3, 2, 2),
            2,
        )
    ],
    places="nn.functional torch",
)
def pixel_shuffle(input: Array, upscale_factor: int) -> Array:
    """Spread channels over pixels: (..., c r^2, h, w) -> (..., c, h r, w r)."""
    r = upscale_factor
    if input.ndim < 3:
        raise RuntimeError(
            f"pixel_shuffle expects input to have at least 3 dimensions, but got input with {input.ndim} "
            "dimension(s)"
        )
    if r <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    *lead, c, h, w = input.shape
    if c % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of "
            "upscale_factor, but "
            f"input.size(-3)={c} is not divisible by {r * r}"
        )
    k = len(lead)
    split = np.reshape(input, (*lead, c // (r * r), r, r, h, w))
    turned = np.transpose(split, (*range(k), k, k + 3, k + 1, k + 4, k + 2))
    return np.reshape(turned, (*lead, c // (r * r), h * r, w * r))


@movement(
    node="PixelUnshuffleBackward0",
    input=lambda ct, downscale_factor: pixel_shuffle(ct, downscale_factor),
    batch=_fold_front,
    samples=lambda: [sample(grid(2, 2, 4, 6), 2)],
    errors=lambda: [
        error(RuntimeError, "pixel_unshuffle expects height to be divisible", grid(1, 3, 3, 2), 2)
    ],
    places="nn.functional torch",
)
def pixel_unshuffle(input: Array, downscale_factor: int) -> Array:
    """Gather pixels into channels: (..., c, h r, w r) -> (..., c r^2, h, w)."""
    r = downscale_factor
    if input.ndim < 3:
        raise RuntimeError(
            f"pixel_unshuffle expects input to have at least 3 dimensions, but got input with {input.ndim} "
            "dimension(s)"
        )
    if r <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    *lead, c, h, w = input.shape
    for what, at, n in (("height", -2, h), ("width", -1, w)):
        if n % r:
            raise RuntimeError(
                f"pixel_unshuffle expects {what} to be divisible by downscale_factor, but "
                f"input.size({at})={n} is not divisible by {r}"
            )
    k = len(lead)
    split = np.reshape(input, (*lead, c, h // r, r, w // r, r))
    turned = np.transpose(split, (*range(k), k, k + 2, k + 4, k + 1, k + 3))
    return np.reshape(turned, (*lead, c * r * r, h // r, w // r))


@movement(
    node="ChannelShuffleBackward0",
    input=lambda ct, groups, input_shape: channel_shuffle(ct, input_shape[1] // groups),
    batch=_with_examples,
    samples=lambda: [sample(grid(2, 6, 3), 2), sample(grid(1, 6, 2, 2), 3)],
    errors=lambda: [
        error(
            RuntimeError,
            "Number of channels must be divisible by groups. Got 5 channels and 2 groups",
            grid(1, 5, 2),
            2,
        )
    ],
    places="nn.functional torch",
)
def channel_shuffle(input: Array, groups: int) -> Array:
    """Interleave groups of channels: channel k of group g comes to k * groups + g."""
    if input.ndim < 3:
        raise RuntimeError(
            f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(input.shape)}"
        )
    n, c, *rest = input.shape
    if groups <= 0:
        raise RuntimeError(
            f"Number of groups to divide channels in must be positive. Value of groups:{groups}"
        )
    if c % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {c} channels and {groups} groups."
        )
    return np.reshape(np.swapaxes(np.reshape(input, (n, groups, c // groups, *rest)), 1, 2), (n, c, *rest))
