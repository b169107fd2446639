"""What a profile collects: events, and sums of events."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, Self

from retrograd.autograd.profiler_table import shown_time


class DeviceType(Enum):
    """Where something runs: here always the CPU."""

    CPU = 0


class ProfilerActivity(Enum):
    """What may be profiled: here the CPU's work."""

    CPU = 0


class Interval:
    """A time from start to end, in microseconds since the profile began."""

    def __init__(self, start: float, end: float) -> None:
        self.start = start
        self.end = end

    def elapsed_us(self) -> float:
        """Return how long it is."""
        return self.end - self.start


class _Times:
    """The times that events and averages share, in microseconds; those of other devices are 0."""

    count: int
    cpu_time_total: float
    self_cpu_time_total: float
    device_time_total = self_device_time_total = device_time = cuda_time = cuda_time_total = 0.0
    self_cuda_time_total = 0.0
    device_memory_usage = self_device_memory_usage = 0
    device_type = DeviceType.CPU
    is_async = is_remote = is_legacy = False
    node_id = -1
    use_device: str | None = None
    flops: int | None = None

    @property
    def cpu_time(self) -> float:
        """The average time of one call."""
        return self.cpu_time_total / self.count if self.count else 0.0

    @property
    def cpu_time_str(self) -> str:
        """`cpu_time` with its unit."""
        return shown_time(self.cpu_time)

    @property
    def cpu_time_total_str(self) -> str:
        """`cpu_time_total` with its unit."""
        return shown_time(self.cpu_time_total)

    @property
    def self_cpu_time_total_str(self) -> str:
        """`self_cpu_time_total` with its unit."""
        return shown_time(self.self_cpu_time_total)


class FunctionEvent(_Times):
    """One call: of an op, of a node of backward, or of a block of the user's."""

    count = 1

    def __init__(
        self,
        id: int,
        name: str,
        thread: int,
        start_us: float,
        end_us: float,
        input_shapes: Sequence[Any] = (),
        stack: Sequence[str] = (),
        scope: int = 0,
        cpu_memory_usage: int = 0,
        sequence_nr: int = -1,
    ) -> None:
        self.id = id
        self.name = self.trace_name = name
        self.thread = thread
        self.time_range = Interval(start_us, end_us)
        self.input_shapes = list(input_shapes)
        self.stack = list(stack)
        self.scope = scope
        self.cpu_memory_usage = cpu_memory_usage
        self.sequence_nr = sequence_nr
        self.cpu_children: list[FunctionEvent] = []
        self.cpu_parent: FunctionEvent | None = None

    @property
    def key(self) -> str:
        """What events are grouped by."""
        return self.name

    @property
    def is_user_annotation(self) -> bool:
        """Whether this is a `record_function` block."""
        return self.scope == USER_SCOPE

    @property
    def cpu_time_total(self) -> float:  # type: ignore[override]
        """How long the call took."""
        return self.time_range.elapsed_us()

    @property
    def self_cpu_time_total(self) -> float:  # type: ignore[override]
        """How long it took without the events inside it."""
        return self.cpu_time_total - sum(child.cpu_time_total for child in self.cpu_children)

    @property
    def self_cpu_memory_usage(self) -> int:
        """The bytes that it made without those of the events inside it."""
        return self.cpu_memory_usage - sum(child.cpu_memory_usage for child in self.cpu_children)

    def append_cpu_child(self, child: FunctionEvent) -> None:
        """Put an event inside this one."""
        self.cpu_children.append(child)

    def set_cpu_parent(self, parent: FunctionEvent) -> None:
        """Say which event this one is inside of."""
        self.cpu_parent = parent

    def __repr__(self) -> str:
        return (
            f"<FunctionEvent id={self.id} name={self.name} cpu_time={self.cpu_time_str} "
            f"cpu_start_us={self.time_range.start} cpu_end_us={self.time_range.end} thread={self.thread} "
            f"input_shapes={self.input_shapes} cpu_memory_usage={self.cpu_memory_usage}>"
        )


FUNCTION_SCOPE, BACKWARD_SCOPE, USER_SCOPE = 0, 1, 7  # torch's numbers


class FunctionEventAvg(_Times):
    """The sum of the events of one name (and, if asked for, of one kind of input or one place)."""

    def __init__(self, key: str | None = None) -> None:
        self.key = key
        self.count = 0
        self.cpu_time_total = self.self_cpu_time_total = 0.0
        self.cpu_memory_usage = self.self_cpu_memory_usage = 0
        self.input_shapes: Any = None
        self.stack: list[str] = []
        self.scope: int | None = None
        self.cpu_children: list[FunctionEvent] = []
        self.cpu_parent: FunctionEvent | None = None

    def add(self, other: Any) -> FunctionEventAvg:
        """Add an event, or another sum, to this one."""
        if self.key is None:
            self.key = other.key
        if self.count == 0:
            self.input_shapes, self.stack, self.scope = other.input_shapes, other.stack, other.scope
        self.count += other.count
        self.cpu_time_total += other.cpu_time_total
        self.self_cpu_time_total += other.self_cpu_time_total
        self.cpu_memory_usage += other.cpu_memory_usage
        self.self_cpu_memory_usage += other.self_cpu_memory_usage
        return self

    def __iadd__(self, other: Any) -> Self:
        self.add(other)
        return self

    @property
    def name(self) -> str:
        """The key."""
        return self.key or ""

    def __repr__(self) -> str:
        return (
            f"<FunctionEventAvg key={self.key} self_cpu_time={self.self_cpu_time_total_str} "
            f"cpu_time={self.cpu_time_str}  self_cuda_time=0.000us cuda_time=0.000us "
            f"input_shapes={self.input_shapes} cpu_memory_usage={self.cpu_memory_usage} cuda_memory_usage=0>"
        )


def nested(events: list[FunctionEvent]) -> list[FunctionEvent]:
    """Return the events in the order in which they began, each with what is inside it."""
    events = sorted(events, key=lambda e: (e.thread, e.time_range.start, -e.time_range.end, -e.id))
    opened: list[FunctionEvent] = []
    for event in events:
        event.cpu_children, event.cpu_parent = [], None
        while opened and not _is_inside(event, opened[-1]):
            opened.pop()
        if opened:
            opened[-1].append_cpu_child(event)
            event.set_cpu_parent(opened[-1])
        opened.append(event)
    for event in reversed(events):
        if event.scope != FUNCTION_SCOPE:  # only ops note what they made; the rest made what is inside
            event.cpu_memory_usage = sum(child.cpu_memory_usage for child in event.cpu_children)
    return sorted(events, key=lambda e: e.time_range.start)


def _is_inside(event: FunctionEvent, other: FunctionEvent) -> bool:
    return event.thread == other.thread and event.time_range.end <= other.time_range.end
