"""Writing an op's straight-line functions from its declaration, at their first call.

What users call is at first a stub. Its first call writes the source of the common case (floating operands of one
dtype, nobody intercepting), compiles it, and swaps the stub's code for it, so that every reference to the function
is served. Whatever is uncommon goes to `general`. The source is registered with linecache: a debugger steps into it.
"""

from __future__ import annotations

import builtins
import linecache
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from retrograd.autograd.dispatch import as_view, general, operator
from retrograd.autograd.graph import UNSHARED, Version, clock
from retrograd.autograd.modes import local, modes
from retrograd.autograd.pull import fit, pull
from retrograd.autograd.record import Metas, named_node_class, saved_names
from retrograd.autograd.where import library, outside, seen
from retrograd.ops.declare import Op, Parameter
from retrograd.tensor import Tensor

_SHARED: dict[str, Any] = {
    "__builtins__": builtins, "__name__": "retrograd.generated", "Metas": Metas, "Tensor": Tensor,
    "UNSHARED": UNSHARED, "Version": Version, "as_view": as_view, "asarray": np.asarray, "clock": clock, "fit": fit,
    "float32": np.dtype(np.float32), "float64": np.dtype(np.float64), "general": general, "getframe": sys._getframe,
    "library": library, "local": local, "modes": modes, "ndarray": np.ndarray, "new": object.__new__,
    "operator": operator, "outside": outside, "pull": pull, "seen": seen,
}  # fmt: skip
_LITERALS = (type(None), bool, int, float, str)


def function(op: Op, *, dunder: bool = False) -> Callable[..., Any]:
    """Return the function that runs an op; `dunder` for Python's operators, which may answer NotImplemented."""
    namespace = dict(_SHARED)
    name = f"__{op.name}__" if dunder else op.torch_name

    def specialise() -> None:
        written = _compile(_dispatch_source(op, dunder), f"<retrograd {name}>", namespace, "dispatch")
        made.__code__ = written.__code__
        made.__defaults__ = written.__defaults__
        made.__kwdefaults__ = written.__kwdefaults__

    made = FunctionType(_stub.__code__, namespace, name)
    made.__doc__ = op.doc
    made.__qualname__ = name
    namespace.update(_namespace(op), specialise=specialise, made=made)
    made.__dict__["op"] = op
    return made


def _stub(*args: Any, **kwargs: Any) -> Any:
    specialise()  # type: ignore[name-defined] # noqa: F821 - in the namespace that `function` gives it
    return made(*args, **kwargs)  # type: ignore[name-defined] # noqa: F821


def write_pullback(cls: Any) -> Callable[..., Any]:
    """Return the straight-line pullback of a node class."""
    op: Op = cls.op
    return _compile(
        _pullback_source(op), f"<retrograd {cls.__name__}.pullback>", _namespace(op) | _SHARED, "pullback"
    )


def _namespace(op: Op) -> dict[str, Any]:
    found: dict[str, Any] = {"op": op, "definition": op.definition, "kernel": op.kernel}
    found.update({f"{name}_rule": rule for name, rule in op.rules.items()})
    found.update({f"default_{p.name}": p.default for p in op.parameters if not p.is_required})
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


def _compile(source: str, filename: str, namespace: dict[str, Any], name: str) -> Any:
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    exec(compile(source, filename, "exec"), namespace)  # noqa: S102 - our own text, written above
    return namespace[name]


# ---- the dispatching function ----


def _dispatch_source(op: Op, dunder: bool) -> str:
    """Return the source of the function that users call."""
    out = op.out and not dunder
    names = ", ".join(_default(p) if dunder and p.keyword_only else p.name for p in op.parameters) + ","
    fall = f"operator(op, ({names}))" if dunder else f"general(op, ({names}))"
    lines = [f"def dispatch({_signature(op, out, dunder)}):"]
    tensors = [p for p in op.parameters if not p.is_static]
    if op.outputs or not tensors or any(p.kind == "tensors" for p in tensors):
        lines.append(f"    return general(op, ({names}), out)" if out else f"    return {fall}")
        return "\n".join(lines) + "\n"
    if out:
        lines += ["    if out is not None:", f"        return general(op, ({names}), out)"]
    lines += ["    if modes.special and local.careful:", f"        return {fall}"]
    for position, parameter in enumerate(tensors):
        lines += _unwrap_lines(op, parameter, position, fall)
    lines += _compute_lines(op, dunder)
    recorded = [p for p in tensors if p.name in op.rules]
    if not recorded:
        return (
            "\n".join([*lines, "    made._cell = made._node = None", *_view_lines(op), "    return made"])
            + "\n"
        )
    idle = " and ".join(f"{p.name}_node is None" for p in recorded)
    if len(recorded) > 1:
        idle = f"({idle})"
    lines += [
        f"    if {idle} or (modes.special and not local.grad):",
        "        made._cell = made._node = None",
        *[f"    {line}" for line in _view_lines(op)],
        "        return made",
        *_record_lines(op, recorded, dunder),
        *_view_lines(op),
        "    return made",
    ]
    return "\n".join(lines) + "\n"


def _signature(op: Op, out: bool, dunder: bool) -> str:
    parts: list[str] = []
    starred = False
    for p in op.parameters:
        if dunder and p.keyword_only:
            continue
        if p.keyword_only and not starred:
            parts.append("*")
            starred = True
        parts.append(p.name if p.is_required else f"{p.name}={_default(p)}")
    if out:
        parts += ["out=None"] if starred else ["*", "out=None"]
    return ", ".join(parts)


def _default(parameter: Parameter) -> str:
    return (
        repr(parameter.default) if isinstance(parameter.default, _LITERALS) else f"default_{parameter.name}"
    )


def _unwrap_lines(op: Op, parameter: Parameter, position: int, fall: str) -> list[str]:
    """Unwrap one operand; give up on whatever is not the common case."""
    x = parameter.name
    take = [f"{x}_ = {x}._array", f"{x}_cell = {x}._cell", f"{x}_node = {x}._node"]
    stale = [f"    if {x}_cell is not None and {x}_cell.rebased:", f"        return {fall}"]
    if parameter.kind == "operand" and position > 0:
        return _operand_lines(op, x, take, stale, fall)
    typed = op.promote != "none" and parameter.kind not in ("plain", "plain?")
    check: list[str] = []
    if typed and position == 0:
        check = [
            f"    dtype = {x}_.dtype",
            "    if dtype is not float32 and dtype is not float64:",
            f"        return {fall}",
        ]
    elif typed:
        check = [f"    if {x}_.dtype is not dtype:", f"        return {fall}"]
    absent = [f"{x}_ = {x}_cell = {x}_node = None"]
    if parameter.kind in ("optional", "operand?", "plain?"):
        body = [
            "try:",
            *_in(take),
            "except AttributeError:",
            f"    return {fall}",
            *[c[4:] for c in check + stale],
        ]
        return [f"    if {x} is None:", *_in(_in(absent)), "    else:", *_in(_in(body))]
    return [*_in(["try:", *_in(take), "except AttributeError:", f"    return {fall}"]), *check, *stale]


def _operand_lines(op: Op, x: str, take: list[str], stale: list[str], fall: str) -> list[str]:
    """Unwrap an operand that may be a Python number."""
    check = [f"    if {x}_.dtype is not dtype:", f"        return {fall}"] if op.promote != "none" else []
    return [
        f"    if {x}.__class__ is float or {x}.__class__ is int:",
        f"        {x}_ = {x}",
        f"        {x}_cell = {x}_node = None",
        "    else:",
        *_in(_in(["try:", *_in(take), "except AttributeError:", f"    return {fall}"])),
        *_in(check),
        *_in(stale),
    ]


def _in(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


_SYMBOLS = {np.add: "+", np.subtract: "-", np.multiply: "*", np.true_divide: "/"}


def _compute_lines(op: Op, dunder: bool) -> list[str]:
    operands = [f"{p.name}_" for p in op.parameters if not p.is_static]
    statics = [p for p in op.parameters if p.is_static and not (dunder and p.keyword_only)]
    passed = ", ".join(
        (f"{p.name}=" if p.keyword_only else "") + (p.name if p.is_static else f"{p.name}_")
        for p in op.parameters
        if not (dunder and p.keyword_only)
    )
    compute = f"definition({passed})"
    if op.kernel is not None:
        call = f"kernel({', '.join(operands)})"
        if op.kernel in _SYMBOLS:
            call = f" {_SYMBOLS[op.kernel]} ".join(operands)
        usual = " and ".join(
            f"{p.name} {'is' if p.default is None or isinstance(p.default, bool) else '=='} {_default(p)}"
            for p in statics
        )
        compute = f"{call} if {usual} else {compute}" if usual else call
    return [
        f"    result = {compute}",
        "    if result.__class__ is not ndarray:",
        "        result = asarray(result)",
        "    made = new(Tensor)",
        "    made._array = result",
        "    made._meta = None",
    ]


def _view_lines(op: Op) -> list[str]:
    first = next(p.name for p in op.parameters if not p.is_static)
    return [f"    as_view(made, {first})"] if op.view else []


def _record_lines(op: Op, recorded: list[Parameter], dunder: bool) -> list[str]:
    lines: list[str] = []
    if callable(op.node):
        code = op.node.__code__
        wanted = ", ".join(code.co_varnames[: code.co_argcount])
        lines.append(f"    node = node_classes[node_name({wanted})]()")
    else:
        lines.append("    node = node_class()")
    lines.append(f"    node.edges = ({', '.join(f'{p.name}_node' for p in recorded)},)")
    lines.append(f"    node.metas = {_metas_expression(op, recorded)}")
    lines += _save_lines(op, recorded, dunder)
    return [
        *lines,
        "    node.extras = None",
        "    node.freed = False",
        "    node.seq = next(clock)",
        "    frame = getframe(1)",
        "    code = frame.f_code",
        "    if code is not seen.code:",
        "        if library[code.co_filename]:",
        "            frame = outside(frame)",
        "            code = frame.f_code",
        "        seen.code = code",
        "    node.code = code",
        "    node.lasti = frame.f_lasti",
        "    made._node = node",
    ]


def _metas_expression(op: Op, recorded: list[Parameter]) -> str:
    if op.exact or len([p for p in op.parameters if not p.is_static]) == 1:
        return "None"
    shapes = [
        f"(({p.name}_.shape, dtype) if {p.name}_.__class__ is ndarray else None)"
        if p.kind != "tensor"
        else f"({p.name}_.shape, dtype)"
        for p in recorded
    ]
    operands = [p for p in op.parameters if not p.is_static]
    if len(operands) == 2 and len(recorded) == 2:
        first, second = (p.name for p in operands)
        same = f"{second}_.__class__ is not ndarray or {first}_.shape == {second}_.shape"
    else:
        same = " and ".join(
            f"({p.name}_.__class__ is not ndarray or {p.name}_.shape == result.shape)" for p in recorded
        )
    return f"None if {same} else ({', '.join(shapes)},)"


def _save_lines(op: Op, recorded: list[Parameter], dunder: bool) -> list[str]:
    lines: list[str] = []
    static = {p.name for p in op.parameters if p.is_static}
    tensors = {p.name for p in op.parameters if not p.is_static}
    for name in saved_names(op):
        users = [p.name for p in recorded if name in op.needs[p.name]]
        body: list[str] = []
        if name == "result":
            body = [
                "cell = Version()", "cell.count = cell.rebased = 0", "cell.viewed = False", "node.saved_result = result",
                "node.saved_result_cell = cell", "node.saved_result_version = 0",
            ]  # fmt: skip
        elif name in static:
            fixed = dunder and next(p for p in op.parameters if p.name == name).keyword_only
            value = _default(op.parameters[op.index(name)]) if fixed else name
            lines.append(f"    node.saved_{name} = {value}")
            continue
        elif name in tensors:
            body = [
                f"node.saved_{name} = {name}_",
                f"node.saved_{name}_of = {name} if {name}_.__class__ is ndarray else UNSHARED",
                f"node.saved_{name}_version = 0 if {name}_cell is None else {name}_cell.count",
            ]
        else:
            owner, _, what = name.rpartition("_")
            lines.append(f"    node.saved_{name} = {owner}_.{what}")
            continue
        if len(users) == len(recorded):
            lines += _in(body)
        else:
            lines += [f"    if {' or '.join(f'{u}_node is not None' for u in users)}:", *_in(_in(body))]
    has_result = "result" in saved_names(op)
    if not has_result:
        return [*lines, "    made._cell = None"]
    if len([p for p in recorded if "result" in op.needs[p.name]]) != len(recorded):
        lines.insert(0, "    cell = None")
    return [*lines, "    made._cell = cell"]


# ---- the pullback ----


def _pullback_source(op: Op) -> str:
    """Return the source of a node class's pullback: check what was saved, run the rules, free."""
    if op.outputs or any(p.kind == "tensors" for p in op.parameters):
        return "def pullback(node, ct, keep):\n    return pull(node, ct, keep, False)\n"
    recorded = [p.name for p in op.parameters if p.name in op.rules]
    tensors = {p.name for p in op.parameters if not p.is_static}
    lines = [
        "def pullback(node, ct, keep):",
        "    metas = node.metas",
        "    if node.freed or metas.__class__ is Metas:",
        "        return pull(node, ct, keep, False)",
        f"    {', '.join(f'{x}_node' for x in recorded)}, = node.edges",
    ]
    for position, x in enumerate(recorded):
        lines += [f"    {x}_ct = None", f"    if {x}_node is not None:"]
        for name in op.needs[x]:
            if name == "ct":
                continue
            lines.append(f"        {name} = node.saved_{name}")
            if name == "result":
                lines.append("        if node.saved_result_cell.count != node.saved_result_version:")
            elif name in tensors:
                lines.append(f"        cell = node.saved_{name}_of._cell")
                lines.append(f"        if cell is not None and cell.count != node.saved_{name}_version:")
            else:
                continue
            lines.append("            return pull(node, ct, keep, False)")
        lines.append(f"        {x}_ct = {x}_rule({', '.join(op.needs[x])})")
        lines.append(f"        if metas is not None and {x}_ct is not None:")
        lines.append(f"            {x}_ct = fit({x}_ct, metas[{position}])")
    kept = [n for n in saved_names(op) if n == "result" or n in tensors]
    if kept:
        slots = " = ".join(f"node.saved_{n}" for n in kept)
        owners = " = ".join(f"node.saved_{n}_cell" if n == "result" else f"node.saved_{n}_of" for n in kept)
        lines += ["    if not keep:", f"        {slots} = {owners} = None", "        node.freed = True"]
    lines.append(f"    return {', '.join(f'{x}_ct' for x in recorded)},")
    return "\n".join(lines) + "\n"
