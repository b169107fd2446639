"""torch.profiler records the steps that its schedule names, and hands each recording over once."""

from __future__ import annotations

import pytest

import retrograd as torch
from retrograd.profiler import ProfilerAction, ProfilerActivity, profile, schedule


def test_without_a_schedule_everything_is_recorded():
    shown = []
    with profile(activities=[ProfilerActivity.CPU], on_trace_ready=shown.append) as prof:
        torch.ones(2).exp()
        prof.step()
        torch.ones(2).sum()
        assert shown == []
    assert shown == [prof]
    assert [e.name for e in prof.events()] == ["aten::exp", "aten::sum"]


def test_a_schedule_names_the_steps():
    shown = []

    def report(prof):
        shown.append((prof.step_num, [e.name for e in prof.events()]))

    x = torch.ones(2)
    with profile(schedule=schedule(wait=1, warmup=1, active=2), on_trace_ready=report) as prof:
        for i in range(8):
            x + 1 if i % 2 else x.exp()
            prof.step()
    steps = ["ProfilerStep*", "aten::exp", "ProfilerStep*", "aten::add"]
    assert shown == [(4, steps), (8, steps)]
    assert {e.key: e.count for e in prof.key_averages()} == {
        "ProfilerStep*": 2,
        "aten::exp": 1,
        "aten::add": 1,
    }
    assert prof.events()[1].cpu_parent is prof.events()[0]


def test_an_unfinished_recording_is_kept():
    shown = []
    with profile(schedule=schedule(wait=0, warmup=0, active=5), on_trace_ready=shown.append) as prof:
        torch.ones(2).exp()
        prof.step()
    assert shown == [prof]
    assert [e.name for e in prof.events()] == ["ProfilerStep*", "aten::exp", "ProfilerStep*"]


@pytest.mark.parametrize(
    "numbers",
    [
        {"wait": 1, "warmup": 1, "active": 2, "repeat": 2, "skip_first": 1},
        {"wait": 0, "warmup": 0, "active": 1},
        {"wait": 2, "warmup": 0, "active": 3}, {"wait": 2, "warmup": 1, "active": 1, "skip_first_wait": 1},
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Profiler won:UserWarning")
def test_schedules_are_torchs(numbers, torch_or_skip):
    mine, theirs = schedule(**numbers), torch_or_skip.profiler.schedule(**numbers)
    assert [mine(i).name for i in range(15)] == [theirs(i).name for i in range(15)]


def test_refusals():
    with pytest.raises(AssertionError, match="Got wait=-1"):
        schedule(wait=-1, warmup=0, active=1)
    with pytest.raises(AssertionError, match="Invalid profiler schedule arguments"):
        schedule(wait=0, warmup=0, active=0)
    with pytest.raises(AssertionError, match="No valid profiler activities found"):
        profile(activities=[])
    with pytest.raises(AssertionError, match="must be initialized"):
        profile().key_averages()
    assert schedule(wait=0, warmup=0, active=1)(0) is ProfilerAction.RECORD_AND_SAVE
