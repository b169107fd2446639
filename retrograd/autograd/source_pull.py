"""The source of a node class's pullback: check what was saved, run the rules, free."""

from __future__ import annotations

from retrograd.autograd.large import limit
from retrograd.autograd.record import saved_names
from retrograd.ops.declare import Op

_MASKING = " or local.masking is not None"  # nan_safe looks at each rule's result (see pull.pull)


def pullback_source(op: Op, recorded_too: bool = False) -> str:
    """Return the source of a node class's pullback: check what was saved, run the rules, free.

    `recorded_too` gives the one that runs the rules on Tensors, so that they are recorded.
    """
    if _is_unusual(op):
        return f"def pullback(node, ct, keep):\n    return pull(node, ct, keep, {recorded_too})\n"
    if any(p.kind == "tensors" for p in op.parameters):
        return _sequence_source(op, recorded_too)
    recorded = [p.name for p in op.parameters if p.name in op.rules]
    tensors = {p.name for p in op.parameters if not p.is_static}
    masking = _MASKING if recorded_too else ""
    lines = [
        "def pullback(node, ct, keep):",
        "    metas = node.metas",
        f"    if metas.__class__ is Metas{masking}:",
        f"        return pull(node, ct, keep, {recorded_too})",
        f"    {', '.join(f'{x}_node' for x in recorded)}, = node.edges",
    ]
    measure = _measure(op, recorded)
    repeats = op.family == "reduction" and measure == "ct"  # a few numbers, without a copy
    if limit(op) is not None and not repeats and not recorded_too:
        lines += [
            f"    if {measure}.size >= limit:",
            "        found = large_rules(node, ct, keep)",
            "        if found is not None:",
            "            return found",
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
            lines.append(f"            return pull(node, ct, keep, {recorded_too})")
            if recorded_too:
                edge = "node" if name == "result" else f"{name}_node" if name in recorded else "None"
                lines.append(f"        {name} = with_history({name}, {edge})")
        lines.append(f"        {x}_ct = {_rule_expression(op, x)}")
        lines.append(f"        if metas is not None and {x}_ct is not None:")
        lines.append(f"            {x}_ct = fit({x}_ct, metas[{position}])")
    kept = [n for n in saved_names(op) if n == "result" or n in tensors]
    if kept:
        slots = " = ".join(f"node.saved_{n}" for n in kept)
        owners = " = ".join(f"node.saved_{n}_cell" if n == "result" else f"node.saved_{n}_of" for n in kept)
        lines += ["    if not keep:", f"        {slots} = {owners} = None", "        node.metas = FREED"]
    lines.append(f"    return {', '.join(f'{x}_ct' for x in recorded)},")
    return "\n".join(lines) + "\n"


_SIMPLE = {
    (lambda a: a).__code__.co_code: "{}",
    (lambda a: -a).__code__.co_code: "-{}",
    (lambda a, b: a * b).__code__.co_code: "{} * {}",
    (lambda a, b: a / b).__code__.co_code: "{} / {}",
}
"""Rules that are written in line, by their bytecode (which has the places of parameters, not their names)."""


def _rule_expression(op: Op, x: str) -> str:
    """Return the expression for the cotangent of parameter `x`."""
    code, needs = op.rules[x].__code__, op.needs[x]
    simple = None if code.co_freevars else _SIMPLE.get(code.co_code)
    return simple.format(*needs) if simple else f"{x}_rule({', '.join(needs)})"


def _measure(op: Op, recorded: list[str]) -> str:
    """Return an array as large as a node's rules' work: one that is always saved, or the cotangent."""
    tensors = {"result", *(p.name for p in op.parameters if p.kind in ("tensor", "plain"))}
    always = [n for n in op.needs[recorded[0]] if all(n in op.needs[x] for x in recorded) and n in tensors]
    return f"node.saved_{always[0]}" if always else "ct"


def _is_unusual(op: Op) -> bool:
    """Whether the readable `pull` must do it.

    So it is with saved tuples, and with sequences beside other differentiable parameters.
    """
    sequences = [p.name for p in op.parameters if p.kind == "tensors"]
    saved = saved_names(op)
    if op.outputs and "result" in saved:
        return True
    return bool(sequences) and (
        list(op.rules) != sequences or any(n in saved for n in [*sequences, "result"])
    )


def _sequence_source(op: Op, recorded_too: bool) -> str:
    """Return the source for an op of one sequence of tensors, of which only shapes or dtypes are saved."""
    ((name, needs),) = op.needs.items()
    takes = [f"        {n} = node.saved_{n}," for n in needs if n != "ct"]
    lines = [
        "def pullback(node, ct, keep):",
        f"    if node.metas is not None{_MASKING if recorded_too else ''}:",
        f"        return pull(node, ct, keep, {recorded_too})",
    ]
    lines += [line.strip().rstrip(",").join(["    ", ""]) for line in takes]
    return "\n".join([*lines, f"    return tuple({name}_rule({', '.join(needs)}))"]) + "\n"
