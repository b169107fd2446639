"""What a compiled function is made of, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrograd.compiler.api import Compiled
    from retrograd.compiler.entry import Entry


class Explanation(str):
    """Text that shows itself as it is where a notebook or prompt would show its repr."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def explain(state: Compiled, **options: Any) -> Explanation:
    """Return what has been compiled of a function: guards, inputs, program, kernels, and what could not be.

    Args:
        state: the function's compiled forms.
        options: passed on to the back end's own listing.
    """
    parts = [f"{state.name}: {len(state.entries)} compiled form{'s' * (len(state.entries) != 1)}"]
    if state.reason is not None:
        parts.append(f"runs as it is: {state.reason}")
    elif not state.entries:
        parts.append("it has not been called yet")
    for number, entry in enumerate(state.entries, 1):
        parts += ["", f"form {number}, used {entry.hits} times", *_entry(entry, options)]
    return Explanation("\n".join(parts))


def _entry(entry: Entry, options: dict[str, Any]) -> list[str]:
    plan = entry.plan
    grad, inference = entry.key
    lines = ["  guards:", f"    recording is {'on' if grad else 'off'}{', inference mode' * inference}"]
    lines += [f"    {line}" for line in entry.guards.describe()]
    lines.append("  inputs:")
    for value, source in zip(plan.program.inputs, plan.sources, strict=True):
        lines.append(f"    {value}: {value.type} {source.describe()}")
    if plan.updates:
        text = ", ".join(f"output {o} into %{i}" for o, i in plan.updates.items())
        lines.append(f"  written in place: {text}")
    lines += ["  program:", *(f"    {line}" for line in str(plan.program).splitlines())]
    if plan.pair is not None:
        lines += ["  backward:", *(f"    {line}" for line in plan.pair.describe())]
    listing = getattr(entry.executable, "explain", None)
    if listing is not None:
        lines += ["  kernels:", *(f"    {line}" for line in str(listing(**options)).splitlines())]
    return lines
