"""The properties that every op has, checked from its declaration: each function takes an op and one of its samples.

They raise `Failure`; an op with a planted fault can be given to them as well as a declared one (test_checks.py).
"""

from __future__ import annotations

import contextlib
import itertools
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
from ops.convert import (
    Failure,
    array_of,
    arrays_of,
    as_complex,
    changed,
    difference,
    differences,
    fail,
    flat,
    is_inexact,
    is_wanted,
    layouts,
    mapped,
    per_array,
    public,
    random_like,
    repeated,
    rng_for,
    tensors,
)  # fmt: skip

import retrograd
from retrograd.arrays import ValueDependentError, evaluate, trace, verify
from retrograd.autograd.engine import grad as gradients
from retrograd.ops import batching
from retrograd.ops.apply import batched, bind, jvp, vjp
from retrograd.ops.declare import ErrorSample, Op, Sample
from retrograd.tensor import Tensor, wrap

STEP = 1e-4  # with the five-point formula: truncation about 1e-16 f'''''/30, rounding about 1e-12 f
QUOTIENT_TOLERANCE = 2e-7
LAYOUT_MATTERS = {
    "as_strided": "it reads the memory as it lies",
    "put_strided": "its transpose",
    "view": "it refuses what cannot be viewed",
    "view_as_complex": "it refuses what cannot be viewed",
}
"""Ops whose result or refusal depends on how their argument lies in memory, as in torch."""


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


def check_gradient(op: Op, sample: Sample) -> None:
    """<ct, J t> by a difference quotient equals <gradient, t>."""
    for form in forms(op, sample):
        if has_derivative(op, form):
            _check_gradient(op, form)


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
            _check_forward(op, form)


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
            _check_second(op, form)


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
    """Check one way to batch; false if these elements do not make a batch (the op refuses one, or shapes differ)."""
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
    """Return the k-th of a batch of arrays like x that suit an op as x does: 1% smaller each, or in another order."""
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
    """Compare a function's trace with the function; return what it gives, or None if it cannot be traced by nature."""
    with np.errstate(all="ignore"):
        retrograd.manual_seed(0)
        try:
            eager = f(*arrays)
        except NotImplementedError:  # declared to have no derivative
            return None
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


# ---- inputs ----


def check_untouched(op: Op, sample: Sample) -> None:
    """Neither the op nor its rules write to arguments, cotangents or results."""
    for form in forms(op, sample):
        own = changed(op, form, lambda p, x: np.array(x))
        before = [np.array(x) for _, x in arrays_of(op, own)]
        results, leaves = run(op, own, grad=True)
        _same(op, form, "the op wrote to an argument", before, [x for _, x in arrays_of(op, own)])
        recorded = [r for r in results if r.requires_grad]
        if not recorded:
            continue
        cts = [random_like(rng_for(op, "untouched"), r._array) for r in recorded]
        kept = [np.array(c) for c in cts]
        made = [np.array(r._array) for r in results]
        try:
            first = gradients(recorded, leaves, [wrap(c) for c in cts], retain_graph=True, allow_unused=True)
        except NotImplementedError:  # some ops are declared to have no derivative, and say so only when asked
            continue
        first_kept = [None if g is None else np.array(g._array) for g in first]
        second = gradients(recorded, leaves, [wrap(c) for c in cts], allow_unused=True)
        _same(op, form, "a rule wrote to an argument", before, [x for _, x in arrays_of(op, own)])
        _same(op, form, "a rule wrote to a cotangent", kept, cts)
        _same(op, form, "a rule wrote to a result", made, [r._array for r in results])
        again = [None if g is None else g._array for g in second]
        _same(op, form, "a second backward gives another gradient", first_kept, again)


def _same(op: Op, sample: Sample, what: str, before: list[Any], after: list[Any]) -> None:
    problem = differences(before, after)
    if problem:
        fail(op, sample, f"{what}: {problem}")


def check_layouts(op: Op, sample: Sample) -> None:
    """Arguments that lie in memory in other ways give what contiguous copies give."""
    if op.name in LAYOUT_MATTERS:
        return
    names = ("strided", "reversed", "transposed")
    for name in names:
        other = changed(op, sample, lambda p, x, name=name: dict(layouts(x)).get(name, x))
        _compare_outcomes(op, sample, name, other)
    _compare_outcomes(op, sample, "repeated", changed(op, sample, lambda p, x: repeated(x)))


def check_specials(op: Op, sample: Sample) -> None:
    """NaN and infinities among the arguments do not stop an op, whatever the layout."""
    for special in (np.nan, np.inf, -np.inf):
        odd = changed(op, sample, lambda p, x, special=special: _with_special(x, special))
        strided = (
            odd if op.name in LAYOUT_MATTERS else changed(op, odd, lambda p, x: dict(layouts(x))["strided"])
        )
        outcome = _compare_outcomes(op, odd, f"with {special}", strided)
        if isinstance(outcome, Exception) and op.family in ("pointwise", "movement", "reduction"):
            fail(op, odd, f"{special} among the arguments raised {type(outcome).__name__}: {outcome}")


def _with_special(x: np.ndarray, special: float) -> np.ndarray:
    if not is_inexact(x) or x.size == 0:
        return x
    made = np.array(x)
    made[(0,) * x.ndim] = special
    return made


def check_shapes(op: Op, sample: Sample) -> None:
    """A pointwise op takes 0-dim and empty operands and gives NumPy's broadcast shape."""
    if op.family != "pointwise":
        return
    for name, change in (
        ("0-dim", lambda x: x.reshape(-1)[:1].reshape(())),
        ("empty", lambda x: x.reshape(-1)[:0]),
    ):
        if any(x.size == 0 for _, x in arrays_of(op, sample)) and name == "0-dim":
            continue
        odd = changed(op, sample, lambda p, x, change=change: change(x))
        results, _ = run(op, odd, grad=True)
        shape = np.broadcast_shapes(*[x.shape for _, x in arrays_of(op, odd)])
        for r in results:
            if r._array.shape != shape:
                fail(op, odd, f"{name} operands give shape {r._array.shape}, expected {shape}")


def _compare_outcomes(op: Op, sample: Sample, what: str, other: Sample) -> Any:
    contiguous = changed(op, other, lambda p, x: np.ascontiguousarray(x).reshape(x.shape))
    wanted, got = _outcome(op, contiguous), _outcome(op, other)
    if isinstance(wanted, Exception) or isinstance(got, Exception):
        if type(wanted) is not type(got):
            fail(op, sample, f"{what} arguments give {got!r}, contiguous copies {wanted!r}")
        return wanted
    problem = differences(wanted, got, 1e-10, 1e-12)
    if problem:
        fail(op, sample, f"{what} arguments: {problem} (contiguous copies)")
    return wanted


def _outcome(op: Op, sample: Sample) -> Any:
    """Return an op's results and gradients as arrays, or the exception that it raises."""
    with np.errstate(all="ignore"):
        try:
            results, leaves = run(op, sample, grad=True)
            recorded = [r for r in results if r.requires_grad]
            found = [array_of(r) for r in results]
            if recorded:
                cts = [wrap(random_like(rng_for(op, "layouts"), r._array)) for r in recorded]
                with contextlib.suppress(NotImplementedError):  # declared to have no derivative
                    grads = gradients(recorded, leaves, cts, allow_unused=True)
                    found += [None if g is None else array_of(g) for g in grads]
        except Failure:
            raise
        except Exception as error:  # noqa: BLE001 - an exception is an outcome, compared with the other's
            return error
    return found


# ---- errors ----


def check_error(op: Op, sample: ErrorSample) -> None:
    """Bad arguments raise the declared exception with the declared text, and are left as they were."""
    own = ErrorSample(*mapped(op, sample, lambda p, x: np.array(x)), sample.error, sample.message)
    before = [np.array(x) for _, x in arrays_of(op, own)]
    args, kwargs, _ = tensors(op, own)
    try:
        public(op)(*args, **kwargs)
    except sample.error as error:
        if sample.message not in str(error):
            fail(op, sample, f"the message {str(error)!r} does not contain {sample.message!r}")
    except Exception as error:  # noqa: BLE001 - said in the failure
        fail(op, sample, f"raised {type(error).__name__}: {error}; expected {sample.error.__name__}")
    else:
        fail(op, sample, f"raised nothing; expected {sample.error.__name__}: {sample.message}")
    _same(
        op, sample, "an argument was written to before the error", before, [x for _, x in arrays_of(op, own)]
    )
