"""The properties that every op has, checked from its declaration.

Each function takes an op and one of its samples, and raises `Failure`. An op with a planted fault can be
given to it as well as a declared one (test_checks.py).
"""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
from ops.convert import (
    arrays_of,
    as_complex,
    changed,
    difference,
    differences,
    fail,
    flat,
    has_no_derivative,
    is_inexact,
    is_wanted,
    mapped,
    per_array,
    public,
    random_like,
    rng_for,
    tensors,
)

import retrograd
from retrograd.arrays import ValueDependentError, evaluate, trace, verify
from retrograd.autograd.calls import grad as gradients
from retrograd.ops import batching
from retrograd.ops.apply import batched, bind, jvp, vjp
from retrograd.ops.declare import Op, Sample
from retrograd.tensor import Tensor, wrap

STEP = 1e-4  # with the five-point formula: truncation about 1e-16 f'''''/30, rounding about 1e-12 f
QUOTIENT_TOLERANCE = 2e-7


def forms(op: Op, sample: Sample) -> list[Sample]:
    """Return a sample as it is, and in complex numbers where the op takes them."""
    complex_form = as_complex(op, sample)
    return [sample] if complex_form is None else [sample, complex_form]


def run(op: Op, sample: Sample, *, grad: bool) -> tuple[list[Tensor], list[Tensor]]:
    """Run the public function; return its results that may be differentiated, and the leaves."""
    args, kwargs, leaves = tensors(op, sample, grad)
    retrograd.manual_seed(0)
    found = flat(public(op)(*args, **kwargs))
    return [r for r in found if isinstance(r, Tensor)], leaves


def quotient(f: Callable[[float], Any]) -> Any:
    """Return the derivative of f at 0 from four values around it."""
    with np.errstate(all="ignore"):
        near, far = f(STEP) - f(-STEP), f(2 * STEP) - f(-2 * STEP)
        return (8 * near - far) / (12 * STEP)


def inner(x: Any, y: Any) -> float:
    """Return the real inner product of two arrays."""
    return float(np.sum(np.real(np.conjugate(x) * y)))


def shifted(op: Op, sample: Sample, directions: list[np.ndarray], step: float) -> Sample:
    """Return a sample moved along a direction for each of its differentiable arrays."""
    steps = iter(directions)
    return changed(op, sample, lambda p, x: x + step * next(steps) if is_wanted(op, p, x) else x)


def directions_of(op: Op, sample: Sample, rng: np.random.Generator) -> list[np.ndarray]:
    """Return a random direction for each differentiable array of a sample."""
    return [random_like(rng, x) for p, x in arrays_of(op, sample) if is_wanted(op, p, x)]


def has_derivative(op: Op, sample: Sample) -> bool:
    """Whether a difference quotient can say something about an op at a sample."""
    return sample.grad and any(is_wanted(op, p, x) and x.size for p, x in arrays_of(op, sample))


def _agree(op: Op, sample: Sample, what: str, pairs: list[tuple[Any, Any]], wanted: float) -> None:
    found = sum(inner(a, b) for a, b in pairs)
    scale = 1.0 + sum(float(np.sum(np.abs(a) * np.abs(b))) for a, b in pairs) + abs(wanted)
    if not abs(found - wanted) <= QUOTIENT_TOLERANCE * scale:
        fail(op, sample, f"{what} gives {found:.10g}, the difference quotient {wanted:.10g}")


# ---- derivatives ----


def where_defined(check: Callable[[Op, Sample], None], op: Op, sample: Sample) -> None:
    """Run a check, unless the op says, as torch does, that there is no derivative."""
    try:
        check(op, sample)
    except RuntimeError as error:
        if not has_no_derivative(error):
            raise


def check_gradient(op: Op, sample: Sample) -> None:
    """<ct, J t> by a difference quotient equals <gradient, t>."""
    for form in forms(op, sample):
        if has_derivative(op, form):
            where_defined(_check_gradient, op, form)


def _check_gradient(op: Op, sample: Sample) -> None:
    rng = rng_for(op, "gradient")
    results, leaves = run(op, sample, grad=True)
    places = [i for i, r in enumerate(results) if r.requires_grad]
    cts = [random_like(rng, results[i]._array) for i in places]
    ts = directions_of(op, sample, rng)
    if not places:
        fail(op, sample, "no result requires grad, though a rule is declared")
    found = gradients([results[i] for i in places], leaves, [wrap(c) for c in cts], allow_unused=True)
    for leaf, g in zip(leaves, found, strict=True):
        if g is not None and (g._array.shape, g._array.dtype) != (leaf._array.shape, leaf._array.dtype):
            fail(
                op,
                sample,
                f"gradient {g._array.dtype}{g._array.shape} of {leaf._array.dtype}{leaf._array.shape}",
            )

    def loss(step: float) -> float:
        moved, _ = run(op, shifted(op, sample, ts, step), grad=False)
        return sum(inner(c, moved[i]._array) for c, i in zip(cts, places, strict=True))

    pairs = [(g._array, t) for g, t in zip(found, ts, strict=True) if g is not None]
    _agree(op, sample, "the gradient", pairs, quotient(loss))


def check_forward(op: Op, sample: Sample) -> None:
    """The forward rule equals the difference quotient, and the reverse rules are its transpose."""
    if op.family == "composite":
        return
    for form in forms(op, sample):
        if has_derivative(op, form):
            where_defined(_check_forward, op, form)


def _check_forward(op: Op, sample: Sample) -> None:
    rng = rng_for(op, "forward")
    args = bind(op, sample.args, sample.kwargs)
    ts = directions_of(op, sample, rng)
    rest = iter(ts)
    tangents = per_array(op, sample, lambda p, x: next(rest) if is_wanted(op, p, x) else None)
    with np.errstate(all="ignore"):
        result, tangent = jvp(op, args, tangents)
    results, found = flat(result), flat(tangent)
    for i, (r, t) in enumerate(zip(results, found, strict=True)):
        if t is None:
            continue
        moved = quotient(lambda h, i=i: np.asarray(flat(_call(op, shifted(op, sample, ts, h)))[i]))
        problem = difference(
            np.asarray(moved).astype(np.asarray(r).dtype), t, QUOTIENT_TOLERANCE, QUOTIENT_TOLERANCE
        )
        if problem:
            fail(op, sample, f"the forward rule of result {i}: {problem} (the difference quotient)")
    cts = [
        None if t is None else random_like(rng, np.asarray(r)) for r, t in zip(results, found, strict=True)
    ]
    with np.errstate(all="ignore"):
        pulled = vjp(op, args, tuple(cts) if isinstance(result, (tuple, list)) else cts[0])
    forward = sum(inner(c, t) for c, t in zip(cts, found, strict=True) if c is not None)
    both = [(p, t) for p, t in zip(pulled, tangents, strict=True) if p is not None and t is not None]
    pairs = [
        (p, t)
        for ps, ts in both
        for p, t in zip(flat(ps), flat(ts), strict=True)
        if p is not None and t is not None
    ]
    backward = sum(inner(p, t) for p, t in pairs)
    scale = 1.0 + sum(float(np.sum(np.abs(p) * np.abs(t))) for p, t in pairs)
    if not abs(forward - backward) <= 1e-10 * scale:
        fail(op, sample, f"<ct, forward rule(t)> is {forward:.12g}, <reverse rule(ct), t> is {backward:.12g}")


def _call(op: Op, sample: Sample) -> Any:
    retrograd.manual_seed(0)
    return batching.call(op, bind(op, sample.args, sample.kwargs))


def check_second(op: Op, sample: Sample) -> None:
    """The gradient of the gradient equals the difference quotient of the gradient."""
    for form in forms(op, sample):
        if has_derivative(op, form):
            where_defined(_check_second, op, form)


def _check_second(op: Op, sample: Sample) -> None:
    rng = rng_for(op, "second")
    results, leaves = run(op, sample, grad=True)
    places = [i for i, r in enumerate(results) if r.requires_grad]
    cts = [random_like(rng, results[i]._array) for i in places]
    ts = directions_of(op, sample, rng)
    ct_ts = [random_like(rng, c) for c in cts]
    ct_leaves = [wrap(c) for c in cts]
    for c in ct_leaves:
        c.requires_grad = True
    first = gradients([results[i] for i in places], leaves, ct_leaves, create_graph=True, allow_unused=True)
    vs = [None if g is None else random_like(rng, g._array) for g in first]
    roots = [(g, wrap(v)) for g, v in zip(first, vs, strict=True) if g is not None and g.requires_grad]
    second: tuple[Any, ...] = (None,) * (len(leaves) + len(cts))
    if roots:
        second = gradients(
            [g for g, _ in roots], [*leaves, *ct_leaves], [v for _, v in roots], allow_unused=True
        )

    def slope(step: float) -> float:
        moved, there = run(op, shifted(op, sample, ts, step), grad=True)
        outs = [wrap(c + step * t) for c, t in zip(cts, ct_ts, strict=True)]
        found = gradients([moved[i] for i in places], there, outs, allow_unused=True)
        return sum(
            inner(v, g._array) for v, g in zip(vs, found, strict=True) if g is not None and v is not None
        )

    pairs = [(g._array, t) for g, t in zip(second, [*ts, *ct_ts], strict=True) if g is not None]
    _agree(op, sample, "the second derivative", pairs, quotient(slope))


# ---- batching ----


def check_batching(op: Op, sample: Sample) -> None:
    """Running all elements of a batch at once equals running each and stacking."""
    if op.family == "composite":
        return  # it has no batching rule: the ops that it is made of have theirs
    count = len(arrays_of(op, sample))
    ways = [tuple(range(count))] + [(i,) for i in range(count) if count > 1]
    for batch_last, which in itertools.product((False, True), ways[:4]):
        for vary_indices in (True, False):
            if _check_batching(op, sample, which, batch_last, vary_indices):
                break


def _check_batching(op: Op, sample: Sample, which: tuple[int, ...], batch_last: bool, vary: bool) -> bool:
    """Check one way to batch; false if these elements make none: the op refuses one, or shapes differ."""
    size = 4
    dims: list[int | None] = []

    def stacked(parameter: Any, x: np.ndarray) -> Any:
        if len(dims) not in which:
            dims.append(None)
            return x
        axis = x.ndim if batch_last else 0
        dims.append(axis)
        return np.stack([_varied(x, k, vary) for k in range(size)], axis)

    def slice_of(k: int) -> Sample:
        number = itertools.count()
        return changed(op, sample, lambda p, x: _varied(x, k, vary) if next(number) in which else x)

    whole = changed(op, sample, stacked)
    with np.errstate(all="ignore"):
        try:
            rows = [_call(op, slice_of(k)) for k in range(size)]
            wanted = [np.stack(column) for column in zip(*[flat(r) for r in rows], strict=True)]
        except (ValueError, RuntimeError, IndexError):
            return not vary
        rest = iter(dims)
        in_dims = per_array(op, sample, lambda p, x: next(rest))
        retrograd.manual_seed(0)
        found = flat(batched(op, bind(op, whole.args, whole.kwargs), in_dims))
    problem = differences(wanted, found, 1e-10, 1e-12)
    if problem:
        fail(op, sample, f"batched in dimensions {in_dims}: result {problem} (one by one)")
    return True


def _varied(x: np.ndarray, k: int, vary: bool) -> np.ndarray:
    """Return the k-th of a batch of arrays that suit an op as x does: 1% smaller each, or flipped."""
    if is_inexact(x):
        return x * (1 - 0.01 * k)
    return np.flip(x).copy() if vary and k % 2 else x


# ---- tracing ----


def check_traced(op: Op, sample: Sample) -> None:
    """An op and its rules, recorded as a program and replayed, give what they give at once."""
    for form in forms(op, sample):
        _check_traced(op, form)


def _check_traced(op: Op, sample: Sample) -> None:
    arrays = [x for _, x in arrays_of(op, sample)]

    def rebuilt(xs: Any) -> tuple[list[Any], dict[str, Any]]:
        rest = iter(xs)
        return mapped(op, sample, lambda p, x: next(rest))

    def forward(*xs: Any) -> Any:
        args, kwargs = rebuilt(xs)
        return op(*args, **kwargs)

    copies = [np.array(x) for x in arrays]  # distinct objects: one input each
    eager = _replayed(op, sample, "the definition", forward, copies)
    if (
        eager is None
        or op.family == "composite"
        or not any(is_wanted(op, p, x) for p, x in arrays_of(op, sample))
    ):
        return
    results = [np.asarray(r) for r in flat(eager)]
    rng = rng_for(op, "traced")
    places = range(len(results)) if op.outputs == ("*",) else op.differentiable_outputs
    cts = [random_like(rng, r) if i in places and is_inexact(r) else None for i, r in enumerate(results)]
    given = [c for c in cts if c is not None]
    if not given:
        return

    def both(*xs: Any) -> Any:
        args, kwargs = rebuilt(xs[: len(arrays)])
        bound = bind(op, args, kwargs)
        result = op(*args, **kwargs)
        rest = iter(xs[len(arrays) :])
        ct = [None if c is None else next(rest) for c in cts]
        several = isinstance(result, (tuple, list))
        return result, vjp(op, bound, tuple(ct) if several else ct[0], result)

    _replayed(op, sample, "forward and backward", both, [*copies, *given])
    ts = directions_of(op, sample, rng)

    def along(*xs: Any) -> Any:
        args, kwargs = rebuilt(xs[: len(arrays)])
        rest = iter(xs[len(arrays) :])
        tangents = per_array(op, sample, lambda p, x: next(rest) if is_wanted(op, p, x) else None)
        return jvp(op, bind(op, args, kwargs), tangents)

    _replayed(op, sample, "the forward rule", along, [*copies, *ts])


def _replayed(op: Op, sample: Sample, what: str, f: Callable[..., Any], arrays: list[np.ndarray]) -> Any:
    """Compare a function's trace with the function; return what it gives, None if no trace is possible."""
    with np.errstate(all="ignore"):
        retrograd.manual_seed(0)
        try:
            eager = f(*arrays)
        except RuntimeError as error:
            if has_no_derivative(error):
                return None
            raise
        retrograd.manual_seed(0)
        try:
            program = trace(f, *arrays)
        except ValueDependentError as error:
            if op.primitive:
                return None
            fail(op, sample, f"{what} cannot be traced: {_inside(error)}")
        except (TypeError, AttributeError) as error:
            fail(op, sample, f"{what} cannot be traced: {_inside(error)}")
        verify(program)
        found = evaluate(program, *arrays)
    wanted = [None if w is None else np.asarray(w) for w in flat(eager)]
    got = [None if g is None else np.asarray(g) for g in flat(found)]
    problem = differences(wanted, got, 1e-13, 1e-14)
    if problem:
        fail(op, sample, f"{what}, traced and replayed: result {problem} (at once)\n{program}")
    return eager


def _inside(error: Exception) -> str:
    """Return an error with the innermost place in the ops' own files."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/ops/" in f.filename]
    return f"{type(error).__name__}: {error} [{frames[-1].filename}:{frames[-1].lineno}]"
