"""What the native thread pool costs and gives: an empty region, shared work, and a neighbour on one core.

Run: python benchmarks/threads.py

A region is one loop shared by the pool. A step is a number of regions of equal work, in registers only. The
neighbour is a process that never stops, on one of the cores; times beside it are compared with those of one
thread without it, measured before and after.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import statistics
import subprocess
import sys
import time

from retrograd.native import jit, threads

THREADS = 2
BODIES = """
declare void @retrograd_parallel(ptr, ptr, i64, i64)

define void @empty(ptr %context, i64 %begin, i64 %end) {
  ret void
}

; A chain of multiplications and additions: 100 for each item.
define void @work(ptr %context, i64 %begin, i64 %end) {
entry:
  %items = sub i64 %end, %begin
  %rounds = mul i64 %items, 100
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
  %x = phi double [1.0, %entry], [%y, %loop]
  %p = fmul double %x, 0.5
  %y = fadd double %p, 1.0
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %rounds
  br i1 %more, label %loop, label %done
done:
  %strange = fcmp ogt double %y, 3.0
  br i1 %strange, label %never, label %out
never:
  store double %y, ptr %context
  br label %out
out:
  ret void
}

define void @step(ptr %body, i64 %count, i64 %grain, i64 %regions) {
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
  call void @retrograd_parallel(ptr %body, ptr null, i64 %count, i64 %grain)
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %regions
  br i1 %more, label %loop, label %out
out:
  ret void
}
"""
LIBRARY = jit.load(BODIES, key="benchmark")
WORK, EMPTY = LIBRARY.address("work"), LIBRARY.address("empty")
STEP = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(
    LIBRARY.address("step")
)


def times(body: int, count: int, grain: int, regions: int, repeats: int, pause: float = 0.0) -> list[float]:
    """Return the seconds that each of some steps took, a pause before each."""
    taken = []
    for _ in range(repeats):
        if pause:
            time.sleep(pause)
        start = time.perf_counter()
        STEP(body, count, grain, regions)
        taken.append(time.perf_counter() - start)
    return taken


def item() -> float:
    """Return the seconds that an item of work takes in one thread."""
    threads.set_num_threads(1)
    return min(times(WORK, 10_000, 10_000, 1, 20)) / 10_000


@contextlib.contextmanager
def neighbour(core: int):
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    with contextlib.suppress(OSError):
        os.sched_setaffinity(process.pid, {core})
    time.sleep(0.2)
    try:
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def empty_regions() -> None:
    print("empty region, us: median [least, most] of 200 means over 1000 regions")
    for number in (1, THREADS):
        threads.set_num_threads(number)
        for chunks in (2, 16):
            each = [t * 1e3 for t in times(EMPTY, chunks, 1, 1000, 200)]
            print(
                f"  {number} threads {chunks:3} chunks  {statistics.median(each):6.2f}"
                f" [{min(each):.2f}, {max(each):.2f}]"
            )


def shared_work(each: float) -> None:
    print(f"\nwork in one region: time with {THREADS} threads over time with one, medians of 200")
    for micro in (5, 10, 20, 50, 100, 1000):
        items = max(int(micro * 1e-6 / each), 8)
        for pause, what in ((0.0, "back to back"), (0.001, "1 ms apart")):
            ratios = []
            for _ in range(5):
                threads.set_num_threads(1)
                alone = statistics.median(times(WORK, items, -(-items // 8), 1, 40, pause))
                threads.set_num_threads(THREADS)
                shared = statistics.median(times(WORK, items, -(-items // 8), 1, 40, pause))
                ratios.append(shared / alone)
            print(f"  {micro:5} us, {what:12}  {statistics.median(ratios):5.2f}")


def beside_a_neighbour(each: float) -> None:
    print(
        "\nbeside a busy process on one core: time over one thread's without it; over one thread's beside it"
    )
    print("  step                        threads  median    mean  9 in 10     mean")
    for regions, micro in ((20, 12), (10, 100), (4, 2000)):
        items = int(micro * 1e-6 / each)
        shape = WORK, items, -(-items // 8), regions
        repeats = max(int(0.5 / (regions * micro * 1e-6)), 50)
        threads.set_num_threads(1)
        base = min(times(*shape, repeats))
        taken: dict[int, list[list[float]]] = {1: [], THREADS: []}
        with neighbour(max(os.sched_getaffinity(0))):
            for _ in range(4):
                for number, rounds in taken.items():
                    threads.set_num_threads(number)
                    rounds.append([t / base for t in times(*shape, repeats)])
        means = {number: [statistics.fmean(r) for r in rounds] for number, rounds in taken.items()}
        ratio = statistics.median(a / b for a, b in zip(means[THREADS], means[1], strict=True))
        for number, rounds in taken.items():
            everything = [t for r in rounds for t in r]
            print(
                f"  {regions:3} regions of {micro:5} us {number:9}  {statistics.median(everything):7.2f} "
                f"{statistics.fmean(everything):7.2f}  {statistics.quantiles(everything, n=10)[8]:7.2f}"
                + (f"  {ratio:7.2f}" if number == THREADS else "")
            )


if __name__ == "__main__":
    empty_regions()
    shared_work(item())
    beside_a_neighbour(item())
