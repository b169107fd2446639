"""What a trace amounts to: one flat program, where its inputs come from, and what becomes of its outputs."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retrograd.arrays import Program, Traced
from retrograd.arrays.handles import Move, now
from retrograd.arrays.ir import Instruction, Value, tidy
from retrograd.arrays.numbers import Number
from retrograd.autograd.graph import AccumulateGrad
from retrograd.compiler.pair import Pullback, Spent
from retrograd.compiler.state import CONSTANTS
from retrograd.compiler.tracer import Boundary, Captured, Tracer, facts
from retrograd.compiler.trees import leaves
from retrograd.errors import UntraceableError
from retrograd.tensor import Tensor, history

Array = np.ndarray[Any, Any]


class Reference:
    """Stands for a tensor in the tree of results: its number, or the captured tensor that it is."""

    __slots__ = ("found",)

    def __init__(self, found: Any) -> None:
        self.found = found


class TrueGradsError(Exception):
    """The trace depends on which gradients were there before; it must be made with those that are."""


@dataclass(slots=True)
class Source:
    """Where an input comes from: 'argument', 'tensor', 'grad' (of a leaf), 'array', 'draw' or 'number'."""

    kind: str
    what: Any
    value: Value

    def describe(self) -> str:
        """Return the source in words."""
        if self.kind == "draw":
            return f"drawn by {self.what.function.__name__}"
        return {
            "tensor": "a tensor", "grad": "a leaf's gradient", "array": "a NumPy array",
            "number": "a number of an optimizer's step",
        }[self.kind]  # fmt: skip


@dataclass(slots=True)
class Result:
    """A tensor that a run makes: an output, or a view of an output or of an input."""

    cls: type[Tensor]
    output: int | None = None
    view_of: Any = None  # the index of an output, or a Captured
    moves: tuple[Move, ...] = ()
    root: int | None = None  # its place among the roots of the pair's backward
    spent: Any = None  # the node of a graph whose backward has been
    is_leaf: bool = False  # one that requires grad


@dataclass(slots=True)
class Plan:
    """A trace, taken apart: it refers to no tensor that the traced function made."""

    program: Any = None
    sources: list[Source] = field(default_factory=list)
    updates: dict[int, int] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    places: dict[int, int] = field(default_factory=dict)  # by id of a traced tensor: its number in results
    writes: list[tuple[Captured, int]] = field(default_factory=list)  # and how many, for the version
    rebound: list[tuple[Captured, int]] = field(default_factory=list)  # tensor.data = output
    # a leaf's new gradient: a result, a captured tensor, or None
    grads: list[tuple[Captured, Any]] = field(default_factory=list)
    tree: Any = None
    references: list[Reference] = field(default_factory=list)  # in the tree
    seen: list[Captured] = field(default_factory=list)  # no inputs, but the trace depends on their shapes
    draws: list[Any] = field(default_factory=list)
    sites: list[Any] = field(default_factory=list)
    given: Any = None  # numbers among the arguments
    pair: Any = None
    saved: tuple[int, int] = (0, 0)  # the first of the outputs that are saved for backward, and how many
    # leaves that must have a gradient, or must have none
    needs_grads: list[tuple[Captured, bool]] = field(default_factory=list)
    grad_types: dict[int, Captured] = field(default_factory=dict)  # by id of a leaf's node


class Planner:
    """Takes a trace apart."""

    def __init__(self, tracer: Tracer, known: set[int], is_reached: Callable[[Any], bool]) -> None:
        """Begin; `known` has ids of tensors reached from outside, `is_reached` tells of other objects."""
        self.tracer = tracer
        self.known = known
        self.is_reached = is_reached
        self.plan = Plan(draws=tracer.draws.made, sites=tracer.steps.sites, given=tracer.given)
        self.outputs: list[Value] = []
        self._root_outputs: dict[int, int] = {}
        self._made: dict[int, Tensor] = {}  # the results by number
        self.pullback: Pullback | None = None
        self._keep: list[Any] = []  # handles, so that their ids stay theirs

    # ---- what the function returned and changed ----

    def results_of(self, tree: Any) -> None:
        """Note what is returned."""
        tensors = list(leaves(tree))
        roots: dict[int, int] = {}
        for tensor in tensors:
            if self._known(tensor) is None:
                handle = self._handle(tensor)
                root = _root(handle)
                roots[id(root)] = roots.get(id(root), 0) + 1
        for tensor in tensors:
            self.result(tensor, roots)
        self.plan.tree = self._referred(tree)

    def histories(self) -> None:
        """Trace the backward of the results that have a history."""
        live: list[Tensor] = []
        made_leaves: set[Any] = set()
        for i, tensor in self._made.items():
            node, result = history(tensor), self.plan.results[i]
            if result.is_leaf:
                made_leaves.add(node)
            elif node is not None and _is_freed(node):
                result.spent = Spent()
            elif node is not None:
                result.root = len(live)
                live.append(tensor)
        if not live:
            return
        pullback = Pullback(self.tracer)
        pullback.trace([(t._array, history(t)) for t in live])
        if any(c.node in made_leaves for c in pullback.inputs):
            raise UntraceableError("a leaf made inside the function is returned with what depends on it")
        pairs = list(zip(pullback.inputs, pullback.grads, strict=True))
        kept = [(c, g) for c, g in pairs if self._known(c.tensor) is not None]
        pullback.inputs, pullback.grads = [c for c, _ in kept], [g for _, g in kept]
        self.pullback = pullback

    def _referred(self, tree: Any) -> Any:
        """Return what is returned with references in place of the tensors."""
        if isinstance(tree, Tensor):
            made = Reference(self.result(tree))
            self.plan.references.append(made)
            return made
        if type(tree) is dict:
            return {k: self._referred(v) for k, v in tree.items()}
        if isinstance(tree, (tuple, list)):
            parts = [self._referred(v) for v in tree]
            return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
        if isinstance(tree, Number):
            return tree.owner.force(tree, "a result")
        if isinstance(tree, CONSTANTS) or self.is_reached(tree):
            return tree
        raise UntraceableError(
            f"it returns a {type(tree).__name__}, which a compiled program could not make anew"
        )

    def _handle(self, tensor: Tensor) -> Traced:
        array: Any = tensor._array
        if array.__class__ is not Traced:
            array = Traced(self.tracer.recorder, self.tracer.recorder.operand(array))
            tensor._array = array
        now(array)
        self._keep.append(array)
        return array  # type: ignore[no-any-return]

    def result(self, tensor: Tensor, shared: dict[int, int] | None = None) -> Any:
        """Return the number of a new tensor among the results; a captured one is itself."""
        captured = self._known(tensor)
        if captured is not None:
            return captured
        found = self.plan.places.get(id(tensor))
        if found is not None:
            return found
        handle = self._handle(tensor)
        made = Result(type(tensor))
        node = history(tensor)
        if type(node) is AccumulateGrad:
            if node.grad is not None:
                raise UntraceableError(
                    "a leaf made inside the function is returned together with its gradient"
                )
            made.is_leaf = True
            node = None
        root = _root(handle)
        source = self._captured_root(root)
        is_shared = root is not handle and (shared or {}).get(id(root), 0) > 1
        if node is None and (source is not None or is_shared):
            made.view_of = self.output(root) if source is None else source
            made.moves = _moves(handle)
        else:
            made.output = self.output(handle)
        self.plan.places[id(tensor)] = len(self.plan.results)
        self._made[len(self.plan.results)] = tensor
        self.plan.results.append(made)
        return len(self.plan.results) - 1

    def _captured_root(self, root: Traced) -> Captured | None:
        for captured in self.tracer.captured.values():
            if captured.handle is root and self._known(captured.tensor) is not None:
                return captured
        return None

    def _known(self, tensor: Tensor) -> Captured | None:
        """Return what is captured of a tensor that is reached from outside; None for the function's own."""
        captured = self.tracer.captured.get(id(tensor))
        is_grad = captured is not None and captured.grad_of is not None
        return captured if id(tensor) in self.known or is_grad else None

    def output(self, handle: Traced) -> int:
        """Return the number of an output of the program: one for each piece of memory."""
        found = self._root_outputs.get(id(handle))
        if found is None:
            found = self._root_outputs[id(handle)] = len(self.outputs)
            self._keep.append(handle)
            self.outputs.append(now(handle))
        return found

    def changes(self) -> None:
        """Note which tensors were written to, given other memory, or another gradient."""
        counted: set[int] = set()
        for captured in list(self.tracer.captured.values()):
            tensor = captured.tensor
            if self._known(tensor) is None:
                continue
            if facts(tensor) != captured.facts:
                raise UntraceableError(
                    "what is kept with a captured tensor is changed: its gradient, or whose view it is"
                )
            node = tensor._node
            if node is not captured.node and type(node) is not Boundary:
                raise UntraceableError(
                    f"a tensor from outside, of shape {tuple(captured.array.shape)}, gets a history inside "
                    "the compiled function; a later backward would need it"
                )
            if tensor._array is not captured.handle:
                handle = self._handle(tensor)
                if self._captured_root(_root(handle)) is not None:
                    raise UntraceableError("`.data` of a captured tensor is set to memory of another one")
                self.plan.rebound.append((captured, self.output(handle)))
            count = captured.cell.count - captured.count
            if count and id(captured.cell) not in counted:
                counted.add(id(captured.cell))
                self.plan.writes.append((captured, count))
            if captured.is_leaf:
                self._grad_change(captured)

    def _grad_change(self, leaf: Captured) -> None:
        grad = leaf.node.grad
        assumed = self.tracer.assumed.get(id(leaf.node))
        if grad is (leaf.grad if assumed is None else assumed):
            return
        self.plan.grads.append((leaf, None if grad is None else self.result(grad)))

    # ---- the program ----

    def close(self) -> Plan:
        """Make the program.

        The tracer has been restored, and the traced function's own tensors must be gone by now: what only the
        trace still holds came from the function itself, and is a constant.
        """
        self._keep.clear()
        self._made.clear()
        tracer, recorder, plan = self.tracer, self.tracer.recorder, self.plan
        written = [(c, now(c.handle)) for c in tracer.captured.values() if now(c.handle) != c.input]
        outputs = [*self.outputs, *(v for _, v in written)]
        targets = {len(self.outputs) + i: c.input for i, (c, _) in enumerate(written)}
        needed = [*outputs, *(self.pullback.grads if self.pullback else ())]
        used = _used(needed, recorder.instructions) | {v.id for v in targets.values()}
        if self.pullback is not None:
            used -= {v.id for v in self.pullback.cts}
        self._check_assumed(used)
        values = [*recorder.inputs, *(v for v, _ in recorder.constants.values())]
        arrays = self._alone()
        sources = self._sources()
        inputs: list[Value] = []
        constants: list[tuple[Value, Array]] = []
        for value in values:
            if value.id not in used:
                continue
            source = sources.get(value.id) or self._outside(value, arrays)
            if source is None:
                constants.append((value, arrays[value.id]))
            else:
                inputs.append(value)
                plan.sources.append(source)
        plan.seen = [
            s.what for v, s in sources.items() if s.kind == "tensor" and s.what.is_seen and v not in used
        ]
        position = {v.id: i for i, v in enumerate(inputs)}
        keep = [i for i in range(len(outputs)) if i not in targets or targets[i].id in position]
        plan.updates = {k: position[targets[i].id] for k, i in enumerate(keep) if i in targets}
        final = [outputs[i] for i in keep]
        if self.pullback is not None:
            moving = {inputs[i].id for i in plan.updates.values()}
            moving |= {v.id for v, s in zip(inputs, plan.sources, strict=True) if s.kind == "number"}
            saved, plan.pair = self.pullback.close(inputs, moving, constants)
            plan.saved = len(final), len(saved)
            final += saved
        instructions = recorder.instructions[: None if self.pullback is None else self.pullback.start]
        plan.program = tidy(
            Program(tuple(inputs), _of(constants, final, instructions), tuple(instructions), tuple(final))
        )
        return plan

    def _alone(self) -> dict[int, Array]:
        """Let go of arrays, and of tensors that nobody is known to reach; return the arrays by value."""
        recorder = self.tracer.recorder
        arrays = {value.id: array for value, array in recorder.constants.values()}
        arrays |= recorder.arrays
        recorder.known.clear()
        recorder.arrays.clear()
        recorder.constants.clear()
        recorder.handles.clear()
        for captured in self.tracer.captured.values():
            captured.let_go(self._known(captured.tensor) is not None)
        return arrays

    def _sources(self) -> dict[int, Source]:
        found: dict[int, Source] = {}
        for captured in self.tracer.captured.values():
            if captured.input.id in found or captured.tensor is None:
                continue
            if captured.grad_of is not None:
                found[captured.input.id] = Source("grad", captured.grad_of, captured.input)
            else:
                found[captured.input.id] = Source("tensor", captured, captured.input)
        for draw in self.plan.draws:
            found[draw.value.id] = Source("draw", draw, draw.value)
        for owner in (*(site.numbers for site in self.plan.sites), self.tracer.given):
            for array, value in owner.inputs.values():
                found[value.id] = Source("number", array, value)
        return found

    def _outside(self, value: Value, arrays: dict[int, Array]) -> Source | None:
        """Return where an array comes from that no tensor was seen to have; None: the function itself."""
        base = arrays[value.id].base
        if sys.getrefcount(arrays[value.id]) <= _ALONE and (
            base is None or sys.getrefcount(base) <= _BASE_ALONE
        ):
            return None
        array = arrays[value.id]
        owner = next((o for o in gc.get_referrers(array) if isinstance(o, Tensor)), None)
        if owner is not None:
            return Source("tensor", Captured(owner, Traced(self.tracer.recorder, value)), value)
        return Source("array", array, value)

    def _check_assumed(self, used: set[int]) -> None:
        for captured in self.tracer.captured.values():
            if not captured.is_leaf:
                continue
            assumed = self.tracer.assumed.get(id(captured.node))
            grad = captured.grad if assumed is None else assumed
            if grad is None:
                self.plan.needs_grads.append((captured, False))
                continue
            entry = self.tracer.captured[id(grad)]
            self.plan.grad_types[id(captured.node)] = entry
            is_read = entry.input.id in used
            if is_read and assumed is not None:
                raise TrueGradsError
            if is_read:
                self.plan.needs_grads.append((captured, True))


_PROBE = {0: np.empty(1)}
_ALONE = sys.getrefcount(_PROBE[0])
"""The references that are counted to an array which only a dictionary holds."""


def _base_alone() -> int:
    base = np.empty((2, 1)).T.base
    return sys.getrefcount(base)


_BASE_ALONE = _base_alone()
"""The references that are counted to the memory of a view which nobody else holds, from a local variable."""


def _of(
    constants: list[tuple[Value, Array]], outputs: list[Value], instructions: list[Instruction]
) -> tuple[tuple[Value, Array], ...]:
    used = _used(outputs, instructions)
    return tuple((v, a) for v, a in constants if v.id in used)


def _is_freed(node: Any) -> bool:
    """Whether backward has gone through a part of a graph, and freed it."""
    todo, seen = [node], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        if node.freed:
            return True
        seen.add(node)
        todo += node.edges
    return False


def _root(handle: Traced) -> Traced:
    base = handle.base
    return handle if base is None else base


def _moves(handle: Traced) -> tuple[Move, ...]:
    """Return how a view is made from the array that owns its memory."""
    found = []
    while handle._base is not None:
        assert handle._move is not None
        found.append(handle._move)
        handle = handle._base
    return tuple(reversed(found))


def _used(outputs: list[Value], instructions: list[Instruction]) -> set[int]:
    """Return the ids of the values that the outputs need."""
    needed = {v.id for v in outputs}
    for instruction in reversed(instructions):
        if any(v.id in needed for v in instruction.outputs):
            needed.update(v.id for v in instruction.operands)
    return needed
