"""The table that a profile prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_GAP = "  "
_NUMBER_WIDTH = 12


def shown_time(us: float, unit: str | None = None) -> str:
    """Return a time with its unit: the one asked for, or the largest that leaves at least 1."""
    if unit is None:
        unit = "s" if us >= 1e6 else "ms" if us >= 1e3 else "us"
    return f"{us / {'s': 1e6, 'ms': 1e3, 'us': 1}[unit]:.3f}{unit}"


def shown_memory(count: int) -> str:
    """Return a number of bytes with its unit."""
    for size, unit in ((2**30, "GB"), (2**20, "MB"), (2**10, "KB")):
        if abs(count) >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count} B"


def _share(part: float, total: float) -> str:
    return f"{100 * part / total:.2f}%" if total else "0.00%"


def _cut(text: str, width: int) -> str:
    return text if len(text) < width else f"{text[: width - 3]}..."


def render(
    rows: Sequence[Any],
    total: float,
    widths: tuple[int, int, int],
    header: str | None,
    unit: str | None,
    with_memory: bool,
) -> str:
    """Return the table: a line per row, and the total of all events' own times below."""
    if not rows:
        return ""
    with_shapes = any(r.input_shapes for r in rows)
    with_source = any(r.stack for r in rows)
    names = ["Name", "Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg"]
    names += ["CPU Mem", "Self CPU Mem"] if with_memory else []
    names += ["# of Calls"] + ["Input Shapes"] * with_shapes + ["Source Location"] * with_source
    cells = [_cells(r, total, unit, widths, with_memory, with_shapes, with_source) for r in rows]
    columns = [
        min(max(len(c[0]) for c in cells) + 4, widths[0]),
        *[max(_NUMBER_WIDTH, *(len(c[i]) for c in cells)) for i in range(1, 9 if with_memory else 7)],
    ]
    for limit in [widths[1]] * with_shapes + [widths[2]] * with_source:
        columns.append(min(max(len(c[len(columns)]) for c in cells) + 4, limit))
    rule = _line(["-" * width for width in columns], columns)
    lines = [rule, _line(names, columns), rule, *(_line(c, columns) for c in cells), rule]
    above = [f"{header}\n"] if header else []
    return "".join(
        [*above, *(f"{line}\n" for line in lines), f"Self CPU time total: {shown_time(total, unit)}\n"]
    )


def _line(cells: Sequence[str], columns: Sequence[int]) -> str:
    return "".join(f"{cell:>{width}}{_GAP}" for cell, width in zip(cells, columns, strict=True))


def _cells(
    row: Any,
    total: float,
    unit: str | None,
    widths: tuple[int, int, int],
    with_memory: bool,
    with_shapes: bool,
    with_source: bool,
) -> list[str]:
    cells = [
        _cut(row.key, widths[0]),
        _share(row.self_cpu_time_total, total),
        shown_time(row.self_cpu_time_total, unit),
        _share(row.cpu_time_total, total),
        shown_time(row.cpu_time_total, unit),
        shown_time(row.cpu_time, unit),
    ]
    if with_memory:
        cells += [shown_memory(row.cpu_memory_usage), shown_memory(row.self_cpu_memory_usage)]
    cells.append(str(row.count))
    if with_shapes:
        cells.append(_cut(str(row.input_shapes), widths[1]))
    if with_source:
        cells.append(_cut(row.stack[0] if row.stack else "", widths[2]))
    return cells
