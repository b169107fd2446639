"""Arguments of ops in other dtypes, layouts and libraries, and the comparison of what comes out."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.autograd.generate import function
from retrograd.ops.apply import bind
from retrograd.ops.declare import Op, Parameter, Sample
from retrograd.tensor import Tensor, wrap

Change = Callable[[Parameter, np.ndarray], Any]


class Failure(AssertionError):  # noqa: N818 - what pytest calls it
    """An op lacks a property that its declaration promises."""


def fail(op: Op, sample: Any, what: str) -> None:
    """Raise the failure of an op on a sample."""
    raise Failure(f"op {op.name}, sample {describe(sample)}: {what}")


def has_no_derivative(error: Exception) -> bool:
    """Whether an error is what an op without a derivative raises when it is asked for, as in torch."""
    reasons = ("is not implemented", "is not differentiable", "specified up to multiplication")
    return any(reason in str(error) for reason in reasons)


def describe(sample: Any) -> str:
    """Return a sample as a call: shapes and dtypes for arrays."""
    given = [_short(a) for a in sample.args] + [f"{k}={_short(v)}" for k, v in sample.kwargs.items()]
    return f"({', '.join(given)})"


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_short, value))}]"
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}" if value.size > 3 else f"{value.dtype} {value.tolist()}"
    return repr(value)


def public(op: Op) -> Callable[..., Any]:
    """Return the function that users call, made here for an op that is not in the table."""
    if op.function is not None:
        return op.function
    return op.definition if op.family == "composite" else function(op)


_MORE = Parameter("*", "tensor", None, keyword_only=False)


def mapped(op: Op, sample: Any, change: Change) -> tuple[list[Any], dict[str, Any]]:
    """Return a sample's arguments with `change(parameter, array)` in place of each array."""
    by_name = {p.name: p for p in op.parameters}

    def on(parameter: Parameter, value: Any) -> Any:
        if parameter.is_static:
            return value
        if isinstance(value, (list, tuple)):
            return [on(parameter, v) for v in value]
        if isinstance(value, np.generic) and not parameter.kind.startswith("operand"):
            value = np.asarray(value)
        return change(parameter, value) if isinstance(value, np.ndarray) else value

    # A composite may take any number of arrays by position.
    more = (_MORE,) * (len(sample.args) - len(op.parameters))
    args = [on(p, a) for p, a in zip((*op.parameters, *more), sample.args, strict=False)]
    return args, {k: on(by_name[k], v) for k, v in sample.kwargs.items()}


def per_array(op: Op, sample: Any, give: Change) -> list[Any]:
    """Return `give(parameter, array)` for each array, in the places of all the op's arguments."""
    args, kwargs = mapped(op, sample, lambda p, x: _Mark(give(p, x)))
    return [_unmarked(v) for v in bind(op, args, kwargs)]


class _Mark:
    def __init__(self, value: Any) -> None:
        self.value = value


def _unmarked(value: Any) -> Any:
    if isinstance(value, list) and any(isinstance(v, _Mark) for v in value):
        return [v.value if isinstance(v, _Mark) else None for v in value]
    return value.value if isinstance(value, _Mark) else None


def changed(op: Op, sample: Sample, change: Change) -> Sample:
    """Return a sample with other arrays."""
    # Arithmetic on 0-dim arrays gives NumPy's scalars, which are no tensors.
    args, kwargs = mapped(op, sample, lambda p, x: np.asarray(change(p, x)))
    return Sample(tuple(args), kwargs, sample.grad)


def arrays_of(op: Op, sample: Any) -> list[tuple[Parameter, np.ndarray]]:
    """Return a sample's arrays with their parameters, in order."""
    found: list[tuple[Parameter, np.ndarray]] = []
    mapped(op, sample, lambda p, x: found.append((p, x)))
    return found


def is_inexact(x: Any) -> bool:
    """Whether an array (or Tensor's array) holds floating or complex numbers."""
    return x.dtype.kind in "fc" or x.dtype == dtypes.bfloat16.np


def is_wanted(op: Op, parameter: Parameter, x: np.ndarray) -> bool:
    """Whether the derivative with respect to an array is declared."""
    declared = parameter.name in op.rules or op.family == "composite"
    return declared and is_inexact(x) and not parameter.kind.startswith("plain")


def rng_for(op: Op, *more: Any) -> np.random.Generator:
    """Return a generator of random numbers that depends on the op and nothing else."""
    return np.random.default_rng(zlib.crc32(repr((op.name, *more)).encode()))


def random_like(rng: np.random.Generator, x: Any) -> np.ndarray:
    """Return normal numbers in an array's shape and dtype."""
    made = rng.standard_normal(x.shape)
    if x.dtype.kind == "c":
        made = made + 1j * rng.standard_normal(x.shape)
    return np.asarray(made).astype(x.dtype)


# ---- dtypes ----


def in_dtype(op: Op, sample: Sample, dtype: dtypes.dtype) -> Sample | None:
    """Return a sample with its floating arrays (or, where it has none, its integer ones) in `dtype`."""
    operands = [x for p, x in arrays_of(op, sample) if not p.kind.startswith("plain")]
    of_floats = any(x.dtype.kind == "f" for x in operands)
    if not of_floats and (dtype.category > dtypes.INTEGER or not operands):
        return sample if dtype is dtypes.float64 else None
    kinds = "f" if of_floats else "iu"

    def convert(parameter: Parameter, x: np.ndarray) -> np.ndarray:
        if x.dtype.kind not in kinds or parameter.kind.startswith("plain"):
            return x
        return _converted(x, dtype)

    return changed(op, sample, convert)


def _converted(x: np.ndarray, dtype: dtypes.dtype) -> np.ndarray:
    if dtype.is_complex:
        # Off the real axis, and with parts that are not proportional.
        return (x + 1j * (0.3 * np.roll(x, 1) + 0.1)).astype(dtype.np)
    if dtype.category == dtypes.INTEGER:
        return (np.abs(np.rint(x)) if not dtype.is_signed else np.rint(x)).astype(dtype.np)
    return (x > 0) if dtype.category == dtypes.BOOL else x.astype(dtype.np)


def as_complex(op: Op, sample: Sample) -> Sample | None:
    """Return the complex form of a floating sample; None where the op refuses it."""
    inexact = any(is_wanted(op, p, x) for p, x in arrays_of(op, sample))
    made = in_dtype(op, sample, dtypes.complex128) if inexact and "c" in op.kinds else None
    if made is not None:
        try:
            public(op)(*tensors(op, made)[0], **tensors(op, made)[1])
        except (RuntimeError, TypeError, ValueError):
            return None  # it says that it takes none; whether it should is for the comparison with torch
    return made


# ---- libraries ----


def tensors(op: Op, sample: Sample, grad: bool = False) -> tuple[list[Any], dict[str, Any], list[Tensor]]:
    """Return a sample's arguments with Tensors for arrays, and those Tensors whose derivative is declared."""
    leaves: list[Tensor] = []

    def made(parameter: Parameter, x: np.ndarray) -> Tensor:
        tensor = wrap(x)
        if grad and is_wanted(op, parameter, x):
            tensor.requires_grad = True
            leaves.append(tensor)
        return tensor

    args, kwargs = mapped(op, sample, made)
    return args, kwargs, leaves


def flat(result: Any) -> list[Any]:
    """Return a result, or several, as a list."""
    if isinstance(result, (tuple, list)):
        return [x for r in result for x in flat(r)]
    return [result]


def array_of(x: Any) -> np.ndarray:
    """Return the array of a Tensor, or an array or number as an array."""
    return x._array if isinstance(x, Tensor) else np.asarray(x)


# ---- comparison ----


def difference(want: Any, got: Any, rtol: float = 0.0, atol: float = 0.0) -> str:
    """Return how an array differs from the wanted one in dtype, shape or value; '' if it does not.

    `atol` is relative to the largest wanted element, or to 1.
    """
    want, got = np.asarray(want), np.asarray(got)
    if want.dtype != got.dtype:
        return f"dtype {got.dtype}, expected {want.dtype}"
    if want.shape != got.shape:
        return f"shape {got.shape}, expected {want.shape}"
    if not is_inexact(want):
        wrong = want != got
    else:
        if want.dtype.kind == "V" or want.dtype == dtypes.bfloat16.np:
            want, got = want.astype(np.float32), got.astype(np.float32)
        with np.errstate(all="ignore"):
            size = np.abs(want)
            scale = max(1.0, float(np.max(size, where=np.isfinite(size), initial=0.0)))
            wrong = ~np.isclose(got, want, rtol=rtol, atol=atol * scale, equal_nan=True)
    if not wrong.any():
        return ""
    at = tuple(int(i[0]) for i in np.nonzero(wrong)) if want.ndim else ()
    where = f"{int(wrong.sum())} of {want.size} elements differ; at {list(at)}"
    return f"{where}: {got[at]!r}, expected {want[at]!r}"


def differences(want: Sequence[Any], got: Sequence[Any], rtol: float = 0.0, atol: float = 0.0) -> str:
    """Return the first difference between two lists of arrays; '' if there is none."""
    if len(want) != len(got):
        return f"{len(got)} results, expected {len(want)}"
    for i, (w, g) in enumerate(zip(want, got, strict=True)):
        if (w is None) != (g is None):
            return f"[{i}] is {g}, expected {w}"
        found = "" if w is None else difference(w, g, rtol, atol)
        if found:
            return f"[{i}] {found}"
    return ""


# ---- layouts ----


def layouts(x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Give arrays with the elements of x that lie in memory in other ways."""
    if x.ndim == 0:
        holder = np.stack([x, x])
        yield "strided", holder[1:2].reshape(())
        return
    holder = np.zeros((*x.shape[:-1], 2 * x.shape[-1] + 1), x.dtype)
    holder[..., 1::2] = x
    yield "strided", holder[..., 1::2]
    yield "reversed", np.ascontiguousarray(np.flip(x))[(slice(None, None, -1),) * x.ndim]
    yield "transposed", np.ascontiguousarray(x.T).T


def repeated(x: np.ndarray) -> np.ndarray:
    """Return an array whose first dimension repeats one slice without memory for it."""
    return np.broadcast_to(x[:1], x.shape) if x.ndim and x.size else x
