"""Where a NaN or an infinity comes from: back through the graph to the first op and element that made it.

Each step asks which operand of the op was bad already at the elements that the bad one was made from. For a
pointwise op those are the elements at the same place; for others, where the op's own rule sends a cotangent
that is 1 at the bad element.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retrograd.autograd.elements import array_in, first, has_bad, number
from retrograd.autograd.graph import AccumulateGrad, Cotangents, Output
from retrograd.autograd.known_values import MISSING, Values, op_name, parts_of
from retrograd.autograd.pull import edge_of, pull
from retrograd.ops.declare import Op
from retrograd.tensor import Tensor, history


@dataclass(frozen=True)
class NanStep:
    """One op that gave a NaN or an infinity: its result's shape, the element, and the operands there.

    index: None where the result was not kept and several elements may be the bad one.
    """

    op: str
    place: str | None
    shape: tuple[int, ...]
    index: tuple[int, ...] | None
    value: str
    operands: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        where = "" if self.place is None else f" at {self.place}"
        operands = ", ".join(f"{name} is {value}" for name, value in self.operands.items())
        return (
            f"{self.value} in {self.op}{where}: shape {self.shape}, "
            f"{'index not known' if self.index is None else f'index {self.index}'}"
            f"{', where ' if operands else ''}{operands}"
        )


@dataclass(frozen=True)
class ExplainedNan:
    """What `explain_nan` found; true if there was a NaN or an infinity. Its text is the whole answer.

    first: the op and element that made it, None if there is none or nothing is known of it.
    steps: the ops from the tensor back to the first one.
    certain: whether the first op's result and all its operands were seen, and no operand was bad.
    notes: what could not be looked at, and why.
    """

    found: bool
    head: str
    steps: tuple[NanStep, ...] = ()
    certain: bool = False
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> NanStep | None:
        return self.steps[-1] if self.steps else None

    def __bool__(self) -> bool:
        return self.found

    def __str__(self) -> str:
        lines = [self.head, *(f"  {step}" for step in self.steps), *(f"[{note}]" for note in self.notes)]
        return "\n".join(lines)


def explain_nan(t: Tensor) -> ExplainedNan:
    """Find the first op and element that made a NaN or an infinity in a tensor.

    Values are those that the graph keeps for backward, else computed again from them; what can be neither,
    the answer names. So call it before backward() frees them. It looks at forward values; for NaN that
    arises in backward there is `autograd.detect_anomaly`.

    Example:
        >>> import retrograd as torch
        >>> x = torch.tensor([2.0, 0.0], requires_grad=True)
        >>> y = (x.log() * x).sum()
        >>> print(torch.autograd.graph.explain_nan(y))
        nan at index () of a tensor of shape (), torch.float32
          nan in sum at <doctest ...>:1 in <module>: shape (), index ()
          nan in mul at <doctest ...>:1 in <module>: shape (2,), index (1,), where input is -inf, other is 0
          -inf in log at <doctest ...>:1 in <module>: shape (2,), index (1,), where input is 0

    Raises:
        TypeError: `t` is no tensor.
    """
    if not isinstance(t, Tensor):
        raise TypeError(f"explain_nan: expected a Tensor; got {type(t).__name__}")
    part = next((p for p in parts_of(t) if has_bad(p)), None)
    if part is None:
        return ExplainedNan(
            False,
            f"no NaN and no infinity in a tensor of shape {tuple(t.shape)}, {t.dtype}\n"
            "[for NaN that arises in backward: autograd.detect_anomaly()]",
        )
    array = array_in(part)
    index = _bad_index(array)
    head = f"{number(array, index)} at index {index} of a tensor of shape {array.shape}, {part.dtype}"
    node = history(part)
    if node is None:
        return ExplainedNan(True, head, notes=("it has no graph to look back through; why_no_grad says why",))
    values = Values(node, part._array)
    steps, certain = _walk(values, Spot("", node, array.shape, index, array[index]))
    return ExplainedNan(True, head, tuple(steps), certain, () if certain else tuple(values.notes))


_UNKNOWN = "(not kept)"


@dataclass(frozen=True)
class Spot:
    """A bad element of a node's result: as the operand `name` of the op above it.

    index: None where the result itself is not known, and several of its elements may be the bad one.
    """

    name: str
    node: Any
    shape: tuple[int, ...]
    index: tuple[int, ...] | None
    value: Any

    @property
    def is_nan(self) -> bool:
        return self.value is not None and bool(np.isnan(self.value))

    def step(self, op: str, place: str, operands: dict[str, str]) -> NanStep:
        text = _UNKNOWN if self.value is None else number(self.value, ())
        return NanStep(op, place, self.shape, self.index, text, operands)


def _bad_index(array: Any, among: Any = True) -> tuple[int, ...]:
    """Return the first NaN among some elements, else the first infinity."""
    nan = np.isnan(array) & among
    return first(nan if nan.any() else ~np.isfinite(array) & among)


def _inner(node: Any) -> Any:
    return node.edges[0] if type(node) is Output else node


def _walk(values: Values, spot: Spot) -> tuple[list[NanStep], bool]:
    """Follow a bad element back; return the steps, and whether the last is known to be the first cause."""
    steps = []
    while True:
        inner = _inner(spot.node)
        if type(inner) is AccumulateGrad:
            steps.append(spot.step("a leaf", inner.where(), {}))
            return steps, True
        given = _operands(values, inner)
        steps.append(spot.step(op_name(inner), inner.where(), _shown(inner.op, given, spot)))
        came = sorted(_bad_operands(values, spot, given), key=lambda c: c.value is None)
        if not came:
            lost = spot.value is None or any(value is MISSING for _, _, value in given)
            return steps, not lost and _makes_it_again(values, spot)
        above, spot = inner, next((c for c in came if not spot.is_nan or c.is_nan), came[0])
        if spot.value is None:
            values.notes[f"what {op_name(_inner(spot.node))} at {spot.node.where()} gave was not kept"] = None
        if spot.node is None:
            kind = f"the operand {spot.name} of {op_name(above)}, which has no graph,"
            steps.append(spot.step(kind, above.where(), {}))
            return steps, not any(value is MISSING for _, _, value in given)


def _makes_it_again(values: Values, spot: Spot) -> bool:
    """Return whether an op makes the bad element of the operands that are seen, and so they were these."""
    inner = _inner(spot.node)
    if inner.op is None:
        return True
    made = values.computed(inner)
    if made is not MISSING and inner is not spot.node:
        values.known[inner] = made
        made = values.computed(spot.node)
    if made is MISSING or np.isfinite(made[spot.index]):
        values.notes[f"{op_name(inner)} does not make it now: what it was made of has changed since"] = None
        return False
    return True


def _operands(values: Values, node: Any) -> list[tuple[str, Any, Any]]:
    """Return (name, edge, value) of each tensor operand of a node, computed again if need be."""
    op: Op | None = node.op
    if op is None:
        return [
            (f"input {i}", edge, values.find(edge)) for i, edge in enumerate(node.edges) if edge is not None
        ]
    found: list[tuple[str, Any, Any]] = []
    for parameter, value in zip(op.parameters, values.operands(node), strict=True):
        if parameter.is_static:
            continue
        if parameter.kind == "tensors":
            edges = node.edges[: len(node.edges) - (len(op.rules) - 1)]
            items = value if value is not MISSING else [values.find(e) for e in edges]
            found += [(parameter.name, e, v) for e, v in zip(edges, items, strict=True)]
        else:
            edge = edge_of(node, parameter.name)
            found.append((parameter.name, edge, values.find(edge) if value is MISSING else value))
    return found


def _shown(op: Op | None, given: list[tuple[str, Any, Any]], spot: Spot) -> dict[str, str]:
    """Return the numbers that a pointwise op made the bad element from."""
    if op is None or op.family != "pointwise" or spot.index is None:
        return {}
    return {
        name: "not kept"
        if value is MISSING
        else number(np.broadcast_to(_plain(value), spot.shape), spot.index)
        for name, _, value in given
        if value is not None
    }


def _plain(value: Any) -> Any:
    array = array_in(value)
    return value if array is None else array


def _bad_operands(values: Values, spot: Spot, given: list[tuple[str, Any, Any]]) -> Iterator[Spot]:
    """Yield the operands that were bad already where the bad element was made from them."""
    inner = _inner(spot.node)
    pointwise = inner.op is not None and inner.op.family == "pointwise" and spot.index is not None
    reach = None
    for name, edge, value in given:
        array = None if value is MISSING else array_in(value)
        if array is None and (value is not MISSING or edge is None):
            continue
        if pointwise and array is not None:
            at = _same_place(array.shape, spot)
            if not np.isfinite(array[at]):
                yield Spot(name, edge, array.shape, at, array[at])
            continue
        reach = _reach(spot) if reach is None else reach
        if array is None:
            mask = reach.get(edge)
            if pointwise and mask is not None:  # where the derivative is 0, too
                mask[_same_place(mask.shape, spot)] = True
            found = _below(values, edge, mask, name)
            if found is not None:
                yield found
        elif has_bad(array):
            among = reach.get(edge, np.True_) & ~np.isfinite(array)
            at = _bad_index(array, among if among.any() else True)
            yield Spot(name, edge, array.shape, at, array[at])


def _same_place(shape: tuple[int, ...], spot: Spot) -> tuple[int, ...]:
    """Return the index of a pointwise op's operand that belongs to the bad element of its result."""
    assert spot.index is not None
    index = spot.index[len(spot.index) - len(shape) :]
    return tuple(0 if n == 1 else i for n, i in zip(shape, index, strict=True))


def _below(values: Values, node: Any, mask: Any, name: str) -> Spot | None:
    """Return the bad element among those of a node that are in `mask`, where its value is not known.

    Ops that only move and add up elements are passed through, down to a node whose value is known.
    """
    while mask is not None:
        inner, array = _inner(node), values.find(node)
        if array is not MISSING:
            array = array_in(array)
            among = ~np.isfinite(array) & mask
            if not among.any():
                return None
            at = _bad_index(array, among)
            return Spot(name, node, array.shape, at, array[at])
        edges = [e for e in inner.edges if e is not None]
        if not _is_linear(inner.op) or len(edges) != 1 or inner.freed:
            return Spot(name, node, mask.shape, first(mask) if mask.sum() == 1 else None, None)
        mask = _pulled(node, mask.astype(np.float32)).get(edges[0])
        node = edges[0]
    return None


def _is_linear(op: Op | None) -> bool:
    return op is not None and (op.jvp == "linear" or op.name in ("sum", "mean"))


def _reach(spot: Spot) -> dict[Any, Any]:
    """Return, by edge, which elements of the operands the bad element was made from."""
    inner = _inner(spot.node)
    if inner.freed or inner.op is None:
        return {}
    ct = np.zeros(spot.shape, np.float32)
    ct[... if spot.index is None else spot.index] = 1
    return _pulled(spot.node, ct)


def _pulled(node: Any, ct: Any) -> dict[Any, Any]:
    """Return, by edge, where the cotangent that a node makes of `ct` is not zero."""
    inner = _inner(node)
    if type(node) is Output:
        ct = Cotangents([ct if i == node.index else None for i in range(node.total)])
    try:
        with np.errstate(all="ignore"):
            parts = pull(inner, ct, keep=True, recorded=False)
    except RuntimeError:  # it has no rule, or what it saved was written to: nothing is known of any element
        return {}
    pairs = zip(inner.edges, parts, strict=True)
    return {e: np.asarray(p != 0) for e, p in pairs if e is not None and p is not None}
