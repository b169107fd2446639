"""The source of a node class's pullback: check what was saved, run the rules, free."""

from __future__ import annotations

from retrograd.autograd.large import limit
from retrograd.autograd.record import saved_names
from retrograd.ops.declare import Op


def pullback_source(op: Op) -> str:
    """Return the source of a node class's pullback: check what was saved, run the rules, free."""
    if _is_unusual(op):
        return "def pullback(node, ct, keep):\n    return pull(node, ct, keep, False)\n"
    if any(p.kind == "tensors" for p in op.parameters):
        return _sequence_source(op)
    recorded = [p.name for p in op.parameters if p.name in op.rules]
    tensors = {p.name for p in op.parameters if not p.is_static}
    lines = [
        "def pullback(node, ct, keep):",
        "    metas = node.metas",
        "    if node.freed or metas.__class__ is Metas:",
        "        return pull(node, ct, keep, False)",
        f"    {', '.join(f'{x}_node' for x in recorded)}, = node.edges",
    ]
    measure = _measure(op, recorded)
    if limit(op) is not None and not (
        op.family == "reduction" and measure == "ct"
    ):  # that repeats a few numbers
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


def _sequence_source(op: Op) -> str:
    """Return the source for an op of one sequence of tensors, of which only shapes or dtypes are saved."""
    ((name, needs),) = op.needs.items()
    takes = [f"        {n} = node.saved_{n}," for n in needs if n != "ct"]
    lines = [
        "def pullback(node, ct, keep):",
        "    if node.metas is not None:",
        "        return pull(node, ct, keep, False)",
    ]
    lines += [line.strip().rstrip(",").join(["    ", ""]) for line in takes]
    return "\n".join([*lines, f"    return tuple({name}_rule({', '.join(needs)}))"]) + "\n"
