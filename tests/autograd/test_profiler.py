"""The profiler sees ops, pullbacks and named blocks, nests and sums them, and is off when it is off."""

from __future__ import annotations

import json
import threading
import time

import pytest

import retrograd as torch
from retrograd.autograd import modes, profiler
from retrograd.autograd.profiler import profile, record_function


def names(prof):
    return [event.name for event in prof.function_events]


def step():
    w = torch.ones(3, 3, requires_grad=True)
    (w @ w).relu().sum().backward()
    return w.grad


def test_ops_and_pullbacks_are_seen():
    expected = step()
    with profile() as prof:
        found = step()
    assert names(prof) == [
        "aten::matmul", "aten::relu", "aten::sum", "SumBackward0", "ReluBackward0", "MmBackward0",
    ]  # fmt: skip
    assert found.tolist() == expected.tolist()
    assert all(event.cpu_time_total > 0 for event in prof.function_events)


def test_nothing_stays_behind():
    before = modes.modes.special
    with profile() as prof:
        y = torch.ones(2, requires_grad=True) * 2
    count = len(prof.function_events)
    assert modes.modes.special == before
    assert not modes.local.intercepts
    y.sum().backward()  # its node still has the hooks
    assert len(prof.function_events) == count


def test_it_ends_with_an_error_in_the_block():
    with pytest.raises(RuntimeError), profile() as prof:
        torch.ones(2) + torch.ones(3)
    assert not modes.local.intercepts
    assert names(prof) == ["aten::add"]


def test_blocks_hold_what_is_inside():
    with profile(profile_memory=True) as prof:
        with record_function("outer"):
            x = torch.ones(4) + 1
            with record_function("inner"):
                y = x.exp()
        y + 1
    outer, add, inner, exp, last = prof.function_events
    assert [e.name for e in (outer, add, inner, exp, last)] == [
        "outer", "aten::add", "inner", "aten::exp", "aten::add",
    ]  # fmt: skip
    assert outer.cpu_children == [add, inner]
    assert exp.cpu_parent is inner
    assert last.cpu_parent is None
    assert outer.is_user_annotation
    inside = add.cpu_time_total + inner.cpu_time_total
    assert outer.self_cpu_time_total == pytest.approx(outer.cpu_time_total - inside)
    assert (outer.cpu_memory_usage, outer.self_cpu_memory_usage) == (32, 0)
    assert exp.cpu_memory_usage == 16
    assert prof.self_cpu_time_total == pytest.approx(outer.cpu_time_total + last.cpu_time_total)


def test_times_are_microseconds():
    with profile() as prof, record_function("sleep"):
        time.sleep(0.02)
    (event,) = prof.function_events
    assert 20_000 <= event.cpu_time_total < 2_000_000


def test_views_make_no_memory():
    with profile(profile_memory=True) as prof:
        torch.ones(4).reshape(2, 2).exp()
    assert [e.cpu_memory_usage for e in prof.function_events] == [0, 16]


def test_sums():
    with profile(record_shapes=True) as prof:
        for n in (2, 3, 3):
            torch.ones(n).exp().sum()
    by_name = {e.key: e.count for e in prof.key_averages()}
    assert by_name == {"aten::exp": 3, "aten::sum": 3}
    by_shape = [(e.key, e.input_shapes, e.count) for e in prof.key_averages(group_by_input_shape=True)]
    assert ("aten::exp", [[3]], 2) in by_shape
    assert ("aten::exp", [[2]], 1) in by_shape
    total = prof.total_average()
    assert (total.key, total.count) == ("Total", 6)
    assert total.cpu_time == pytest.approx(total.cpu_time_total / 6)
    assert total.self_cpu_time_total == pytest.approx(prof.self_cpu_time_total)


def test_table():
    with profile() as prof:
        for _ in range(3):
            torch.ones(2).exp()
        torch.ones(2).sum()
    lines = prof.key_averages().table(sort_by="count", row_limit=1).splitlines()
    assert lines[1].split("  ")[0].strip() or lines[1].split()[:3] == ["Name", "Self", "CPU"]
    assert [line.split()[0] for line in lines if "aten::" in line] == ["aten::exp"]
    assert lines[3].split()[-1] == "3"
    assert lines[-1].startswith("Self CPU time total: ")
    assert lines[0] == lines[2] == lines[4]
    assert str(prof).count("aten::exp") == 3
    assert "Input Shapes" not in lines[1]
    with pytest.raises(AttributeError):
        prof.table(sort_by="no such thing")


def test_table_looks_like_torchs(torch_or_skip):
    """The same heads over columns of the same widths, for a name of the same length."""

    def head(package, **options):
        name = "a block whose name is the longest of all"
        with (
            package.autograd.profiler.profile(**options) as prof,
            package.autograd.profiler.record_function(name),
        ):
            package.ones(2, 2) + 1
        averages = prof.key_averages(group_by_input_shape="record_shapes" in options)
        found = [e for e in averages if e.key == name]
        del averages[:]
        averages.extend(found)
        lines = averages.table(sort_by="self_cpu_time_total").splitlines()
        return lines[0], lines[1], len(lines), lines[3].split()[0]

    for options in ({}, {"profile_memory": True}):
        assert head(torch, **options) == head(torch_or_skip, **options)


def test_files(tmp_path):
    with profile(with_stack=True) as prof:
        torch.ones(200, 200).exp()
    prof.export_chrome_trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert [(e["name"], e["ph"]) for e in events] == [("aten::exp", "X")]
    assert events[0]["dur"] == pytest.approx(prof.function_events[0].cpu_time_total)
    prof.export_stacks(tmp_path / "stacks.txt")
    (line,) = (tmp_path / "stacks.txt").read_text().splitlines()
    frames, _, microseconds = line.rpartition(" ")
    assert frames.split(";")[-2:] == [frames.split(";")[-2], "aten::exp"]
    assert "test_profiler.py" in frames.split(";")[-2]
    assert "test_files" in frames.split(";")[-2]
    assert int(microseconds) > 0
    with pytest.raises(ValueError, match="metric should be one of"):
        prof.export_stacks(tmp_path / "stacks.txt", "no such thing")
    with profile() as plain:
        pass
    with pytest.raises(AssertionError, match="requires with_stack=True"):
        plain.export_stacks(tmp_path / "stacks.txt")


def test_off():
    with profile(enabled=False) as prof:
        torch.ones(2) + 1
        assert not modes.local.intercepts
    assert prof is None


def test_once_only():
    prof = profile()
    assert list(prof.function_events) == []
    with prof:
        pass
    with pytest.raises(RuntimeError, match="Profiler context manager is not reentrant"), prof:
        pass


def test_one_inside_the_other():
    with profile() as outer:
        with profile() as inner:
            torch.ones(2).exp()
        torch.ones(2).sum()
    assert names(inner) == ["aten::exp"]
    assert names(outer) == ["aten::exp", "aten::sum"]


def test_other_threads_are_left_alone():
    def other():
        with record_function("elsewhere"):
            torch.ones(2).exp()

    with profile() as prof:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert names(prof) == []


def test_record_function_decorates():
    @record_function("named")
    def function(a, b=1):
        """Return a sum."""
        return a + b

    assert function(torch.ones(1), b=2).tolist() == [3.0]
    assert function.__doc__ == "Return a sum."
    with profile() as prof:
        function(torch.ones(1))
    assert names(prof) == ["named", "aten::add"]


def test_record_function_costs_little_when_nobody_looks():
    def block(count):
        start = time.perf_counter()
        for _ in range(count):
            with record_function("nothing"):
                pass
        return (time.perf_counter() - start) / count

    assert (
        min(block(2000) for _ in range(5)) < 5e-6
    )  # 0.5 microseconds where it was measured, of which an empty context is 0.4


def test_arguments_without_meaning():
    with pytest.warns(UserWarning, match="CUDA is not available, disabling CUDA profiling"):
        profile(use_cuda=True)
    with pytest.warns(UserWarning, match="not counted"):
        profile(with_flops=True)
    profile(use_kineto=True, with_modules=True, use_cpu=True, acc_events=True)
    with pytest.raises(TypeError, match="unexpected keyword argument 'flops'"):
        profile(flops=True)
    assert not torch.autograd.kineto_available()
    assert torch.autograd.DeviceType.CPU is profiler.DeviceType.CPU
