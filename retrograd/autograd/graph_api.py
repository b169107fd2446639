"""The public tools of torch.autograd.graph that are more than a node's own methods."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from retrograd.autograd.calls import GradientEdge
from retrograd.autograd.graph import Node, Output
from retrograd.hooks import RemovableHandle
from retrograd.tensor import Tensor, history


def get_gradient_edge(tensor: Tensor | GradientEdge) -> GradientEdge:
    """Return the place in the graph where the gradient of a tensor arrives.

    Raises:
        RuntimeError: the tensor does not require grad.
    """
    if isinstance(tensor, GradientEdge):
        return tensor
    node = history(tensor)
    if node is None:
        raise RuntimeError(
            "It is not possible to get the gradient edge for a Tensor that does not require gradients"
        )
    is_output = type(node) is Output
    edge = GradientEdge(node.edges[0], node.index, node) if is_output else GradientEdge(node, 0)
    edge.like = np.broadcast_to(np.zeros((), tensor._array.dtype), tensor._array.shape)
    return edge


def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Count a write to tensors that was made behind autograd's back."""
    for t in (tensor,) if isinstance(tensor, Tensor) else tensor:
        t._version_cell().bump()


class _MultiHandle(RemovableHandle):
    """Removes several hooks at once."""

    def __init__(self, handles: Sequence[RemovableHandle]) -> None:
        self.handles = tuple(handles)

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()


def register_multi_grad_hook(
    tensors: Sequence[Tensor], fn: Callable[[Any], None], *, mode: str = "all"
) -> RemovableHandle:
    """Call `fn` when the gradients of several tensors have been computed.

    Args:
        tensors: tensors that require grad.
        fn: for mode 'all' it is given the list of gradients (None for those that this backward does not
            reach), after
            the last of them; for mode 'any' the first gradient.
        mode: 'all' or 'any'.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    lock = threading.Lock()
    runs: dict[Any, _Run] = {}

    def hook_of(i: int) -> Callable[[Tensor], None]:
        def hook(grad: Tensor) -> None:
            key = current_run()
            with lock:
                run = runs.get(key)
                if run is None:
                    reached = [t for t in tensors if key.will_execute(_node(t))] if mode == "all" else tensors
                    run = runs[key] = _Run(len(reached), len(tensors))
                run.grads[i] = grad
                run.seen += 1
                fires = run.seen == run.expected if mode == "all" else run.seen == 1
                if run.seen == run.expected or (mode == "any" and run.seen == len(tensors)):
                    del runs[key]
            if fires:
                fn(run.grads if mode == "all" else grad)

        return hook

    return _MultiHandle([t.register_hook(hook_of(i)) for i, t in enumerate(tensors)])


class _Run:
    def __init__(self, expected: int, total: int) -> None:
        self.expected = expected
        self.seen = 0
        self.grads: list[Tensor | None] = [None] * total


def _node(tensor: Tensor) -> Node | None:
    found: Node | None = history(tensor)
    return found


def current_run() -> Any:
    """Return the innermost backward of this thread: an object with `waiting`, the nodes that it reaches."""
    from retrograd.autograd.engine import running  # noqa: PLC0415 - a name of its own, filled at run time

    return running.stack[-1]
