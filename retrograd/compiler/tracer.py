"""Tracing: a function of tensors runs once, and what it does to their arrays becomes a program.

While the function runs, each tensor that it touches has a traced array in place of its own
(arrays/traced.py), so the tensor, its gradient and its place in an optimizer stay the very objects that the
user's program knows. The ops, the engine and the derivative rules run as always and record. `restore` gives
every tensor back what it had; what has become of it is a `Captured`.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np

from retrograd.arrays import Recorder, Traced
from retrograd.arrays.handles import now
from retrograd.arrays.ir import Value
from retrograd.arrays.traced import place, refusals, refused
from retrograd.autograd import modes
from retrograd.autograd.dispatch import plain, write_out
from retrograd.autograd.graph import AccumulateGrad, Node
from retrograd.autograd.inplace import inplace_here
from retrograd.autograd.modes import local
from retrograd.compiler.draws import Draws
from retrograd.compiler.numbers import Given
from retrograd.compiler.steps import Steps
from retrograd.errors import UntraceableError
from retrograd.ops.declare import Op
from retrograd.tensor import Tensor, history

ndarray = np.ndarray


class Boundary(Node):
    """Stands, while a function is traced, for the history that a tensor brings along."""

    __slots__ = ("node",)

    def __init__(self, node: Node) -> None:
        self.edges = ()
        self.node = node
        self.stamp()

    def pullback(self, ct: Any, keep: bool) -> tuple[Any, ...]:
        del ct, keep
        raise refused(
            UntraceableError(
                "backward reaches a graph that was recorded outside the compiled function (by "
                f"{self.node.name()} at {self.node.where()}); record it inside, or detach the tensor"
            )
        )

    pullback_recorded = pullback


def facts(tensor: Tensor) -> tuple[int, ...]:
    """Return what matters of the rare facts of a tensor: whose view it is, its gradient, its mode."""
    meta = tensor._meta
    base, grad = (None, None) if meta is None else (meta.base, meta.grad)
    retains, inference = (False, False) if meta is None else (meta.retains, meta.inference)
    return id(base), id(grad), retains, inference


def hooks_of(node: Any) -> list[int]:
    """Return the ids of the hooks on a leaf."""
    extras = node.extras
    tables = [] if extras is None else [extras.tensor, extras.pre, extras.post]
    return [id(hook) for table in (*tables, node.post or {}) for hook in table.values()]


class Captured:
    """A tensor whose array is traced, what it had before, and what it must have when the program runs."""

    def __init__(self, tensor: Tensor, handle: Traced) -> None:
        self.tensor: Any = tensor
        self.array: Any = tensor._array
        self.shape, self.dtype, self.strides = self.array.shape, self.array.dtype, self.array.strides
        self.handle: Any = handle
        self.input: Value = handle._value
        self.node: Any = history(tensor)
        self.meta = tensor._meta
        self.facts = facts(tensor)
        self.cell = tensor._version_cell()
        self.count, self.rebased = self.cell.count, self.cell.rebased
        self.is_leaf = type(self.node) is AccumulateGrad  # one that requires grad
        self.grad: Any = self.node.grad if self.is_leaf else None
        self.hooks = hooks_of(self.node) if self.is_leaf else []
        self.grad_of: Captured | None = None
        self.is_seen = False  # whether the trace depends on its shape or dtype
        self.is_laid = False  # whether the trace depends on how it lies in memory

    def restore(self) -> None:
        """Give the tensor back what it had."""
        tensor = self.tensor
        tensor._array, tensor._meta = self.array, self.meta
        tensor._node, tensor._cell = self.node, self.cell
        self.cell.count, self.cell.rebased = self.count, self.rebased
        if self.is_leaf:
            self.node._array, self.node.grad = self.array, self.grad

    def let_go(self, is_known: bool) -> None:
        """Hold the tensor no longer, if nobody else holds it, nor what the trace needed."""
        recorder = self.handle._recorder
        self.is_laid = self.input.id in recorder.laid
        self.is_seen = self.is_laid or self.input.id in recorder.seen
        self.array = self.handle = self.grad = None
        if not is_known:
            alive = weakref.ref(self.tensor)
            self.tensor = None
            self.tensor = alive()


class Tracer:
    """Records what happens to tensors in this thread, between `start` and `restore`."""

    def __init__(self, *, assumed_grads: bool = False) -> None:
        self.recorder = Recorder()
        self.captured: dict[int, Captured] = {}
        self.assumed: dict[int, Tensor] = {}  # by id of a leaf's node: the gradient that it is taken to have
        self.assumes = assumed_grads
        self.made: list[weakref.ref[Tensor]] = []  # results of ops
        self.draws = Draws(self.recorder)
        self.steps = Steps(self)
        self.given = Given(self.recorder)

    def start(self, tensors: Iterable[Tensor]) -> None:
        """Begin; these tensors are known to be reached."""
        refusals.last = None
        local.tracer = self
        modes.push(self)
        self.draws.start()
        for tensor in tensors:
            if getattr(tensor, "_array", None).__class__ is ndarray:  # others may be used or not
                self.adopt(tensor)

    def restore(self) -> None:
        """End; every tensor has again what it had, also if the user interrupts this."""
        self.draws.stop()
        if local.tracer is self:
            local.tracer = None
            modes.pop()
        interrupted: BaseException | None = None
        left = list(self.captured.values())
        while left:
            try:
                while left:
                    left[-1].restore()
                    left.pop()
            except KeyboardInterrupt as error:
                interrupted = error
        if interrupted is not None:
            raise interrupted

    def check_kept(self, known: set[int]) -> None:
        """Raise if a tensor that the function made is held even now, when all that was known of are gone."""
        if self._alive(known):
            gc.collect()
            if self._alive(known):
                raise UntraceableError("a tensor made inside the function is kept outside, not as a result")

    def _alive(self, known: set[int]) -> bool:
        return any(r() is not None and id(r()) not in known for r in self.made)

    # ---- tensors ----

    def adopt(self, tensor: Tensor) -> Traced:
        """Return the traced array of a tensor, which it is given if it has none yet."""
        array: Any = getattr(tensor, "_array", None)  # sparse tensors have none
        if array.__class__ is Traced:
            if array._recorder is not self.recorder:
                raise refused(UntraceableError(f"a tensor of another trace is used, at {place()}"))
            return array
        if array.__class__ is not ndarray:
            raise refused(
                UntraceableError(f"a tensor without a NumPy array of its own is used, at {place()}")
            )
        handle = self.recorder.input(array)
        if handle._phantom is None:
            handle._phantom = array
        found = self.captured[id(tensor)] = Captured(tensor, handle)
        tensor._array = handle  # type: ignore[assignment]
        if found.is_leaf:
            found.node._array = handle
            self._adopt_grad(found)
        elif found.node is not None:
            tensor._node = Boundary(found.node)
        return handle

    def is_written(self, tensor: Tensor) -> bool:
        """Whether a tensor has been written to since the trace began."""
        captured = self.captured.get(id(tensor))
        return captured is not None and now(captured.handle) != captured.input

    def _adopt_grad(self, leaf: Captured) -> None:
        """Trace a leaf's gradient; one that it has not, as if it had, where that may make no difference."""
        grad = leaf.node.grad
        if grad is None and self.assumes:
            grad = Tensor.__new__(Tensor)
            grad._array = np.zeros(leaf.array.shape, leaf.array.dtype)
            grad._node = grad._cell = grad._meta = None
            self.assumed[id(leaf.node)] = leaf.node.grad = grad
        if grad is not None and (grad._array.__class__ is not Traced or id(grad) in self.captured):
            self.adopt(grad)
            self.captured[id(grad)].grad_of = leaf

    def _adopt_all(self, args: Iterable[Any]) -> None:
        for arg in args:
            if isinstance(arg, Tensor):
                self.adopt(arg)
            elif isinstance(arg, (list, tuple)):
                self._adopt_all(arg)

    # ---- ops ----

    def call(self, op: Op, args: tuple[Any, ...], out: Any) -> Any:
        """Run an op on traced arrays."""
        self._adopt_all(args)
        if out is None:
            made = plain(op, args)
            self.made += [weakref.ref(t) for t in (made if isinstance(made, tuple) else (made,))]
            return made
        handle = self.adopt(out)
        if args and out is args[0]:
            return inplace_here(op, args)
        made = plain(op, args)
        if made._array.shape != handle.shape:
            raise refused(UntraceableError(f"out= is resized, at {place()}"))
        return write_out(op, args, made, out)
