"""The graph: nodes, the edges between them, and the leaves where gradients gather.

A node is one recorded call of an op. Its `edges` are the nodes of the op's inputs (None where no gradient
goes), and `pullback(ct)` turns the cotangent of its result into cotangents for those inputs. Every node has
exactly one
cotangent: where an op has several results, each result hangs on an `Output`, whose pullback is the injection
of that one result's cotangent into the tuple that the op's node takes.
"""

from __future__ import annotations

import itertools
import weakref
from collections import OrderedDict
from importlib import import_module
from types import CodeType
from typing import TYPE_CHECKING, Any, ClassVar

from retrograd.autograd import where
from retrograd.errors import FreedGraphError, ModifiedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from retrograd.ops.declare import Op

clock = itertools.count()
"""Numbers nodes in the order in which they are made: a node is always younger than its inputs."""

_SECOND_TIME = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have "
    "already been freed). Saved intermediate values of the graph are freed when you call .backward() or "
    "autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second time or "
    "if you need to access saved tensors after calling backward."
)


class _Anomaly:
    on = False
    check_nan = True
    check_forward = False


anomaly = _Anomaly()
"""Whether anomaly mode is on, for the whole process (see anomaly.py)."""


class Version:
    """How often some memory has been written to, shared by a tensor, its views and what is detached from it.

    `viewed` says that the memory has views. `rebased` counts the writes that changed the history of the
    tensor that owns the memory: a view whose `epoch` is behind has an outdated history of its own. `code` and
    `lasti` are the user's place of the last write.
    """

    __slots__ = ("code", "count", "lasti", "rebased", "viewed")

    count: int
    rebased: int
    viewed: bool
    code: CodeType | None
    lasti: int

    def bump(self) -> None:
        """Count one write, made where the user's program is now."""
        self.count += 1
        self.code, self.lasti = where.here()


def new_version() -> Version:
    """Return the cell of memory that nobody has written to.

    Version has no __init__: dispatch makes these by the million.
    """
    cell = Version()
    cell.count = 0
    cell.rebased = 0
    cell.viewed = False
    return cell


class Witness:
    """Stands for a tensor whose later writes matter to a node, without holding the tensor."""

    __slots__ = ("_cell", "made_by")

    def __init__(self, cell: Version | None = None, made_by: str = "") -> None:
        self._cell = cell
        self.made_by = made_by


UNSHARED = Witness()
"""The witness of values that nobody can write to: Python scalars and copies."""


class Metas(tuple[Any, ...]):  # noqa: SLOT001 - a tuple can have attributes, but not as slots
    """(shape, dtype) per edge, for a node that the straight-line pullbacks do not serve.

    Its rules run in another dtype than the op's operands have, its saved values are packed, or it is FREED.
    """

    compute: Any = None
    conjugate = False


FREED = Metas()
"""The `metas` of a node whose saved values were dropped."""


class Extras:
    """What few nodes have: hooks, metadata, and tensors that want to keep their gradient."""

    __slots__ = ("metadata", "post", "pre", "retain", "tensor")

    def __init__(self) -> None:
        self.metadata: dict[Any, Any] = {}
        self.tensor: OrderedDict[int, Any] = OrderedDict()
        self.pre: OrderedDict[int, Any] = OrderedDict()
        self.post: OrderedDict[int, Any] = OrderedDict()
        self.retain: list[Any] = []


class Node:
    """One recorded call of an op.

    Subclasses are made per op and named as torch names them (`MulBackward0`). They add a slot for each saved
    value.
    """

    __slots__ = ("__weakref__", "code", "edges", "extras", "lasti", "metas", "seq")

    op: ClassVar[Op | None] = None
    label: ClassVar[str | None] = None
    runs_without: ClassVar[bool] = False  # whether the pullback wants to run where no cotangent came
    edges: tuple[Any, ...]
    metas: Any
    extras: Extras | None
    seq: int
    code: CodeType | None
    lasti: int

    def pullback(self, ct: Any, keep: bool) -> tuple[Any, ...]:
        """Return the cotangents of the inputs, as arrays; free the saved values unless `keep`."""
        raise NotImplementedError

    def pullback_recorded(self, ct: Any, keep: bool) -> tuple[Any, ...]:
        """Return the cotangents of the inputs, as Tensors with a history of their own."""
        raise NotImplementedError

    # ---- torch's public surface of a node ----

    def __repr__(self) -> str:
        return f"<{type(self).__name__} object at {id(self):#x}>"

    def name(self) -> str:
        """Return the node's name."""
        return self.label or type(self).__name__

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """The nodes that this one's cotangents go to, each with the index of its result."""
        return tuple(
            (edge.edges[0], edge.index) if type(edge) is Output else (edge, 0) for edge in self.edges
        )

    @property
    def metadata(self) -> dict[Any, Any]:
        """A dictionary for the user's own use."""
        return self.more().metadata

    @property
    def freed(self) -> bool:
        """Whether the saved values were dropped."""
        return self.metas is FREED

    @property
    def requires_grad(self) -> bool:
        """Always true: what needs no gradient has no node."""
        return True

    def more(self) -> Extras:
        """Return the node's extras, made at the first call."""
        if self.extras is None:
            self.extras = Extras()
        return self.extras

    def register_hook(self, hook: Any) -> Any:
        """Call `hook(grad_inputs, grad_outputs)` after this node's pullback.

        What it returns replaces grad_inputs.
        """
        from retrograd.hooks import register  # noqa: PLC0415 - hooks.py needs this file

        return register(self.more().post, hook)

    def register_prehook(self, hook: Any) -> Any:
        """Call `hook(grad_outputs)` before this node's pullback; what it returns replaces grad_outputs."""
        from retrograd.hooks import register  # noqa: PLC0415 - hooks.py needs this file

        return register(self.more().pre, hook)

    def _sequence_nr(self) -> int:
        return self.seq

    def where(self) -> str:
        """Return the place in the user's program that made this node: `file:line in function`."""
        return where.describe(self.code, self.lasti)

    def stamp(self) -> None:
        """Number the node and note where the user's program is."""
        self.seq = next(clock)
        self.code, self.lasti = where.here()
        self.metas = self.extras = None
        if anomaly.on:
            from retrograd.autograd.anomaly import remember_stack  # noqa: PLC0415 - rare, and it needs this file

            remember_stack(self)


class Output(Node):
    """One result of an op that has several: injects its cotangent into the op's tuple of cotangents."""

    __slots__ = ("index", "total")

    def __init__(self, node: Node, index: int, total: int) -> None:
        self.edges = (node,)
        self.index = index
        self.total = total
        self.seq = next(clock)
        self.code, self.lasti = node.code, node.lasti
        self.metas = self.extras = None

    def pullback(self, ct: Any, keep: bool) -> tuple[Any, ...]:
        return (Cotangents([ct if i == self.index else None for i in range(self.total)]),)

    pullback_recorded = pullback


class Cotangents(tuple[Any, ...]):
    """The cotangent of a tuple: added element by element, None being zero."""

    __slots__ = ()

    def __add__(self, other: Any) -> Cotangents:
        return Cotangents(
            [b if a is None else a if b is None else a + b for a, b in zip(self, other, strict=True)]
        )


class AccumulateGrad(Node):
    """A leaf: adds the cotangents that reach it to the tensor's gradient.

    The node does not hold its tensor, the tensor holds the node; so a leaf is freed when the user drops it.
    While only the graph holds the node, `variable` makes a new handle on the same memory.
    """

    __slots__ = ("_array", "_cell", "_reference", "grad", "grad_dtype", "make", "post")
    label = "torch::autograd::AccumulateGrad"

    def __init__(self, tensor: Any) -> None:
        self.edges = ()
        self._reference = weakref.ref(tensor)
        self._array = tensor._array
        self._cell = tensor._cell
        self.make: Callable[[Any], Any] = type(tensor)._from_accumulator
        self.grad: Any = None
        self.grad_dtype: Any = True
        self.post: OrderedDict[int, Any] | None = None
        self.stamp()

    @property
    def variable(self) -> Any:
        """The leaf tensor."""
        tensor = self._reference()
        if tensor is None:
            tensor = self.make(self)
            self._reference = weakref.ref(tensor)
        return tensor


def raise_freed(node: Node) -> None:
    """Raise the error of a second backward, with the place where the node was made."""
    raise FreedGraphError(f"{_SECOND_TIME}\n[{node.name()}, recorded at {node.where()}, was freed]")


def raise_modified(
    node: Node | None, saved: Any, shape: Any, dtype: Any, expected: int, what: str = ""
) -> None:
    """Raise the error of a saved value that was written to, with both places (the engine adds the node)."""
    cell = saved._cell
    hint = (
        "the backtrace further above shows the operation that failed to compute its gradient. The variable "
        "in question was changed in there or anywhere later. Good luck!"
        if anomaly.on
        else "enable anomaly detection to find the operation that failed to compute its gradient, with "
        "torch.autograd.set_detect_anomaly(True, check_nan=False)."
    )
    raise ModifiedError(
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        f"[{dtype.tensor_type} {list(shape)}]{what} is at version {cell.count}; expected version {expected} "
        f"instead. Hint: {hint}\n["
        f"{'' if node is None else f'saved by {node.name()} at {node.where()}; '}"
        f"last written to at {where.describe(cell.code, cell.lasti)}]"
    )


_TOOLS = {
    "GradientEdge": "calls", "allow_mutation_on_saved_tensors": "mutation", "break_on": "watch",
    "disable_saved_tensors_hooks": "saved_hooks", "explain_nan": "explain",
    "get_gradient_edge": "graph_api", "increment_version": "graph_api", "memory_report": "memory",
    "module_paths": "memory", "nan_safe": "nan_safe", "register_multi_grad_hook": "graph_api",
    "save_on_cpu": "saved_hooks", "saved_tensors_hooks": "saved_hooks",
    "set_exact_mutation_check": "mutation", "trace_cuts": "why", "why_no_grad": "why",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Give torch.autograd.graph its tools, which are made of more than this file may know."""
    if name not in _TOOLS:
        raise AttributeError(f"module 'torch.autograd.graph' has no attribute '{name}'")
    return getattr(import_module(f"retrograd.autograd.{_TOOLS[name]}"), name)
