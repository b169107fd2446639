"""The bytes that a graph holds for its backward: by the user's line, module and op.

Memory is counted by storage: what several nodes hold, or views share, counts once, for the node that was
recorded first. The tensors of leaves would be there without the graph, and are counted apart.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from retrograd.autograd.graph import UNSHARED, AccumulateGrad, Node, clock
from retrograd.autograd.known_values import nodes_below, op_name, parts_of
from retrograd.autograd.owners import owners_of
from retrograd.autograd.record import saved_names
from retrograd.autograd.saved import Kept
from retrograd.autograd.saved_hooks import Packed
from retrograd.tensor import Tensor, history


class Holding(NamedTuple):
    """Some memory that a graph holds, and the node that was the first to hold it.

    module: the path of the module in whose forward the node was made (see `module_paths`), else of the module
        that owns a parameter which the node uses; '' if neither is known.
    what: the name of the saved value: a parameter of the op, or 'result'.
    of_leaf: whether a leaf's own tensor is in that memory, which would be there without the graph.
    """

    bytes: int
    place: str
    module: str
    op: str
    what: str
    shape: tuple[int, ...]
    dtype: str
    of_leaf: bool


@dataclass(frozen=True)
class MemoryReport:
    """What `memory_report` found. Its text is a table.

    holdings: each piece of memory, counted once.
    nodes: how many nodes the graph has.
    freed: how many of them have been freed by a backward.
    not_counted: how many saved values a pack hook made into something that is neither tensor nor array.
    """

    holdings: tuple[Holding, ...]
    nodes: int
    freed: int
    not_counted: int

    @property
    def total(self) -> int:
        """The bytes held for backward alone, leaves' own memory not counted."""
        return sum(h.bytes for h in self.holdings if not h.of_leaf)

    @property
    def leaves(self) -> int:
        """The bytes of leaves that the graph refers to."""
        return sum(h.bytes for h in self.holdings if h.of_leaf)

    def by(self, key: str) -> dict[str, int]:
        """Return the bytes held for backward by 'place', 'module' or 'op', the largest first.

        Raises:
            ValueError: there is no such key.
        """
        if key not in ("place", "module", "op"):
            raise ValueError(f"MemoryReport.by: expected 'place', 'module' or 'op'; got {key!r}")
        sums: dict[str, int] = {}
        for holding in self.holdings:
            if not holding.of_leaf:
                name = getattr(holding, key)
                sums[name] = sums.get(name, 0) + holding.bytes
        return dict(sorted(sums.items(), key=lambda item: -item[1]))

    def __str__(self) -> str:
        head = f"{_size(self.total)} held by {self.nodes} nodes"
        head += f" ({self.freed} of them freed)" if self.freed else ""
        head += f"; besides, {_size(self.leaves)} of leaves are referred to" if self.leaves else ""
        head += f"; {self.not_counted} saved values could not be counted" if self.not_counted else ""
        rows: dict[tuple[str, str, str], int] = {}
        for h in self.holdings:
            if not h.of_leaf:
                key = (h.place, h.module, h.op)
                rows[key] = rows.get(key, 0) + h.bytes
        if not rows:
            return head
        ordered = sorted(rows.items(), key=lambda item: -item[1])
        table = [("bytes", "line", "module", "op"), *((_size(n), *key) for key, n in ordered)]
        widths = [max(len(row[i]) for row in table) for i in range(3)]
        lines = [
            f"{row[0]:>{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:<{widths[2]}}  {row[3]}".rstrip()
            for row in table
        ]
        return "\n".join([head, *lines])


def _size(count: int) -> str:
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"


def memory_report(t: Tensor) -> MemoryReport:
    """Return what the graph below a tensor holds in memory for its backward.

    Example:
        >>> import retrograd as torch
        >>> x = torch.ones(1000, requires_grad=True)
        >>> y = x.exp().sin().sum()
        >>> report = torch.autograd.graph.memory_report(y)
        >>> report.total, report.by("op")
        (4000, {'exp': 4000})
        >>> print(report)
        3.9 KiB held by 4 nodes
          bytes  line ...module  op
        3.9 KiB  <doctest ...>:1 in <module> ...exp

    Raises:
        TypeError: `t` is no tensor.
    """
    if not isinstance(t, Tensor):
        raise TypeError(f"memory_report: expected a Tensor; got {type(t).__name__}")
    roots = [node for part in parts_of(t) if (node := history(part)) is not None]
    nodes = list(dict.fromkeys(n for root in roots for n in nodes_below(root)))
    own = {id(_storage(n._array)) for n in nodes if type(n) is AccumulateGrad}
    owners = owners_of([n for n in nodes if type(n) is AccumulateGrad])
    seen: set[int] = set()
    holdings, lost = [], 0
    for node in sorted(nodes, key=lambda n: n.seq):
        for what, value in _saved(node):
            array = getattr(value.value, "_array", value.value) if isinstance(value, Packed) else value
            storage = _storage(array)
            if storage is None:
                lost += array is not None and not isinstance(array, np.ndarray)
            elif id(storage) not in seen:
                seen.add(id(storage))
                holdings.append(
                    Holding(
                        storage.nbytes, node.where(), _module_of(node, owners), op_name(node), what,
                        array.shape, str(array.dtype), id(storage) in own,
                    )
                )  # fmt: skip
    return MemoryReport(tuple(holdings), len(nodes), sum(n.freed for n in nodes), lost)


def _saved(node: Any) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) of what a node keeps: an array, or something else where it cannot be counted."""
    if node.op is not None:
        for name in saved_names(node.op):
            if getattr(node, f"saved_{name}_of", None) is UNSHARED:
                continue  # a number of the program's: the array that stands for it is everybody's
            yield from ((name, v) for v in _flat(getattr(node, f"saved_{name}", None)) if _is_memory(v))
        return
    if type(node) is AccumulateGrad:
        return
    for name, value in _attributes(node):
        for item in _flat(value):
            if isinstance(item, Kept):
                yield name, item.array if item.packed is None else item.packed
            elif isinstance(item, Tensor):
                yield name, item._array
            elif _is_memory(item):
                yield name, item


def _attributes(node: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a node that belongs to no op has of its own: a Function's, or a compiled call's."""
    for cls in type(node).__mro__[: type(node).__mro__.index(Node)]:
        for name in cls.__dict__.get("__slots__", ()):
            if not name.startswith("__"):
                yield name, getattr(node, name, None)
    yield from getattr(node, "__dict__", {}).items()


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def _is_memory(value: Any) -> bool:
    return isinstance(value, (np.ndarray, Packed))


def _storage(array: Any) -> Any:
    """Return the array that owns an array's memory; None for what is no array."""
    if type(array) is not np.ndarray:  # Absent, on the device meta, has no memory
        return None
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


# ---- modules ----


_MOST = 100_000
"""How many beginnings and ends of calls are remembered: graphs older than that have lost their modules."""


class _Calls:
    """The calls of modules, as intervals of the clock that numbers nodes."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.paths: list[str] = []

    def mark(self, path: str) -> None:
        """Note that from now on the innermost module being called is the one at `path`."""
        if len(self.starts) >= _MOST:
            del self.starts[: _MOST // 2], self.paths[: _MOST // 2]
        self.starts.append(next(clock))
        self.paths.append(path)

    def path_at(self, seq: int) -> str:
        """Return the path of the module whose forward made the node of this number."""
        i = bisect_right(self.starts, seq) - 1
        return self.paths[i] if i >= 0 else ""


calls = _Calls()


@contextmanager
def module_paths(model: Any) -> Iterator[None]:
    """Note, within, in which of a model's modules each node is made, for `memory_report` to tell.

    The modules note when their forwards begin and end; nothing is added to what they compute, and nothing at
    all outside of this context. What other threads record meanwhile is taken for the model's.

    Example:
        >>> import retrograd as torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Tanh())
        >>> with torch.autograd.graph.module_paths(model):
        ...     y = model(torch.ones(4, 8)).sum()
        >>> torch.autograd.graph.memory_report(y).by("module")
        {'0': 128, '1': 128}

    Raises:
        TypeError: `model` is no module.
    """
    if not hasattr(model, "named_modules") or not hasattr(model, "register_forward_pre_hook"):
        raise TypeError(f"module_paths: expected an nn.Module; got {type(model).__name__}")
    stack: list[str] = [""]
    handles: list[Any] = []
    for name, module in model.named_modules():
        path = name or type(module).__name__

        def enter(_module: Any, _args: Any, path: str = path) -> None:
            stack.append(path)
            calls.mark(path)

        def leave(_module: Any, _args: Any, _result: Any) -> None:
            stack.pop()
            calls.mark(stack[-1])

        handles.append(module.register_forward_pre_hook(enter, prepend=True))
        handles.append(module.register_forward_hook(leave, always_call=True))
    try:
        yield
    finally:
        calls.mark("")
        for handle in handles:
            handle.remove()


def _module_of(node: Node, owners: dict[Any, str]) -> str:
    path = calls.path_at(node.seq)
    if path:
        return path
    used = (owners[e] for e in node.edges if e in owners)
    return next(used, "").rpartition(".")[0]
