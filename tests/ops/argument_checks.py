"""What an op owes its arguments: to leave them alone, take them in any layout, refuse them as declared."""

from __future__ import annotations

from typing import Any

import numpy as np
from ops.checks import forms, run
from ops.convert import (
    Failure,
    array_of,
    arrays_of,
    changed,
    differences,
    fail,
    has_no_derivative,
    is_inexact,
    layouts,
    mapped,
    public,
    random_like,
    repeated,
    rng_for,
    tensors,
)

from retrograd.autograd.calls import grad as gradients
from retrograd.ops.declare import ErrorSample, Op, Sample
from retrograd.tensor import wrap

LAYOUT_MATTERS = {
    "as_strided": "it reads the memory as it lies",
    "put_strided": "its transpose",
    "view": "it refuses what cannot be viewed",
    "view_as_complex": "it refuses what cannot be viewed",
}
"""Ops whose result or refusal depends on how their argument lies in memory, as in torch."""


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
        except RuntimeError as error:
            if has_no_derivative(error):
                continue
            raise
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
                found += _gradients(recorded, leaves, cts)
        except Failure:
            raise
        except Exception as error:  # noqa: BLE001 - an exception is an outcome, compared with the other's
            return error
    return found


def _gradients(recorded: list[Any], leaves: list[Any], cts: list[Any]) -> list[Any]:
    """Return gradients as arrays; none for an op that is declared to have no derivative."""
    try:
        grads = gradients(recorded, leaves, cts, allow_unused=True)
    except RuntimeError as error:
        if has_no_derivative(error):
            return []
        raise
    return [None if g is None else array_of(g) for g in grads]


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
