"""What a backward program keeps of the forward one: the cheapest set of values to save, as a minimum cut.

Backward needs values that forward computed. Each can be saved, at the price of its bytes, or computed again
from others, if that is cheap: arithmetic and movement of elements, not sums, products of matrices, gathers or
transcendental functions. Inputs cost nothing: they are there. The cheapest set to save separates what must be
computed once from what is needed; of several, the one nearest to what is needed leaves the least to do again.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from retrograd.arrays.ir import Instruction, Value

CHEAP = frozenset({
    "absolute", "add", "bitwise_and", "bitwise_or", "bitwise_xor", "broadcast_to", "cast", "clip",
    "conjugate", "copysign", "equal", "expand_dims", "flip", "full_like", "greater", "greater_equal",
    "invert", "isfinite", "isinf", "isnan", "less", "less_equal", "logical_and", "logical_not",
    "logical_or", "maximum", "minimum", "moveaxis", "multiply", "negative", "not_equal", "ones_like",
    "positive", "reshape", "sign", "square", "squeeze", "subtract", "swapaxes", "transpose", "where",
    "zeros_like",
})  # fmt: skip
"""Instructions that are computed again rather than that their result is kept."""

_S, _T = -1, -2  # source and sink; value v has the nodes 2v (coming in) and 2v + 1 (going out)


def choose(
    instructions: Sequence[Instruction], free: Iterable[Value], needed: Iterable[Value]
) -> tuple[list[Value], list[Instruction]]:
    """Return which values to save, and which instructions to run again on these and the free ones.

    Args:
        instructions: the forward program.
        free: values that are there anyway.
        needed: values that backward uses.
    """
    there = {v.id for v in free}
    maker = {v.id: i for i in instructions for v in i.outputs}
    values: dict[int, Value] = {}
    flow: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    todo = [v for v in needed if v.id not in there]
    for value in todo:
        flow[2 * value.id + 1][_T] = math.inf
    while todo:
        value = todo.pop()
        if value.id in values:
            continue
        values[value.id] = value
        flow[2 * value.id][2 * value.id + 1] = float(max(1, math.prod(value.shape)) * value.dtype.itemsize)
        instruction = maker[value.id]
        operands = [v for v in instruction.operands if v.id not in there]
        if instruction.name not in CHEAP or len(instruction.outputs) > 1:
            flow[_S][2 * value.id] = math.inf
            continue
        for operand in operands:
            if operand.id in maker:
                flow[2 * operand.id + 1][2 * value.id] = math.inf
                todo.append(operand)
    _saturate(flow)
    beyond = _reaching(flow)
    saved = [v for v in values.values() if 2 * v.id + 1 in beyond and 2 * v.id not in beyond]
    kept = {v.id for v in saved}
    again: list[Instruction] = []
    wanted = {v.id for v in needed} - kept - there
    for instruction in reversed(instructions):
        if any(v.id in wanted for v in instruction.outputs):
            again.append(instruction)
            wanted |= {v.id for v in instruction.operands} - kept - there
    return sorted(saved, key=lambda v: v.id), again[::-1]


def _saturate(flow: dict[int, dict[int, float]]) -> None:
    """Push as much as goes from source to sink, by shortest augmenting paths; leave what is left over."""
    while True:
        before = {_S: _S}
        queue = [_S]
        for node in queue:
            for after, left in flow[node].items():
                if left > 0 and after not in before:
                    before[after] = node
                    queue.append(after)
            if _T in before:
                break
        if _T not in before:
            return
        path, node = [], _T
        while node != _S:
            path.append((before[node], node))
            node = before[node]
        most = min(flow[a][b] for a, b in path)
        assert most < math.inf, "something that must be computed once costs nothing to keep"
        for a, b in path:
            flow[a][b] -= most
            flow[b][a] += most


def _reaching(flow: dict[int, dict[int, float]]) -> set[int]:
    """Return the nodes from which the sink can still be reached."""
    into: dict[int, list[int]] = defaultdict(list)
    for a, edges in flow.items():
        for b, left in edges.items():
            if left > 0:
                into[b].append(a)
    found, todo = {_T}, [_T]
    while todo:
        for node in into[todo.pop()]:
            if node not in found:
                found.add(node)
                todo.append(node)
    return found
