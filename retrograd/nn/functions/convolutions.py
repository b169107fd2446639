"""Convolutions and pooling of one, two and three dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from retrograd.nn.functions.ops import OPS, sizes
from retrograd.ops.conv import out_sizes, transposed_sizes

Sizes = tuple[int, ...]
_convolution = OPS["convolution"]


# ---- convolutions ----


def _batched(input: Any, rank: int, function: str) -> tuple[Any, bool]:
    """Return the input with a batch dimension, and whether it had one."""
    if input.ndim == rank + 2:
        return input, True
    if input.ndim == rank + 1:
        return input.unsqueeze(0), False
    raise RuntimeError(
        f"Expected {rank + 1}D (unbatched) or {rank + 2}D (batched) input to {function}, but got input of "
        "size: "
        f"{list(input.shape)}"
    )


def _check(
    input: Any, weight: Any, bias: Any, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> None:
    """Raise unless a convolution of these makes sense."""
    _check_types(input, weight, bias)
    _check_rank(input, weight)
    _check_numbers(stride, padding, dilation, groups)
    shape, have = weight.shape, input.shape
    if shape[0] < groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got weight "
            "of size "
            f"{list(shape)} instead"
        )
    if have[1] != shape[1] * groups:
        raise RuntimeError(
            f"Given groups={groups}, weight of size {list(shape)}, expected input{list(have)} to have "
            f"{shape[1] * groups} channels, but got {have[1]} channels instead"
        )
    if shape[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got "
            "weight of size "
            f"{list(shape)} instead"
        )
    if bias is not None and (bias.ndim != 1 or bias.shape[0] != shape[0]):
        raise RuntimeError(
            f"Given weight of size {list(shape)}, expected bias to be 1-dimensional with {shape[0]} "
            "elements, but got bias "
            f"of size {list(bias.shape)} instead"
        )
    padded = [n + 2 * p for n, p in zip(have[2:], padding, strict=True)]
    kernel = [d * (k - 1) + 1 for k, d in zip(shape[2:], dilation, strict=True)]
    if any(n < k for n, k in zip(padded, kernel, strict=True)):
        raise RuntimeError(
            f"Calculated padded input size per channel: ({' x '.join(map(str, padded))}). Kernel size: "
            f"({' x '.join(map(str, kernel))}). Kernel size can't be greater than actual input size"
        )


def _check_rank(input: Any, weight: Any) -> None:
    if weight.ndim != input.ndim:
        raise RuntimeError(
            f"Expected {weight.ndim}-dimensional input for {weight.ndim}-dimensional "
            f"weight{list(weight.shape)}, but got "
            f"{input.ndim}-dimensional input of size {list(input.shape)} instead"
        )


def _check_numbers(stride: Sizes, padding: Sizes, dilation: Sizes, groups: int) -> None:
    if any(p < 0 for p in padding):
        raise RuntimeError("negative padding is not supported")
    if any(s <= 0 for s in stride):
        raise RuntimeError("non-positive stride is not supported")
    if any(d <= 0 for d in dilation):
        raise RuntimeError("dilation should be greater than zero")
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")


def _check_types(input: Any, weight: Any, bias: Any) -> None:
    for what, x in (("bias", bias), ("weight", weight)):
        if x is not None and x.dtype is not input.dtype:
            raise RuntimeError(
                f"Input type ({input.dtype.c_name}) and {what} type ({x.dtype.c_name}) should be the same"
            )


def _same_padding(input: Any, kernel: Sizes, stride: Sizes, dilation: Sizes) -> tuple[Any, Sizes]:
    """Return the input and padding that keep its size; the odd one of an odd number goes to the end."""
    if any(s != 1 for s in stride):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    whole = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if any(w % 2 for w in whole):
        pads: list[int] = []
        for w in reversed(whole):
            pads += [0, w % 2]
        input = OPS["constant_pad_nd"](input, tuple(pads), 0)
    return input, tuple(w // 2 for w in whole)


def _conv(rank: int) -> Callable[..., Any]:
    function = f"conv{rank}d"
    ones, zeros = (1,) * rank, (0,) * rank

    def conv(
        input: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Any:
        steps = ones if stride == 1 else sizes(stride, rank, function, "stride")
        spread = ones if dilation == 1 else sizes(dilation, rank, function, "dilation")
        input, has_batch = _batched(input, rank, function)
        _check_rank(input, weight)
        if padding == 0:
            around = zeros
        elif isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise RuntimeError(
                    f"Invalid padding string: '{padding}'; should be one of {{'valid', 'same'}}"
                )
            around = zeros
            if padding == "same":
                input, around = _same_padding(input, tuple(weight.shape[2:]), steps, spread)
        else:
            around = sizes(padding, rank, function, "padding")
        _check(input, weight, bias, steps, around, spread, groups)
        made = _convolution(input, weight, bias, steps, around, spread, False, zeros, groups)
        return made if has_batch else made.squeeze(0)

    conv.__name__ = conv.__qualname__ = function
    conv.__doc__ = f"Convolve over {rank} dimension(s): (n, c, ...), (o, c / groups, ...) -> (n, o, ...)."
    return conv


def _conv_transpose(rank: int) -> Callable[..., Any]:
    function = f"conv_transpose{rank}d"

    def conv_transpose(
        input: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> Any:
        steps, around = sizes(stride, rank, function, "stride"), sizes(padding, rank, function, "padding")
        extra, spread = (
            sizes(output_padding, rank, function, "output_padding"),
            sizes(dilation, rank, function, "dilation"),
        )
        input, has_batch = _batched(input, rank, function)
        _check_transposed(input, weight, bias, steps, around, spread, extra, groups)
        made = _convolution(input, weight, bias, steps, around, spread, True, extra, groups)
        return made if has_batch else made.squeeze(0)

    conv_transpose.__name__ = conv_transpose.__qualname__ = function
    conv_transpose.__doc__ = (
        f"Apply the adjoint of conv{rank}d: (n, c, ...), (c, o / groups, ...) -> (n, o, ...)."
    )
    return conv_transpose


def _check_transposed(
    input: Any,
    weight: Any,
    bias: Any,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    extra: Sizes,
    groups: int,
) -> None:
    _check_numbers(stride, padding, dilation, groups)
    if any(e < 0 for e in extra):
        raise RuntimeError("negative output_padding is not supported")
    _check_rank(input, weight)
    if input.shape[1] != weight.shape[0]:
        raise RuntimeError(
            f"Given transposed=1, weight of size {list(weight.shape)}, expected input{list(input.shape)} to "
            "have "
            f"{weight.shape[0]} channels, but got {input.shape[1]} channels instead"
        )
    out = weight.shape[1] * groups
    if bias is not None and (bias.ndim != 1 or bias.shape[0] != out):
        raise RuntimeError(
            f"Given transposed=1, weight of size {list(weight.shape)}, expected bias to be 1-dimensional "
            f"with {out} elements, but got bias of size {list(bias.shape)} instead"
        )
    _check_types(input, weight, bias)
    if any(e >= s and e >= d for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise RuntimeError(
            "output padding must be smaller than either stride or dilation, but got "
            f"output_padding_height: {extra[-2] if len(extra) > 1 else 0} output_padding_width: {extra[-1]} "
            f"stride_height: {stride[-2] if len(stride) > 1 else 1} stride_width: {stride[-1]} "
            f"dilation_height: {dilation[-2] if len(dilation) > 1 else 1} dilation_width: {dilation[-1]}"
        )
    made = transposed_sizes(input.shape[2:], tuple(weight.shape[2:]), stride, padding, dilation, extra)
    if any(n <= 0 for n in made):
        raise RuntimeError(
            f"Given input size per channel: ({' x '.join(map(str, input.shape[2:]))}). Calculated output "
            "size per "
            f"channel: ({' x '.join(map(str, made))}). Output size is too small"
        )


conv1d, conv2d, conv3d = _conv(1), _conv(2), _conv(3)
conv_transpose1d, conv_transpose2d, conv_transpose3d = (
    _conv_transpose(1),
    _conv_transpose(2),
    _conv_transpose(3),
)


def conv_tbc(input: Any, weight: Any, bias: Any, pad: int = 0) -> Any:
    """Convolve sequences laid out as (time, batch, channels), with weights (time, in, out)."""
    made = conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad)
    return made.permute(2, 0, 1)


def unfold(input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """Lay each window out as a column: (n, c, h, w) -> (n, c * window, places)."""
    kernel, spread = sizes(kernel_size, 2, "unfold", "kernel_size"), sizes(dilation, 2, "unfold", "dilation")
    around, steps = sizes(padding, 2, "unfold", "padding"), sizes(stride, 2, "unfold", "stride")
    for what, value, least in (
        ("kernel", kernel, 1),
        ("dilation", spread, 1),
        ("stride", steps, 1),
        ("padding", around, 0),
    ):
        if min(value) < least:
            kind = "non-negative" if least == 0 else "greater than zero"
            name = {"kernel": "kernel_size"}.get(what, what)
            raise RuntimeError(
                f"{what} {'size ' if what == 'kernel' else ''}should be {kind}, but got {name}_height: "
                f"{value[0]} {name}_width: {value[1]}"
            )
    if input.ndim not in (3, 4) or 0 in input.shape[-3:]:
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions "
            "for input, but "
            f"got: {list(input.shape)}"
        )
    places = out_sizes(input.shape[-2:], kernel, steps, around, spread)
    if min(places) < 1:
        raise RuntimeError(
            f"Given input with spatial size {tuple(input.shape[-2:])}, kernel_size={kernel}, "
            f"dilation={spread}, "
            f"padding={around}, calculated shape of the array of sliding blocks as {places}, but its "
            "components must be at "
            "least one."
        )
    single = input.ndim == 3
    made = OPS["im2col"](input.unsqueeze(0) if single else input, kernel, spread, around, steps)
    return made.squeeze(0) if single else made


def fold(
    input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    """Add each column to its window: (n, c * window, places) -> (n, c, h, w)."""
    size, kernel = sizes(output_size, 2, "fold", "output_size"), sizes(kernel_size, 2, "fold", "kernel_size")
    spread, around = sizes(dilation, 2, "fold", "dilation"), sizes(padding, 2, "fold", "padding")
    steps = sizes(stride, 2, "fold", "stride")
    if input.ndim not in (2, 3):
        raise RuntimeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero "
            "dimensions for input, "
            f"but got: {list(input.shape)}"
        )
    single = input.ndim == 2
    window, count = math.prod(kernel), math.prod(out_sizes(size, kernel, steps, around, spread))
    rows, columns = input.shape[-2:]
    if rows % window:
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
            f"input.size(1)={rows} and kernel_size={kernel}."
        )
    if columns != count:
        raise RuntimeError(
            f"Given output_size={size}, kernel_size={kernel}, dilation={spread}, padding={around}, "
            f"stride={steps}, expected size of input's dimension 2 to match the calculated number of sliding "
            f"blocks {count}, but got input.size(2)={columns}."
        )
    made = OPS["col2im"](input.unsqueeze(0) if single else input, size, kernel, spread, around, steps)
    return made.squeeze(0) if single else made
