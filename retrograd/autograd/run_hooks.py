"""Calling the user's hooks during backward, in torch's order.

At a tensor: its hooks, each of which may replace the gradient; then `retain_grad` keeps what came of it; then
the node's pre-hooks, its pullback, its post-hooks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograd.autograd.graph import AccumulateGrad, Cotangents, Node
from retrograd.autograd.modes import enable_grad, local, no_grad
from retrograd.ops.helpers import as_array
from retrograd.tensor import Tensor, wrap


def run_tensor_hooks(node: Node, ct: Any, recorded: bool) -> Any:
    """Run what belongs to a node's result: its hooks, which may replace the cotangent, then `retain_grad`."""
    extras = node.extras
    assert extras is not None
    if not extras.tensor and not extras.retain:
        return ct
    with enable_grad() if recorded and local.grad else no_grad():
        for hook in list(extras.tensor.values()):
            ct = _replaced(hook, hook(_tensor(ct)), ct, recorded)
        for reference in extras.retain:
            tensor = reference()
            if tensor is not None and ct is not None:
                tensor._facts().grad = _tensor(ct) if recorded else wrap(np.array(ct))
    return ct


def run_pre_hooks(node: Node, ct: Any, recorded: bool) -> Any:
    """Run what wants to see or replace a node's cotangent right before its pullback."""
    assert node.extras is not None
    for hook in list(node.extras.pre.values()):
        with enable_grad() if recorded and local.grad else no_grad():
            answer = hook(_tuple(ct))
        if answer is not None:
            new = _replacements(hook, answer, _parts(ct), recorded)
            ct = Cotangents(new) if isinstance(ct, Cotangents) else new[0]
    return ct


def run_post_hooks(node: Node, cts: tuple[Any, ...], ct: Any, recorded: bool) -> tuple[Any, ...]:
    """Run a node's post-hooks on what its pullback gave; they may replace it."""
    assert node.extras is not None
    given = _tuple(ct)
    for hook in list(node.extras.post.values()):
        with enable_grad() if recorded and local.grad else no_grad():
            answer = hook(tuple(_tensor(c) for c in cts), given)
        if answer is not None:
            cts = tuple(_replacements(hook, answer, cts, recorded))
    return cts


def _replacements(hook: Any, answer: Any, cts: tuple[Any, ...], recorded: bool) -> list[Any]:
    """Return the cotangents that a node's hook leaves behind."""
    answers = answer if isinstance(answer, tuple) else (answer,)
    if len(answers) != len(cts):
        raise RuntimeError(
            f"hook '{_name(hook)}' has returned an incorrect number of values (got {len(answers)}, but "
            f"expected {len(cts)})"
        )
    return [_replaced(hook, a, c, recorded) for a, c in zip(answers, cts, strict=True)]


def run_post_accumulate(node: AccumulateGrad) -> None:
    """Run the hooks that want a leaf after its gradient was accumulated."""
    for hook in list((node.post or {}).values()):
        with no_grad():
            hook(node.variable)


def _tensor(ct: Any) -> Tensor | None:
    return ct if ct is None or isinstance(ct, Tensor) else wrap(as_array(ct))


def _parts(ct: Any) -> tuple[Any, ...]:
    return tuple(ct) if isinstance(ct, Cotangents) else (ct,)


def _tuple(ct: Any) -> tuple[Any, ...]:
    return tuple(_tensor(c) for c in _parts(ct))


def _replaced(hook: Any, answer: Any, ct: Any, recorded: bool) -> Any:
    """Return the cotangent that a hook leaves behind: its answer if it gave one."""
    if answer is None:
        return ct
    if not isinstance(answer, Tensor):
        raise TypeError(f"expected Variable, but hook returned '{type(answer).__name__}'")
    if ct is not None and answer._array.shape != ct.shape:
        raise RuntimeError(
            f"hook '{_name(hook)}' has changed the size of value\n"
            f"[from {tuple(ct.shape)} to {tuple(answer.shape)}]"
        )
    return answer if recorded else answer._array


def _name(hook: Any) -> str:
    return getattr(hook, "__name__", None) or str(hook)
