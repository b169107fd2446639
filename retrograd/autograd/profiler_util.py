"""The events of a profile as a list, with tables, sums and files made of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from retrograd.autograd.profiler_event import (
    BACKWARD_SCOPE,
    FUNCTION_SCOPE,
    USER_SCOPE,
    DeviceType,
    FunctionEvent,
    FunctionEventAvg,
    Interval,
    ProfilerActivity,
    nested,
)
from retrograd.autograd.profiler_table import render

__all__ = [
    "BACKWARD_SCOPE", "FUNCTION_SCOPE", "USER_SCOPE", "DeviceType", "EventList", "FunctionEvent",
    "FunctionEventAvg", "Interval", "ProfilerActivity", "nested",
]  # fmt: skip


class EventList(list[Any]):
    """A list of events, or of averages of events."""

    def __init__(self, events: Iterable[Any] = (), *, profile_memory: bool = False) -> None:
        super().__init__(events)
        self._profile_memory = profile_memory

    def __str__(self) -> str:
        return self.table()

    @property
    def self_cpu_time_total(self) -> float:
        """The time of all events, each without those inside it, in microseconds."""
        return float(sum(event.self_cpu_time_total for event in self))

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 100,
        max_src_column_width: int = 75,
        max_name_column_width: int = 55,
        max_shapes_column_width: int = 80,
        header: str | None = None,
        top_level_events_only: bool = False,
        time_unit: str | None = None,
    ) -> str:
        """Return a table of the events.

        Args:
            sort_by: an attribute, largest first: self_cpu_time_total, cpu_time_total, cpu_time, count,
                cpu_memory_usage, self_cpu_memory_usage ...
            row_limit: the most rows.
            max_src_column_width: the widest column of source lines.
            max_name_column_width: the widest column of names.
            max_shapes_column_width: the widest column of shapes.
            header: a line to put above.
            top_level_events_only: leave out what is inside other events.
            time_unit: `s`, `ms` or `us`; by default whatever fits each time.
        """
        rows = [e for e in self if e.cpu_parent is None] if top_level_events_only else list(self)
        if sort_by is not None:
            rows = sorted(rows, key=lambda event: getattr(event, sort_by), reverse=True)
        widths = max_name_column_width, max_shapes_column_width, max_src_column_width
        total = self.self_cpu_time_total
        return render(
            rows[:row_limit] if row_limit >= 0 else rows,
            total,
            widths,
            header,
            time_unit,
            self._profile_memory,
        )

    def key_averages(
        self,
        group_by_input_shapes: bool = False,
        group_by_stack_n: int = 0,
        group_by_overload_name: bool = False,
    ) -> EventList:
        """Return the sums of the events of each name.

        Args:
            group_by_input_shapes: keep calls on inputs of different shapes apart.
            group_by_stack_n: keep calls apart that differ in so many of the innermost frames.
            group_by_overload_name: accepted; ops have no overloads here.
        """
        sums: dict[tuple[str, ...], FunctionEventAvg] = {}
        for event in self:
            key = [event.key]
            if group_by_input_shapes:
                key.append(str(event.input_shapes))
            if group_by_stack_n:
                key.extend(event.stack[:group_by_stack_n])
            sums.setdefault(tuple(key), FunctionEventAvg()).add(event)
        for found in sums.values():
            found.stack = found.stack[:group_by_stack_n]
            if not group_by_input_shapes:
                found.input_shapes = ""
        return EventList(sums.values(), profile_memory=self._profile_memory)

    def total_average(self) -> FunctionEventAvg:
        """Return the sum of all events."""
        found = FunctionEventAvg()
        for event in self:
            found.add(event)
        found.key = "Total"
        return found

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write the events as a trace that chrome://tracing and Perfetto show."""
        events = [
            {
                "ph": "X", "cat": "user_annotation" if e.scope == USER_SCOPE else "cpu_op", "name": e.name,
                "pid": os.getpid(), "tid": e.thread, "ts": e.time_range.start, "dur": e.cpu_time_total,
                "args": {"Input Dims": e.input_shapes, "Call stack": ";".join(e.stack)},
            }
            for e in self
        ]  # fmt: skip
        Path(path).write_text(json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}), encoding="utf-8")

    def supported_export_stacks_metrics(self) -> list[str]:
        """Return what `export_stacks` can write."""
        return ["self_cpu_time_total", "self_device_time_total"]

    def export_stacks(self, path: str | os.PathLike[str], metric: str = "self_cpu_time_total") -> None:
        """Write a line `outermost;...;innermost microseconds` per event, as flame-graph tools read it.

        Raises:
            ValueError: no such metric.
        """
        if metric not in self.supported_export_stacks_metrics():
            raise ValueError(f"metric should be one of: {self.supported_export_stacks_metrics()}")
        lines = [
            f"{';'.join([*(f.replace(' ', '_') for f in reversed(e.stack)), e.name])} "
            f"{int(getattr(e, metric))}"
            for e in self
            if e.stack and int(getattr(e, metric)) > 0
        ]
        Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
