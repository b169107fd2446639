"""A forward program and its backward one: what becomes of results whose backward is called outside.

When the traced function returns results with a history, backward is traced from them, in the same recorder,
to the inputs that require grad. The forward program then also returns what `cut.choose` says is to be saved;
the results hang on a node that runs the backward program. A backward that is itself recorded
(create_graph=True) runs the instructions of both programs on Tensors, which record.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograd import dtypes, native
from retrograd.arrays import Program, Traced
from retrograd.arrays.handles import now
from retrograd.arrays.ir import Instruction, Value, tidy
from retrograd.autograd.engine import run
from retrograd.autograd.graph import FREED, Node, Output, Witness, raise_freed, raise_modified
from retrograd.compiler.cut import choose
from retrograd.compiler.replay import replay
from retrograd.compiler.tracer import Captured, Tracer
from retrograd.tensor import wrap

Array = np.ndarray[Any, Any]


class Spent(Node):
    """The history of a result whose backward has been, inside the compiled function."""

    __slots__ = ()

    def __init__(self) -> None:
        self.edges = ()
        self.stamp()

    def pullback(self, ct: Any, keep: bool) -> tuple[Any, ...]:
        del ct, keep
        raise_freed(self)
        raise AssertionError

    pullback_recorded = pullback


class Pullback:
    """The backward of a trace: cotangents of its results to cotangents of inputs, still in the recorder."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self.start = len(tracer.recorder.instructions)
        self.roots: list[Traced] = []  # the results
        self.cts: list[Value] = []
        self.inputs: list[Captured] = []
        self.grads: list[Value] = []

    def trace(self, results: Sequence[tuple[Any, Node]]) -> None:
        """Trace backward from results and their nodes."""
        tracer, recorder = self.tracer, self.tracer.recorder
        wanted = {c.tensor._node: c for c in tracer.captured.values() if c.node is not None}
        kept = [(c.node, c.node.extras, c.node.post) for c in wanted.values() if c.is_leaf]
        for node, _, _ in kept:
            node.extras = node.post = None
        captured: dict[Node, Any] = dict.fromkeys(wanted)
        cts = [recorder.input(np.empty(r.shape, r.dtype)) for r, _ in results]
        try:
            with np.errstate(all="ignore"):
                run([(node, ct) for (_, node), ct in zip(results, cts, strict=True)], True, False, captured)
        finally:
            for node, extras, post in kept:
                node.extras, node.post = extras, post
        self.cts = [ct._value for ct in cts]
        for node, grad in captured.items():
            if grad is not None:
                self.inputs.append(wanted[node])
                array = (
                    grad if isinstance(grad, Traced) else Traced(recorder, recorder.operand(np.asarray(grad)))
                )
                self.grads.append(now(array))

    def close(
        self, inputs: list[Value], changing: set[int], constants: list[tuple[Value, Array]]
    ) -> tuple[list[Value], Pair]:
        """Return what forward is to return besides its results, and the pair.

        Args:
            inputs: of the forward program.
            changing: the ids of those that it writes into, or that are filled anew before each call.
            constants: of both programs.
        """
        instructions = self.tracer.recorder.instructions
        forward, backward = instructions[: self.start], _needed(instructions[self.start :], self.grads)
        made = {v.id for i in backward for v in i.outputs}
        asked = [*(v for i in backward for v in i.operands), *self.grads]
        needed = list({v.id: v for v in asked if v.id not in made}.values())
        free = [v for v in inputs if v.id not in changing]
        given = {v.id for v in self.cts} | {v.id for v, _ in constants}
        needed = [v for v in needed if v.id not in given]
        moving = [v for v in inputs if v.id in changing and any(v.id == n.id for n in needed)]
        saved, again = choose(forward, [*free, *moving, *self.cts, *(v for v, _ in constants)], needed)
        again_uses = {v.id for i in again for v in i.operands}
        moving = [v for v in inputs if v.id in changing and (v in moving or v.id in again_uses)]
        saved = [*moving, *saved]
        used = {v.id for v in needed} | again_uses
        taken = [v for v in free if v.id in used]
        program = tidy(
            Program(
                (*taken, *saved, *self.cts),
                _used(constants, again, backward, self.grads),
                (*again, *backward),
                tuple(self.grads),
            )
        )
        joint = Program((*inputs, *self.cts), tuple(constants), (*forward, *backward), tuple(self.grads))
        return saved, Pair(
            program, joint, [inputs.index(v) for v in taken], self, {v.id for v in inputs if v.id in changing}
        )


class Pair:
    """The backward program of an entry, and how its results get a node that runs it."""

    def __init__(
        self, program: Program, joint: Program, taken: list[int], traced: Pullback, changing: set[int]
    ) -> None:
        self.program, self.joint, self.taken = program, joint, taken
        self.types = [(v.shape, v.dtype) for v in traced.cts]
        self.inputs = traced.inputs
        self.positions = [
            next((i for i, v in enumerate(joint.inputs) if v.id == c.input.id), None) for c in self.inputs
        ]
        self.changing = [i for i, v in enumerate(joint.inputs) if v.id in changing]
        self._executable: Any = None
        self._lock = threading.Lock()

    @property
    def executable(self) -> Any:
        """The backward program, built when it is first needed."""
        if self._executable is None:
            with self._lock:
                if self._executable is None:
                    self._executable = native.build(self.program, name="backward")
        return self._executable

    def describe(self) -> list[str]:
        """Return the backward program as text."""
        return str(self.program).splitlines()

    def attach(
        self,
        results: Sequence[Any],
        edges: tuple[Any, ...],
        arrays: tuple[Any, ...],
        owners: tuple[Any, ...],
        saved: tuple[Any, ...],
    ) -> None:
        """Give the results of a call their history.

        Args:
            results: tensors, in the order of the traced roots.
            edges: the nodes of the inputs that require grad.
            arrays: all inputs of the forward program.
            owners: the tensors that they are of; None for other inputs.
            saved: what the forward program returned to be saved.
        """
        node = CompiledBackward()
        node.pair, node.edges, node.arrays, node.saved = self, edges, arrays, saved
        node.owners = owners
        node.versions = [0 if o is None or o._cell is None else o._cell.count for o in owners]
        node.stamp()
        if len(results) == 1:
            results[0]._node = node
        else:
            for i, result in enumerate(results):
                result._node = Output(node, i, len(results))


class CompiledBackward(Node):
    """One call of a compiled function, on the tape."""

    __slots__ = ("arrays", "owners", "pair", "saved", "versions")

    pair: Pair
    arrays: Any
    owners: Any
    saved: Any
    versions: list[int]

    def pullback(self, ct: Any, keep: bool) -> tuple[Any, ...]:
        pair = self.pair
        self._check(pair.taken)
        cts = ct if len(pair.types) > 1 else (ct,)
        given = [
            np.zeros(s, d) if c is None else np.asarray(c, d).reshape(s)
            for c, (s, d) in zip(cts, pair.types, strict=True)
        ]
        arrays = self.arrays
        found = pair.executable(*[arrays[i] for i in pair.taken], *self.saved, *given)
        self._free(keep)
        return tuple(found)

    def pullback_recorded(self, ct: Any, keep: bool) -> tuple[Any, ...]:
        pair = self.pair
        self._check(range(len(self.arrays)))
        if pair.changing:
            raise RuntimeError(
                "a second derivative is asked of a compiled function that writes to its inputs; call it "
                "without compiling it"
            )
        cts = ct if len(pair.types) > 1 else (ct,)
        given = [wrap(np.zeros(s, d)) if c is None else c for c, (s, d) in zip(cts, pair.types, strict=True)]
        tensors = [wrap(a) for a in self.arrays]
        for position, edge in zip(pair.positions, self.edges, strict=True):
            if position is not None:
                tensors[position]._node = edge
        found = replay(pair.joint, [*tensors, *given])
        self._free(keep)
        return tuple(found)

    def _check(self, positions: Any) -> None:
        if self.freed:
            raise_freed(self)
        for i in positions:
            owner = self.owners[i]
            if owner is not None and owner._cell is not None and owner._cell.count != self.versions[i]:
                array = self.arrays[i]
                raise_modified(
                    self, Witness(owner._cell), array.shape, dtypes.of_array(array), self.versions[i]
                )

    def _free(self, keep: bool) -> None:
        if not keep:
            self.arrays = self.owners = self.saved = None
            self.metas = FREED


def _needed(instructions: list[Instruction], outputs: list[Value]) -> list[Instruction]:
    """Return the instructions that the outputs need."""
    needed = {v.id for v in outputs}
    found = []
    for instruction in reversed(instructions):
        if any(v.id in needed for v in instruction.outputs):
            found.append(instruction)
            needed.update(v.id for v in instruction.operands)
    return found[::-1]


def _used(
    constants: list[tuple[Value, Array]],
    again: list[Instruction],
    backward: list[Instruction],
    grads: list[Value],
) -> tuple[tuple[Value, Array], ...]:
    used = {v.id for i in (*again, *backward) for v in i.operands} | {v.id for v in grads}
    return tuple((v, a) for v, a in constants if v.id in used)
