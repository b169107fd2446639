"""Recording: the node of a call, its class, and what it saves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrograd.autograd.graph import Metas, Node, Output, raise_freed
from retrograd.autograd.modes import local, modes
from retrograd.autograd.promote import NARROW
from retrograd.ops.declare import Op
from retrograd.ops.helpers import ARRAYS
from retrograd.tensor import Tensor, history


def record(
    op: Op, args: tuple[Any, ...], tensors: list[Tensor], values: list[Any], handles: list[Any], compute: Any
) -> None:
    """Make the node and hang the results on it, if an input requires grad."""
    edges: list[Any] = []
    metas: list[Any] = []
    needed: list[str] = []
    for parameter, value, handle in zip(op.parameters, values, handles, strict=True):
        if parameter.name not in op.rules:
            continue
        items = list(zip(value, handle, strict=True)) if isinstance(handle, list) else [(value, handle)]
        found = [history(h) if isinstance(h, Tensor) else None for _, h in items]
        edges += found
        metas += [(v.shape, v.dtype) if isinstance(v, ARRAYS) else ((), None) for v, _ in items]
        if any(n is not None for n in found):
            needed.append(parameter.name)
    results = [t for i, t in enumerate(tensors) if op.outputs == ("*",) or i in op.differentiable_outputs]
    results = [t for t in results if t._array.dtype.kind in "fcV" or t._array.dtype in NARROW]
    if not needed or not results:
        return
    node = node_class(op, args)()
    node.stamp()
    node.edges = tuple(edges)
    node.metas = _metas(op, metas, tensors, compute)
    save(op, node, needed, values, handles, tensors)
    if modes.special and local.saved_hooks:
        _pack(op, node)
    if len(results) == 1 and op.outputs != ("*",):
        results[0]._node = node
    else:
        for i, tensor in enumerate(results):
            tensor._node = Output(node, i, len(results))


def _metas(op: Op, metas: list[Any], tensors: list[Tensor], compute: Any) -> Any:
    """Return what the pullback must restore per edge, or None if the rules give it as it is."""
    dtype, shape = tensors[0]._array.dtype, tensors[0]._array.shape
    mixed = any(d is not None and d != dtype for _, d in metas) or (compute is not None and compute != dtype)
    is_complex = dtype.kind == "c" or any(d is not None and d.kind == "c" for _, d in metas)
    if op.promote == "none" and not is_complex:
        is_single = len([p for p in op.parameters if not p.is_static]) == 1
        return (
            None if op.exact or is_single or all(s == shape or d is None for s, d in metas) else tuple(metas)
        )
    if not mixed and not is_complex:
        if op.exact or all(s == shape or d is None for s, d in metas):
            return None
        return tuple(metas)
    special = Metas(metas)
    special.compute = None if op.promote in ("none", "bool") else compute
    special.conjugate = is_complex and op.holomorphic
    return special


def _pack(op: Op, node: Node) -> None:
    from retrograd.autograd.saved_hooks import pack_saved  # noqa: PLC0415 - rare

    edges = dict(zip([p.name for p in op.parameters if p.name in op.rules], node.edges, strict=False))
    edges["result"] = node
    pack_saved(node, saved_names(op), edges)
    read_aloud(node)


def read_aloud(node: Any) -> None:
    """Make a node's pullback the readable one, which unpacks what hooks have packed."""
    if not isinstance(node.metas, Metas):
        node.metas = Metas(node.metas if node.metas is not None else [None] * len(node.edges))


def save(
    op: Op, node: Node, needed: list[str], values: list[Any], handles: list[Any], tensors: list[Tensor]
) -> None:
    """Keep on the node what the rules of the `needed` parameters name."""
    names = {n for parameter in needed for n in op.needs[parameter]}
    by_name = {p.name: i for i, p in enumerate(op.parameters)}
    for name in names - {"ct"}:
        if name == "result":
            _save_result(op, node, tensors)
        elif name not in by_name:
            parameter, _, what = name.rpartition("_")
            value = values[by_name[parameter]]
            items = (
                [getattr(v, what, None) for v in value]
                if isinstance(value, list)
                else getattr(value, what, ())
            )
            setattr(node, f"saved_{name}", items)
        else:
            i = by_name[name]
            setattr(node, f"saved_{name}", values[i])
            if op.parameters[i].is_static:
                continue
            several = isinstance(handles[i], list)
            owners = handles[i] if several else [handles[i]]
            for owner in owners:
                if isinstance(owner, Tensor) and owner._meta is not None and owner._meta.inference:
                    raise RuntimeError(INFERENCE_SAVED)
            versions = [0 if o._cell is None else o._cell.count for o in owners]
            setattr(node, f"saved_{name}_of", owners if several else owners[0])
            setattr(node, f"saved_{name}_version", versions if several else versions[0])


INFERENCE_SAVED = (
    "Inference tensors cannot be saved for backward. Please do not use Tensors created in inference mode in "
    "computation tracked by autograd. To work around this, you can make a clone to get a normal tensor and "
    "use it in autograd, or use `torch.no_grad()` instead of `torch.inference_mode()`."
)


def _save_result(op: Op, node: Any, tensors: list[Tensor]) -> None:
    cells = [t._version_cell() for t in tensors]
    if op.outputs:
        node.saved_result = tuple(t._array for t in tensors)
        node.saved_result_cell = cells
        node.saved_result_version = [c.count for c in cells]
    else:
        node.saved_result = tensors[0]._array
        node.saved_result_cell = cells[0]
        node.saved_result_version = cells[0].count


# ---- node classes ----

_CLASSES: dict[tuple[str, str], type[Node]] = {}


def node_class(op: Op, args: Sequence[Any]) -> type[Any]:
    """Return the node class of an op for these arguments."""
    return named_node_class(op, node_name(op, args))


def node_name(op: Op, args: Sequence[Any]) -> str:
    """Return the name of an op's node for these arguments."""
    name = op.node
    if callable(name):
        by_name = {p.name: a for p, a in zip(op.parameters, args, strict=True)}
        code = name.__code__
        name = name(*[by_name[n] for n in code.co_varnames[: code.co_argcount]])
    assert name is not None
    return name


def named_node_class(op: Op, name: str) -> type[Any]:
    """Return the op's node class of this name, made at the first call."""
    found = _CLASSES.get((op.name, name))
    if found is None:
        slots: list[str] = []
        for saved in saved_names(op):
            slots.append(f"saved_{saved}")
            if saved == "result":
                slots += ["saved_result_cell", "saved_result_version"]
            elif saved in {p.name for p in op.parameters if not p.is_static}:
                slots += [f"saved_{saved}_of", f"saved_{saved}_version"]
        body = {
            "__slots__": tuple(slots),
            "op": op,
            "__module__": "builtins",
            "pullback": _first_pullback,
            "pullback_recorded": _first_pullback_recorded,
            "__getattr__": _saved_attribute,
            "label": f"torch::autograd::{name}" if name in ("CopyBackwards", "CopySlices") else None,
        }
        found = _CLASSES[op.name, name] = type(name, (Node,), body)
    return found


def _first_pullback(node: Any, ct: Any, keep: bool) -> Any:
    """Write the class's own pullback, put it in this one's place, and run it."""
    from retrograd.autograd.generate import write_pullback  # noqa: PLC0415 - it needs this file

    cls = type(node)
    cls.pullback = write_pullback(cls)
    return cls.pullback(node, ct, keep)


def _first_pullback_recorded(node: Any, ct: Any, keep: bool) -> Any:
    """Do the same for the pullback whose rules are recorded."""
    from retrograd.autograd.generate import write_pullback  # noqa: PLC0415 - it needs this file

    cls = type(node)
    cls.pullback_recorded = write_pullback(cls, recorded=True)
    return cls.pullback_recorded(node, ct, keep)


def saved_names(op: Op) -> list[str]:
    """Return what some rule of the op names, besides the cotangent."""
    return sorted({n for names in op.needs.values() for n in names} - {"ct"})


def _saved_attribute(node: Any, name: str) -> Any:
    """Give `_saved_self`, `_raw_saved_self`, ...: what a node keeps, as tensors; None where it kept none."""
    is_raw = name.startswith("_raw_saved_")
    if is_raw or name.startswith("_saved_"):
        wanted = name.removeprefix("_raw").removeprefix("_saved_")
        wanted = "input" if wanted == "self" else wanted
        if wanted in saved_names(node.op):
            if is_raw:
                from retrograd.autograd.raw_saved import raw_saved  # noqa: PLC0415 - rare, it needs this file

                return raw_saved(node, wanted)
            if node.freed:
                raise_freed(node)
            from retrograd.autograd.pull import unpack  # noqa: PLC0415 - rare, and pull.py needs this file

            return unpack(node, wanted, recorded=True) if hasattr(node, f"saved_{wanted}") else None
    raise AttributeError(f"'{type(node).__name__}' object has no attribute '{name}'")
