"""Pooling over one, two and three dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd.nn.functions.ops import OPS, default_stride, sizes
from retrograd.ops.pool import pooled_sizes
from retrograd.tensor import wrap

Sizes = tuple[int, ...]


def _check_pool(
    input: Any,
    rank: int,
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
    name: str,
) -> None:
    """Raise unless pooling with these makes sense."""
    if input.ndim not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"{name}: Expected {rank + 1}D or {rank + 2}D (batch mode) tensor for input, but got: "
            f"{list(input.shape)}"
        )
    if any(s <= 0 for s in stride):
        raise RuntimeError(f"{name}: stride should be greater than zero, but got {list(stride)}")
    if any(k <= 0 for k in kernel):
        raise RuntimeError(f"{name}: kernel size should be greater than zero, but got {list(kernel)}")
    if any(d <= 0 for d in dilation):
        raise RuntimeError(f"{name}: dilation should be greater than zero, but got {list(dilation)}")
    for p, k, d in zip(padding, kernel, dilation, strict=True):
        if p < 0:
            raise RuntimeError(f"pad must be non-negative, but got pad: {p}")
        if p > (d * (k - 1) + 1) // 2:
            raise RuntimeError(
                f"pad should be at most half of effective kernel size, but got pad={p}, kernel_size={k} and "
                f"dilation={d}"
            )
    if 0 in input.shape[-rank - 1 :]:
        raise RuntimeError(
            f"{name}: Expected {rank + 1}D or {rank + 2}D (batch mode) tensor with optional 0 dim batch size "
            "for input, but "
            f"got: {list(input.shape)}"
        )
    places = pooled_sizes(input.shape[-rank:], kernel, stride, padding, dilation, ceil_mode)
    if min(places) < 1:
        have = "x".join(map(str, input.shape[-rank - 1 :]))
        raise RuntimeError(
            f"Given input size: ({have}). Calculated output size: ({input.shape[-rank - 1]}x"
            f"{'x'.join(map(str, places))}). Output size is too small"
        )


def _max_pool(rank: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    name = f"max_pool{rank}d"
    run, ones, zeros = OPS["max_pool"], (1,) * rank, (0,) * rank

    def max_pool(
        input: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        kernel = sizes(kernel_size, rank, name, "kernel_size")
        steps = default_stride(stride, kernel, rank, name)
        around = zeros if padding == 0 else sizes(padding, rank, name, "padding")
        spread = ones if dilation == 1 else sizes(dilation, rank, name, "dilation")
        _check_pool(input, rank, kernel, steps, around, spread, ceil_mode, name)
        made = run(input, kernel, steps, around, spread, ceil_mode)
        if return_indices:
            return made, OPS["max_positions"](input, made.detach(), kernel, steps, around, spread)
        return made

    def with_indices(
        input: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,  # noqa: ARG001 - torch's signature
    ) -> Any:
        return max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, True)

    max_pool.__name__ = max_pool.__qualname__ = name
    with_indices.__name__ = with_indices.__qualname__ = f"{name}_with_indices"
    max_pool.__doc__ = (
        f"Take the maximum of each window of {rank} dimension(s); also where it is if `return_indices`."
    )
    with_indices.__doc__ = f"Return what {name} gives with `return_indices`."
    return max_pool, with_indices


max_pool1d, max_pool1d_with_indices = _max_pool(1)
max_pool2d, max_pool2d_with_indices = _max_pool(2)
max_pool3d, max_pool3d_with_indices = _max_pool(3)


def _avg_pool(
    input: Any,
    rank: int,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    include: bool,
    divisor: Any,
) -> Any:
    name = f"avg_pool{rank}d"
    kernel = sizes(kernel_size, rank, name, "kernel_size")
    steps, around = default_stride(stride, kernel, rank, name), sizes(padding, rank, name, "padding")
    _check_pool(input, rank, kernel, steps, around, (1,) * rank, ceil_mode, name)
    if divisor == 0:
        raise RuntimeError("divisor must be not zero")
    return OPS["avg_pool"](input, kernel, steps, around, ceil_mode, include, divisor)


def avg_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """Take the mean of each window of one dimension."""
    return _avg_pool(input, 1, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Take the mean of each window of two dimensions."""
    return _avg_pool(input, 2, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Take the mean of each window of three dimensions."""
    return _avg_pool(input, 3, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _lp_pool(input: Any, rank: int, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool) -> Any:
    kernel = sizes(kernel_size, rank, f"lp_pool{rank}d", "kernel_size")
    mean = _avg_pool(input.pow(norm_type), rank, kernel, stride, 0, ceil_mode, True, None)
    return (mean.sign() * mean.abs().relu() * math.prod(kernel)).pow(1.0 / norm_type)


def lp_pool1d(
    input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """Take (sum x**p)**(1/p) of each window of one dimension."""
    return _lp_pool(input, 1, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """Take (sum x**p)**(1/p) of each window of two dimensions."""
    return _lp_pool(input, 2, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """Take (sum x**p)**(1/p) of each window of three dimensions."""
    return _lp_pool(input, 3, norm_type, kernel_size, stride, ceil_mode)


# ---- to a given size ----


def _wanted(output_size: Any, input: Any, rank: int, name: str) -> Sizes:
    """Return the sizes to pool to: None keeps a dimension's own."""
    if rank > 1 and input.ndim <= rank:
        raise ValueError(f"Input dimension should be at least {rank + 1}")
    if input.ndim not in (rank + 1, rank + 2):
        raise RuntimeError(f"{name}: Expected {rank + 1}D or {rank + 2}D tensor, but got {list(input.shape)}")
    if output_size is None or isinstance(output_size, int):
        output_size = (output_size,) * rank
    if len(output_size) == 1:
        output_size = tuple(output_size) * rank
    if len(output_size) != rank:
        raise RuntimeError(
            f"{name}() argument 'output_size' should contain one int (got {len(output_size)})"
            if rank == 1
            else f"{name}: output_size must be {rank}"
        )
    found = tuple(n if s is None else int(s) for s, n in zip(output_size, input.shape[-rank:], strict=True))
    if min(found) < 0:
        raise RuntimeError(
            f"{name}: elements of output_size must be greater than or equal to 0 but received "
            f"{{{', '.join(map(str, found))}}}"
        )
    if 0 in input.shape[-rank:]:
        raise RuntimeError(
            f"{name}: Expected input to have non-zero size for non-batch dimensions, but input has sizes "
            f"{list(input.shape)} with dimension {input.ndim - rank + list(input.shape[-rank:]).index(0)} "
            "being empty"
        )
    return found


def bins(n: int, count: int) -> list[tuple[int, int]]:
    """Return where each of `count` bins of a dimension of size `n` begins and ends; they may overlap."""
    return [(i * n // count, -(-(i + 1) * n // count)) for i in range(count)]


def _adaptive_avg(input: Any, output_size: Any, rank: int) -> Any:
    wanted = _wanted(output_size, input, rank, f"adaptive_avg_pool{rank}d")
    if rank > 1 and all(n == 1 for n in wanted):
        return input.mean(tuple(range(-rank, 0)), True)
    matrices = []
    for n, count in zip(input.shape[-rank:], wanted, strict=True):
        matrix = np.zeros((count, n))
        for i, (first, last) in enumerate(bins(n, count)):
            matrix[i, first:last] = 1 / (last - first)
        matrices.append(matrix)
    kind = "SqueezeBackward1" if rank == 1 else f"AdaptiveAvgPool{rank}DBackward0"
    return OPS["resample"](input, tuple(matrices), kind)


def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """Take means so that the last dimension gets `output_size`."""
    return _adaptive_avg(input, output_size, 1)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """Take means so that the last two dimensions get `output_size`."""
    return _adaptive_avg(input, output_size, 2)


def adaptive_avg_pool3d(input: Any, output_size: Any) -> Any:
    """Take means so that the last three dimensions get `output_size`."""
    return _adaptive_avg(input, output_size, 3)


def _adaptive_max(rank: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    name = f"adaptive_max_pool{rank}d"

    def with_indices(
        input: Any,
        output_size: Any,
        return_indices: bool = False,  # noqa: ARG001 - torch's signature
    ) -> Any:
        wanted = _wanted(output_size, input, rank, name)
        input = OPS["remembered"](input)
        shape = tuple(input.shape)
        where = _bin_maxima(input._array, [bins(n, c) for n, c in zip(shape[-rank:], wanted, strict=True)])
        flat = input.reshape(*shape[:-rank], math.prod(shape[-rank:]))
        at = wrap(where.reshape(*shape[:-rank], math.prod(wanted)))
        return flat.gather(-1, at).reshape(*shape[:-rank], *wanted), wrap(where)

    def adaptive_max_pool(input: Any, output_size: Any, return_indices: bool = False) -> Any:
        made, at = with_indices(input, output_size)
        return (made, at) if return_indices else made

    adaptive_max_pool.__name__ = adaptive_max_pool.__qualname__ = name
    with_indices.__name__ = with_indices.__qualname__ = f"{name}_with_indices"
    adaptive_max_pool.__doc__ = f"Take maxima so that the last {rank} dimension(s) get `output_size`."
    with_indices.__doc__ = f"Return what {name} gives with `return_indices`."
    return adaptive_max_pool, with_indices


def _bin_maxima(array: Any, edges: list[list[tuple[int, int]]]) -> Any:
    """Return where each bin's maximum is, as an index into the last dimensions laid flat."""
    rank = len(edges)
    sizes_ = array.shape[-rank:]
    flat = np.arange(math.prod(sizes_)).reshape(sizes_)
    made = np.zeros((*array.shape[:-rank], *(len(e) for e in edges)), np.int64)
    for place in np.ndindex(*made.shape[-rank:]):
        cut: Any = (..., *(slice(*edges[d][i]) for d, i in enumerate(place)))
        window = array[cut].reshape(*array.shape[:-rank], -1)
        here: Any = (..., *place)
        made[here] = flat[cut].reshape(-1)[window.argmax(-1)]
    return made


adaptive_max_pool1d, adaptive_max_pool1d_with_indices = _adaptive_max(1)
adaptive_max_pool2d, adaptive_max_pool2d_with_indices = _adaptive_max(2)
adaptive_max_pool3d, adaptive_max_pool3d_with_indices = _adaptive_max(3)


# ---- back from maxima ----


def _unpool(
    input: Any, indices: Any, rank: int, kernel_size: Any, stride: Any, padding: Any, output_size: Any
) -> Any:
    name = f"max_unpool{rank}d"
    kernel = sizes(kernel_size, rank, name, "kernel_size")
    steps, around = default_stride(stride, kernel, rank, name), sizes(padding, rank, name, "padding")
    if input.ndim not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"Input to {name} should be a {rank + 1}d or {rank + 2}d Tensor, but got {input.ndim} dimensions"
        )
    if indices.shape != input.shape:
        raise RuntimeError(
            f"Expected shape of indices to be: {list(input.shape)} but got: {list(indices.shape)}"
        )
    usual = tuple(
        (n - 1) * s - 2 * p + k for n, s, p, k in zip(input.shape[-rank:], steps, around, kernel, strict=True)
    )
    if output_size is None:
        wanted = usual
    else:
        wanted = tuple(int(n) for n in output_size)[-rank:]
        for n, least, s in zip(wanted, usual, steps, strict=True):
            if not least - s < n < least + s:
                raise ValueError(f"invalid output_size {list(wanted)} (near {list(usual)} is expected)")
    lead = tuple(input.shape[:-rank])
    count = math.prod(wanted)
    at = indices._array.reshape(*lead, -1)
    if at.size and (at.min() < 0 or at.max() >= count):
        raise RuntimeError(
            f"Found an invalid max index: {at.max()} (output volumes are of size "
            f"{'x'.join(map(str, wanted))})"
        )
    made = input.new_zeros((*lead, count)).scatter(-1, wrap(at), input.reshape(*lead, at.shape[-1]))
    return made.reshape(*lead, *wanted)


def max_unpool1d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Any:
    """Put maxima back where `max_pool1d` found them, with zeros elsewhere."""
    return _unpool(input, indices, 1, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Any:
    """Put maxima back where `max_pool2d` found them, with zeros elsewhere."""
    return _unpool(input, indices, 2, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Any:
    """Put maxima back where `max_pool3d` found them, with zeros elsewhere."""
    return _unpool(input, indices, 3, kernel_size, stride, padding, output_size)
