"""Several tensors in one expression, element by element: interpolation, products and quotients added on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from retrograd.ops import samples
from retrograd.ops.declare import Array, ErrorSample, Operand, Sample, error, sample
from retrograd.ops.families import pointwise
from retrograd.ops.pointwise import is_whole, times

_ADDCDIV_INTEGERS = (
    "Integer division with addcdiv is no longer supported, and in a future  release addcdiv will perform a "
    "true division of tensor1 and tensor2. The historic addcdiv behavior can be implemented as (input + "
    "value * torch.trunc(tensor1 / tensor2)).to(input.dtype) for integer inputs and as (input + value * "
    "tensor1 / tensor2) for float inputs. The future addcdiv behavior is just the current implementation: "
    "(input + value * tensor1 / tensor2)."
)


def _weights() -> Iterator[Sample]:
    x, y = samples.ramp(-1.9, 3.1, 2, 3), samples.ramp(0.6, 2.2, 3)
    yield sample(x, y, 0.3)
    yield sample(x, y, samples.ramp(0.1, 0.9, 2, 3))
    yield sample(x, y, np.array([[0.2], [0.8]]))


@pointwise(
    node=lambda weight: "LerpBackward0" if isinstance(weight, (int, float, complex)) else "LerpBackward1",
    input=lambda ct, weight: ct * (1 - weight),
    end=lambda ct, weight: ct * weight,
    weight=lambda ct, input, end: ct * (end - input),
    samples=_weights,
    kinds="fc",
)
def lerp(input: Array, end: Array, weight: Operand) -> Array:
    """Go from `input` to `end` by the fraction `weight`: input + weight * (end - input).

    Numerics: from the nearer end, so that weight 1 gives `end` exactly.
    """
    step = end - input
    return np.where(np.absolute(weight) < 0.5, input + weight * step, end - step * (1 - weight))


def _triples() -> Iterator[Sample]:
    x, y, z = samples.ramp(-1.9, 3.1, 2, 3), samples.ramp(0.6, 2.2, 2, 3), np.array([0.5, -1.5, 2.0])
    yield sample(x, y, z)
    yield sample(x, y, z, value=-0.4)
    yield sample(np.array(0.3), x, y)


@pointwise(
    node="AddcmulBackward0",
    input=lambda ct: ct,
    tensor1=lambda ct, tensor2, value: ct * tensor2 if value == 1 else ct * (tensor2 * value),
    tensor2=lambda ct, tensor1, value: ct * tensor1 if value == 1 else ct * (tensor1 * value),
    samples=_triples,
    kinds="uifc",
)
def addcmul(input: Array, tensor1: Array, tensor2: Array, *, value: float = 1) -> Array:
    """Compute input + value * tensor1 * tensor2."""
    if is_whole(input):
        value = int(value)  # as torch does
    return input + tensor1 * tensor2 if value == 1 else input + times(value, tensor1) * tensor2


def _integer_quotient() -> Iterator[ErrorSample]:
    x = np.arange(1, 4)
    yield error(RuntimeError, "Integer division with addcdiv is no longer supported", x, x, x)


@pointwise(
    node="AddcdivBackward0",
    input=lambda ct: ct,
    tensor1=lambda ct, tensor2, value: ct * (value / tensor2),
    tensor2=lambda ct, tensor1, tensor2, value: -ct * (value * tensor1 / (tensor2 * tensor2)),
    samples=_triples,
    errors=_integer_quotient,
)
def addcdiv(input: Array, tensor1: Array, tensor2: Array, *, value: float = 1) -> Array:
    """Compute input + value * tensor1 / tensor2."""
    if is_whole(input):
        raise RuntimeError(_ADDCDIV_INTEGERS)
    return input + value * (tensor1 / tensor2)
