"""The transforms that are at work in this thread, one inside the other, and the tensors that belong to them.

Each running `grad`, `vmap` or `jvp` is a level; levels are numbered from 1, outermost first. A level of
`vmap` or `jvp` has tensors of its own, which wrap tensors of lower levels, and is given every op (see
modes.py): it takes its own wrappers off, and what it does with the contents goes to the next level below. A
level of `grad` needs no wrapper: it is the tape, with leaves of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np

from retrograd.autograd import modes
from retrograd.autograd.dispatch import general
from retrograd.autograd.graph import AccumulateGrad
from retrograd.autograd.inplace import inplace
from retrograd.autograd.modes import local
from retrograd.ops.declare import TABLE, Op
from retrograd.tensor import Tensor, blank, history, wrap


class Level:
    """One running transform."""

    number: int
    is_transform = True

    def leaf_nodes(self) -> set[Any]:
        """Return the leaves of this level's tape."""
        return set()


class GradLevel(Level):
    """One running `grad` or `vjp`: the leaves whose gradients it will ask for."""

    def __init__(self) -> None:
        self.leaves: list[Tensor] = []

    def leaf_nodes(self) -> set[Any]:
        return {leaf._node for leaf in self.leaves}


class Wrapped(Tensor):
    """A tensor of a level that wraps tensors of lower levels. `_array` only says shape and dtype."""

    __slots__ = ()

    _level: Any


class OpLevel(Level):
    """A level that is given every op."""

    def call(self, op: Op, args: tuple[Any, ...], out: Any) -> Any:
        """Run an op: on the contents of this level's tensors if it has any, else at the level below."""
        modes.lift(self)
        try:
            if any(map(self.owns, args)) or (out is not None and self.owns(out)):
                return self.run(op, args, out)
            return run_below(op, args, out)
        finally:
            modes.lay(self)

    def owns(self, value: Any) -> bool:
        """Return whether a value is a tensor of this level, or a sequence with one."""
        if isinstance(value, Wrapped):
            return value._level is self
        return isinstance(value, (list, tuple)) and any(map(self.owns, value))

    def run(self, op: Op, args: tuple[Any, ...], out: Any) -> Any:
        """Run an op on arguments of which some are this level's."""
        raise NotImplementedError

    @contextmanager
    def off(self) -> Iterator[None]:
        """Take this level, and those above, off for a while."""
        taken: list[Any] = []
        while self in local.intercepts:
            taken.append(modes.pop())
        try:
            yield
        finally:
            for level in reversed(taken):
                modes.push(level)


def run_below(op: Op, args: Sequence[Any], out: Any = None) -> Any:
    """Run an op on all its arguments, in the declared order, at whatever level is on top now."""
    if out is not None:
        return inplace(op, tuple(args)) if args and out is args[0] else general(op, tuple(args), out)
    names = [p.name for p in op.parameters if p.keyword_only]
    if not names:
        return op.function(*args)
    count = len(args) - len(names)
    return op.function(*args[:count], **dict(zip(names, args[count:], strict=True)))


@contextmanager
def entered(level: Level) -> Iterator[Any]:
    """Run a block inside a new level."""
    level.number = len(local.levels) + 1
    local.levels.append(level)
    if isinstance(level, OpLevel):
        modes.push(level)
    try:
        yield level
    finally:
        if isinstance(level, OpLevel):
            modes.pop()
        local.levels.pop()


_BACKWARD = (
    "backward() called inside a functorch transform. This is not supported, please use functorch.grad or "
    "functorch.vjp instead or call backward() outside of functorch transforms."
)


def refuse_backward() -> None:
    """Raise the error of backward() inside a transform; forward_ad's level is none."""
    if any(level.is_transform for level in local.levels):
        raise RuntimeError(_BACKWARD)


def unwritten(op: Op, args: tuple[Any, ...], out: Any) -> tuple[Any, ...]:
    """Return the arguments of an op whose result goes into the first, which is copied if it may be saved."""
    if not (args and out is args[0] and op.rules and local.grad):
        return args
    if not any(isinstance(a, Tensor) and a.requires_grad for a in args[1:]):
        return args
    return (TABLE["clone"].function(args[0]), *args[1:])


def op_levels() -> list[Any]:
    """Return the levels that are given ops, innermost first."""
    return [level for level in reversed(local.intercepts) if isinstance(level, OpLevel)]


# ---- the leaves of a tape inside levels ----


def tracked(tensor: Tensor, level: GradLevel, recording: bool) -> Tensor:
    """Return a tensor on the same memory whose gradient `level` can ask for.

    A level of `vmap` around it keeps gradients apart per element of its batch: a tensor that is the same for
    all of them is expanded, without a copy. `recording` says whether the history before this level is to be
    kept.
    """
    return _tracked(tensor, op_levels(), level, recording)


def _tracked(x: Tensor, around: list[Any], level: GradLevel, recording: bool) -> Tensor:
    """Do so inside the levels `around`, the innermost first."""
    from retrograd.autograd.batched import VmapLevel  # noqa: PLC0415 - it needs this file
    from retrograd.autograd.dual import DualLevel  # noqa: PLC0415 - it needs this file

    if not around:
        return _leaf(x, level, recording)
    outer, rest = around[0], around[1:]
    if isinstance(outer, VmapLevel):
        return outer.wrap(_tracked(outer.spread(x), rest, level, recording), 0)
    if isinstance(outer, DualLevel) and outer.owns(x):
        primal = _tracked(outer.primal(x), rest, level, recording)
        return outer.wrap(primal, outer.tangent(x))
    return _tracked(x, rest, level, recording)


def _leaf(tensor: Tensor, level: GradLevel, recording: bool) -> Tensor:
    if recording and history(tensor) is not None:
        leaf: Tensor = TABLE["alias"].function(tensor)
    else:
        leaf = wrap(tensor._array)
        leaf._cell = tensor._version_cell()
        leaf.requires_grad_()
        _LEVEL_OF[leaf._node] = ref(level)
    level.leaves.append(leaf)
    return leaf


_LEVEL_OF: WeakKeyDictionary[Any, ref[GradLevel]] = WeakKeyDictionary()
"""The levels that leaves were made for: when one has ended, nobody can ask for its leaves' gradients.

A level holds its leaves, and they their nodes: it is held weakly here, or neither would ever go.
"""


class Reach:
    """Tells which tensors depend on more than the leaves of one level."""

    def __init__(self, level: GradLevel) -> None:
        self._mine = {x._node for x in level.leaves if type(x._node) is AccumulateGrad}
        self._clean: set[Any] = set()  # nodes known to lead nowhere else

    def others(self, tensor: Tensor) -> bool:
        """Return whether some leaf that is not this level's is reached from a tensor."""
        return any(self._from(part._node) for part in contents(tensor) if history(part) is not None)

    def _from(self, root: Any) -> bool:
        stack, seen = [root], set()
        while stack:
            node = stack.pop()
            if node is None or node in seen or node in self._clean:
                continue
            if type(node) is AccumulateGrad and node not in self._mine and self._is_wanted(node):
                return True
            seen.add(node)
            stack.extend(node.edges)
        self._clean |= seen
        return False

    def _is_wanted(self, leaf: Any) -> bool:
        level = _LEVEL_OF.get(leaf)
        return level is None or level() in local.levels

    def released(self, tensor: Any) -> Any:
        """Return a tensor as it is outside the level: without a history that leads nowhere else."""
        if not isinstance(tensor, Tensor):
            return tensor
        return with_contents(tensor, lambda part: part if self.others(part) else cut(part))


def cut(tensor: Tensor) -> Tensor:
    """Return a plain tensor without its history; itself if it has none."""
    if tensor._node is None:
        return tensor
    made = blank(Tensor, tensor._array)
    made._cell = tensor._version_cell()
    return made


# ---- looking through wrappers ----


def contents(tensor: Tensor) -> Iterator[Tensor]:
    """Yield the plain tensors inside a tensor: itself, if it is plain."""
    if isinstance(tensor, Wrapped):
        for part in tensor._level.parts(tensor):
            yield from contents(part)
    else:
        yield tensor


def with_contents(tensor: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Return a tensor with each plain tensor inside it replaced."""
    if not isinstance(tensor, Wrapped):
        return change(tensor)
    parts = [with_contents(part, change) for part in tensor._level.parts(tensor)]
    return tensor._level.rebuilt(tensor, parts)  # type: ignore[no-any-return]


def levels_in(tensor: Tensor) -> set[Any]:
    """Return the levels whose wrappers a tensor is made of."""
    if not isinstance(tensor, Wrapped):
        return set()
    found = {tensor._level}
    for part in tensor._level.parts(tensor):
        found |= levels_in(part)
    return found


# ---- printing ----


def describe(tensor: Tensor) -> str:
    """Return the repr of a tensor inside transforms: a frame per level, the innermost level outside."""
    from retrograd.printing import tensor_str  # noqa: PLC0415 - printing is rarely needed to compute

    found: dict[int, Any] = {level.number: level for level in levels_in(tensor)}
    for level in local.levels:
        if isinstance(level, GradLevel) and depends(tensor, level):
            found[level.number] = level

    def framed(x: Tensor, numbers: list[int]) -> str:
        if not numbers:
            plain = x if any(history(p) is not None and not _tracked_only(p) for p in contents(x)) else cut(x)
            return tensor_str(plain)
        level = found[numbers[0]]
        inner, head = (
            level.frame(x) if level in levels_in(x) else (x, f"GradTrackingTensor(lvl={level.number}")
        )
        text = framed(inner, numbers[1:]).replace("\n", "\n    ")
        return f"{head}, value=\n    {text}\n)"

    return framed(tensor, sorted(found, reverse=True))


def depends(tensor: Tensor, level: GradLevel) -> bool:
    """Return whether a tensor was computed from the leaves of a level."""
    nodes = level.leaf_nodes()
    stack = [history(part) for part in contents(tensor)]
    seen: set[Any] = set()
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        if node in nodes:
            return True
        seen.add(node)
        stack.extend(node.edges)
    return False


def _tracked_only(tensor: Tensor) -> bool:
    """Return whether a tensor's history leads to leaves of running transforms only."""
    everything = GradLevel()
    for level in local.levels:
        everything.leaves += getattr(level, "leaves", [])
    return not Reach(everything).others(tensor)


def zeros_like(tensor: Tensor) -> Tensor:
    """Return zeros of a tensor's shape and dtype, the same for every element of a batch."""
    return wrap(np.zeros(tensor._array.shape, tensor._array.dtype))
