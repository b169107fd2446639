"""What every op must do under transforms, through the functions that users call."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from ops.checks import QUOTIENT_TOLERANCE, _varied, directions_of, has_derivative, quotient, shifted
from ops.convert import (
    arrays_of,
    difference,
    fail,
    flat,
    has_no_derivative,
    is_wanted,
    mapped,
    per_array,
    public,
    random_like,
    rng_for,
)

import retrograd
from retrograd.func import grad, jvp, vmap
from retrograd.ops.apply import bind
from retrograd.ops.apply import jvp as rule_jvp
from retrograd.ops.declare import Op, Sample
from retrograd.tensor import Tensor, wrap

SIZE = 3
REFUSED = (ValueError, RuntimeError, IndexError, TypeError)


def as_function(op: Op, sample: Sample) -> tuple[Callable[..., Any], list[np.ndarray]]:
    """Return an op as a function of tensors for a sample's arrays, and the arrays."""
    arrays = [x for _, x in arrays_of(op, sample)]

    def function(*given: Tensor) -> Any:
        rest = iter(given)
        args, kwargs = mapped(op, sample, lambda p, x: next(rest))
        retrograd.manual_seed(0)
        return public(op)(*args, **kwargs)

    return function, arrays


def tensors_of(result: Any) -> list[Tensor]:
    """Return the tensors among an op's results."""
    return [r for r in flat(result) if isinstance(r, Tensor)]


def _batches(op: Op, sample: Sample) -> Any:
    count = len(arrays_of(op, sample))
    ways = [tuple(range(count))] + [(i,) for i in range(count) if count > 1]
    return itertools.product(ways[:3], (False, True))


def check_vmap(op: Op, sample: Sample) -> None:
    """vmap of an op equals a loop over the batch."""
    function, arrays = as_function(op, sample)
    for which, batch_last in _batches(op, sample):
        for vary in (True, False):
            if _check_vmap(op, sample, function, arrays, which, batch_last, vary):
                break


def _rows(function: Any, arrays: list[np.ndarray], which: Any, vary: bool) -> list[list[np.ndarray]]:
    return [[_varied(x, k, vary) if i in which else x for i, x in enumerate(arrays)] for k in range(SIZE)]


def _check_vmap(
    op: Op, sample: Sample, function: Any, arrays: Any, which: Any, last: bool, vary: bool
) -> bool:
    rows = _rows(function, arrays, which, vary)
    try:
        single = [[np.asarray(t._array) for t in tensors_of(function(*map(_tensor, row)))] for row in rows]
        wanted = [np.stack(column) for column in zip(*single, strict=True)]
    except REFUSED:
        return not vary
    dims = tuple((x.ndim if last else 0) if i in which else None for i, x in enumerate(arrays))
    given = [
        _tensor(x if d is None else np.stack([row[i] for row in rows], d))
        for i, (x, d) in enumerate(zip(arrays, dims, strict=True))
    ]
    try:
        found = tensors_of(vmap(lambda *a: tuple(tensors_of(function(*a))), dims)(*given))
    except RuntimeError as error:
        if "dynamic shape" in str(error):
            return True
        raise
    for w, f in zip(wanted, found, strict=True):
        problem = difference(w, f._array, 1e-10, 1e-12)
        if problem:
            fail(op, sample, f"vmap over {dims}: {problem} (one by one)")
    return True


def _tensor(x: np.ndarray) -> Tensor:
    return wrap(np.array(x))


def check_jvp(op: Op, sample: Sample) -> None:
    """The tangent of an op equals the difference quotient."""
    if not has_derivative(op, sample):
        return
    function, arrays = as_function(op, sample)
    rng = rng_for(op, "func.jvp")
    ts = directions_of(op, sample, rng)
    wanted = [is_wanted(op, p, x) for p, x in arrays_of(op, sample)]

    def of_wanted(*given: Tensor) -> Any:
        rest = iter(given)
        return tuple(
            tensors_of(
                function(*[next(rest) if w else _tensor(x) for w, x in zip(wanted, arrays, strict=True)])
            )
        )

    primals = tuple(_tensor(x) for x, w in zip(arrays, wanted, strict=True) if w)
    try:
        results, tangents = jvp(of_wanted, primals, tuple(map(_tensor, ts)))
    except (RuntimeError, NotImplementedError) as error:
        if has_no_derivative(error):
            return
        raise
    if op.family != "composite":
        _compare_with_rule(op, sample, ts, tangents)
        return

    def at(step: float, i: int) -> np.ndarray:
        moved, _ = as_function(op, shifted(op, sample, ts, step))
        return np.asarray(
            tensors_of(moved(*[_tensor(x) for _, x in arrays_of(op, shifted(op, sample, ts, step))]))[
                i
            ]._array
        )

    for i, (result, tangent) in enumerate(zip(results, tangents, strict=True)):
        if not (result.is_floating_point() or result.is_complex()):
            continue
        slope = np.asarray(quotient(lambda h, i=i: at(h, i))).astype(result._array.dtype)
        problem = difference(slope, tangent._array, QUOTIENT_TOLERANCE, QUOTIENT_TOLERANCE)
        if problem:
            fail(op, sample, f"the tangent of result {i}: {problem} (the difference quotient)")


def _compare_with_rule(op: Op, sample: Sample, ts: list[np.ndarray], tangents: Any) -> None:
    """Compare tangents of Tensors with those of arrays, which other tests compare with quotients."""
    rest = iter(ts)
    given = per_array(op, sample, lambda p, x: next(rest) if is_wanted(op, p, x) else None)
    with np.errstate(all="ignore"):
        retrograd.manual_seed(0)
        result, tangent = rule_jvp(op, bind(op, sample.args, sample.kwargs), given)
    expected = flat(tangent)
    for i, (r, t) in enumerate(zip(flat(result), expected, strict=True)):
        wanted = np.zeros_like(r) if t is None else np.asarray(t)
        problem = difference(wanted, tangents[i]._array, 1e-10, 1e-12)
        if problem:
            fail(op, sample, f"the tangent of result {i}: {problem} (the rule on arrays)")


def check_grad_and_vmap(op: Op, sample: Sample) -> None:
    """vmap of the gradient and the gradient of vmap equal gradients one by one."""
    if not has_derivative(op, sample) or not all(np.isrealobj(x) for _, x in arrays_of(op, sample)):
        return
    function, arrays = as_function(op, sample)
    which = [i for i, (p, x) in enumerate(arrays_of(op, sample)) if is_wanted(op, p, x)]
    rng = rng_for(op, "vmap of grad")
    results = [r._array for r in tensors_of(function(*map(_tensor, arrays)))]
    if any(r.dtype.kind == "c" for r in results):
        return
    cts = [wrap(random_like(rng, r)) if r.dtype.kind == "f" else None for r in results]

    def scalar(*given: Tensor) -> Any:
        rest = iter(given)
        inside = [next(rest) if i in which else _tensor(x) for i, x in enumerate(arrays)]
        parts = zip(tensors_of(function(*inside)), cts, strict=True)
        return sum((r * c).sum() for r, c in parts if c is not None)

    rows = _rows(function, arrays, which, vary=True)
    argnums = tuple(range(len(which)))
    singles = [[_tensor(row[i]) for i in which] for row in rows]
    try:
        alone = [grad(scalar, argnums)(*row) for row in singles]
        wanted = [np.stack([np.asarray(g._array) for g in column]) for column in zip(*alone, strict=True)]
    except REFUSED:
        return
    stacked = [retrograd.stack(list(column)) for column in zip(*singles, strict=True)]
    ways = {
        "vmap of grad": lambda: vmap(grad(scalar, argnums))(*stacked),
        "grad of vmap": lambda: grad(lambda *xs: vmap(scalar)(*xs).sum(), argnums)(*stacked),
    }
    for name, way in ways.items():
        try:
            found = way()
        except RuntimeError as error:
            if "dynamic shape" in str(error):
                return
            raise
        for w, f in zip(wanted, found, strict=True):
            problem = difference(w, f._array, 1e-9, 1e-10)
            if problem:
                fail(op, sample, f"{name}: {problem} (one by one)")


def check_second(op: Op, sample: Sample) -> None:
    """Forward mode over reverse mode, and reverse over forward, equal reverse over reverse."""
    if not has_derivative(op, sample) or not all(np.isrealobj(x) for _, x in arrays_of(op, sample)):
        return
    function, arrays = as_function(op, sample)
    which = [i for i, (p, x) in enumerate(arrays_of(op, sample)) if is_wanted(op, p, x)]
    rng = rng_for(op, "second")

    def scalar(*given: Tensor) -> Any:
        rest = iter(given)
        inside = [next(rest) if i in which else _tensor(x) for i, x in enumerate(arrays)]
        total: Any = 0.0
        for r in tensors_of(function(*inside)):
            if r.is_floating_point():
                total = total + (r * r * 0.5).sum()
        return total

    primals = tuple(_tensor(arrays[i]) for i in which)
    ts = tuple(_tensor(random_like(rng, arrays[i])) for i in which)
    argnums = tuple(range(len(which)))

    def along(*xs: Tensor) -> Any:
        return sum((g * t).sum() for g, t in zip(grad(scalar, argnums)(*xs), ts, strict=True))

    try:
        wanted = grad(along, argnums)(*primals)
    except REFUSED:
        return
    ways = {
        "forward over reverse": lambda: jvp(grad(scalar, argnums), primals, ts)[1],
        "reverse over forward": lambda: grad(lambda *xs: jvp(scalar, xs, ts)[1], argnums)(*primals),
    }
    for name, way in ways.items():
        for w, f in zip(wanted, way(), strict=True):
            problem = difference(w._array, f._array, 1e-8, 1e-9)
            if problem:
                fail(op, sample, f"{name}: {problem} (reverse over reverse)")
