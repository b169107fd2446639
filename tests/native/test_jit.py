"""LLVM IR becomes machine code, from any thread, over a fork, through an interrupt; mistakes are told."""

from __future__ import annotations

import ctypes
import gc
import logging
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from retrograd.native import jit

ADD = """
define i64 @add(i64 %x) {{
  %y = add i64 %x, {number}
  ret i64 %y
}}
"""
SUM = """
define float @sum(ptr %x, i64 %n) {
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
  %total = phi float [0.0, %entry], [%more, %loop]
  %place = getelementptr float, ptr %x, i64 %i
  %v = load float, ptr %place, align 4
  %more = fadd fast float %total, %v
  %next = add nuw nsw i64 %i, 1
  %end = icmp eq i64 %next, %n
  br i1 %end, label %done, label %loop
done:
  ret float %more
}
"""


def big(seed: int, count: int = 2000) -> str:
    """Return a module that takes a while to compile."""
    lines = [f"  %v{i} = mul i64 %v{i - 1}, %v{max(i - 7, 0)}" for i in range(1, count)]
    body = "\n".join(line + f"\n  store volatile i64 %v{i}, ptr %p" for i, line in enumerate(lines, 1))
    head = f"define void @big(ptr %p) {{\n  %v0 = add i64 {seed}, 1\n"
    return head + body + "\n  ret void\n}\n"


def add_of(library: jit.Library):
    function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(library.address("add"))
    return lambda x: (library, function(x))[1]  # which keeps the library


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RETROGRAD_CACHE", str(tmp_path / "cache"))


def test_a_module_is_loaded_and_runs():
    library = jit.load(ADD.format(number=41))
    assert add_of(library)(1) == 42


def test_the_names_that_llvmlite_quotes_are_found_and_private_ones_are_not():
    library = jit.load(
        'define i64 @"odd name"(i64 %x) { %y = call i64 @hidden(i64 %x) ret i64 %y }\n'
        "define internal i64 @hidden(i64 %x) noinline { ret i64 %x }\n"
    )
    assert ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(library.address("odd name"))(7) == 7
    with pytest.raises(LookupError, match="no function 'hidden'; there are odd name"):
        library.address("hidden")


def test_functions_of_libc_and_libm_are_there():
    library = jit.load(
        "declare float @expf(float)\n"
        "define float @f(float %x) { %y = call float @expf(float %x) ret float %y }"
    )
    assert ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_float)(library.address("f"))(0.0) == 1.0


def test_code_that_llvm_turns_into_memset_is_linked():
    library = jit.load(
        "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)\n"
        "define void @zero(ptr %p, i64 %n) {\n"
        "  call void @llvm.memset.p0.i64(ptr %p, i8 0, i64 %n, i1 false)\n"
        "  ret void\n"
        "}\n"
    )
    data = ctypes.create_string_buffer(b"x" * 100, 100)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(library.address("zero"))(
        ctypes.addressof(data), 99
    )
    assert data.raw == b"\0" * 99 + b"x"


BAD = {
    "expected top-level entity": "nonsense",
    "expected 'double'": "define float @f(float %x) { ret double %x }",
    "does not dominate": "define i64 @f() { %a = add i64 %b, 1 %b = add i64 1, 1 ret i64 %a }",
    r"nobody defines \['nowhere'\]": (
        "declare void @nowhere()\ndefine void @f() { call void @nowhere() ret void }"
    ),
}


@pytest.mark.parametrize(("message", "text"), BAD.items())
def test_a_bad_module_is_an_error_and_the_next_one_loads(message, text):
    with pytest.raises(RuntimeError, match=message):
        jit.load(text)
    assert add_of(jit.load(ADD.format(number=5)))(1) == 6


def test_equal_requests_share_a_library_while_it_lives_and_other_options_do_not():
    text = ADD.format(number=6)
    first = jit.load(text)
    assert jit.load(text) is first
    assert jit.load(text, key="other") is not first
    assert jit.load(text, unroll=True) is not first
    gone = id(first)
    del first
    gc.collect()
    assert not any(id(library) == gone for library in jit._live.values())
    assert add_of(jit.load(text))(1) == 7


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_libraries_that_nobody_holds_leave_memory():
    def code_bytes():
        lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
        ends = [fields[0].split("-") for fields in lines if fields[1] == "r-xp" and len(fields) == 5]
        return sum(int(end, 16) - int(start, 16) for start, end in ends)

    def load(numbers):
        for number in numbers:
            yield jit.load(ADD.format(number=number))

    assert all(load(range(1000, 1010)))
    before = code_bytes()
    assert all(load(range(1010, 1060)))
    assert code_bytes() <= before + 5 * mmap.PAGESIZE
    held = list(load(range(1010, 1060)))
    assert code_bytes() >= before + 40 * mmap.PAGESIZE
    assert held


def test_loops_are_vectorised_only_when_asked():
    assert "addss" in jit.load(SUM).assembly() or "fadd\ts" in jit.load(SUM).assembly()
    plain, vector = jit.load(SUM).assembly(), jit.load(SUM, vectorize=True).assembly()
    assert "addps" not in plain
    assert "addps" in vector or ".4s" in vector


def test_compilations_and_cache_hits_are_logged(caplog):
    caplog.set_level(logging.INFO, logger="retrograd.native.jit")
    text = ADD.format(number=8)
    jit.load(text, key="step")
    gc.collect()
    jit.load(text, key="step")
    how = [record.getMessage().rsplit(" in ", 1)[0] for record in caplog.records]
    assert how == ["step: compiled", "step: found in the cache"]


def test_many_threads_load_at_once():
    results, start = {}, threading.Barrier(8)

    def work(index):
        start.wait()
        for number in range(6):
            results[index, number] = add_of(jit.load(ADD.format(number=number + 100)))(index)
            gc.collect(0)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {(index, number): index + number + 100 for index in range(8) for number in range(6)}


def test_an_interrupt_during_compilation_ends_the_wait_and_harms_nothing():
    text = big(1)
    timer = threading.Timer(0.02, signal.raise_signal, args=(signal.SIGINT,))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        for seed in range(100):
            jit.load(big(seed))
    timer.join()
    assert add_of(jit.load(ADD.format(number=9)))(1) == 10
    jit.load(text).address("big")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_compiles_after_a_fork_in_the_middle_of_a_compilation():
    jit.load(ADD.format(number=10))
    busy = threading.Thread(target=lambda: [jit.load(big(seed, 500)) for seed in range(200, 206)])
    busy.start()
    for number in range(3):
        time.sleep(0.02)
        child = os.fork()
        if child == 0:
            os._exit(add_of(jit.load(ADD.format(number=20 + number)))(1))
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 21 + number
    busy.join()


def test_without_another_thread_the_main_thread_compiles(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert add_of(jit.load(ADD.format(number=30)))(1) == 31
    with pytest.raises(RuntimeError, match="expected top-level entity"):
        jit.load("nonsense")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_of_another_thread_compiles():
    statuses = []

    def fork():
        child = os.fork()
        if child == 0:
            os._exit(add_of(jit.load(ADD.format(number=31)))(1))
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    thread = threading.Thread(target=fork)
    thread.start()
    thread.join()
    assert statuses == [32]


def test_a_process_that_ends_with_libraries_alive_ends_well():
    code = f"from retrograd.native import jit\nlibrary = jit.load('''{ADD.format(number=3)}''')\nprint(1)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
