"""Matrix products: ours, NumPy's (OpenBLAS) and torch's (MKL), and what part of the peak each reaches.

Run: python benchmarks/products.py [SECONDS for each product and number of threads]

The contenders take turns. The ceiling is a loop of multiply-adds that touches no memory, run in between.
"""

from __future__ import annotations

import ctypes
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Case(NamedTuple):
    """A product: sizes, which operands are transposed views, and how many there are of it."""

    name: str
    m: int
    n: int
    k: int
    a_turned: bool = False
    b_turned: bool = False
    items: int = 0


CASES = [
    Case("1024 x 1024 x 1024", 1024, 1024, 1024),
    Case("x @ W.T, 128 x 784 -> 256", 128, 256, 784, b_turned=True),
    Case("dY.T @ x, 256 x 128 x 784", 256, 784, 128, a_turned=True),
    Case("x @ W.T, 128 x 256 -> 10", 128, 10, 256, b_turned=True),
    Case("dY @ W, 128 x 10 -> 256", 128, 256, 10),
    Case("dY.T @ x, 10 x 128 x 256", 10, 256, 128, a_turned=True),
    Case("4096 x 768 -> 768", 4096, 768, 768, b_turned=True),
    Case("64 of 64 x 32 x 64", 64, 64, 32, items=64),
    Case("64 of 64 x 64 x 32, turned", 64, 32, 64, b_turned=True, items=64),
    Case("matrix 512 x 512 @ vector", 512, 1, 512),
    Case("vector @ matrix 512 x 512", 1, 512, 512),
    Case("2 x 16 -> 16", 2, 16, 16, b_turned=True),
]


def compiled(emit: Callable[[Any], None], name: str) -> Any:
    """Compile what `emit` adds to a module; return the function of that name, and what keeps it alive."""
    from llvmlite import ir

    from retrograd.native import jit

    module = ir.Module()
    emit(module)
    library = jit.load(str(module))
    return library, library.address(name)


def ours(a: Any, b: Any, c: Any) -> Callable[[], object]:
    """Return a call of our product of these arrays, batch dimensions in front."""
    import numpy as np

    from retrograd.native import gemm, target, threads

    def strides(x: Any) -> list[int]:
        return [s // x.itemsize for s in x.strides]

    batch = zip(c.shape[:-2], strides(a)[:-2], strides(b)[:-2], strides(c)[:-2], strict=True)
    last = tuple(strides(a)[-2:]), tuple(strides(b)[-2:]), strides(c)[-2]
    spec = gemm.Product(*c.shape[-2:], a.shape[-1], a.dtype, *last, batch=tuple(batch))
    host = target.host()
    library, address = compiled(
        lambda module: gemm.emit(module, spec, "product", target=host, parallel=threads.declare(module)),
        "product",
    )
    scratch = np.zeros(gemm.workspace(spec, host) + 64, np.uint8)
    start = -(-scratch.ctypes.data // 64) * 64
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5)(address)
    places = a.ctypes.data, b.ctypes.data, c.ctypes.data, start, None
    keep = library, a, b, c, scratch
    return lambda: (function(*places), keep)


SUMS, TURNS = 24, 400_000  # 2 ms: a short loop ends before the clock of the core has settled


def ceiling(threads_used: int) -> Callable[[Callable[[], float]], float]:
    """Return a call that says how many operations a second the cores do when they load and store nothing."""
    import numpy as np

    from retrograd.native import target, threads
    from retrograd.native.gemm.emitting import (
        at,
        integer,
        internal,
        load,
        multiply_add,
        pointer,
        starting,
        store,
        sum_of,
        zero,
    )
    from retrograd.native.gemm.loops import carried, loop

    lanes = target.host().lanes(np.float32)

    def emit(module: Any) -> None:
        from llvmlite import ir

        element = ir.FloatType()
        body = internal(module, "body", [pointer(), integer(), integer()])
        builder = starting(body)
        x = load(builder, element, body.args[0], lanes)
        y = load(builder, element, at(builder, element, body.args[0], lanes), lanes)
        with loop(builder, body.args[1], body.args[2]) as i:
            with carried(builder, 0, TURNS, [zero(element, lanes)] * SUMS) as (_, totals, state):
                state.next = [multiply_add(builder, x, y, total) for total in totals]
            total = state.results[0]
            for other in state.results[1:]:
                total = sum_of(builder, total, other)
            store(builder, element, total, at(builder, element, body.args[0], (i, 16), 2 * lanes))
        builder.ret_void()
        kind = ir.FunctionType(ir.VoidType(), [pointer()])
        function = ir.Function(module, kind, "ceiling")
        builder = starting(function)
        one, count = ir.Constant(integer(), 1), ir.Constant(integer(), threads_used)
        builder.call(threads.declare(module), [body, function.args[0], count, one])
        builder.ret_void()

    library, address = compiled(emit, "ceiling")
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)
    memory = np.zeros(1024, np.float32)

    def run(clock: Callable[[], float]) -> float:
        start = clock()
        function(memory.ctypes.data)
        return 2 * SUMS * TURNS * lanes * threads_used / (clock() - start)

    run.library = library  # type: ignore[attr-defined]
    return run


def measure(
    case: Case, seconds: float, top: Callable[[Callable[[], float]], float], clock: Callable[[], float]
) -> tuple[dict[str, list[float]], float]:
    """Return the seconds of each contender's runs, and the best that the ceiling's loop did meanwhile."""
    import numpy as np

    draw = np.random.default_rng(0)
    outer = (case.items,) if case.items else ()

    def operand(rows: int, columns: int, turned: bool) -> Any:
        shape = (*outer, columns, rows) if turned else (*outer, rows, columns)
        array = draw.standard_normal(shape).astype(np.float32)
        return array.swapaxes(-1, -2) if turned else array

    a, b = operand(case.m, case.k, case.a_turned), operand(case.k, case.n, case.b_turned)
    c, theirs = (np.zeros((*outer, case.m, case.n), np.float32) for _ in range(2))
    contenders = {"ours": ours(a, b, c), "NumPy": lambda: np.matmul(a, b, out=theirs)}
    try:
        import torch

        x, y, z = (torch.from_numpy(array) for array in (a, b, theirs))
        contenders["torch"] = lambda: torch.matmul(x, y, out=z)
    except ImportError:
        pass
    for call in contenders.values():
        call()
    np.testing.assert_allclose(c, theirs, rtol=1e-3, atol=1e-3 * case.k**0.5)

    operations = 2 * case.m * case.n * case.k * max(case.items, 1)
    inner = max(1, int(2e7 / operations))
    runs: dict[str, list[float]] = {name: [] for name in contenders}
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end or len(runs["ours"]) < 5:
        best = max(best, top(clock))
        for name, call in contenders.items():
            start = clock()
            for _ in range(inner):
                call()
            runs[name].append((clock() - start) / inner)
    return runs, best


def report(threads_used: int, seconds: float) -> None:
    """Print the table for one number of threads."""
    import numpy as np

    from retrograd.native import threads

    threads.set_num_threads(threads_used)
    versions = f"NumPy {np.__version__}"
    try:
        import torch

        torch.set_num_threads(threads_used)
        versions += f", torch {torch.__version__}"
    except ImportError:
        pass
    top = ceiling(threads_used)
    print(f"\n{time.strftime('%Y-%m-%d')}  {threads_used} thread(s), float32, {versions}")
    print("GFLOP/s of the fastest run, and the median of ours' time over theirs")
    print(f"{'':30}{'ours':>7}{'NumPy':>7}{'torch':>7}{'ceiling':>9}{'ours/c.':>9}{'/NumPy':>8}{'/torch':>8}")
    # With one thread the thread's own time is counted: what other processes do to the clock is not ours.
    clock = time.thread_time if threads_used == 1 else time.perf_counter
    for case in CASES:
        runs, best = measure(case, seconds, top, clock)
        operations = 2 * case.m * case.n * case.k * max(case.items, 1)
        line = f"{case.name:30}"
        for name in ("ours", "NumPy", "torch"):
            line += f"{operations / min(runs[name]) / 1e9:7.1f}" if name in runs else f"{'-':>7}"
        line += f"{best / 1e9:9.1f}{operations / min(runs['ours']) / best:9.2f}"
        for name in ("NumPy", "torch"):
            if name in runs:
                ratios = [mine / other for mine, other in zip(runs["ours"], runs[name], strict=True)]
                line += f"{statistics.median(ratios):8.2f}"
        print(line, flush=True)


if __name__ == "__main__":
    if os.environ.get("PRODUCTS_THREADS"):
        report(int(os.environ["PRODUCTS_THREADS"]), float(sys.argv[1]))
    else:
        length = sys.argv[1] if len(sys.argv) > 1 else "2"
        for number in sorted({1, min(2, len(os.sched_getaffinity(0)))}):
            names = ("PRODUCTS", "OPENBLAS_NUM", "OMP_NUM", "MKL_NUM", "RETROGRAD_NUM")
            environment = {**os.environ, **{f"{name}_THREADS": str(number) for name in names}}
            environment["PYTHONPATH"] = str(ROOT)
            subprocess.run([sys.executable, __file__, length], env=environment, check=True)
