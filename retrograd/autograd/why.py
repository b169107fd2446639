"""Why a tensor has no gradient path: what tensors note where their history ends, made readable.

What cuts a history off (`detach`, `.data`, `item`, a no_grad block, an op without a derivative) notes the
user's place on its result (see views.Cut), and dispatch hands that on to what is computed from it. The ops in
between are not noted, since that would cost every op its line; `trace_cuts` notes them too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from retrograd import dtypes
from retrograd.autograd import modes, where
from retrograd.autograd.graph import AccumulateGrad
from retrograd.autograd.known_values import parts_of
from retrograd.autograd.levels import run_below
from retrograd.autograd.views import Cut, numbers
from retrograd.ops.declare import TABLE, Op
from retrograd.tensor import Tensor, history, hold_cut


class Step(NamedTuple):
    """One station on the way of a tensor: what happened, and `file:line in function` if that is known."""

    what: str
    place: str | None

    def __str__(self) -> str:
        return self.what if self.place is None else f"{self.what} at {self.place}"


@dataclass(frozen=True)
class WhyNoGrad:
    """What `why_no_grad` found. Its text is the whole answer.

    reason: 'requires_grad' (there is a path), 'detach', 'detach_', 'data', 'tensor' (copied by torch.tensor),
        'item', 'no_grad', 'set_grad_enabled', 'inference_mode', 'dtype' (an op gave integers or bools),
        'op' (it has no derivative), 'function' (a Function gave this output no derivative) or 'leaf' (made
        from data; nothing was cut).
    place: `file:line in function` of the cut; None if there is none.
    chain: the steps from the last recorded op, through the cut, to the tensor.
    """

    reason: str
    place: str | None
    chain: tuple[Step, ...]
    advice: str

    def __str__(self) -> str:
        head = "has a gradient path" if self.reason == "requires_grad" else "no gradient path"
        steps = "".join(f"\n  {step}" for step in self.chain)
        return f"{head}: {self.reason}{steps}\n[{self.advice}]"


def why_no_grad(t: Tensor) -> WhyNoGrad:
    """Say why a tensor has no gradient path: where it was cut off, with the line.

    Example:
        >>> import retrograd as torch
        >>> x = torch.ones(3, requires_grad=True)
        >>> y = (x * 2).detach().sum() + 1
        >>> why = torch.autograd.graph.why_no_grad(y)
        >>> why.reason
        'detach'
        >>> print(why)
        no gradient path: detach
          MulBackward0 at <doctest ...>:1 in <module>
          detach() at <doctest ...>:1 in <module>
          a tensor of shape (), torch.float32
        [use the tensor from before detach()]

    Raises:
        TypeError: `t` is no tensor; of a number that item() took out, the message says where.
    """
    if not isinstance(t, Tensor):
        raise TypeError(_no_tensor(t))
    parts = list(parts_of(t))
    last = Step(f"a tensor of shape {tuple(t.shape)}, {t.dtype}", None)
    if t.requires_grad or any(p.requires_grad for p in parts):
        return WhyNoGrad("requires_grad", None, (*_recorded(parts), last), "backward() can reach its graph")
    cut = next((p._meta.cut for p in parts if p._meta is not None and p._meta.cut is not None), None)
    if cut is None:
        cut = _number_in(parts[0])
    if cut is None:
        return _uncut(parts[0], last)
    derived: list[Step] = []
    while cut.before is not None:
        derived.insert(0, _step(cut))
        cut = cut.before
    steps = [_step(cut), *derived, last]
    if cut.source is not None:
        name, code, lasti = cut.source
        steps.insert(0, Step(name, where.describe(code, lasti)))
    reason = "dtype" if cut.kind == "op" and _gives_whole_numbers(TABLE.get(cut.what)) else cut.kind
    return WhyNoGrad(reason, steps[-2 - len(derived)].place, tuple(steps), _ADVICE[reason])


_ADVICE = {
    "detach": "use the tensor from before detach()",
    "detach_": "use detach_() only where the history is not wanted, or clone() first",
    "data": "use the tensor itself instead of its .data",
    "tensor": "use clone() instead of torch.tensor(), which copies the numbers alone",
    "item": "keep the tensor instead of the number that item() gives",
    "no_grad": "compute it outside of no_grad",
    "set_grad_enabled": "call set_grad_enabled(True), or compute it outside",
    "inference_mode": "compute it outside of inference_mode, or clone() it there",
    "function": "its forward calls ctx.mark_non_differentiable, or its dtype has no gradients",
    "op": "an op without a derivative stands between; choose a differentiable one",
    "dtype": "integers and bools have no gradients; keep to floating-point ops",
}


def _gives_whole_numbers(op: Op | None) -> bool:
    return op is not None and bool(op.rules)


_WHAT = {
    "detach": "detach()", "detach_": "detach_()", "data": ".data", "tensor": "torch.tensor(...)",
    "item": "item(), which gave the same number,", "no_grad": "no_grad",
    "set_grad_enabled": "set_grad_enabled(False)", "inference_mode": "inference_mode",
}  # fmt: skip


def _step(cut: Cut) -> Step:
    what = _WHAT.get(cut.kind, cut.what)
    if cut.kind == "op":
        op = TABLE.get(cut.what)
        why = "gives no floating-point numbers" if _gives_whole_numbers(op) else "has no derivative"
        what = f"{cut.what}, which {why},"
    elif cut.kind == "function":
        what = f"{cut.what}, which gives this output no derivative,"
    elif cut.lasti < 0:
        what = f"@{what}"
    return Step(what, where.describe(cut.code, cut.lasti))


def _recorded(parts: list[Tensor]) -> list[Step]:
    found = []
    for part in parts:
        node = history(part)
        if type(node) is AccumulateGrad:
            found.append(Step("a leaf that requires grad", node.where()))
        elif node is not None:
            found.append(Step(type(node).__name__, node.where()))
    return found


def _uncut(t: Tensor, last: Step) -> WhyNoGrad:
    """Return the answer for a tensor that nothing is noted of."""
    steps = [last]
    if t._cell is not None and t._cell.count and t._cell.code is not None:
        steps.insert(0, Step("last written to", where.describe(t._cell.code, t._cell.lasti)))
    if t.dtype.category < dtypes.FLOATING:
        return WhyNoGrad("dtype", None, tuple(steps), f"a tensor of {t.dtype} cannot require grad")
    if t.is_inference():
        return WhyNoGrad("inference_mode", None, tuple(steps), _ADVICE["inference_mode"])
    advice = (
        "nothing was cut: it was made from data, or by backward without create_graph, or from such tensors "
        "alone; call requires_grad_() on those that should have gradients"
    )
    return WhyNoGrad("leaf", None, tuple(steps), advice)


def _number_in(t: Tensor) -> Cut | None:
    """Return where item() took out the numbers of a tensor, if it holds nothing else."""
    array = t._array
    if t.is_meta or not 0 < array.size <= numbers.maxlen or array.dtype.kind not in "fcV":  # type: ignore[operator]
        return None
    found = None
    for element in array.ravel():
        found = next((c for v, c in reversed(numbers) if np.asarray(v, array.dtype) == element), None)
        if found is None:
            return None
    return found


def _no_tensor(value: Any) -> str:
    text = f"why_no_grad: expected a Tensor; got {type(value).__name__}"
    if isinstance(value, (int, float, complex)) and not isinstance(value, bool):
        same = (c for v, c in reversed(numbers) if v == value or (v != v and value != value))
        cut = next(same, None)
        if cut is not None:
            text += f"\n[item() took this number out of the graph at {where.describe(cut.code, cut.lasti)}]"
    return text


class _Tracer:
    """Notes, on each result that has no history, the op and the line that made it."""

    def call(self, op: Op, args: tuple[Any, ...], out: Any) -> Any:
        """Run an op at the level below, and note what its results come from."""
        modes.pop()
        try:
            result = run_below(op, args, out)
        finally:
            modes.push(self)
        for made in result if isinstance(result, tuple) else (result,):
            if isinstance(made, Tensor) and made._meta is not None and made._meta.cut is not None:
                _trace(op, args, made, made._meta.cut)
        return result


def _trace(op: Op, args: Any, made: Tensor, cut: Cut) -> None:
    """Note on a result that has no history the line of the op, and what came before."""
    operands = [x for arg in args for x in (arg if isinstance(arg, (list, tuple)) else (arg,))]
    for operand in operands:
        if isinstance(operand, Tensor) and operand._meta is not None and operand._meta.cut is cut:
            step = Cut("derived", *where.here(), op.torch_name)
            step.before = cut
            hold_cut(made, step)
            return


@contextmanager
def trace_cuts() -> Iterator[None]:
    """Note the line of every op on tensors that have lost their history, for `why_no_grad` to list.

    Without it why_no_grad knows where the history was lost, but not the ops that the tensor went through
    since. Ops within are slower.

    Example:
        >>> import retrograd as torch
        >>> x = torch.ones(3, requires_grad=True)
        >>> with torch.autograd.graph.trace_cuts():
        ...     y = (x > 0).float().sum()
        >>> print(torch.autograd.graph.why_no_grad(y))
        no gradient path: op
          AccumulateGrad at <doctest ...>:1 in <module>
          gt, which has no derivative, at <doctest ...>:2 in <module>
          to_copy at <doctest ...>:2 in <module>
          sum at <doctest ...>:2 in <module>
          a tensor of shape (), torch.float32
        [an op without a derivative stands between; choose a differentiable one]
    """
    tracer = _Tracer()
    modes.push(tracer)
    try:
        yield
    finally:
        modes.pop()
