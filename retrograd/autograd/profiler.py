"""The profiler: what each op, each node of backward and each block of the user's costs.

    with torch.autograd.profiler.profile() as prof:
        with record_function("forward"):
            loss = model(x).sum()
        loss.backward()
    print(prof.key_averages().table(sort_by="self_cpu_time_total"))

While a profile is on it is given each op of its thread (see modes.py) and times it. A node that an op records
meanwhile gets a pair of hooks, which time its pullback. Not seen: what is no op (creation, random numbers),
and nodes recorded before the profile began.
"""

from __future__ import annotations

import functools
import os
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any, Self

from retrograd.autograd import modes
from retrograd.autograd.graph import AccumulateGrad, Output
from retrograd.autograd.levels import run_below
from retrograd.autograd.modes import local
from retrograd.autograd.profiler_call import bytes_made, shape_of, user_frames
from retrograd.autograd.profiler_util import (
    BACKWARD_SCOPE,
    FUNCTION_SCOPE,
    USER_SCOPE,
    DeviceType,
    EventList,
    FunctionEvent,
    FunctionEventAvg,
    ProfilerActivity,
    nested,
)
from retrograd.ops.declare import Op
from retrograd.tensor import Tensor

__all__ = [
    "DeviceType", "EventList", "FunctionEvent", "FunctionEventAvg", "ProfilerActivity", "kineto_available",
    "profile", "record_function",
]  # fmt: skip

_running: list[profile] = []
"""The profiles that are on, of all threads. record_function looks here first, and mostly finds nothing."""


def kineto_available() -> bool:
    """Return whether events come from the Kineto library: never, they are timed in Python."""
    return False


class record_function:  # noqa: N801 - torch's public name
    """Name a block of the program in the profile. Context manager and decorator.

    Costs next to nothing while no profile is on.

    Args:
        name: the name of its event.
        args: accepted; shown nowhere.

    Example:
        >>> import retrograd as torch
        >>> with torch.autograd.profiler.record_function("update"):
        ...     x = torch.ones(2) + 1
    """

    __slots__ = ("_start", "args", "name")

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name
        self.args = args

    def __enter__(self) -> Self:
        self._start = time.perf_counter_ns() if _running else 0
        return self

    def __exit__(self, *exc: object) -> None:
        if self._start and _running:
            end = time.perf_counter_ns()
            for found in _running:
                if found.thread == threading.get_ident():
                    found.note(self.name, self._start, end, scope=USER_SCOPE)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def decorated(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name, self.args):
                return function(*args, **kwargs)

        return decorated


class profile:  # noqa: N801 - torch's public name
    """Time what this thread does within. Gives tables, sums, and files for trace viewers.

    Args:
        enabled: false makes it do nothing; `as` then gives None.
        use_cuda: there is no such device; warns.
        use_device: likewise.
        record_shapes: keep the shapes of the inputs of each op.
        with_flops: not counted here; warns.
        profile_memory: keep how many bytes of new results each op made.
        with_stack: keep the user's stack of calls of each op.
        others: accepted; they have no meaning here.

    Example:
        >>> import retrograd as torch
        >>> with torch.autograd.profiler.profile() as prof:
        ...     y = torch.ones(2).exp() + 1
        >>> [event.name for event in prof.function_events]
        ['aten::exp', 'aten::add']
    """

    def __init__(
        self,
        enabled: bool = True,
        *,
        use_cuda: bool = False,
        use_device: str | None = None,
        record_shapes: bool = False,
        with_flops: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        **others: Any,
    ) -> None:
        unknown = set(others) - _WITHOUT_MEANING
        if unknown:
            raise TypeError(f"profile.__init__() got an unexpected keyword argument {min(unknown)!r}")
        if use_cuda or use_device not in (None, "cpu"):
            device = "CUDA" if use_cuda else str(use_device)
            warnings.warn(
                f"{device} is not available, disabling {device} profiling", UserWarning, stacklevel=2
            )
        if with_flops:
            warnings.warn("profile: floating-point operations are not counted", UserWarning, stacklevel=2)
        self.enabled = enabled
        self.record_shapes = record_shapes
        self.profile_memory = profile_memory
        self.with_stack = with_stack
        self.entered = False
        self.thread = 0
        self._events: list[FunctionEvent] = []
        self._threads: dict[int, int] = {}  # threads are numbered from 1 in the order in which they are seen
        self._watched: set[Any] = set()
        self._began = 0
        self._found: EventList | None = None

    # ---- on and off ----

    def __enter__(self) -> Self | None:
        if not self.enabled:
            return None
        if self.entered:
            raise RuntimeError("Profiler context manager is not reentrant")
        self.entered = True
        self.thread = threading.get_ident()
        self._began = time.perf_counter_ns()
        _running.append(self)
        modes.push(self)
        return self

    def __exit__(self, *exc: object) -> None:
        if not self.enabled:
            return
        if self not in local.intercepts:
            raise RuntimeError("profile: must end in the thread that it began in")
        above = []
        while local.intercepts[-1] is not self:
            above.append(modes.pop())
        modes.pop()
        for interpreter in reversed(above):
            modes.push(interpreter)
        _running.remove(self)
        self._watched.clear()

    # ---- what it sees ----

    def call(self, op: Op, args: tuple[Any, ...], out: Any) -> Any:
        """Time an op, which runs at the level below."""
        taken = modes.pop()
        assert taken is self
        stack = user_frames() if self.with_stack else []
        result: Any = None
        start = time.perf_counter_ns()
        try:
            result = run_below(op, args, out)
        finally:
            end = time.perf_counter_ns()
            modes.push(self)
            shapes = [shape_of(a) for a in args] if self.record_shapes else []
            made = bytes_made(result, args) if self.profile_memory else 0
            self.note(f"aten::{op.torch_name}", start, end, shapes=shapes, stack=stack, made=made)
        self._watch(result)
        return result

    def note(
        self, name: str, start: int, end: int, *, scope: int = FUNCTION_SCOPE, shapes: Any = (),
        stack: Any = (), made: int = 0, sequence_nr: int = -1,
    ) -> None:  # fmt: skip
        """Add an event; times in nanoseconds of `time.perf_counter_ns`."""
        thread = self._threads.setdefault(threading.get_ident(), len(self._threads) + 1)
        since, until = (start - self._began) / 1e3, (end - self._began) / 1e3
        number = len(self._events) + 1
        self._events.append(
            FunctionEvent(number, name, thread, since, until, shapes, stack, scope, made, sequence_nr)
        )

    def _watch(self, result: Any) -> None:
        """Have the pullbacks of the nodes that made a result timed."""
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            node = tensor._node if isinstance(tensor, Tensor) else None
            node = node.edges[0] if type(node) is Output else node
            if node is None or type(node) is AccumulateGrad or node in self._watched:
                continue
            self._watched.add(node)
            timer = _PullbackTimer(self, node.name(), node.seq)
            node.register_prehook(timer.before)
            node.register_hook(timer.after)

    # ---- what it says ----

    @property
    def function_events(self) -> EventList:
        """All events, in the order in which they began."""
        if self._found is None or len(self._found) != len(self._events):
            self._found = EventList(nested(self._events), profile_memory=self.profile_memory)
        return self._found

    @property
    def self_cpu_time_total(self) -> float:
        """The time of all events, each without those inside it, in microseconds."""
        return self.function_events.self_cpu_time_total

    def key_averages(
        self,
        group_by_input_shape: bool = False,
        group_by_stack_n: int = 0,
        group_by_overload_name: bool = False,
    ) -> EventList:
        """Return the sums of the events of each name; see `EventList.key_averages`."""
        return self.function_events.key_averages(
            group_by_input_shape, group_by_stack_n, group_by_overload_name
        )

    def total_average(self) -> FunctionEventAvg:
        """Return the sum of all events."""
        return self.function_events.total_average()

    def table(self, *args: Any, **kwargs: Any) -> str:
        """Return a table of all events; arguments as of `EventList.table`."""
        return self.function_events.table(*args, **kwargs)

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write a trace that chrome://tracing and Perfetto show."""
        self.function_events.export_chrome_trace(path)

    def export_stacks(self, path: str | os.PathLike[str], metric: str = "self_cpu_time_total") -> None:
        """Write the stacks of calls for flame-graph tools."""
        assert self.with_stack, "export_stacks() requires with_stack=True"
        self.function_events.export_stacks(path, metric)

    def __repr__(self) -> str:
        return repr(self.function_events)

    def __str__(self) -> str:
        return str(self.function_events)


_WITHOUT_MEANING = {
    "with_modules", "use_kineto", "use_cpu", "experimental_config", "acc_events", "custom_trace_id_callback",
    "post_processing_timeout_s", "activity_filters",
}  # fmt: skip


class _PullbackTimer:
    """The hooks before and after a node's pullback."""

    def __init__(self, owner: profile, name: str, sequence_nr: int) -> None:
        self.owner = owner
        self.name = name
        self.sequence_nr = sequence_nr
        self.start = 0

    def before(self, _cts: Any) -> None:
        self.start = time.perf_counter_ns()

    def after(self, _parts: Any, _cts: Any) -> None:
        if self.owner in _running:
            self.owner.note(
                self.name,
                self.start,
                time.perf_counter_ns(),
                scope=BACKWARD_SCOPE,
                sequence_nr=self.sequence_nr,
            )
