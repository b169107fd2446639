"""From a program to steps: which calls run in one loop, and which values go through memory.

Calls are taken in order. A call joins the latest loop over the same elements that has some of what it needs,
if everything else that it needs is there by then; otherwise it opens a loop. Then values are looked at from
the last to the first: one that another step uses is written to memory, unless it is so cheap that the other
step computes it again.
"""

from __future__ import annotations

from typing import Any

from retrograd.arrays import Instruction, Program, Value
from retrograd.arrays.ir import values
from retrograd.native.affine import Index, NotAffineError, Var, of, offset, through
from retrograd.native.elementwise import cost
from retrograd.native.graph import Call, Graph, Load, kind_of, looked, operands
from retrograd.native.joins import Joins
from retrograd.native.kernels import AFTER, Host, Loop, Product, Step, Store, canonical_index, squeezed

_CHEAP = 2  # what computing a value again may cost, in additions
_CHEAP_CHAIN = 4  # likewise, of calls that belong to no loop
_LONGEST_CHAIN = 50  # calls that are computed wherever they are used, one from the other
_MOST_MEMBERS = 128  # of a loop: fusing and writing it takes time that grows with their square
_FEW_OPERANDS = 2  # arrays that may be read to compute a value again


class Fused:
    """The steps of a program, and its graph, which knows what lies in memory."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.graph = Graph(program)
        self.steps: list[Step] = []
        self.placed: dict[Value, int] = {}  # the step that computes a value
        self.ready: dict[Value, int] = dict.fromkeys(self.graph.stored, 0)  # the first step that may use it
        self.floating: dict[
            Value, int
        ] = {}  # values that are computed wherever they are used, and their cost
        self.chains: dict[Value, int] = {}  # how many of them wait for one another
        self.forced: set[Value] = set()  # values that have to lie in memory
        self.apart: dict[
            Value, list[str]
        ] = {}  # why a call joined none of the loops that it shares arrays with
        self.joins = Joins(program)
        self.begun: dict[Value, int] = {}  # the first step that writes a piece of a joined array
        self.settled = self._settled()
        for instruction in late(program, self.graph):
            self._place(instruction)
        for value in values(program.outputs):
            self._to_memory(value)
        self._drop_empty()
        self._decide()

    @property
    def hosts(self) -> list[Host]:
        """The calls that NumPy makes, in order."""
        return [step for step in self.steps if isinstance(step, Host)]

    def _settled(self) -> set[Value]:
        """Return the values that will lie in memory anyway: outputs, and what products and NumPy read."""
        found = set(values(self.program.outputs))
        for instruction in self.program.instructions:
            if kind_of(instruction) in ("product", "host", "joined"):
                found |= {self.graph.base(v)[0] for v in instruction.operands}
        return found

    # ---- placing ----

    def _place(self, instruction: Instruction) -> None:
        kind = kind_of(instruction)
        if kind == "view":
            self._view(instruction)
        elif kind in ("map", "reduce"):
            if not self._into_loop(instruction, kind) and not self._float(instruction, kind):
                self._open(Loop(squeezed(_domain(instruction))), instruction.outputs[0], instruction)
        elif kind == "scatter":
            self._open(Loop(squeezed(_domain(instruction))), instruction.outputs[0], instruction)
        elif kind == "joined":
            self._place_pieces(instruction.outputs[0])
        else:
            self._alone(instruction, kind)

    def _place_pieces(self, made: Value) -> None:
        """See that loops make the pieces of an array; they write them where they belong in it."""
        for piece in self.joins.pieces.get(made, ()):
            if piece.value not in self.placed:
                self._open(Loop(squeezed(piece.value.shape)), piece.value, self.graph.made_by[piece.value])
        if made in self.joins.pieces:
            self.graph.stored[made] = max(self.placed[p.value] for p in self.joins.pieces[made])
            self.ready[made] = self.graph.stored[made] + 1

    def _earliest(self, instruction: Instruction) -> int:
        return max((self.ready[v] for v in instruction.operands), default=0)

    def _view(self, instruction: Instruction) -> None:
        (made,) = instruction.outputs
        source = instruction.inputs[0]
        if instruction.name == "reshape":
            try:
                through(instruction, tuple(of(Var(i)) for i in range(len(made.shape))))
            except NotAffineError:
                self.ready[made] = self._to_memory(source)
                return
        self.ready[made] = self.ready[source]

    def _to_memory(self, value: Value) -> int:
        """See that a value lies in memory, and return the first step that may load it."""
        if value in self.graph.stored:
            return self.ready[value]
        if value not in self.placed:  # a view, or a number
            self._open(Loop(squeezed(value.shape)), value, self.graph.made_by[value])
        self.forced.add(value)
        kind = self.graph.kind(value)
        return self.placed[value] + 1 if kind in ("map", "reduce", "view") else self.ready[value]

    def _alone(self, instruction: Instruction, kind: str) -> None:
        views: list[Instruction] = []
        for value in instruction.operands:
            base, chain = self.graph.base(value)
            self._to_memory(base)
            views += [v for v in chain if v not in views]
        step = Product(instruction) if kind == "product" else Host(tuple(views), instruction)
        self.steps.append(step)
        for value in instruction.outputs:
            self.placed[value] = len(self.steps) - 1
            self.ready[value] = len(self.steps)
            self.graph.stored[value] = len(self.steps) - 1

    def _into_loop(self, instruction: Instruction, kind: str) -> bool:
        """Join a loop that there is: the latest that fits; a reduction the first, to be there early."""
        domain = _domain(instruction)
        if kind == "map" and not squeezed(domain):
            return False
        first = self._earliest(instruction)
        reasons = []
        found = range(len(self.steps))
        bases = self._bases(instruction)
        for number in found if kind == "reduce" else reversed(found):
            loop = self.steps[number]
            if not isinstance(loop, Loop) or loop.is_serial or loop.touched.isdisjoint(bases):
                continue
            how = _fits(loop, instruction, kind)
            if number < first:
                reasons.append(f"loop {number} has ended before step {first}, which makes what it needs")
            elif how is None:
                reasons.append(f"loop {number} goes over {loop.frame}, this over {squeezed(domain)}")
            elif len(loop.members) >= _MOST_MEMBERS:
                reasons.append(f"loop {number} has {len(loop.members)} calls already")
            elif not self._is_legal(loop, number, instruction, domain):
                reasons.append(f"it needs reductions of loop {number} at other places than the loop's own")
            else:
                self._join(loop, number, instruction, how)
                self._gather(number, instruction)
                return True
        self.apart[instruction.outputs[0]] = reasons
        return False

    def _float(self, instruction: Instruction, kind: str) -> bool:
        """Leave a call unplaced, to be computed where it is used: a number, or what costs next to nothing."""
        (made,) = instruction.outputs
        total = cost(instruction) + sum(
            self.floating.get(self.graph.base(v)[0], 0) for v in instruction.operands
        )
        chain = 1 + max((self.chains.get(self.graph.base(v)[0], 0) for v in instruction.operands), default=0)
        if kind == "map" and chain > _LONGEST_CHAIN:
            self.forced.add(made)  # else whoever needs it would compute all of the chain again
            return False
        if kind != "map" or (squeezed(made.shape) and (total > _CHEAP_CHAIN or made in self.settled)):
            return False
        self.floating[made] = total if squeezed(made.shape) else 0
        self.chains[made] = chain
        self.ready[made] = self._earliest(instruction)
        return True

    def _open(self, loop: Loop, made: Value, instruction: Instruction) -> None:
        kind = kind_of(instruction)
        how = _fits(loop, instruction, kind) if kind == "reduce" else (None, "scatter" * (kind == "scatter"))
        assert how is not None, instruction
        self.steps.append(loop)
        self._join(loop, len(self.steps) - 1, instruction, how)

    def _join(self, loop: Loop, number: int, instruction: Instruction, how: tuple[int | None, str]) -> None:
        split, kind = how
        (made,) = instruction.outputs
        loop.split = loop.split if split is None else split
        loop.members[made] = instruction
        loop.touched |= {made, *self._bases(instruction)}
        if kind:
            loop.reductions[made] = kind
        self.placed[made] = number
        self.ready[made] = number + 1 if kind in AFTER else number

    def _bases(self, instruction: Instruction) -> set[Value]:
        """Return what a call is computed from: arrays in memory, and what loops compute."""
        found: set[Value] = set()
        pending = list(instruction.operands)
        seen: set[Value] = set()
        while pending:
            base = self.graph.base(pending.pop())[0]
            if base in seen:
                continue
            seen.add(base)
            if base in self.floating and base not in self.placed:
                pending += self.graph.made_by[base].operands
            elif squeezed(base.shape):
                found.add(base)
        return found

    def _is_legal(self, loop: Loop, number: int, instruction: Instruction, domain: Any) -> bool:
        """Whether all that a call needs of a loop is there when the loop gets to the call's element."""
        index = canonical_index(domain)
        seen: set[tuple[Value, Index]] = set()
        if kind_of(instruction) == "reduce":
            pending = [(instruction.inputs[0], index)]
        else:
            pending = operands(Call(instruction, index))
        while pending:
            value, at = pending.pop()
            if (value, at) in seen:
                continue
            seen.add((value, at))
            try:
                node = self.graph.reach(value, at, number)
            except NotAffineError:
                continue  # its source is in memory before this loop, or `ready` would say so
            if isinstance(node, Load):
                pending += looked(node.at)
                continue
            where = self.placed.get(node.value)
            if where is not None and where < number:
                continue
            own = node.index == canonical_index(node.value.shape)
            if node.value in loop.reductions and not own:
                return False
            if node.value not in loop.members or not own:  # else it was found legal when it joined
                pending += operands(node)
        return True

    def _gather(self, number: int, instruction: Instruction) -> None:
        """Move the members of a loop to an earlier one that a call has just joined it to, if they fit there.

        The loop itself stays, empty, until all is placed.
        """
        later = self.steps[number]
        assert isinstance(later, Loop)
        homes = sorted({self.placed[b] for b in self._bases(instruction) if b in self.placed} - {number})
        for home in homes:
            loop = self.steps[home]
            if (
                isinstance(loop, Loop)
                and loop.frame == later.frame
                and len(loop.members) + len(later.members) <= _MOST_MEMBERS
                and self._fit_together(loop, home, number)
            ):
                for made, member in later.members.items():
                    kind = later.reductions.get(made, "")
                    self._join(loop, home, member, (later.split, kind))
                    self.placed[made] = home
                later.members, later.reductions, later.touched = {}, {}, set()
                return

    def _fit_together(self, loop: Loop, home: int, number: int) -> bool:
        """Whether the members of a later loop could run in an earlier one."""
        later = self.steps[number]
        assert isinstance(later, Loop)
        if None not in (loop.split, later.split) and loop.split != later.split:
            return False
        for member in later.members.values():
            for value in member.operands:
                if not self._is_there(value, later, home):
                    return False
        both = Loop(
            loop.frame,
            later.split if loop.split is None else loop.split,
            loop.members | later.members,
            loop.reductions | later.reductions,
        )
        return all(self._is_legal(both, home, m, _domain(m)) for m in later.members.values())

    def _is_there(self, value: Value, later: Loop, home: int) -> bool:
        """Whether a value can be used in step `home`, if the members of a later loop are."""
        if self.ready[value] <= home:
            return True
        base = self.graph.base(value)[0]
        if base in self.floating and base not in self.placed:
            return all(self._is_there(v, later, home) for v in self.graph.made_by[base].operands)
        return base in later.members and later.reductions.get(base, "row") == "row"

    def _drop_empty(self) -> None:
        """Take out the loops that have lost their members, and count the steps anew."""
        number: dict[int, int] = {}
        kept: list[Step] = []
        for old, step in enumerate(self.steps):
            if not isinstance(step, Loop) or step.members:
                number[old] = len(kept)
                kept.append(step)
        self.steps = kept
        self.placed = {v: number[s] for v, s in self.placed.items()}
        for made, pieces in self.joins.pieces.items():
            del self.graph.stored[made]  # a piece may have moved
            self.begun[made] = min(self.placed[p.value] for p in pieces)
        self.graph.stored = {v: number[s] if s >= 0 else s for v, s in self.graph.stored.items()}
        for made, pieces in self.joins.pieces.items():
            self.graph.stored[made] = max(self.placed[p.value] for p in pieces)

    # ---- what goes through memory ----

    def _decide(self) -> None:
        """Go from the last value to the first: by then all steps that compute or load it are known."""
        needed: dict[Value, set[int]] = {}
        for number, step in enumerate(self.steps):
            if isinstance(step, Loop):
                for value in step.reductions:
                    needed.setdefault(value, set()).add(number)
        for piece in (p for pieces in self.joins.pieces.values() for p in pieces):
            writer = self.placed[piece.value]
            needed.setdefault(piece.value, set()).add(writer)
            loop = self.steps[writer]
            assert isinstance(loop, Loop)
            loop.stores.append(piece)
        order = {v: i for i, instruction in enumerate(self.program.instructions) for v in instruction.outputs}
        for value in sorted(order, key=lambda v: -order[v]):
            instruction = self.graph.made_by[value]
            kind = self.graph.kind(value)
            if kind in ("host", "product", "joined"):
                continue
            users = needed.get(value, set())
            place = self.placed.get(value)
            if value in self.forced:
                users = users | {place} if place is not None else users
            if not users:
                continue
            evaluated = self._evaluated_in(value, kind, place, users)
            for operand in instruction.operands:
                needed.setdefault(operand, set()).update(evaluated)

    def _evaluated_in(self, value: Value, kind: str, home: int | None, users: set[int]) -> set[int]:
        """Return the steps that compute a value; mark it as stored if others load it."""
        if home is None:
            return users  # views and numbers are followed wherever they are used
        loop = self.steps[home]
        assert isinstance(loop, Loop)
        elsewhere = users - {home}
        before = {user for user in users if user < home}  # they compute it for themselves
        reduction = loop.reductions.get(value)
        if reduction in AFTER:
            self.graph.stored[value] = home
            return {home}
        if value not in self.forced:
            if not elsewhere:
                return users
            if reduction is None and kind == "map" and self._is_cheap(value):
                return users
        self.graph.stored[value] = home
        shape = value.shape
        loop.stores.append(Store(value, value, offset(canonical_index(shape), shape)))
        return {home} | before

    def _is_cheap(self, value: Value) -> bool:
        instruction = self.graph.made_by[value]
        wide = [v for v in values(instruction.inputs) if squeezed(v.shape)]
        if cost(instruction) > _CHEAP or len(wide) > _FEW_OPERANDS:
            return False
        bases = [self.graph.base(v)[0] for v in wide]
        return all(
            b in self.graph.stored or b in self.settled or self.graph.kind(b) in ("reduce", "product", "host")
            for b in bases
        )


def _fits(loop: Loop, instruction: Instruction, kind: str) -> tuple[int | None, str] | None:
    """Return the split that a call asks of a loop and its kind of reduction; None if it does not fit."""
    rows = None if loop.split is None else loop.frame[: loop.split]
    if kind == "map":
        own = squeezed(instruction.outputs[0].shape)
        return (None, "") if own in (loop.frame, rows) else None
    source = instruction.inputs[0].shape
    own = squeezed(source)
    wide = [i for i, n in enumerate(source) if n != 1]
    axes = [wide.index(a) for a in dict(instruction.params)["axis"] if a in wide]
    rank = len(own)
    if own == loop.frame:
        if len(axes) == rank:
            return None, "full"
        split = axes[0] if axes[-1] == rank - 1 and axes[0] == rank - len(axes) else None
        if split is not None:
            return (split, "row") if loop.split in (None, split) else None
        if axes[0] == 0 and axes[-1] == len(axes) - 1:
            split = len(axes)
            return (split, "column") if loop.split in (None, split) else None
        return None
    if own == rows and len(axes) == rank:
        return None, "rows"
    return None


def late(program: Program, graph: Graph) -> list[Instruction]:
    """Return the instructions so that what must be finished before something else begins comes first.

    Sums over everything, products and NumPy's calls part a program into stages. A call belongs to the last
    stage that it can: nothing is computed in an early loop only because its operands were there.
    """
    stage: dict[Value, int] = {}
    stages: list[int] = []
    for instruction in reversed(program.instructions):
        # A number that comes out may wait for a last sum: that costs no other loop a stage.
        last = 0 if any(squeezed(v.shape) for v in instruction.outputs) else 1
        own = min((stage[v] for v in instruction.outputs if v in stage), default=last)
        stages.append(own)
        for value in instruction.operands:
            made = own - 1 if _is_barrier(graph.made_by.get(value)) else own
            stage[value] = min(stage.get(value, 1), made)
    numbered = sorted(zip(stages[::-1], range(len(stages)), strict=True))
    return [program.instructions[i] for _, i in numbered]


def _is_barrier(instruction: Instruction | None) -> bool:
    """Whether a call must have seen all elements before its result can be used."""
    if instruction is None:
        return False
    kind = kind_of(instruction)
    if kind != "reduce":
        return kind in ("product", "host", "joined", "scatter")
    axes = dict(instruction.params)["axis"]
    rank = len(instruction.inputs[0].shape)
    return len(axes) == rank or axes[-1] != rank - 1


def _domain(instruction: Instruction) -> tuple[int, ...]:
    """Return the shape of the elements that a call goes over."""
    goes_over_source = kind_of(instruction) in ("reduce", "scatter")
    value: Value = instruction.inputs[0] if goes_over_source else instruction.outputs[0]
    return value.shape
