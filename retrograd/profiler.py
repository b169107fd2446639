"""torch.profiler: torch.autograd.profiler with a schedule, which profiles some steps of a training loop.

with profile(schedule=schedule(wait=1, warmup=1, active=2), on_trace_ready=report) as prof:
    for batch in batches:
        train(batch)
        prof.step()
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, Self

from retrograd.autograd import profiler as one_profile
from retrograd.autograd.profiler import (
    DeviceType,
    EventList,
    ProfilerActivity,
    kineto_available,
    record_function,
)

__all__ = [
    "DeviceType", "ProfilerAction", "ProfilerActivity", "kineto_available", "profile", "record_function",
    "schedule", "supported_activities",
]  # fmt: skip


class ProfilerAction(Enum):
    """What is done during a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def supported_activities() -> set[ProfilerActivity]:
    """Return what can be profiled: the CPU."""
    return {ProfilerActivity.CPU}


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0, skip_first_wait: int = 0
) -> Callable[[int], ProfilerAction]:
    """Return a schedule: cycles of `wait` steps off, `warmup` steps off too, and `active` steps recorded.

    Args:
        wait: steps at the beginning of a cycle in which nothing is done.
        warmup: steps before recording; nothing is done in them either, Python's timers need no warming up.
        active: steps that are recorded.
        repeat: how many cycles; 0 for no end.
        skip_first: steps before the first cycle.
        skip_first_wait: nonzero leaves the first cycle's `wait` out.

    Raises:
        AssertionError: a number is negative, or `active` is 0.
    """
    assert min(wait, warmup, repeat, skip_first) >= 0 and active > 0, (  # noqa: PT018 - one sentence says both
        f"Invalid profiler schedule arguments. Got wait={wait} (need >= 0), warmup={warmup} (need >= 0), "
        f"active={active} (need > 0), repeat={repeat} (need >= 0), skip_first={skip_first} (need >= 0)."
    )

    def action(step: int) -> ProfilerAction:
        step -= skip_first
        if step < 0:
            return ProfilerAction.NONE
        if skip_first_wait:
            step += wait
        cycle, place = divmod(step, wait + warmup + active)
        if (repeat and cycle >= repeat) or place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        last = place == wait + warmup + active - 1
        return ProfilerAction.RECORD_AND_SAVE if last else ProfilerAction.RECORD

    return action


_RECORDING = (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)


class profile:  # noqa: N801 - torch's public name
    """Profile a block, or the steps of it that a schedule names.

    Args:
        activities: must name the CPU; by default it does.
        schedule: gives the action of each step; without one everything is recorded.
        on_trace_ready: called with this object whenever a recording ends.
        options: as of `torch.autograd.profiler.profile`.

    Raises:
        AssertionError: no activity was named.

    Example:
        >>> import retrograd as torch
        >>> with torch.profiler.profile() as prof:
        ...     y = torch.ones(2).exp()
        >>> [event.key for event in prof.key_averages()]
        ['aten::exp']
    """

    def __init__(
        self,
        *,
        activities: Iterable[Any] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[[Any], Any] | None = None,
        execution_trace_observer: Any = None,
        **options: Any,
    ) -> None:
        chosen = supported_activities() if activities is None else set(activities)
        assert chosen, "No valid profiler activities found"
        self._schedule = schedule
        self._ready = on_trace_ready
        self._options = {name: value for name, value in options.items() if value is not None}
        self._profile: one_profile.profile | None = None
        self._recording = False
        self._step_block: record_function | None = None
        self.step_num = 0

    # ---- on, off and from step to step ----

    def start(self) -> None:
        """Begin; the first step runs."""
        self._turn_to(self._action())

    def stop(self) -> None:
        """End; an unfinished recording is kept."""
        self._finish()

    def step(self) -> None:
        """Say that the next step begins."""
        saving = self._action() is ProfilerAction.RECORD_AND_SAVE and self._schedule is not None
        self._end_step()
        self.step_num += 1
        if saving:
            self._finish()
        self._turn_to(self._action())

    def _action(self) -> ProfilerAction:
        return ProfilerAction.RECORD if self._schedule is None else self._schedule(self.step_num)

    def _turn_to(self, action: ProfilerAction) -> None:
        if action not in _RECORDING:
            self._finish()
            return
        if not self._recording:
            self._profile = one_profile.profile(**self._options)
            self._profile.__enter__()
            self._recording = True
        if self._schedule is not None:
            self._step_block = record_function("ProfilerStep*")
            self._step_block.__enter__()

    def _end_step(self) -> None:
        if self._step_block is not None:
            self._step_block.__exit__(None, None, None)
            self._step_block = None

    def _finish(self) -> None:
        """End the recording, if there is one, and show it to `on_trace_ready`."""
        self._end_step()
        if self._recording and self._profile is not None:
            self._recording = False
            self._profile.__exit__(None, None, None)
            if self._ready is not None:
                self._ready(self)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    # ---- what was recorded last ----

    def _last(self) -> one_profile.profile:
        assert self._profile is not None, "Profiler must be initialized before getting key averages"
        return self._profile

    def events(self) -> EventList:
        """Return the events of the last recording."""
        return self._last().function_events

    def key_averages(
        self,
        group_by_input_shape: bool = False,
        group_by_stack_n: int = 0,
        group_by_overload_name: bool = False,
    ) -> EventList:
        """Return the sums of the events of each name."""
        return self._last().key_averages(group_by_input_shape, group_by_stack_n, group_by_overload_name)

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write a trace that chrome://tracing and Perfetto show."""
        self._last().export_chrome_trace(path)

    def export_stacks(self, path: str | os.PathLike[str], metric: str = "self_cpu_time_total") -> None:
        """Write the stacks of calls for flame-graph tools."""
        self._last().export_stacks(path, metric)
