"""What became of a program, as text: after each pass, its steps and their work, what was not fused."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from retrograd.arrays import Program, Value
from retrograd.native import ceilings, threads
from retrograd.native.elementwise import cost
from retrograd.native.fuse import Fused
from retrograd.native.graph import Load
from retrograd.native.kernels import Host, Loop, Product, Step
from retrograd.native.layout import plan, sinks, walk
from retrograd.native.passes import prepare
from retrograd.native.products import describe


def explain(program: Program, fused: Fused, measure: bool) -> str:
    """Return a program's report; with `measure` the steps' work is held against the machine's ceilings."""
    parts = [f"as traced\n{program}"]
    prepare(program, lambda name, after: parts.append(f"after {name}\n{after}"))
    lines = ["steps"]
    for number, step in enumerate(fused.steps):
        lines += [f"  {line}" for line in _step(fused, number, step, measure)]
    parts.append("\n".join(lines))
    apart = [
        f"  {_line(fused, v)}\n" + "\n".join(f"      {r}" for r in why)
        for v, why in fused.apart.items()
        if why
    ]
    if apart:
        parts.append("\n".join(["apart from loops that share arrays with them", *apart]))
    if measure:
        count = threads.get_num_threads()
        parts.append(
            f"ceilings, measured now: a copy moves {ceilings.bandwidth(count) / 1e9:.1f} GB/s with {count} "
            f"threads; one core does {ceilings.operations() / 1e9:.0f} GFLOP/s in registers"
        )
    return "\n\n".join(parts)


def _line(fused: Fused, value: Value) -> str:
    instruction = fused.graph.made_by.get(value)
    return str(instruction) if instruction is not None else f"{value}: {value.type}"


def _step(fused: Fused, number: int, step: Step, measure: bool) -> Iterator[str]:
    if isinstance(step, Host):
        yield f"{number}: NumPy makes the call {step.instruction}"
        return
    moved, done = work(fused, number, step)
    bound = ""
    if measure:
        count = threads.get_num_threads()
        seconds = max(moved / ceilings.bandwidth(count), done / (ceilings.operations() * count))
        bound = f"; at the ceilings {seconds * 1e6:.1f} us"
    figures = f"{_amount(moved)}B moved, {_amount(done)}FLOP{bound}"
    if isinstance(step, Product):
        spec, _, _ = describe(fused.graph, step, number)
        items = f", {spec.items} times" if spec.items != 1 else ""
        yield f"{number}: product ({spec.m}, {spec.k}) @ ({spec.k}, {spec.n}){items}: {figures}"
        yield f"      {step.instruction}"
        return
    layout = plan(fused.graph, step, number)
    rows = "" if layout.flat else f", rows {layout.rows} x {math.prod(layout.inner)}"
    yield f"{number}: loop over {step.frame}{rows}, {layout.chunks} chunks: {figures}"
    stored = {s.value for s in step.stores}
    for value, instruction in step.members.items():
        kind = step.reductions.get(value)
        notes = [f"{kind} reduction"] if kind else []
        notes += ["stored"] if value in stored else []
        yield f"      {instruction}" + (f"    # {', '.join(notes)}" if notes else "")


def work(fused: Fused, number: int, step: Any) -> tuple[int, int]:
    """Return the bytes that a step has to move, each array once, and its floating-point operations."""
    if isinstance(step, Product):
        spec, left, right = describe(fused.graph, step, number)
        arrays = [left.value, right.value, step.instruction.outputs[0]]
        return sum(_bytes(v) for v in arrays), spec.operations
    assert isinstance(step, Loop)
    read: set[Value] = set()
    done = 0
    for node in walk(fused.graph, step, number, sinks(step)):
        if isinstance(node, Load):
            read.add(node.value)
        else:
            of = node.value if node.value not in step.reductions else node.instruction.inputs[0]
            done += cost(node.instruction) * math.prod(of.shape)
    for value in step.reductions:
        done += math.prod(step.members[value].inputs[0].shape)
    written = {s.target for s in step.stores}
    written |= {v for v, kind in step.reductions.items() if kind != "row"}
    return sum(map(_bytes, read | written)), done


def _bytes(value: Value) -> int:
    return math.prod(value.shape) * value.dtype.itemsize


def _amount(number: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number:.0f} "
