"""Applying an op's declaration to arrays: its derivatives forward and backward, and its batching rule.

The arrays may be of any kind (NumPy's, traced); nothing is promoted and nothing recorded. Arguments are all
of the op's, in the declared order (see `bind`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.batching import call
from retrograd.ops.declare import Op, Rule
from retrograd.ops.helpers import cast, unbroadcast


def bind(op: Op, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """Return all of an op's arguments in the declared order, defaults filled in.

    Raises:
        TypeError: an argument is missing or unknown.
    """
    rest = dict(kwargs)
    found = list(args)
    for parameter in op.parameters[len(found) :]:
        if parameter.name not in rest and parameter.is_required:
            raise TypeError(f"{op.name}: argument {parameter.name!r} is missing")
        found.append(rest.pop(parameter.name, parameter.default))
    if rest or len(found) != len(op.parameters):
        raise TypeError(f"{op.name}: unexpected arguments {sorted(rest) or args[len(op.parameters) :]}")
    return found


def is_differentiable(value: Any) -> bool:
    """Whether an argument is an array that a gradient may flow to (or a sequence with such an array)."""
    if isinstance(value, (tuple, list)):
        return any(is_differentiable(v) for v in value)
    # Extension types such as bfloat16 have kind V.
    return hasattr(value, "dtype") and hasattr(value, "shape") and value.dtype.kind in "fcV"


# ---- forward mode ----


def jvp(op: Op, args: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """Return an op's result and its tangent, given a tangent (or None) per argument.

    For an op with several results both are tuples; the tangent of one that has no derivative is None. Without
    any tangent the result's tangent is None.
    """
    if op.family == "composite":
        raise TypeError(
            f"{op.name}: a composite has no forward rule of its own; run it on arrays that carry tangents"
        )
    result = call(op, args)
    if op.jvp == "linear" and _is_jointly_linear(op):
        along = _tangent_arguments(op, args, tangents)
        return result, None if along is None else _as_result(op, call(op, along), result)
    total: Any = None
    for i, parameter in enumerate(op.parameters):
        tangent = tangents[i]
        if parameter.name not in op.rules or _is_absent(tangent):
            continue
        if parameter.kind == "tensors":
            tangent = [_or_zero(t, a) for t, a in zip(tangent, args[i], strict=True)]
        total = _add(total, _push(op, i, args, tangent, result))
    return result, None if total is None else _as_result(op, total, result)


def _is_absent(tangent: Any) -> bool:
    return tangent is None or (isinstance(tangent, (tuple, list)) and all(t is None for t in tangent))


def _is_jointly_linear(op: Op) -> bool:
    """Whether a linear op is linear in all operands together (a sum, not a product of them).

    It is if no rule names an operand that has a rule: then the derivative is the same everywhere.
    """
    return not any(name in op.rules for names in op.needs.values() for name in names)


def _tangent_arguments(op: Op, args: Sequence[Any], tangents: Sequence[Any]) -> list[Any] | None:
    """Return the arguments with tangents for operands, zero where there is none; None without any."""
    found = list(args)
    given = False
    for i, parameter in enumerate(op.parameters):
        if parameter.name not in op.rules or args[i] is None:
            continue
        given = given or not _is_absent(tangents[i])
        if parameter.kind == "tensors":
            each = tangents[i] if tangents[i] is not None else [None] * len(args[i])
            found[i] = [_or_zero(t, a) for t, a in zip(each, args[i], strict=True)]
        else:
            found[i] = _or_zero(tangents[i], args[i])
    return found if given else None


def _or_zero(tangent: Any, value: Any) -> Any:
    if tangent is not None:
        return tangent
    return np.zeros_like(value) if hasattr(value, "dtype") else 0


def _push(op: Op, i: int, args: Sequence[Any], tangent: Any, result: Any) -> Any:
    """Return the result's tangent that comes from argument number `i`."""
    parameter = op.parameters[i].name
    if op.jvp == "linear":
        return call(op, [*args[:i], tangent, *args[i + 1 :]])
    if op.jvp == "rules":
        return _push_diagonal(op, op.rules[parameter], args, tangent, result, args[i])
    assert isinstance(op.jvp, dict)
    rule = op.jvp[parameter]
    return rule(**_needs(op, rule, args, result, t=tangent))


def _push_diagonal(op: Op, rule: Rule, args: Sequence[Any], tangent: Any, result: Any, x: Any) -> Any:
    """Apply a reverse rule forward.

    A holomorphic rule multiplies by f'(x) elementwise, which is its own transpose. Any other acts on a
    cotangent as ct -> conj(a) ct + b conj(ct), where the tangent is a t + b conj(t); what it makes of 1 and i
    tells a and b.
    """
    made = result[op.differentiable_outputs[0]] if isinstance(result, (tuple, list)) else result
    tangent = np.broadcast_to(tangent, made.shape)

    def pull(ct: Any) -> Any:
        return rule(**_needs(op, rule, args, result, ct=ct))

    from_complex, to_complex = x.dtype.kind == "c", made.dtype.kind == "c"
    if op.holomorphic or not (from_complex or to_complex):
        return pull(cast(tangent, made.dtype) if to_complex else tangent)
    one = np.ones_like(made)
    if not to_complex:
        return np.real(np.conjugate(pull(one)) * tangent)
    at_one, at_i = pull(one), pull(one * 1j)
    if not from_complex:
        return (np.real(at_one) + 1j * np.real(at_i)) * tangent
    a, b = np.conjugate(at_one - 1j * at_i) / 2, (at_one + 1j * at_i) / 2
    return a * tangent + b * np.conjugate(tangent)


def _add(first: Any, second: Any) -> Any:
    if first is None or second is None:
        return second if first is None else first
    if isinstance(first, (tuple, list)):
        return tuple(_add(a, b) for a, b in zip(first, second, strict=True))
    return first + second


def _as_result(op: Op, tangent: Any, result: Any) -> Any:
    """Return a tangent in the structure, shape and dtype of the result."""
    if isinstance(result, (tuple, list)):
        places = range(len(result)) if op.outputs == ("*",) else op.differentiable_outputs
        parts = list(tangent) if isinstance(tangent, (tuple, list)) else [tangent]
        if len(parts) == len(result):
            parts = [parts[i] for i in places]
        found = dict(zip(places, parts, strict=True))
        return tuple(None if found.get(i) is None else _like(found[i], r) for i, r in enumerate(result))
    return _like(tangent, result)


def _like(tangent: Any, result: Any) -> Any:
    if np.shape(tangent) != result.shape:
        tangent = np.broadcast_to(tangent, result.shape)
    return _recast(tangent, result.dtype)


def _recast(value: Any, dtype: Any) -> Any:
    """Return a value in another dtype: the real part where that one is real and the value is not."""
    if value.dtype == dtype:
        return value
    return cast(np.real(value) if value.dtype.kind == "c" and dtype.kind != "c" else value, dtype)


# ---- reverse mode ----


def vjp(op: Op, args: Sequence[Any], cts: Any, result: Any = None) -> list[Any]:
    """Return the cotangents of an op's arguments, None where it has no derivative.

    Args:
        op: any op with rules.
        args: all of its arguments.
        cts: the cotangent of the result; for several results a tuple, None standing for zero.
        result: the result, if it is at hand; otherwise it is computed if a rule needs it.
    """
    if result is None and any("result" in names for names in op.needs.values()):
        result = call(op, args)
    ct = _conjugate(cts) if op.holomorphic else cts
    if op.outputs not in ((), ("*",)):
        held = [ct[i] for i in op.differentiable_outputs]
        ct = held[0] if len(held) == 1 else tuple(held)
    found: list[Any] = []
    for parameter, value in zip(op.parameters, args, strict=True):
        rule = op.rules.get(parameter.name)
        if rule is None or not is_differentiable(value):
            found.append(None)
            continue
        pulled = rule(**_needs(op, rule, args, result, ct=ct))
        pulled = _conjugate(pulled) if op.holomorphic else pulled
        if parameter.kind == "tensors":
            found.append([_fit(op, p, v) for p, v in zip(pulled, value, strict=True)])
        else:
            found.append(_fit(op, pulled, value))
    return found


def _conjugate(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return tuple(_conjugate(v) for v in value)
    return np.conjugate(value) if value is not None and value.dtype.kind == "c" else value


def _fit(op: Op, ct: Any, value: Any) -> Any:
    """Return a cotangent in the dtype of its argument, and in its shape unless the rule sees to that."""
    if ct is None or not is_differentiable(value):
        return None
    if not op.exact:
        ct = unbroadcast(ct, value.shape)
    return _recast(ct, value.dtype)


def _needs(op: Op, rule: Rule, args: Sequence[Any], result: Any, **given: Any) -> dict[str, Any]:
    """Return what a rule names."""
    code = rule.__code__
    position = {p.name: i for i, p in enumerate(op.parameters)}
    for name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
        if name in given:
            continue
        if name == "result":
            given[name] = result
        elif name in position:
            given[name] = args[position[name]]
        else:
            owner, _, what = name.rpartition("_")
            value = args[position[owner]]
            several = isinstance(value, (tuple, list))
            given[name] = [_fact(v, what) for v in value] if several else _fact(value, what)
    return given


def _fact(value: Any, what: str) -> Any:
    """Return an argument's shape or dtype; a Python number has no dtype of its own."""
    return getattr(value, what, () if what == "shape" else None)


# ---- batching ----


def batched(op: Op, args: Sequence[Any], in_dims: Sequence[Any]) -> Any:
    """Run an op on arguments of which some have a batch dimension, given per argument (None: it has none).

    Returns:
        The result, or the tuple of results, with the batch in dimension 0.

    Raises:
        ValueError: no argument has a batch dimension, or their sizes differ.
    """
    sizes = {
        np.shape(a)[d]
        for value, dim in zip(args, in_dims, strict=True)
        for a, d in (zip(value, dim, strict=True) if isinstance(dim, (tuple, list)) else [(value, dim)])
        if d is not None
    }
    if len(sizes) != 1:
        raise ValueError(
            f"{op.name}: one batch size is needed; got sizes {sorted(sizes)} of dimensions {in_dims}"
        )
    rule = op.batch if callable(op.batch) else batching.loop
    return rule(op, sizes.pop(), args, in_dims)
