"""Running a node's rules: the readable pullback, of which the generated ones are straight-line cases."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.autograd.graph import (
    FREED,
    AccumulateGrad,
    Metas,
    Output,
    Version,
    Witness,
    raise_freed,
    raise_modified,
)
from retrograd.autograd.modes import local
from retrograd.autograd.promote import PROMOTED
from retrograd.autograd.record import saved_names
from retrograd.autograd.saved_hooks import Packed
from retrograd.ops.declare import Op
from retrograd.ops.helpers import ARRAYS, unbroadcast
from retrograd.tensor import Tensor, history, wrap


def pull(node: Any, ct: Any, keep: bool, recorded: bool) -> tuple[Any, ...]:
    """Run the rules of a node: on arrays, or on Tensors that record when `recorded`."""
    op: Op = node.op
    if node.freed:
        raise_freed(node)
    metas = node.metas
    special = metas if isinstance(metas, Metas) else None
    values: dict[str, Any] = {"ct": _prepare(ct, special)}
    cts: list[Any] = []
    for parameter in op.parameters:
        if parameter.name not in op.rules:
            continue
        several = parameter.kind == "tensors"
        start = len(cts)
        width = _width(op, node) if several else 1
        if all(e is None for e in node.edges[start : start + width]):
            cts += [None] * width
            continue
        rule = op.rules[parameter.name]
        for name in op.needs[parameter.name]:
            if name not in values:
                values[name] = _cast_saved(op, name, unpack(node, name, recorded), special)
        found = rule(**{name: values[name] for name in op.needs[parameter.name]})
        if recorded and local.masking is not None:
            found = local.masking.after_rule(op, values["ct"], found)
        cts += list(found) if several else [found]
    if special is not None and special.conjugate:
        cts = [None if c is None else conjugate(c) for c in cts]
    if metas is not None:
        cts = [
            None if e is None or c is None else fit(c, m)
            for c, m, e in zip(cts, metas, node.edges, strict=True)
        ]
    if not keep:
        free(node)
    return tuple(cts)


def _width(op: Op, node: Any) -> int:
    """Return how many edges a sequence of tensors has: all but the other parameters'."""
    return len(node.edges) - (len(op.rules) - 1)


def _prepare(ct: Any, special: Metas | None) -> Any:
    if special is None:
        return ct
    if isinstance(ct, tuple):
        return tuple(None if c is None else _prepare(c, special) for c in ct)
    if special.compute is not None:
        ct = recast(ct, special.compute)
    return conjugate(ct) if special.conjugate else ct


def _cast_saved(op: Op, name: str, value: Any, special: Metas | None) -> Any:
    """Return a saved value in the dtype that the rules run in."""
    if special is None or special.compute is None:
        return value
    kinds = {p.name: p.kind for p in op.parameters}
    if name != "result" and kinds.get(name) not in PROMOTED:
        return value
    wanted = "fcV" if name == "result" else "fcVbiu"  # a result may hold indices beside numbers
    if isinstance(value, (tuple, list)):
        return type(value)(recast(v, special.compute) if _is_array(v, wanted) else v for v in value)
    return recast(value, special.compute) if _is_array(value, wanted) else value


def _is_array(value: Any, kinds: str) -> bool:
    return isinstance(value, (*ARRAYS, np.generic, Tensor)) and value.dtype.kind in kinds


def recast(value: Any, to: np.dtype[Any]) -> Any:
    """Return an array or Tensor in another dtype; the real part where `to` is real and the value is not."""
    if isinstance(value, Tensor):
        return value if value._array.dtype == to else value.to(dtypes.OF_NUMPY[to])
    if value.dtype == to:
        return value
    if value.dtype.kind == "c" and to.kind != "c":
        value = value.real
    return value.astype(to)


def conjugate(value: Any) -> Any:
    """Return the complex conjugate; the value itself if it is real."""
    if isinstance(value, tuple):
        return tuple(None if v is None else conjugate(v) for v in value)
    return (
        np.conjugate(value)
        if getattr(value, "dtype", None) is not None and value.dtype.kind == "c"
        else value
    )


def fit(ct: Any, meta: tuple[tuple[int, ...], Any] | None) -> Any:
    """Return a cotangent in the shape and dtype of the input it goes to."""
    if meta is None:
        return ct
    shape, dtype = meta
    if ct.shape != shape:
        ct = unbroadcast(ct, shape)
    if ct.dtype is not dtype and dtype is not None:
        if isinstance(ct, Tensor):
            if ct._array.dtype != dtype:
                ct = (ct.real if ct.dtype.is_complex and dtype.kind != "c" else ct).to(dtypes.OF_NUMPY[dtype])
        elif ct.dtype != dtype:
            ct = recast(ct, dtype)
    return ct


def unpack(node: Any, name: str, recorded: bool) -> Any:
    """Return a saved value, checked to be as it was; as a Tensor with its history when `recorded`."""
    op: Op = node.op
    value = getattr(node, f"saved_{name}")
    if isinstance(value, Packed):
        value = value.array()
    elif isinstance(value, (list, tuple)) and any(isinstance(v, Packed) for v in value):
        value = type(value)(v.array() if isinstance(v, Packed) else v for v in value)
    if name == "result":
        return _unpack_result(node, value, recorded)
    kind = next((p.kind for p in op.parameters if p.name == name), "static")
    if kind == "static":
        return value
    owner = getattr(node, f"saved_{name}_of")
    version = getattr(node, f"saved_{name}_version")
    if kind != "tensors":
        _check_version(node, value, owner, version)
        return with_history(value, edge_of(node, name)) if recorded else value
    for v, o, n in zip(value, owner, version, strict=True):
        _check_version(node, v, o, n)
    if not recorded:
        return value
    edges = node.edges[: len(value)] if name in op.rules else [None] * len(value)
    return [with_history(v, e) for v, e in zip(value, edges, strict=True)]


def _unpack_result(node: Any, value: Any, recorded: bool) -> Any:
    cells, versions = node.saved_result_cell, node.saved_result_version
    if not isinstance(value, tuple):
        if cells.count != versions:
            raise_modified_result(node, value, cells, versions)
        return with_history(value, node) if recorded else value
    written = [i for i, (c, n) in enumerate(zip(cells, versions, strict=True)) if c.count != n]
    if recorded:
        places = range(len(value)) if node.op.outputs == ("*",) else node.op.differentiable_outputs
        edges = {p: node if len(places) == 1 else Output(node, i, len(places)) for i, p in enumerate(places)}
        value = tuple(with_history(v, edges.get(i)) for i, v in enumerate(value))
    if not written:
        return value
    found = _Results(value)
    found.node, found.written = node, written
    return found


class _Results(tuple[Any, ...]):  # noqa: SLOT001 - a tuple can have attributes, but not as slots
    """The saved results of an op of which some have been written to: taking one of those raises."""

    node: Any
    written: list[int]

    def __getitem__(self, i: Any) -> Any:
        for k in range(len(self))[i] if isinstance(i, slice) else [range(len(self))[i]]:
            if k in self.written:
                cell, version = self.node.saved_result_cell[k], self.node.saved_result_version[k]
                raise_modified_result(self.node, self.node.saved_result[k], cell, version)
        return super().__getitem__(i)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))


def edge_of(node: Any, name: str) -> Any:
    """Return the edge of the parameter called `name`, None if it has none."""
    names = [p.name for p in node.op.parameters if p.name in node.op.rules]
    return node.edges[names.index(name)] if name in names else None


def with_history(value: Any, edge: Any) -> Any:
    """Return a saved array as a Tensor whose history is `edge`; what is no array as it is."""
    if not isinstance(value, ARRAYS):
        return value
    tensor = wrap(value)  # type: ignore[arg-type] # tensors may hold every kind of array
    tensor._node = edge
    return tensor


def _check_version(node: Any, value: Any, owner: Any, expected: int) -> None:
    cell = owner._cell
    if cell is not None and cell.count != expected:
        source = made_by(owner)
        raise_modified(node, owner, value.shape, dtypes.of_array(value), expected, source)


def made_by(owner: Any) -> str:
    """Return `, which is output 0 of Exp,` for a tensor that a node made; nothing for a leaf."""
    if isinstance(owner, Witness):
        return owner.made_by
    node, number = history(owner), 0
    if node is None or type(node) is AccumulateGrad:
        return ""
    if type(node) is Output:
        node, number = node.edges[0], node.index
    return f", which is output {number} of {op_label(node)},"


def op_label(node: Any) -> str:
    """Return a node's name as error messages have it: `Exp` for ExpBackward0."""
    name: str = node.name()
    stem = name.rstrip("0123456789")
    return stem.removesuffix("Backward") if stem.endswith("Backward") else name


def raise_modified_result(node: Any, value: Any, cell: Version, expected: int) -> None:
    """Raise the error of a result that was saved and then written to."""
    what = f", which is output 0 of {op_label(node)},"
    raise_modified(node, Witness(cell), value.shape, dtypes.of_array(value), expected, what)


def free(node: Any) -> None:
    """Drop a node's saved values."""
    names = saved_names(node.op)
    for name in names:
        if name == "result" or any(p.name == name and not p.is_static for p in node.op.parameters):
            setattr(node, f"saved_{name}", None)
            setattr(node, "saved_result_cell" if name == "result" else f"saved_{name}_of", None)
            node.metas = FREED
