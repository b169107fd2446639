"""Steps and roundings, element by element: their derivative is 0, or 1, wherever there is one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from ml_dtypes import finfo

from retrograd.ops import samples
from retrograd.ops.complexes import paired
from retrograd.ops.declare import Array, Sample, sample
from retrograd.ops.families import pointwise
from retrograd.ops.helpers import cast, name_of
from retrograd.ops.pointwise import no_rule, zeros_as

_steps = samples.kinked(samples.real)


@pointwise(
    node="FloorBackward0",
    input=lambda ct: zeros_as(ct),
    samples=_steps,
    kinds="uif",
    numpy=np.floor,
    kernel=np.floor,
)
def floor(input: Array) -> Array:
    """Round downwards."""
    return np.floor(input)


@pointwise(
    node="CeilBackward0",
    input=lambda ct: zeros_as(ct),
    samples=_steps,
    kinds="uif",
    numpy=np.ceil,
    kernel=np.ceil,
)
def ceil(input: Array) -> Array:
    """Round upwards."""
    return np.ceil(input)


@pointwise(
    node="TruncBackward0",
    input=lambda ct: zeros_as(ct),
    samples=_steps,
    kinds="uif",
    aliases="fix",
    numpy=np.trunc,
    kernel=np.trunc,
)
def trunc(input: Array) -> Array:
    """Round towards zero."""
    return np.trunc(input)


@pointwise(node="FracBackward0", input=lambda ct: ct, samples=samples.real, kinds="f")
def frac(input: Array) -> Array:
    """Compute what lies behind the point: input - trunc(input)."""
    return input - np.trunc(input)


def _decimals() -> Iterator[Sample]:
    x = samples.ramp(-1.94, 3.17, 2, 3)
    yield sample(x, grad=False)
    yield sample(x, decimals=1, grad=False)
    yield sample(x * 100, decimals=-1, grad=False)


@pointwise(
    node=lambda decimals: "RoundBackward1" if decimals else "RoundBackward0",
    input=lambda ct: zeros_as(ct),
    samples=_decimals,
    kinds="uif",
    places="torch Tensor special",
    numpy={np.round: lambda a, decimals=0: (a, decimals), np.rint: lambda a: (a, 0)},
)
def round(input: Array, *, decimals: int = 0) -> Array:
    """Round to the nearest, half to even; to `decimals` digits behind the point."""
    if not decimals:
        return np.rint(input) if input.dtype.kind == "f" else input
    if input.dtype.kind != "f":
        raise NotImplementedError(f"\"round_cpu\" not implemented for '{name_of(input)}'")
    scale = 10.0 ** (decimals if decimals > 0 else -decimals)
    return np.rint(input * scale) / scale if decimals > 0 else np.rint(input / scale) * scale


@pointwise(
    node="NotImplemented",
    input=lambda ct: no_rule("heaviside"),
    values=lambda ct: no_rule("heaviside"),
    samples=samples.kinked(samples.pairs),
    kinds="buif",
    promote="match",
    numpy=np.heaviside,
)
def heaviside(input: Array, values: Array) -> Array:
    """Compute 0 below 0, 1 above, and `values` at 0."""
    return np.where(input == 0, values, cast(input > 0, input.dtype))


def _wild() -> Iterator[Sample]:
    x = np.array([[1.5, np.nan, -2.0], [np.inf, -np.inf, 0.3]])
    yield sample(x, grad=False)
    yield sample(x, 0.5, 9.0, -9.0, grad=False)
    yield sample(np.array([1, 2]))


@pointwise(
    node="NanToNumBackward0",
    input=lambda ct, input: ct * np.isfinite(input),
    promote="none",  # what is largest depends on the dtype: it must be the tensor's own
    samples=_wild,
    numpy={
        np.nan_to_num: lambda x, copy=True, nan=0.0, posinf=None, neginf=None: (x, nan, posinf, neginf),
    },
)
def nan_to_num(
    input: Array, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Array:
    """Replace NaN (by 0), infinity (by the largest number) and minus infinity (by the lowest)."""
    if input.dtype.kind == "c":
        return paired(*(_tamed(part, nan, posinf, neginf) for part in (input.real, input.imag)))
    return input if input.dtype.kind in "biu" else _tamed(input, nan, posinf, neginf)


def _tamed(x: Any, nan: float | None, posinf: float | None, neginf: float | None) -> Any:
    limits: Any = finfo(x.dtype)  # type: ignore[no-untyped-call]
    x = np.where(np.isnan(x), x.dtype.type(0 if nan is None else nan), x)
    x = np.where(x == np.inf, x.dtype.type(limits.max if posinf is None else posinf), x)
    return np.where(x == -np.inf, x.dtype.type(limits.min if neginf is None else neginf), x)


@pointwise(
    node="NextafterBackward0",
    input=lambda ct, input, other: np.where(input == other, 0, ct),
    other=lambda ct: zeros_as(ct),
    samples=samples.kinked(samples.pairs),
    kinds="f",
    numpy=np.nextafter,
)
def nextafter(input: Array, other: Array) -> Array:
    """Compute the next number that can be represented after `input` towards `other`."""
    return np.nextafter(input, other)
