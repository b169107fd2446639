"""The Python state around a function: what it can reach, whether a trace changed it, and what is guarded.

Before a function is traced, `Reach` walks what it can reach: the variables of its closure, the global
variables that its code names, the attributes it names of the objects in them, containers. That finds the
tensors, and is a picture of the state (pictures.py), to be compared with afterwards: a compiled program could
not repeat a change.

After the trace it is known which code ran. What that code names is guarded (see `guarded`).
"""

from __future__ import annotations

import enum
import functools
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retrograd import devices, dtypes
from retrograd.compiler.code import Reads, is_users, nested, reads
from retrograd.compiler.pictures import Picture, RandomPicture
from retrograd.errors import UntraceableError
from retrograd.nn.module import Module
from retrograd.nn.module_hooks import HookProtocol, everywhere
from retrograd.optim.lr_scheduler.base import LRScheduler
from retrograd.optim.optimizer import Optimizer
from retrograd.random import Generator
from retrograd.tensor import Tensor

CONSTANTS = (
    type(None), bool, int, float, complex, str, bytes, range, slice, type(...), np.generic, np.dtype,
    dtypes.dtype, devices.device, devices.layout, devices.memory_format, enum.Enum,
)  # fmt: skip
CONTAINERS = (list, tuple, dict, set, frozenset, deque, bytearray)
_MANY = 4096  # items of a container, above which they are not walked one by one
_MOST = 50_000  # objects that are walked


@dataclass(slots=True)
class Edge:
    """A step from one piece of state to another: the content of a cell, an item of a dictionary."""

    holder: Any  # the cell, dictionary, or object with slots; None for what cannot change by itself
    key: Any
    value: Any
    path: str


@dataclass(slots=True)
class Guarded:
    """What must stay as it is for a trace to be valid."""

    steps: list[Edge] = field(default_factory=list)
    of_modules: list[Edge] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)  # of containers
    tables: list[Picture] = field(default_factory=list)  # of modules: what is registered with them
    arrays: list[Any] = field(default_factory=list)  # NumPy's


class Reach:
    """What a function can reach."""

    def __init__(self, function: Callable[..., Any], arguments: Iterable[Any]) -> None:
        self.roots: list[Any] = [function, *arguments]
        self.tensors: list[Tensor] = []
        self.edges: dict[int, list[Edge]] = {}  # by id of what they lead from
        self.pictures: list[Any] = []
        self._kept: dict[int, Any] = {}  # so that ids stay theirs
        self._names: set[str] = set()  # that code which is reached asks of objects
        self._is_wild = False  # whether it may ask others
        self._made: set[int] = set()  # ids of classes that were found as those of objects
        self._waiting: dict[Any, list[Edge]] = {}  # steps not taken, by name
        for root in self.roots:
            self.walk(root, "")
        if "numpy.random" in sys.modules:
            self.pictures.append(RandomPicture(np.random.mtrand._rand._bit_generator))

    def walk(self, value: Any, path: str) -> None:
        """Look into a value, and all that is reached from it."""
        todo: list[Edge] = [Edge(None, None, value, path)]
        while todo and len(self._kept) < _MOST:
            edge = todo.pop()
            if id(edge.value) in self._kept or isinstance(edge.value, CONSTANTS):
                continue
            self._kept[id(edge.value)] = edge.value
            if edge.key == "class of an object":
                self._made.add(id(edge.value))
            found = self.edges[id(edge.value)] = list(self._steps(edge.value, edge.path))
            for step in reversed(found):
                if self._is_named(edge.value, step):
                    todo.append(step)
                else:
                    self._waiting.setdefault(step.key, []).append(step)
            if isinstance(edge.value, types.FunctionType):
                todo += self._learn(edge.value)

    def _is_named(self, value: Any, edge: Edge) -> bool:
        """Whether code that is reached names a step; no others are taken from the user's objects."""
        if edge.holder is None or self._is_wild or isinstance(value, (types.FunctionType, Module, Tensor)):
            return True
        if not users_class(value if isinstance(value, type) else type(value)):
            return True
        if edge.key in ("__init__", "__new__") and id(value) in self._made:
            return False  # its objects are there
        return edge.key in self._names or edge.key == "forward" or edge.key.startswith("__")

    def _learn(self, function: types.FunctionType) -> list[Edge]:
        """Take in the names in a function's code; return the steps that waited for one of them."""
        if not is_users(function.__code__.co_filename):
            return []
        named = reads(list(nested(function.__code__)))
        new = (named.attributes | named.methods) - self._names
        self._names |= new
        if named.is_wild and not self._is_wild:
            self._is_wild = True
            new = frozenset(self._waiting)
        return [edge for name in sorted(new) for edge in self._waiting.pop(name, ())]

    def _steps(self, value: Any, path: str) -> Iterable[Edge]:
        """Return the steps from a value, and take its picture if it can change."""
        if isinstance(value, Tensor):
            self.tensors.append(value)
            held = value.__dict__
            return [Edge(held, n, v, f"attribute '{n}' of a tensor") for n, v in held.items()]
        if isinstance(value, (np.ndarray, Generator, types.ModuleType)):
            return ()
        if type(value).__module__.startswith("numpy.random"):
            bits = getattr(value, "bit_generator", None) or getattr(value, "_bit_generator", value)
            self.pictures.append(RandomPicture(bits))
            return ()
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.MethodType):
            return _fixed(path, value.__self__, value.__func__)
        if isinstance(value, functools.partial):
            return _fixed(path, value.func, value.args, value.keywords)
        if isinstance(value, CONTAINERS):
            return self._items(value, path)
        if isinstance(value, Optimizer):
            return self._optimizer(value, path)
        if isinstance(value, type):
            return self._class(value)
        if hasattr(value, "__next__"):
            raise UntraceableError(
                f"an iterator is reached ({path or type(value).__name__}), which a trace would use up; take "
                "the items outside the function"
            )
        kind = type(value)
        if not users_class(kind) and not kind.__module__.startswith("retrograd"):
            return ()  # a lock, a path, a logger: the standard library's own affairs
        return self._object(value, path)

    def _function(self, function: types.FunctionType) -> list[Edge]:
        found = []
        inner = getattr(function, "_torchdynamo_orig_callable", None)
        if inner is not None:  # compiled itself: as part of another function it runs as it is
            return _fixed("", inner)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            path = f"variable '{name}'"
            picture = Picture(cell, path)
            if picture.is_there:
                found.append(Edge(cell, name, cell.cell_contents, path))
                self.pictures.append(picture)
        if not is_users(function.__code__.co_filename):
            return found + _fixed("", getattr(function, "__wrapped__", None))
        held = function.__globals__
        names = reads(list(nested(function.__code__))).globals
        self.pictures.append(Picture(held, "a global variable", names))
        found += [Edge(held, n, held[n], f"global variable '{n}'") for n in sorted(names) if n in held]
        defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
        return found + _fixed(
            f"a default of {function.__name__}", *defaults, getattr(function, "__wrapped__", None)
        )

    def _items(self, value: Any, path: str) -> list[Edge]:
        self.pictures.append(Picture(value, path or type(value).__name__))
        if len(value) > _MANY or isinstance(value, bytearray):
            return []
        return _fixed(path, *(value.values() if isinstance(value, dict) else value))

    def _optimizer(self, value: Optimizer, path: str) -> list[Edge]:
        for part in (value.__dict__, value.state, *value.state.values()):
            self.pictures.append(Picture(part, path, is_exempt=True))
        hooks = [*value._optimizer_step_pre_hooks.values(), *value._optimizer_step_post_hooks.values()]
        states = [t for state in value.state.values() for t in state.values()] if value.state else []
        return [
            Edge(value.__dict__, "param_groups", value.param_groups, path),
            *_fixed(path, *states, *hooks),
        ]

    def _class(self, value: type) -> list[Edge]:
        """Return the steps from a class of the user's; it is taken not to change while it is traced."""
        found = []
        for cls in value.__mro__:
            for name, part in vars(cls).items() if users_class(cls) else ():
                inner = part.__func__ if isinstance(part, (staticmethod, classmethod)) else part
                inner = inner.fget if isinstance(inner, property) else inner
                if not name.startswith("__") or isinstance(inner, types.FunctionType):
                    found.append(Edge(vars(cls), name, inner, f"attribute '{name}' of class {cls.__name__}"))
        return found

    def _object(self, value: Any, path: str) -> list[Edge]:
        kind = type(value)
        what = f"{path} ({kind.__name__})" if path else kind.__name__
        found = [Edge(None, "class of an object", kind, "")]
        attributes = getattr(value, "__dict__", None)
        if isinstance(value, Module) and (value._hooked or everywhere.hooked):
            for name, part in vars(HookProtocol).items():  # tables that are made when first asked for
                if isinstance(part, property):
                    getattr(value, name)
        if isinstance(attributes, dict):
            self.pictures.append(Picture(attributes, f"an attribute of {what}"))
            found += [Edge(attributes, n, v, f"attribute '{n}' of {what}") for n, v in attributes.items()]
        if users_class(kind):
            slots = {s for cls in kind.__mro__ for s in _names(getattr(cls, "__slots__", ()))}
            found += [
                Edge(value, s, getattr(value, s, None), f"attribute '{s}' of {what}")
                for s in sorted(slots - {"__dict__", "__weakref__"})
            ]
        return found

    def has(self, value: Any) -> bool:
        """Whether an object is reached."""
        return id(value) in self._kept

    # ---- after the trace ----

    def changed(self) -> str | None:
        """Return what of the state is not as it was; None if all is."""
        return next((p.path for p in self.pictures if not p.is_exempt and not p.holds()), None)

    def restore(self) -> None:
        """Put the state back as it was."""
        for picture in self.pictures:
            if not picture.holds():
                picture.restore()

    def guarded(self, codes: list[types.CodeType]) -> Guarded:
        """Return what must stay as it is.

        A step is guarded where code that ran names it: a variable of a closure that ran, a global variable,
        an attribute. A module's parts all are, except constants that only the user's code could read.
        """
        names = reads(codes)
        ran = {id(code) for code in codes}
        found = Guarded()
        used: dict[int, bool] = {}  # by id: whether it is one of a module's own tables
        todo = [(root, False) for root in self.roots]
        while todo:
            value, is_own = todo.pop()
            if id(value) in used or isinstance(value, CONSTANTS):
                continue
            used[id(value)] = is_own
            if isinstance(value, np.ndarray):
                found.arrays.append(value)
            if isinstance(value, types.ModuleType):
                self.edges[id(value)] = self._module_steps(value, names)
            for edge in (*self.edges.get(id(value), ()), *_shadows(value, names)):
                if not _is_read(value, edge, names, ran):
                    continue
                if id(edge.value) not in self._kept:
                    self.walk(edge.value, edge.path)
                is_module = isinstance(value, Module)
                todo.append((edge.value, is_own or (is_module and edge.key == "_names")))
                if edge.holder is not None and (
                    isinstance(edge.value, CONSTANTS) or not isinstance(value, type)
                ):
                    (found.of_modules if is_module else found.steps).append(edge)
        for picture in self.pictures:
            if isinstance(picture.holder, CONTAINERS) and not picture.is_fixed and id(picture.holder) in used:
                (found.tables if used[id(picture.holder)] else found.pictures).append(picture)
        return found

    def _module_steps(self, module: types.ModuleType, names: Reads) -> list[Edge]:
        if not is_users(getattr(module, "__file__", None) or "<frozen>"):
            return []
        held = vars(module)
        read = (names.attributes | names.methods) & held.keys()
        return [Edge(held, n, held[n], f"'{n}' of module {module.__name__}") for n in read]


def _shadows(value: Any, names: Reads) -> list[Edge]:
    """Return steps to attributes that an object has of its class, where it may get ones of its own."""
    attributes = getattr(value, "__dict__", None)
    if not isinstance(attributes, dict) or isinstance(value, (types.FunctionType, Optimizer, Tensor)):
        return []
    read = {n for n in names.attributes | names.methods if n not in attributes and hasattr(type(value), n)}
    if isinstance(value, Module) and "_hooked" not in attributes:
        read.add("_hooked")
    return [Edge(attributes, n, None, f"attribute '{n}' of {type(value).__name__}") for n in sorted(read)]


def _is_read(value: Any, edge: Edge, names: Reads, ran: set[int]) -> bool:
    """Whether code that ran reads the step from `value`."""
    if edge.holder is None or isinstance(value, types.ModuleType):
        return True
    if isinstance(value, types.FunctionType):
        if not isinstance(edge.holder, dict):
            return True
        return edge.key in names.globals and any(id(code) in ran for code in nested(value.__code__))
    if edge.key == "_non_persistent_buffers_set":
        return False
    if edge.value is None and isinstance(edge.holder, dict) and edge.key not in edge.holder:
        return True
    is_constant = isinstance(edge.value, CONSTANTS)
    is_named = (
        edge.key in names.attributes or names.is_wild or (edge.key in names.methods and not is_constant)
    )
    if isinstance(value, Module):
        return (
            is_named
            or not is_constant
            or edge.key.startswith("_")
            or edge.key == "training"
            or not users_class(type(value))
        )
    if isinstance(value, LRScheduler):
        return False
    return is_named


def _fixed(path: str, *values: Any) -> list[Edge]:
    return [Edge(None, None, v, path) for v in values if v is not None]


def _names(slots: Any) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(slots)


def users_class(cls: Any) -> bool:
    """Whether a class is defined in the user's program."""
    module = sys.modules.get(cls.__module__)
    if module is None or cls.__module__ == "builtins":
        return False
    file = getattr(module, "__file__", None)
    return cls.__module__ == "__main__" if file is None else is_users(file)
