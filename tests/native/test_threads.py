"""Chunks of a loop are done once each, by as many threads as asked, whatever happens around them."""

from __future__ import annotations

import ctypes
import functools
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from llvmlite import binding, ir

import retrograd
from retrograd.native import jit, pool, target, threads

# `call` makes a number of regions on the pool that it is given; the rest are bodies.
BODIES = """
define void @call(ptr %parallel, ptr %body, ptr %context, i64 %count, i64 %grain, i64 %regions) {
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
  call void %parallel(ptr %body, ptr %context, i64 %count, i64 %grain)
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %regions
  br i1 %more, label %loop, label %out
out:
  ret void
}

; Adds one to each byte of the range.
define void @mark(ptr %context, i64 %begin, i64 %end) {
entry:
  br label %loop
loop:
  %i = phi i64 [%begin, %entry], [%next, %loop]
  %place = getelementptr i8, ptr %context, i64 %i
  %old = atomicrmw add ptr %place, i8 1 monotonic
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %end
  br i1 %more, label %loop, label %out
out:
  ret void
}

; Writes down its range, after a counter: the context is i64 count, then pairs.
define void @note(ptr %context, i64 %begin, i64 %end) {
  %index = atomicrmw add ptr %context, i64 1 seq_cst
  %pairs = getelementptr i64, ptr %context, i64 1
  %pair = getelementptr {i64, i64}, ptr %pairs, i64 %index
  store i64 %begin, ptr %pair
  %second = getelementptr i64, ptr %pair, i64 1
  store i64 %end, ptr %second
  ret void
}

; Writes down its thread, and waits until another chunk is being done too, but not for ever: the context is
; i64 chunks that came, then threads by item. Uses 4 MiB of stack on the way.
define void @meet(ptr %context, i64 %begin, i64 %end) {
entry:
  %big = alloca [4194304 x i8], align 64
  %far = getelementptr i8, ptr %big, i64 %begin
  store volatile i8 1, ptr %far
  %far.2 = getelementptr i8, ptr %big, i64 4194240
  store volatile <16 x float> zeroinitializer, ptr %far.2, align 64
  %self = call ptr @pthread_self()
  %list = getelementptr i64, ptr %context, i64 1
  %place = getelementptr i64, ptr %list, i64 %begin
  store ptr %self, ptr %place
  %came = atomicrmw add ptr %context, i64 1 seq_cst
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %pause]
  %there = load atomic i64, ptr %context seq_cst, align 8
  %enough = icmp sge i64 %there, 2
  %late = icmp sgt i64 %i, 200000
  %stop = or i1 %enough, %late
  br i1 %stop, label %out, label %pause
pause:
  call i32 @sched_yield()
  %next = add i64 %i, 1
  br label %loop
out:
  ret void
}

; A region in each chunk: the context is {pool, bytes, inner count}.
define void @nest(ptr %context, i64 %begin, i64 %end) {
  %parallel = load ptr, ptr %context
  %bytes.p = getelementptr ptr, ptr %context, i64 1
  %bytes = load ptr, ptr %bytes.p
  %count.p = getelementptr ptr, ptr %context, i64 2
  %count = load i64, ptr %count.p
  call void %parallel(ptr @mark, ptr %bytes, i64 %count, i64 3)
  ret void
}
declare ptr @pthread_self()
declare i32 @sched_yield()
"""
LIBRARY = jit.load(BODIES, key="bodies")
CALL = ctypes.CFUNCTYPE(None, *(ctypes.c_void_p,) * 3, *(ctypes.c_int64,) * 3)(LIBRARY.address("call"))
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@functools.cache
def made(kind: str) -> threads.Pool:
    triple = target.host().triple
    if kind == "serial":
        source = pool.LOOP + pool.SERIAL
    else:
        source = pool.source(triple, futex=kind == "futex")
    return threads.Pool(jit.load(source, key=kind))


@pytest.fixture(params=["futex", "condition", "serial"])
def any_pool(request):
    it = made(request.param)
    it.set_threads(4)
    return it


@pytest.fixture(params=["futex", "condition"])
def real_pool(request):
    if sys.platform == "win32":
        pytest.skip("there are no helpers")
    it = made(request.param)
    it.set_threads(4)
    return it


@pytest.fixture(autouse=True)
def number_restored():
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


def call(it, body, context, count, grain=1, regions=1):
    CALL(it.parallel, LIBRARY.address(body), context.ctypes.data, count, grain, regions)


def ranges(it, count, grain):
    context = np.zeros(20_001, np.int64)
    call(it, "note", context, count, grain)
    return sorted(map(tuple, context[1 : 1 + 2 * context[0]].reshape(-1, 2).tolist()))


def meet(it, chunks):
    """Return the threads of chunks that wait for one another."""
    context = np.zeros(1 + chunks, np.uint64)
    call(it, "meet", context, chunks)
    assert context[0] == chunks
    return set(context[1:].tolist())


def threads_that_met(it, chunks=2, number=4):
    """Return the threads of chunks that wait for one another, two at least. It may take a few trials."""
    for _ in range(100):
        it.set_threads(number)
        met = meet(it, chunks)
        if len(met) > 1:
            break
    return met


@pytest.mark.parametrize(
    ("count", "grain"),
    [(0, 1), (-5, 1), (1, 1), (1, 100), (2, 1), (7, 3), (9, 3), (100, 100), (101, 100), (10_000, 1), (5, 0),
     (5, -2), (2**62 + 1, 2**59), (2**63 - 1, 2**60), (2**63 - 1, 2**63 - 1), (2**63 - 1, 2**62)],
)  # fmt: skip
def test_ranges_cover_the_count_in_grains(any_pool, count, grain):
    step = max(grain, 1)
    expected = [(begin, min(begin + step, count)) for begin in range(0, max(count, 0), step)]
    for number in (1, 2, 5):
        any_pool.set_threads(number)
        assert ranges(any_pool, count, grain) == expected


def test_each_item_of_many_regions_is_done_once(any_pool):
    rng = random.Random(0)
    for _ in range(300):
        count, grain, regions = rng.randrange(2000), rng.randrange(1, 40), rng.randrange(1, 20)
        any_pool.set_threads(rng.choice([2, 3, 4, 9]))
        done = np.zeros(count + 64, np.uint8)
        call(any_pool, "mark", done, count, grain, regions)
        assert (done[:count] == regions).all()
        assert not done[count:].any()


def test_long_trains_of_small_regions_with_more_threads_than_cores(real_pool):
    real_pool.set_threads(8)
    done = np.zeros(16, np.uint8)
    for _ in range(20):
        done[:] = 0
        call(real_pool, "mark", done, 16, 1, 250)
        assert (done == 250).all()


def test_helpers_work_and_have_the_stack_of_a_thread(real_pool):
    assert len(threads_that_met(real_pool)) == 2
    time.sleep(0.01)  # they are asleep by now
    assert len(threads_that_met(real_pool)) == 2


def test_only_as_many_threads_work_as_are_set(real_pool):
    for number in (6, 2, 3, 2):
        for _ in range(20):
            assert 2 <= len(threads_that_met(real_pool, 12, number)) <= number
    real_pool.set_threads(1)
    assert meet(real_pool, 2) == {threading.get_ident()}


def test_a_region_inside_a_region_is_done_by_its_thread(any_pool):
    done = np.zeros(100, np.uint8)
    context = np.array([any_pool.parallel, done.ctypes.data, 100], np.uint64)
    call(any_pool, "nest", context, 20, 1, 10)
    assert (done == 200).all()


def test_python_threads_that_come_at_once_each_get_their_loop_done(any_pool):
    wrong, start = [], threading.Barrier(6)

    def work(seed):
        rng = random.Random(seed)
        start.wait()
        for _ in range(100):
            count, grain = rng.randrange(1, 3000), rng.randrange(1, 50)
            done = np.zeros(count, np.uint8)
            call(any_pool, "mark", done, count, grain, 5)
            if not (done == 5).all():
                wrong.append((count, grain))

    callers = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def in_child(work):
    """Return what work returns in a child of fork, as an exit status; fail if it takes long."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(work())
        finally:
            os._exit(99)
    limit = time.monotonic() + 30
    while time.monotonic() < limit:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise AssertionError("the child hangs")


@FORKS
def test_a_child_has_helpers_of_its_own(real_pool):
    assert len(threads_that_met(real_pool)) == 2
    assert in_child(lambda: len(threads_that_met(real_pool))) == 2
    assert in_child(lambda: in_child(lambda: len(threads_that_met(real_pool)))) == 2
    assert len(threads_that_met(real_pool)) == 2


@FORKS
def test_a_fork_in_the_middle_of_a_region_of_another_thread(real_pool):
    stop = threading.Event()
    done = np.zeros(5000, np.uint8)

    def keep_calling():
        while not stop.is_set():
            call(real_pool, "mark", done, done.size, 10, 20)

    other = threading.Thread(target=keep_calling)
    other.start()
    try:
        for _ in range(20):
            assert in_child(lambda: len(threads_that_met(real_pool))) == 2
    finally:
        stop.set()
        other.join()


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([*sys.path, str(Path(__file__).parent)])
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("pause", [0, 0.1])
def test_a_process_with_waiting_helpers_ends(pause):
    done = run(
        f"import test_threads as t, time; p = t.made('futex'); \n"
        f"print(len(t.threads_that_met(p, 2, 2))); time.sleep({pause})"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")


def test_a_process_ends_in_the_middle_of_a_daemon_threads_region():
    done = run(
        "import test_threads as t, threading, time, numpy as np\n"
        "p = t.made('futex'); p.set_threads(3); x = np.zeros(10000, np.uint8)\n"
        "threading.Thread(target=lambda: t.call(p, 'mark', x, x.size, 10, 10**9), daemon=True).start()\n"
        "time.sleep(0.1); print('end')"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


@LINUX
def test_where_the_system_has_no_more_threads_those_there_are_do(real_pool):
    done = run(
        "import test_threads as t, resource, numpy as np\n"
        "p = t.made('futex'); t.threads_that_met(p)\n"
        "pages = int(open('/proc/self/statm').read().split()[0])\n"
        "limit = pages * resource.getpagesize() + (40 << 20)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit)); p.set_threads(64)\n"
        "x = np.zeros(5000, np.uint8); t.call(p, 'mark', x, x.size, 10, 50); print((x == 50).all())\n"
        "import os; print(2 <= len(os.listdir('/proc/self/task')) < 12)"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\nTrue\n", "")


@LINUX
def test_helpers_sleep_when_there_is_nothing_to_do(real_pool):
    threads_that_met(real_pool)
    time.sleep(0.02)
    start = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - start < 0.05


@LINUX
def test_helpers_leave_signals_to_python(real_pool):
    threads_that_met(real_pool)
    python = {thread.native_id for thread in threading.enumerate()}
    masks = []
    for task in Path("/proc/self/task").iterdir():
        if int(task.name) not in python:
            fields = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
            masks.append(int(fields["SigBlk"], 16))
    blocked = [mask for mask in masks if mask >> 1 & 1]  # SIGINT is signal 2
    assert blocked
    assert not any(mask >> 10 & 1 for mask in blocked)  # SIGSEGV is 11


@pytest.mark.parametrize("futex", [True, False])
@pytest.mark.parametrize(
    "triple",
    [
        "x86_64-unknown-linux-gnu",
        "aarch64-unknown-linux-gnu",
        "riscv64-unknown-linux-gnu",
        "x86_64-apple-darwin",
        "arm64-apple-darwin",
    ],
)
def test_the_pool_compiles_for_other_machines(triple, futex):
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    try:
        machine = binding.Target.from_triple(triple).create_target_machine(reloc="pic", codemodel="small")
    except RuntimeError:
        pytest.skip("LLVM was built without that target")
    module = binding.parse_assembly(pool.source(triple, futex=futex))
    module.verify()
    assembly = machine.emit_assembly(module)
    pause = {"x86_64": "pause", "aarch64": "yield", "arm64": "yield"}.get(triple.split("-", 1)[0], "")
    assert pause in assembly


def test_declare_is_what_modules_call():
    module = ir.Module(name="one")
    module.triple = binding.get_process_triple()
    parallel = threads.declare(module)
    assert threads.declare(module) is parallel
    body = ir.Function(
        module, ir.FunctionType(ir.VoidType(), [ir.PointerType(), ir.IntType(64), ir.IntType(64)]), "body"
    )
    builder = ir.IRBuilder(body.append_basic_block())
    context, begin, end = body.args
    place = builder.gep(context, [begin], source_etype=ir.IntType(64))
    builder.store(builder.sub(end, begin), place)
    builder.ret_void()
    run_it = ir.Function(module, ir.FunctionType(ir.VoidType(), [ir.PointerType(), ir.IntType(64)]), "run")
    builder = ir.IRBuilder(run_it.append_basic_block())
    builder.call(parallel, [body, run_it.args[0], run_it.args[1], ir.Constant(ir.IntType(64), 4)])
    builder.ret_void()
    library = jit.load(str(module))
    sizes = np.zeros(10, np.int64)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(library.address("run"))(sizes.ctypes.data, 10)
    assert sizes.tolist() == [4, 0, 0, 0, 4, 0, 0, 0, 2, 0]


def test_the_number_of_threads_is_torchs_too():
    retrograd.set_num_threads(3)
    assert threads.get_num_threads() == retrograd.get_num_threads() == 3
    with pytest.raises(RuntimeError, match="positive"):
        retrograd.set_num_threads(0)
    with pytest.raises(ValueError, match="expected a positive number; got 0"):
        threads.set_num_threads(0)
    assert retrograd.get_num_threads() == 3


@pytest.fixture
def unasked(monkeypatch):
    """As a fresh process that has not asked how many threads there are."""
    monkeypatch.delenv("RETROGRAD_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads._Count, "value", None)
    return monkeypatch


@pytest.mark.parametrize(
    ("environment", "number"),
    [
        ({"RETROGRAD_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "5"}, 5),
        ({"OMP_NUM_THREADS": "4,2"}, 4),
        ({"RETROGRAD_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, 3),
        ({"RETROGRAD_NUM_THREADS": "1000000"}, threads.MAX_THREADS),
    ],
)
def test_the_environment_says_how_many(unasked, environment, number):
    for name, value in environment.items():
        unasked.setenv(name, value)
    assert threads.get_num_threads() == number


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5"])
def test_what_is_no_number_of_threads_is_told_of(unasked, text):
    unasked.setenv("RETROGRAD_NUM_THREADS", text)
    with pytest.warns(UserWarning, match=f"RETROGRAD_NUM_THREADS: expected a positive number; got '{text}'"):
        assert threads.get_num_threads() >= 1


@LINUX
def test_by_default_the_cores_that_the_process_may_use():
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "import retrograd; print(retrograd.get_num_threads())"
    )
    assert run(code, RETROGRAD_NUM_THREADS="", OMP_NUM_THREADS="").stdout == "1\n"


def test_the_environment_speaks_to_blas_too():
    code = (
        "import os; os.environ.pop('OPENBLAS_NUM_THREADS', None); import retrograd\n"
        "from retrograd.functions.process import _blas\n"
        "print(_blas().scipy_openblas_get_num_threads64_() if _blas() else 1)"
    )
    assert run(code, RETROGRAD_NUM_THREADS="1", OMP_NUM_THREADS="").stdout == "1\n"
