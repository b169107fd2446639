"""Initial values of parameters: each function fills a tensor in place, unrecorded, and returns it.

The numbers are torch's for the same state of the generator.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd import random

_CONVOLUTIONS = (
    "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
)  # fmt: skip


def _write(tensor: Any, values: Any) -> Any:
    if tensor.is_meta:
        return tensor
    tensor._array[...] = values
    tensor._version_cell().bump()
    return tensor


def _uniform(tensor: Any, a: float, b: float, generator: Any) -> Any:
    if tensor.is_meta:  # nothing is drawn for it
        return tensor
    return _write(tensor, random.uniform(generator, tensor._array.shape, tensor.dtype, a, b))


def _normal(tensor: Any, mean: float, std: float, generator: Any) -> Any:
    if tensor.is_meta:
        return tensor
    return _write(tensor, random.normal(generator, tensor._array.shape, tensor.dtype, mean, std))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor by which a nonlinearity changes the standard deviation, inverted.

    Args:
        nonlinearity: 'linear', 'conv2d', 'sigmoid', 'tanh', 'relu', 'leaky_relu', 'selu' ...
        param: the negative slope of 'leaky_relu' (0.01 if None).

    Raises:
        ValueError: another name, or a slope that is no number.
    """
    if nonlinearity in _CONVOLUTIONS or nonlinearity == "sigmoid":
        return 1
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        if isinstance(param, bool) or not isinstance(param, (int, float, type(None))):
            raise ValueError(f"negative_slope {param} not a valid number")
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity == "selu":
        return 3.0 / 4  # found by experiment, as torch has it
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


def uniform_(tensor: Any, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Any:
    """Fill with draws from the uniform distribution on [a, b)."""
    return _uniform(tensor, a, b, generator)


def normal_(tensor: Any, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Any:
    """Fill with draws from the normal distribution."""
    return _normal(tensor, mean, std, generator)


def trunc_normal_(
    tensor: Any, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Any = None
) -> Any:
    """Fill with draws from the normal distribution cut off at `a` and `b`.

    Numerics: while bounds leave more than 0.3 of the distribution, draws outside are drawn again, the whole
        tensor
        each time, as torch does; beyond, the inverse distribution function is taken at uniform draws, whose
        numbers
        differ from torch's.
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The distribution of values may "
            "be incorrect.",
            stacklevel=2,
        )

    def below(x: float) -> float:
        return (1.0 + math.erf((x - mean) / std / math.sqrt(2.0))) / 2.0

    low, high = below(a), below(b)
    if high - low > 0.3:
        values = random.normal(generator, tensor._array.shape, tensor.dtype, mean, std)
        while (outside := (values < a) | (values > b)).any():
            drawn = random.normal(generator, values.shape, tensor.dtype, mean, std)
            values[outside] = drawn[outside]
        return _write(tensor, values)
    _uniform(tensor, 2 * low - 1, 2 * high - 1, generator)
    values = tensor.detach().erfinv()._array * tensor._array.dtype.type(std * math.sqrt(2.0))
    return _write(tensor, np.clip(values + tensor._array.dtype.type(mean), a, b))


def constant_(tensor: Any, val: float) -> Any:
    """Fill with a value."""
    return _write(tensor, val)


def ones_(tensor: Any) -> Any:
    """Fill with 1."""
    return _write(tensor, 1)


def zeros_(tensor: Any) -> Any:
    """Fill with 0."""
    return _write(tensor, 0)


def eye_(tensor: Any) -> Any:
    """Fill a matrix with the identity.

    Raises:
        ValueError: the tensor does not have two dimensions.
    """
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    return _write(tensor, np.eye(*tensor.shape))


def dirac_(tensor: Any, groups: int = 1) -> Any:
    """Fill the weight of a convolution so that it keeps as many channels as it can, in each group.

    Raises:
        ValueError: the tensor does not have 3 to 5 dimensions, or `groups` does not divide the first.
    """
    if tensor.ndim not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    sizes = tensor.shape
    if sizes[0] % groups != 0:
        raise ValueError("dim 0 must be divisible by groups")
    per_group = sizes[0] // groups
    centre = tuple(n // 2 for n in sizes[2:])
    values = np.zeros(sizes, tensor._array.dtype)
    for group in range(groups):
        for channel in range(min(per_group, sizes[1])):
            values[(group * per_group + channel, channel, *centre)] = 1
    return _write(tensor, values)


def _calculate_fan_in_and_fan_out(tensor: Any) -> tuple[int, int]:
    """Return how many inputs an output of a layer with this weight has, and how many outputs an input."""
    if tensor.ndim < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _calculate_correct_fan(tensor: Any, mode: str) -> int:
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return fan_in if mode == "fan_in" else fan_out


def xavier_uniform_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Fill with uniform draws of variance 2 gain^2 / (fan_in + fan_out).

    Source: X. Glorot, Y. Bengio (2010).
    """
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    std = gain * math.sqrt(2.0 / float(fan_in + fan_out))
    bound = math.sqrt(3.0) * std
    return _uniform(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Fill with normal draws of variance 2 gain^2 / (fan_in + fan_out).

    Source: X. Glorot, Y. Bengio (2010).
    """
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return _normal(tensor, 0.0, gain * math.sqrt(2.0 / float(fan_in + fan_out)), generator)


def kaiming_uniform_(
    tensor: Any, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Any:
    """Fill with uniform draws of variance gain^2 / fan.

    Args:
        tensor: what is filled.
        a: the negative slope of a leaky rectifier.
        mode: 'fan_in' keeps the variance forward, 'fan_out' backward.
        nonlinearity: the name of what follows.
        generator: where the numbers come from.

    Source: K. He et al. (2015).
    """
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    std = calculate_gain(nonlinearity, a) / math.sqrt(_calculate_correct_fan(tensor, mode))
    bound = math.sqrt(3.0) * std
    return _uniform(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Any, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Any:
    """Fill with normal draws of variance gain^2 / fan; the arguments are those of `kaiming_uniform_`.

    Source: K. He et al. (2015).
    """
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    std = calculate_gain(nonlinearity, a) / math.sqrt(_calculate_correct_fan(tensor, mode))
    return _normal(tensor, 0.0, std, generator)


def orthogonal_(tensor: Any, gain: float = 1, generator: Any = None) -> Any:
    """Fill with a (semi-)orthogonal matrix, the dimensions after the first taken together.

    Source: A. Saxe, J. McClelland, S. Ganguli (2014).
    """
    if tensor.ndim < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor._array.size == 0:
        return tensor
    rows = tensor.shape[0]
    drawn = random.normal(generator, (rows, tensor._array.size // rows), tensor.dtype)
    wide = drawn.shape[0] < drawn.shape[1]
    q, r = np.linalg.qr(drawn.T if wide else drawn)
    q = q * np.sign(np.diagonal(r))  # makes the distribution uniform
    return _write(tensor, (gain * (q.T if wide else q)).reshape(tensor.shape))


def sparse_(tensor: Any, sparsity: float, std: float = 0.01, generator: Any = None) -> Any:
    """Fill a matrix with normal draws, a share `sparsity` of each column being zero.

    Source: J. Martens (2010).
    """
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    _normal(tensor, 0.0, std, generator)
    for column in range(columns):
        tensor._array[random.randperm(None, rows)[:zeros], column] = 0
    return tensor


def _deprecated(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the old name of an in-place function, which warns."""
    new, old = function.__name__, function.__name__[:-1]

    @functools.wraps(function)
    def warned(*args: Any, **kwargs: Any) -> Any:
        warnings.warn(
            f"`nn.init.{old}` is now deprecated in favor of `nn.init.{new}`.", FutureWarning, stacklevel=2
        )
        return function(*args, **kwargs)

    warned.__name__ = old
    warned.__doc__ = f"Do what `{new}` does, under its old name."
    return warned


uniform = _deprecated(uniform_)
normal = _deprecated(normal_)
constant = _deprecated(constant_)
eye = _deprecated(eye_)
dirac = _deprecated(dirac_)
xavier_uniform = _deprecated(xavier_uniform_)
xavier_normal = _deprecated(xavier_normal_)
kaiming_uniform = _deprecated(kaiming_uniform_)
kaiming_normal = _deprecated(kaiming_normal_)
orthogonal = _deprecated(orthogonal_)
sparse = _deprecated(sparse_)
