"""Gradients through levels: the tape's engine for tensors that are wrapped by running transforms.

The results of a pullback are linear in the cotangents, element by element of a batch, and their tangents follow by the
product rule; so a level that the results belong to is taken off both results and cotangents, and put around the gradients
again. A level that only the cotangents belong to stays: the rules then run on its tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograd.autograd.batched import VmapLevel, removed, restored
from retrograd.autograd.dual import DualLevel
from retrograd.autograd.engine import run
from retrograd.autograd.levels import Wrapped, contents, levels_in
from retrograd.autograd.modes import enable_grad, no_grad
from retrograd.ops.declare import TABLE
from retrograd.tensor import Tensor, history, wrap

Maybe = Tensor | None


def gradients(
    results: Sequence[Tensor], cts: Sequence[Tensor], nodes: Sequence[Any], *, keep: bool, recorded: bool
) -> list[Maybe]:
    """Return the cotangents of graph nodes, given those of results; None where a node is not reached.

    The nodes belong to plain tensors, inside of as many levels as the results.
    """
    pairs = [
        (r, c) for r, c in zip(results, cts, strict=True) if any(history(p) is not None for p in contents(r))
    ]
    return _pull(pairs, list(nodes), keep, recorded)


def _pull(pairs: list[tuple[Tensor, Tensor]], nodes: list[Any], keep: bool, recorded: bool) -> list[Maybe]:
    """Take the innermost level off, go on, and put it around what comes."""
    if not pairs:
        return [None] * len(nodes)
    levels = set().union(*(levels_in(r) for r, _ in pairs))
    if not levels:
        return _plain(pairs, nodes, keep, recorded)
    level = max(levels, key=lambda x: x.number)
    if isinstance(level, VmapLevel):
        with enable_grad():
            pairs = [(removed(r, level), removed(c, level)) for r, c in pairs]
        return [None if g is None else restored(g, level) for g in _pull(pairs, nodes, keep, recorded)]
    assert isinstance(level, DualLevel)
    primal = [(level.primal_alone(r), split(c, level)[0]) for r, c in pairs]
    moved = [(level.primal_alone(r), t) for r, c in pairs if (t := split(c, level)[1]) is not None]
    moved += [(t, split(c, level)[0]) for r, c in pairs if (t := level.tangent(r)) is not None]
    first = _pull(_with_history(primal), nodes, True, recorded)
    second = _pull(_with_history(moved), nodes, keep, recorded)
    return [_dual(level, g, t) for g, t in zip(first, second, strict=True)]


def _with_history(pairs: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
    return [(r, c) for r, c in pairs if any(history(p) is not None for p in contents(r))]


def _dual(level: DualLevel, primal: Maybe, tangent: Maybe) -> Maybe:
    """Return a tensor of a level, below the levels inside of it that its parts already belong to."""
    if tangent is None:
        return primal
    if primal is None:
        primal = TABLE["mul"].function(tangent, 0)
    assert primal is not None
    above = max((t._level for t in (primal, tangent) if isinstance(t, Wrapped)), key=lambda x: x.number, default=None)
    if above is None or above.number < level.number:
        return level.wrap(TABLE["alias"].function(primal), tangent)
    if isinstance(above, VmapLevel):
        inner = _dual(level, above.spread(primal), above.spread(tangent))
        assert inner is not None
        return above.wrap(inner, 0)
    inner = _dual(level, above.primal_alone(primal), above.primal_alone(tangent))
    along = _dual(level, above.tangent(primal), above.tangent(tangent))
    assert inner is not None
    return inner if along is None else above.wrap(inner, along)


def split(tensor: Tensor, level: DualLevel) -> tuple[Tensor, Maybe]:
    """Return the primal and the tangent at a level, looked for below the levels inside of it too."""
    if not isinstance(tensor, Wrapped) or tensor._level.number < level.number:
        return tensor, None
    if tensor._level is level:
        return level.primal_alone(tensor), level.tangent(tensor)
    above = tensor._level
    if isinstance(above, VmapLevel):
        primal, tangent = split(tensor._value, level)  # type: ignore[attr-defined]
        return above.wrap(primal, tensor._dim), None if tangent is None else above.wrap(tangent, tensor._dim)  # type: ignore[attr-defined]
    primal, tangent = split(above.primal_alone(tensor), level)
    along, along_tangent = split(above.tangent(tensor), level)
    moved = None if tangent is None and along_tangent is None else _dual(above, tangent, along_tangent)
    return above.rebuilt(tensor, [primal, along]), moved


def _plain(pairs: list[tuple[Tensor, Tensor]], nodes: list[Any], keep: bool, recorded: bool) -> list[Maybe]:
    """Run the engine: on arrays if nobody wants to see the ops."""
    captured = dict.fromkeys(nodes)
    on_tensors = recorded or any(isinstance(c, Wrapped) for _, c in pairs)
    roots = [(history(r), _in_dtype(c, r) if on_tensors else _in_dtype(c, r)._array) for r, c in pairs]
    if not on_tensors:
        with np.errstate(all="ignore"):
            run(roots, keep, False, captured)
        return [None if captured[n] is None else _owned(captured[n]) for n in nodes]
    with np.errstate(all="ignore"), enable_grad() if recorded else no_grad():
        run(roots, keep, True, captured)
    return [captured[n] for n in nodes]


def _in_dtype(ct: Tensor, result: Tensor) -> Tensor:
    return ct if ct.dtype is result.dtype else ct.to(result.dtype)  # type: ignore[attr-defined, no-any-return]


def _owned(ct: Any) -> Tensor:
    if type(ct) is not np.ndarray:
        return wrap(np.asarray(ct))
    return wrap(ct if ct.base is None and ct.flags.writeable else ct.copy())
