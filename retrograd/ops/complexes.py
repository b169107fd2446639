"""Complex numbers: their parts, their conjugate, their angle. These ops write their adjoints in full."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import batching, samples
from retrograd.ops.declare import Array, ErrorSample, Sample, error, sample
from retrograd.ops.families import general, movement, pointwise
from retrograd.ops.helpers import name_of
from retrograd.ops.neural import broadcast
from retrograd.ops.pointwise import zeros_as


def _complex() -> Iterator[Sample]:
    yield sample(samples.ramp(-1.9, 3.1, 2, 3) + 1j * samples.ramp(0.4, 1.2, 2, 3))
    yield sample(np.array(0.3 - 0.8j))


def _real_input() -> Iterator[ErrorSample]:
    yield error(RuntimeError, "imag is not implemented for tensors with non-complex dtypes.", np.ones(2))


@movement(
    node="SelectBackward0",
    input=lambda ct, input_dtype: ct + _imaginary_zero(input_dtype),
    view=True,
    holomorphic=False,
    batch=batching.pointwise,
    samples=_complex,
    numpy=np.real,
)
def real(input: Array) -> Array:
    """Return the real part, as a view."""
    return np.real(input)


def _imaginary_zero(dtype: Any) -> Any:
    return dtype.type(0) if dtype.kind == "c" else 0


@movement(
    node="SelectBackward0",
    input=lambda ct: ct * 1j,
    view=True,
    holomorphic=False,
    batch=batching.pointwise,
    samples=_complex,
    errors=_real_input,
    numpy=np.imag,
)
def imag(input: Array) -> Array:
    """Return the imaginary part, as a view.

    Raises:
        RuntimeError: the input is real.
    """
    if input.dtype.kind != "c":
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return np.imag(input)


@pointwise(
    node="ConjBackward0",
    input=lambda ct: np.conjugate(ct),
    jvp="linear",
    promote="none",
    holomorphic=False,
    samples=_complex,
    inplace=False,
    aliases="conj_physical resolve_conj",
    numpy=np.conjugate,
)
def conj(input: Array) -> Array:
    """Return the complex conjugate; the input itself if it is real."""
    return np.conjugate(input) if input.dtype.kind == "c" else input


def _angle_rule(ct: Any, input: Any) -> Any:
    if not _is_complex(input):
        return zeros_as(ct)
    square = np.real(input) * np.real(input) + np.imag(input) * np.imag(input)
    return np.where(square == 0, 0, ct * (input * 1j) / np.where(square == 0, 1, square))


def _is_complex(x: Any) -> bool:
    return bool(x.dtype.kind == "c")


def _angle_tangent(t: Any, input: Any) -> Any:
    return np.real(np.conjugate(_angle_rule(np.ones(input.shape), input)) * t)


@pointwise(
    node="AngleBackward0",
    input=_angle_rule,
    jvp={"input": _angle_tangent},
    promote="float",
    holomorphic=False,
    samples=_complex,
    inplace=False,
    numpy=np.angle,
)
def angle(input: Array) -> Array:
    """Compute the angle to the positive real axis: 0 or pi for a real number."""
    if input.dtype.kind == "c":
        return np.angle(input)
    return np.where(
        np.isnan(input), input, np.where(input < 0, input.dtype.type(math.pi), input.dtype.type(0))
    )


def _parts() -> Iterator[Sample]:
    yield sample(samples.ramp(0.4, 3.1, 2, 3), samples.ramp(-1.2, 1.4, 3))
    yield sample(np.array(0.4), np.array(1.2))


def _mixed_parts() -> Iterator[ErrorSample]:
    yield error(
        RuntimeError,
        "Expected both inputs to be Half, Float or Double tensors",
        np.ones(2, int),
        np.ones(2, int),
    )


def _check_parts(first: Any, second: Any) -> None:
    if first.dtype.kind != "f" or second.dtype.kind != "f":
        raise RuntimeError(
            "Expected both inputs to be Half, Float or Double tensors but got "
            f"{name_of(first)} and {name_of(second)}"
        )
    if first.dtype != second.dtype:
        raise RuntimeError(
            f"Expected object of scalar type {name_of(first)} but got scalar type {name_of(second)} "
            "for second argument"
        )


@pointwise(
    node="ComplexBackward0",
    real=lambda ct: np.real(ct),
    imag=lambda ct: np.imag(ct),
    jvp={"real": lambda t: t + 0j, "imag": lambda t: t * 1j},
    promote="none",
    holomorphic=False,
    samples=_parts,
    errors=_mixed_parts,
    inplace=False,
    places="torch",
)
def complex(real: Array, imag: Array) -> Array:
    """Make complex numbers of their parts.

    Raises:
        RuntimeError: the parts are not of one floating type.
    """
    _check_parts(real, imag)
    return paired(real, imag)


@pointwise(
    node="PolarBackward0",
    abs=lambda ct, angle: np.real(ct) * np.cos(angle) + np.imag(ct) * np.sin(angle),
    angle=lambda ct, abs, angle: abs * (np.imag(ct) * np.cos(angle) - np.real(ct) * np.sin(angle)),
    jvp={
        "abs": lambda t, angle: t * np.cos(angle) + t * np.sin(angle) * 1j,
        "angle": lambda t, abs, angle: (t * abs) * (np.cos(angle) * 1j - np.sin(angle)),
    },
    promote="none",
    holomorphic=False,
    samples=_parts,
    errors=_mixed_parts,
    inplace=False,
    places="torch",
)
def polar(abs: Array, angle: Array) -> Array:
    """Make complex numbers of their magnitude and angle.

    Raises:
        RuntimeError: the operands are not of one floating type.
    """
    _check_parts(abs, angle)
    return paired(abs * np.cos(angle), abs * np.sin(angle))


def _interleaved() -> Iterator[Sample]:
    yield sample(samples.ramp(-1.9, 3.1, 3, 2))
    yield sample(samples.ramp(-1.9, 3.1, 2, 3, 2))


def paired(real: Any, imag: Any) -> Any:
    """Return complex numbers of their parts: exactly, where real + imag * 1j makes NaN of an infinity."""
    shape = broadcast(real, imag)
    if real.__class__ is imag.__class__ is np.ndarray:
        made = np.empty(shape, np.complex128 if real.dtype == np.float64 else np.complex64)
        made.real, made.imag = real, imag
        return made
    return view_as_complex(np.stack((np.broadcast_to(real, shape), np.broadcast_to(imag, shape)), -1))


def _not_pairs() -> Iterator[ErrorSample]:
    yield error(RuntimeError, "Tensor must have a last dimension of size 2", np.ones((2, 3)))
    yield error(RuntimeError, "view_as_complex is only supported for half, float and", np.ones((3, 2), int))


def _batch_first(op: Any, size: int, args: Any, dims: Any) -> Any:
    return op(np.moveaxis(args[0], dims[0], 0))


@general(
    node="ViewAsRealBackward0",
    input=lambda ct: view_as_complex(ct),
    jvp="linear",
    view=True,
    holomorphic=False,
    batch=_batch_first,
    samples=_complex,
    primitive=True,
    places="torch",
)
def view_as_real(input: Array) -> Array:
    """Return a view of complex numbers as pairs of real ones, in a last dimension of size 2."""
    if input.dtype.kind != "c":
        raise RuntimeError("view_as_real is only supported for complex tensors")
    if not input.flags.c_contiguous:
        return np.stack((input.real, input.imag), -1)
    return np.ndarray((*input.shape, 2), input.real.dtype, input, 0, (*input.strides, input.itemsize // 2))


@general(
    node="ViewAsComplexBackward0",
    input=lambda ct: view_as_real(ct),
    jvp="linear",
    view=True,
    holomorphic=False,
    batch=_batch_first,
    samples=_interleaved,
    errors=_not_pairs,
    kinds="f",
    primitive=True,
    places="torch",
)
def view_as_complex(input: Array) -> Array:
    """Return a view of pairs of real numbers, in the last dimension, as complex ones.

    Raises:
        RuntimeError: the last dimension has not size 2, or the numbers are neither float32 nor float64.
    """
    if not input.ndim or input.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    if input.dtype not in (np.float32, np.float64):
        raise RuntimeError(
            "view_as_complex is only supported for half, float and double tensors, but got a tensor of "
            f"scalar type: {name_of(input)}"
        )
    if not input.flags.c_contiguous:
        input = np.ascontiguousarray(input)
    return input.view(np.complex64 if input.dtype == np.float32 else np.complex128)[..., 0]
