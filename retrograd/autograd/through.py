"""Gradients through levels: the tape's engine for tensors that are wrapped by running transforms.

The results of a pullback are linear in the cotangents, element by element of a batch, and their tangents
follow by the product rule; so a level that the results belong to is taken off both results and cotangents,
and put around the gradients again. A level that only the cotangents belong to stays: the rules run on its
tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograd.arrays.batch import Batch
from retrograd.autograd.batched import BatchedTensor, VmapLevel, is_batched, removed, restored
from retrograd.autograd.dual import DualLevel
from retrograd.autograd.engine import run
from retrograd.autograd.levels import Wrapped, contents, cut, entered, levels_in, with_contents
from retrograd.autograd.modes import enable_grad, no_grad
from retrograd.autograd.rows import reached, run_batch
from retrograd.ops.declare import TABLE
from retrograd.ops.helpers import ARRAYS, as_array
from retrograd.tensor import Tensor, history, wrap

Maybe = Tensor | None


def asked(
    pairs: Sequence[tuple[Tensor, Maybe]],
    wanted: Sequence[Tensor],
    *,
    keep: bool,
    recorded: bool,
    batched: bool,
) -> list[Maybe]:
    """Return what `autograd.grad` is asked for inside levels, or for a batch of cotangents.

    Raises:
        RuntimeError: a result or input has no history, or a cotangent is missing or has the wrong shape.
    """
    from retrograd.autograd.calls import _checked, _one  # noqa: PLC0415 - it needs this file

    nodes = [next((history(part) for part in contents(x)), None) for x in wanted]
    if any(node is None for node in nodes):
        raise RuntimeError("One of the differentiated Tensors does not require grad")
    for i, (result, _) in enumerate(pairs):
        if all(history(part) is None for part in contents(result)):
            raise RuntimeError(f"element {i} of tensors does not require grad and does not have a grad_fn")
    if not batched:
        ready = [(r, wrap(as_array(_one(r))) if c is None else c) for r, c in pairs]
        return gradients(
            [r for r, _ in ready], [c for _, c in ready], nodes, like=wanted, keep=keep, recorded=recorded
        )
    _check_batches(pairs)
    level = VmapLevel(next(len(c) for _, c in pairs if c is not None), "different")
    with entered(level):
        hidden = [
            (r, wrap(as_array(_one(r))) if c is None else _checked(r, level.wrap(c), i))
            for i, (r, c) in enumerate(pairs)
        ]
        found = gradients(
            [r for r, _ in hidden], [c for _, c in hidden], nodes, like=wanted, keep=keep, recorded=recorded
        )
    return [None if g is None else level.spread(g) for g in found]


def _check_batches(pairs: Sequence[tuple[Any, Any]]) -> None:
    """Raise if a cotangent has, behind its batch, another shape than its result."""
    for i, (result, ct) in enumerate(pairs):
        if isinstance(ct, Tensor) and ct.shape[1:] != result.shape:
            raise RuntimeError(
                "If `is_grads_batched=True`, we interpret the first dimension of each grad_output as the "
                "batch dimension. The sizes of the remaining dimensions are expected to match the shape of "
                f"corresponding output, but a mismatch was detected: grad_output[{i}] has a shape of "
                f"{ct.shape} and output[{i}] has a shape of {result.shape}. If you only want some tensors in "
                "`grad_output` to be considered batched, consider using vmap."
            )


def gradients(
    results: Sequence[Tensor],
    cts: Sequence[Tensor],
    nodes: Sequence[Any],
    *,
    keep: bool,
    recorded: bool,
    like: Sequence[Any] | None = None,
) -> list[Maybe]:
    """Return the cotangents of graph nodes, given those of results; None where a node is not reached.

    The nodes belong to plain tensors, inside of as many levels as the results. `like` are the tensors around
    them, whose batch dimensions the gradients take; without it they come first, as `tracked` has them.
    """
    pairs = [
        (r, c) for r, c in zip(results, cts, strict=True) if any(history(p) is not None for p in contents(r))
    ]
    return _pull(pairs, list(nodes), list(like or [None] * len(nodes)), keep, recorded)


def _pull(
    pairs: list[tuple[Tensor, Tensor]], nodes: list[Any], like: list[Any], keep: bool, recorded: bool
) -> list[Maybe]:
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
        shared = [i for i, x in enumerate(like) if x is not None and level not in levels_in(x)]
        dims = [x._dim if is_batched(x, level) else 0 for x in like]
        inner = [x._value if is_batched(x, level) else x for x in like]
        found = _pull(pairs, nodes, inner, keep or bool(shared), recorded)
        if shared:
            apart = _apart(
                pairs, [nodes[i] for i in shared], [like[i] for i in shared], level.size, keep, recorded
            )
            for i, g in zip(shared, apart, strict=True):
                found[i] = g
        return [
            None if g is None else restored(_to_front(g, d), level) for g, d in zip(found, dims, strict=True)
        ]
    assert isinstance(level, DualLevel)
    primal = [(level.primal_alone(r), split(c, level)[0]) for r, c in pairs]
    moved = [(level.primal_alone(r), t) for r, c in pairs if (t := split(c, level)[1]) is not None]
    moved += [(t, split(c, level)[0]) for r, c in pairs if (t := level.tangent(r)) is not None]
    inner = [level.primal_alone(x) if level.owns(x) else x for x in like]
    first = _pull(_with_history(primal), nodes, inner, True, recorded)
    second = _pull(_with_history(moved), nodes, inner, keep, recorded)
    return [_dual(level, g, t) for g, t in zip(first, second, strict=True)]


def _apart(
    pairs: list[tuple[Tensor, Tensor]],
    nodes: list[Any],
    like: list[Any],
    size: int,
    keep: bool,
    recorded: bool,
) -> list[Maybe]:
    """Return, for tensors that a batch shares, the gradient of each of its elements by itself, in front."""
    level = VmapLevel(size)
    one_hot = np.eye(size)
    apart: list[tuple[Tensor, Tensor]] = []
    with entered(level):
        for r, c in pairs:
            rows = one_hot.astype(c._array.dtype).reshape(size, size, *(1,) * (c._array.ndim - 1))
            apart.append((r, level.wrap(TABLE["mul"].function(c, wrap(rows)), 0)))
        found = _pull(apart, nodes, like, keep, recorded)
    return [None if g is None else removed(g, level) for g in found]


def _to_front(ct: Tensor, dim: int) -> Tensor:
    return ct if dim == 0 else ct.movedim(dim, 0)


def _with_history(pairs: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
    return [(r, c) for r, c in pairs if any(history(p) is not None for p in contents(r))]


def _dual(level: DualLevel, primal: Maybe, tangent: Maybe) -> Maybe:
    """Return a tensor of a level, below the levels inside of it that its parts already belong to."""
    if tangent is None:
        return primal
    if primal is None:
        primal = TABLE["mul"].function(tangent, 0)
    assert primal is not None
    above = max(
        (t._level for t in (primal, tangent) if isinstance(t, Wrapped)), key=lambda x: x.number, default=None
    )
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
        primal, tangent = split(tensor._value, level)
        return above.wrap(primal, tensor._dim), None if tangent is None else above.wrap(tangent, tensor._dim)
    primal, tangent = split(above.primal_alone(tensor), level)
    along, along_tangent = split(above.tangent(tensor), level)
    moved = None if tangent is None and along_tangent is None else _dual(above, tangent, along_tangent)
    return above.rebuilt(tensor, [primal, along]), moved


def _plain(pairs: list[tuple[Tensor, Tensor]], nodes: list[Any], keep: bool, recorded: bool) -> list[Maybe]:
    """Run the engine: on arrays, or a batch of them, if nobody wants to see the ops."""
    if not recorded:
        found = _at_once(pairs, nodes, keep)
        if found is not None:
            return found
    captured = dict.fromkeys(nodes)
    on_tensors = recorded or any(isinstance(c, Wrapped) for _, c in pairs)
    roots = [(history(r), _in_dtype(c, r) if on_tensors else _in_dtype(c, r)._array) for r, c in pairs]
    if not on_tensors:
        with np.errstate(all="ignore"):
            run(roots, keep, False, captured)
        return [None if captured[n] is None else _owned(captured[n]) for n in nodes]
    with np.errstate(all="ignore"), enable_grad() if recorded else no_grad():
        run(roots, keep, True, captured)
    found = [captured[n] for n in nodes]
    return found if recorded else [None if g is None else with_contents(g, cut) for g in found]


def _at_once(pairs: list[tuple[Tensor, Tensor]], nodes: list[Any], keep: bool) -> list[Maybe] | None:
    """Run the engine on a batch of arrays; None where the cotangents or the graph are not fit for that."""
    levels = {c._level for _, c in pairs if isinstance(c, Wrapped)}
    level = levels.pop() if len(levels) == 1 else None
    if not isinstance(level, VmapLevel):
        return None
    roots: list[tuple[Any, Any]] = []
    for result, ct in pairs:
        array = ct._value._array if isinstance(ct, BatchedTensor) else ct._array
        if array.__class__ is not np.ndarray:
            return None
        array = array.astype(result._array.dtype, copy=False)
        if isinstance(ct, BatchedTensor):
            roots.append((history(result), Batch(np.moveaxis(array, ct._dim, 0))))
        else:
            roots.append((history(result), array))
    below = reached([node for node, _ in roots])
    found = None if below is None else run_batch(roots, nodes, below, keep)
    if found is None:
        return None
    return [None if a is None else level.wrap(wrap(a), 0) if batched else wrap(a) for a, batched in found]


def _in_dtype(ct: Tensor, result: Tensor) -> Tensor:
    return ct if ct.dtype is result.dtype else ct.to(result.dtype)


def _owned(ct: Any) -> Tensor:
    if not isinstance(ct, ARRAYS):
        return wrap(np.asarray(ct))
    return wrap(ct if type(ct) is np.ndarray and ct.base is None and ct.flags.writeable else ct.copy())
