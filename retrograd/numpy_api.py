"""NumPy's own functions on tensors: each is answered by the op that declares it, so it is differentiable.

A function that no op answers raises TypeError and names itself; nothing is converted silently.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograd.ops.declare import NUMPY

_FACTS: dict[Any, Any] = {
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
    np.size: lambda a, axis=None: a.numel() if axis is None else a.shape[axis],
    np.zeros_like: lambda a: a.new_zeros(a.shape),
    np.ones_like: lambda a: a.new_ones(a.shape),
    np.take: lambda a, indices, axis=None: _taken(a, indices, axis),
}
"""NumPy's functions that no op answers: those that read no element, and what a method says."""


def _taken(a: Any, indices: Any, axis: int | None) -> Any:
    if axis is None:
        a, axis = a.reshape(-1), 0
    if isinstance(indices, int):
        return a.select(axis, indices)
    return a[(slice(None),) * (axis % a.ndim) + (indices,)]


def call_ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Answer `ufunc(*inputs)`."""
    if method != "__call__" or ufunc not in NUMPY:
        what = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        raise TypeError(_unknown(f"np.{what}"))
    op, adapt = NUMPY[ufunc]
    out = kwargs.pop("out", None)
    if out is not None and any(o is not None for o in out):
        raise TypeError(f"np.{ufunc.__name__} on tensors: out= is not supported; write `out.copy_(result)`")
    if kwargs:
        raise TypeError(f"np.{ufunc.__name__} on tensors: unsupported arguments {sorted(kwargs)}")
    return op.function(*(inputs if adapt is None else adapt(*inputs)))


def call_function(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Answer `function(*args, **kwargs)`."""
    found = NUMPY.get(function)
    if found is None:
        if function in _FACTS:
            return _FACTS[function](*args, **kwargs)
        raise TypeError(_unknown(f"np.{function.__name__}"))
    op, adapt = found
    if adapt is None:
        return op.function(*args, **kwargs)
    values = adapt(*args, **kwargs)
    given = list(zip(op.parameters, values, strict=False))
    positional = [v for p, v in given if not p.keyword_only]
    return op.function(*positional, **{p.name: v for p, v in given if p.keyword_only})


def _unknown(name: str) -> str:
    return (
        f"{name} is not available on tensors; use a torch function, or t.detach().numpy() for the plain "
        "array (its result has no gradient)"
    )
