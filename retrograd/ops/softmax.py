"""Softmax and its logarithm, and the gated linear unit: functions of whole rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.declare import Array, ErrorSample, Sample, error, sample
from retrograd.ops.families import WHOLE_ROWS, general
from retrograd.ops.helpers import cast, name_of, numpy_dtype, wrap_dim
from retrograd.ops.matmul import grid
from retrograd.ops.neural import axis_of, largest, sigmoid, total, total_product


def _samples() -> Iterator[Sample]:
    yield sample(grid(2, 3), 1)
    yield sample(grid(2, 3), 0)
    yield sample(grid(2, 3, 2), -2)
    yield sample(grid(), 0)
    yield sample(grid(3) * 1000, -1, grad=False)
    yield sample(np.zeros((0, 3)), 1)
    yield sample(np.zeros((2, 0)), 1)


def _errors() -> Iterator[ErrorSample]:
    yield error(
        IndexError, "Dimension out of range (expected to be in range of [-2, 1], but got 5)", grid(2, 3), 5
    )
    yield error(
        NotImplementedError, "_lastdim_kernel_impl\" not implemented for 'Long'", np.ones((2, 3), int), 1
    )
    yield error(NotImplementedError, "not implemented for 'ComplexDouble'", np.ones((2, 3), complex), 0)


def _batch(op: Any, size: int, args: Any, dims: Any) -> Any:
    x = batching.front(args[0], dims[0])
    if x.ndim == 1:
        return op(x[:, None], 1, *args[2:])[:, 0]
    return op(x, batching.shifted(args[1], x.ndim - 1), *args[2:])


def _typed(op: str, input: Any, axis: int, dtype: Any) -> tuple[Any, Any]:
    """Return what to compute with, and the dtype to answer in."""
    to = input.dtype if dtype is None else numpy_dtype(dtype)
    if to.kind in "biuc" and input.size:
        where = "_lastdim" if axis in ((), input.ndim - 1) else ""
        raise NotImplementedError(f"\"{op}{where}_kernel_impl\" not implemented for '{name_of(input)}'")
    return _wide(cast(input, to)), to


def _wide(x: Any) -> Any:
    """Return a 16-bit array as float32."""
    return cast(x, np.dtype(np.float32)) if numpy_dtype(x.dtype).itemsize == 2 else x


_WHOLE: dict[str, Any] = {
    "promote": "none", "batch": _batch, "samples": _samples, "errors": _errors, "kinds": "f",
    "large": WHOLE_ROWS,
}  # fmt: skip


def _softmax_ct(ct: Any, result: Any, dim: int, input_dtype: Any) -> Any:
    ct, result = _wide(ct), _wide(result)
    axis = axis_of(dim, result.ndim)
    if axis == result.ndim - 1:
        axis = -1
    return cast(result * (ct - total_product(ct, result, axis)), input_dtype)


@general(
    node="SoftmaxBackward0",
    input=_softmax_ct,
    jvp={
        "input": lambda t, result, dim: (
            result * t - result * total(result * t, axis_of(dim, result.ndim), True)
        )
    },
    places="torch Tensor special",
    **_WHOLE,
)
def softmax(input: Array, dim: int, dtype: Any = None) -> Array:
    """Compute e**x / sum(e**x) along `dim`; the maximum is subtracted first, so that nothing overflows."""
    axis = axis_of(dim, input.ndim)
    x, to = _typed("softmax", input, axis, dtype)
    if 0 in x.shape:
        return cast(x, to)
    powers = np.exp(x - largest(x, axis, True))
    return cast(powers / total(powers, axis, True), to)


def _log_softmax_ct(ct: Any, result: Any, dim: int, input_dtype: Any) -> Any:
    ct, result = _wide(ct), _wide(result)
    return cast(ct - np.exp(result) * total(ct, axis_of(dim, result.ndim), True), input_dtype)


@general(
    node="LogSoftmaxBackward0",
    input=_log_softmax_ct,
    jvp={"input": lambda t, result, dim: t - total(t * np.exp(result), axis_of(dim, result.ndim), True)},
    places="torch Tensor special",
    **_WHOLE,
)
def log_softmax(input: Array, dim: int, dtype: Any = None) -> Array:
    """Compute x - log(sum(e**x)) along `dim`, for large x too."""
    axis = axis_of(dim, input.ndim)
    x, to = _typed("log_softmax", input, axis, dtype)
    if 0 in x.shape:
        return cast(x, to)
    shifted = x - largest(x, axis, True)
    return cast(shifted - np.log(total(np.exp(shifted), axis, True)), to)


# ---- the gated linear unit ----


def _halves(x: Any, axis: int) -> tuple[Any, Any]:
    before, half = (slice(None),) * axis, x.shape[axis] // 2
    return x[(*before, slice(0, half))], x[(*before, slice(half, None))]


def _glu_ct(ct: Any, input: Any, dim: int) -> Any:
    axis = wrap_dim(dim, input.ndim)
    value, gate = _halves(input, axis)
    open_ = sigmoid(gate)
    passed = ct * open_
    return np.concatenate([passed, passed * value * (1 - open_)], axis)


def _glu_tangent(t: Any, input: Any, dim: int) -> Any:
    axis = wrap_dim(dim, input.ndim)
    (value, gate), (value_t, gate_t) = _halves(input, axis), _halves(t, axis)
    open_ = sigmoid(gate)
    return open_ * (value_t + value * (1 - open_) * gate_t)


@general(
    node="GluBackward0",
    input=_glu_ct,
    jvp={"input": _glu_tangent},
    promote="same",
    kinds="f",
    batch=lambda op, size, args, dims: op(
        batching.front(args[0], dims[0]), batching.shifted(args[1], args[0].ndim - 1)
    ),
    samples=lambda: [sample(grid(2, 4)), sample(grid(2, 3), 0), sample(grid(2, 4, 1), -2)],
    errors=lambda: [
        error(RuntimeError, "Halving dimension must be even, but dimension 0 is size 3", grid(3)),
        error(RuntimeError, "glu does not support scalars because halving size must be even", grid()),
    ],
    places="nn.functional",
)
def glu(input: Array, dim: int = -1) -> Array:
    """Multiply the first half along `dim` by the sigmoid of the second half."""
    if input.ndim == 0:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    axis = wrap_dim(dim, input.ndim)
    if input.shape[axis] % 2:
        raise RuntimeError(
            f"Halving dimension must be even, but dimension {axis} is size {input.shape[axis]}"
        )
    value, gate = _halves(input, axis)
    return value * sigmoid(gate)
