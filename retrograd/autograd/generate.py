"""Writing an op's straight-line functions from its declaration, at their first call.

What users call is at first a stub. Its first call writes the source of the common case (floating operands of
one dtype, nobody intercepting), compiles it, and swaps the stub's code for it, so that every reference to the
function is served. Whatever is uncommon goes to `general`. The source is registered with linecache: a
debugger steps into it.
"""

from __future__ import annotations

import builtins
import inspect
import linecache
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from retrograd.autograd.dispatch import general, operator, return_type, write_out
from retrograd.autograd.graph import FREED, UNSHARED, Metas, Output, Version, clock
from retrograd.autograd.inplace import inplace
from retrograd.autograd.large import Backward, forward, is_asleep, limit, when_noticed
from retrograd.autograd.modes import local, modes, process
from retrograd.autograd.pull import fit, pull, with_history
from retrograd.autograd.record import named_node_class
from retrograd.autograd.source_call import composite_source, dispatch_source
from retrograd.autograd.source_pull import pullback_source
from retrograd.autograd.source_write import write_source
from retrograd.autograd.views import Meta, cut_in
from retrograd.autograd.where import library, outside, seen
from retrograd.errors import DeclarationError
from retrograd.ops.declare import Op
from retrograd.ops.numbers import double, single
from retrograd.tensor import Tensor

_SHARED: dict[str, Any] = {
    "__builtins__": builtins, "__name__": "retrograd.generated", "FREED": FREED, "Meta": Meta, "Metas": Metas,
    "Output": Output, "Tensor": Tensor, "UNSHARED": UNSHARED, "Version": Version, "asarray": np.asarray,
    "copyto": np.copyto, "cut_in": cut_in, "double": double, "inplace": inplace, "clock": clock, "fit": fit,
    "float32": np.dtype(np.float32), "float64": np.dtype(np.float64), "general": general,
    "getframe": sys._getframe, "library": library, "local": local, "modes": modes, "ndarray": np.ndarray,
    "new": object.__new__, "operator": operator, "outside": outside, "process": process, "pull": pull,
    "seen": seen, "single": single, "with_history": with_history, "write_out": write_out,
}  # fmt: skip

_LOCALS = {"_dtype", "base", "cell", "code", "cut", "frame", "item", "made", "meta", "node", "out", "result"}
"""What generated code calls its own local variables."""


def function(op: Op, *, dunder: bool = False) -> Callable[..., Any]:
    """Return the function that runs an op; `dunder` ones, Python's operators, may answer NotImplemented."""
    name = f"__{op.name}__" if dunder else op.torch_name
    made = _lazy(op, name, lambda: dispatch_source(op, dunder))
    made.__doc__ = op.doc
    made.__dict__["op"] = op
    return made


def composite_function(op: Op) -> Callable[..., Any]:
    """Return the function that users call for a composite: its definition, which may be given an `out=`."""
    takes_any = op.definition.__code__.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)
    if not op.out or takes_any:
        return op.definition
    made = _lazy(op, op.torch_name, lambda: composite_source(op))
    made.__doc__ = op.doc
    made.__dict__["op"] = op
    return made


def in_place_function(op: Op) -> Callable[..., Any]:
    """Return `op_`: the function that writes an op's result into its first argument and returns that."""
    made = _lazy(op, f"{op.torch_name}_", lambda: write_source(op))
    made.__doc__ = (
        f"Do `{op.torch_name}` in place: write the result into `input` and return that.\n\n{op.doc}"
    )
    return made


def _lazy(op: Op, name: str, source: Callable[[], str]) -> FunctionType:
    """Return a function that gets its code, and the names that its code uses, at its first call."""
    namespace: dict[str, Any] = {}

    def specialise() -> None:
        namespace.update(_SHARED, **_namespace(op))
        _check_names(op, namespace)
        written = _compile(source(), f"<retrograd {name}>", namespace, "dispatch")
        made.__code__ = written.__code__
        made.__defaults__ = written.__defaults__
        made.__kwdefaults__ = written.__kwdefaults__
        if is_asleep(op):
            when_noticed(specialise)

    made = FunctionType(_stub.__code__, namespace, name)
    made.__qualname__ = name  # what Python's own errors about arguments call it
    namespace.update(specialise=specialise, made=made)
    return made


def _stub(*args: Any, **kwargs: Any) -> Any:
    specialise()  # type: ignore[name-defined] # noqa: F821 - in the namespace that `_lazy` gives it
    return made(*args, **kwargs)  # type: ignore[name-defined] # noqa: F821


def write_pullback(cls: Any, *, recorded: bool = False) -> Callable[..., Any]:
    """Return the straight-line pullback of a node class, or the one whose rules are recorded."""
    op: Op = cls.op
    file = f"<retrograd {cls.__name__}.pullback{'_recorded' if recorded else ''}>"
    source = pullback_source(op, recorded)
    made: Callable[..., Any] = _compile(source, file, _namespace(op) | _SHARED, "pullback")
    if is_asleep(op) and not recorded:
        when_noticed(lambda: setattr(cls, "pullback", write_pullback(cls)))
    return made


def _namespace(op: Op) -> dict[str, Any]:
    found: dict[str, Any] = {"op": op, "definition": op.definition, "kernel_": op.kernel}
    if limit(op) is not None:
        found.update(limit=limit(op), large=forward(op), large_rules=Backward(op))
    found.update({f"{name}_rule": rule for name, rule in op.rules.items()})
    found.update({f"default_{p.name}": p.default for p in op.parameters if not p.is_required})
    if op.outputs and op.outputs != ("*",):
        found["return_type"] = return_type(op)
    if callable(op.node):
        found["node_name"] = op.node
        found["node_classes"] = _Classes(op)
    elif op.node:
        found["node_class"] = named_node_class(op, op.node)
    return found


class _Classes(dict[str, Any]):
    """Node classes of an op by name, made as they are asked for."""

    def __init__(self, op: Op) -> None:
        super().__init__()
        self.op = op

    def __missing__(self, name: str) -> Any:
        found = self[name] = named_node_class(self.op, name)
        return found


def _check_names(op: Op, namespace: dict[str, Any]) -> None:
    """Refuse a parameter whose name the generated code uses for something else."""
    taken = (set(namespace) | _LOCALS) & {p.name for p in op.parameters}
    if taken:
        raise DeclarationError(
            f"op {op.name}: generated code needs the names {sorted(taken)} of its parameters"
        )


def _compile(source: str, filename: str, namespace: dict[str, Any], name: str) -> Any:
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    exec(compile(source, filename, "exec"), namespace)  # noqa: S102 - our own text, written above
    return namespace[name]
