"""Race retrograd, eager and compiled, against torch, and JAX's jit where there is JAX (`make bench`).

Each contender lives in a process of its own and they take turns, A B A B ..., so that a machine that slows
down slows all of them; each round gives one ratio of times, and the median over the rounds is reported with
the least and the greatest. Writes docs/performance.md and docs/performance.png; with --quick, a check that
everything runs, it writes to out/ instead, for those numbers mean nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from report import write_report
from workloads import Workload, collect

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ROUND_SECONDS, QUICK_SECONDS = 0.15, 0.01  # how long a turn lasts for the fastest contender
SLOWEST_SECONDS = 3.0  # and for the slowest, at most
WARM_STEPS = 3
START_UP = """
import time
start = time.perf_counter()
import {module}
seconds = time.perf_counter() - start
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
print(seconds, int(status["VmRSS"].split()[0]) * 1024)
"""


class WorkerError(Exception):
    """A contender could not do a workload."""


class Worker:
    """A contender's process."""

    def __init__(self, module: str, threads: int, python: str = sys.executable) -> None:
        limits = {
            name: str(threads)
            for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
        }
        self.process = subprocess.Popen(
            [python, str(HERE / "worker.py"), module, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **limits, "XLA_FLAGS": xla(threads), "PYTHONPATH": str(ROOT)},
        )
        self.version: str = self._answer()["version"]

    def tell(self, command: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError("its process ended") from None
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise WorkerError(f"its process ended with status {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def run(self, count: int) -> float:
        """Return the seconds per step."""
        return float(self.tell(f"run {count}")["seconds"]) / count

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def xla(threads: int) -> str:
    """Return the flags that keep JAX to one thread; for more, its affinity does."""
    return "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1" if threads == 1 else ""


PAIRS = (("retrograd", "torch"), ("compiled", "torch"), ("compiled", "jax"))
"""Whose times are divided by whose."""


@dataclass
class Row:
    """One line of the table.

    Times are in seconds, memory in bytes; `ratios` are those of the pairs, one a round; no threads means that
    their number has no part in it.
    """

    name: str
    threads: int
    values: dict[str, float] = field(default_factory=dict)
    ratios: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    targets: dict[tuple[str, str], float | None] = field(default_factory=dict)
    limit: float | None = None  # what retrograd's own value should stay below
    unit: str = "s"
    failures: dict[str, str] = field(default_factory=dict)


def race(workload: Workload, workers: dict[str, Worker], rounds: int, seconds: float, row: Row) -> None:
    """Let the workers take turns of about that many seconds at one workload; fill in the row."""
    ready = {}
    for name, worker in workers.items():
        if (name == "jax" and workload.jax is None) or (
            name == "compiled" and workload.compiled_target is None
        ):
            continue
        try:
            worker.tell(f"build {workload.name}")
            ready[name] = worker.run(WARM_STEPS)
        except WorkerError as error:
            row.failures[name] = str(error)
    if not ready:
        return
    count = max(1, min(round(seconds / min(ready.values())), round(SLOWEST_SECONDS / max(ready.values()))))
    times: dict[str, list[float]] = {name: [] for name in ready}
    try:
        for _ in range(rounds):
            for name in ready:
                times[name].append(workers[name].run(count) / workload.repeat)
    except WorkerError as error:
        row.failures[name] = str(error)
        return
    for name in ready:
        workers[name].tell("drop")  # its arrays must not crowd the next workload
    row.values = {name: median(spent) for name, spent in times.items()}
    row.ratios = divided(times)


def divided(times: dict[str, list[float]]) -> dict[tuple[str, str], list[float]]:
    return {
        (ours, theirs): [x / y for x, y in zip(times[ours], times[theirs], strict=True)]
        for ours, theirs in PAIRS
        if ours in times and theirs in times
    }


def race_start_up(modules: list[str], rounds: int) -> list[Row]:
    """Time `import` and read the memory it leaves resident, in fresh processes that take turns."""
    seconds: dict[str, list[float]] = {module: [] for module in modules}
    memory: dict[str, list[float]] = {module: [] for module in modules}
    for _ in range(rounds):
        for module in modules:
            # With bytecode cached, as users have it: the first start writes it, the median passes it over.
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            environment.pop("PYTHONDONTWRITEBYTECODE", None)
            command = [sys.executable, "-c", START_UP.format(module=module)]
            done = subprocess.run(
                command,
                check=True,
                capture_output=True,
                text=True,
                env=environment,
            )
            spent, resident = done.stdout.split()
            seconds[module].append(float(spent))
            memory[module].append(float(resident))

    def row(name: str, measured: dict[str, list[float]], limit: float, unit: str) -> Row:
        values = {module: median(found) for module, found in measured.items()}
        return Row(name, 0, values, divided(measured), limit=limit, unit=unit)

    return [row("import, time", seconds, 0.15, "s"), row("import, resident memory", memory, 60e6, "B")]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="two short rounds: does everything run?")
    parser.add_argument("--rounds", type=int, default=9, help="turns per contender (default 9, at least 7)")
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads (default 1 2)"
    )
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="workloads whose name contains TEXT; no files"
    )
    parser.add_argument(
        "--jax-python",
        metavar="PATH",
        help="the interpreter of an environment with JAX, if it is not this one",
    )
    options = parser.parse_args()
    sys.path.append(str(ROOT))  # retrograd may stand here without being installed
    if missing := [
        name for name in ("retrograd", "torch", "matplotlib") if not importlib.util.find_spec(name)
    ]:
        print(
            f"race: {' and '.join(missing)} must be installed here: pip install {' '.join(missing)}",
            file=sys.stderr,
        )
        return 2
    rounds = 2 if options.quick else max(7, options.rounds)
    jax = options.jax_python or (sys.executable if importlib.util.find_spec("jax") else None)
    pythons = {"retrograd": sys.executable, "compiled": sys.executable, "torch": sys.executable}
    pythons |= {"jax": jax} if jax else {}
    chosen = [workload for name, workload in collect().items() if options.only in name]
    rows: list[Row] = []
    versions: dict[str, str] = {}
    for threads in options.threads:
        workers = {name: Worker(name, threads, python) for name, python in pythons.items()}
        versions = {name: worker.version for name, worker in workers.items()}
        for workload in chosen:
            targets = (workload.target, workload.compiled_target, workload.jax_target)
            rows.append(Row(workload.name, threads, targets=dict(zip(PAIRS, targets, strict=True))))
            race(workload, workers, rounds, QUICK_SECONDS if options.quick else ROUND_SECONDS, rows[-1])
            print(summary(rows[-1]), flush=True)
            for name in [name for name in workers if workers[name].process.poll() is not None]:
                workers[name] = Worker(name, threads, pythons[name])
        for worker in workers.values():
            worker.close()
    if not options.only:
        rows += race_start_up([n for n in pythons if n not in ("compiled", "jax")], rounds)
        folder = ROOT / ("out" if options.quick else "docs")
        for path in write_report(rows, versions, rounds, folder):
            print(path)
    return 1 if any(row.failures for row in rows) else 0


def summary(row: Row) -> str:
    facts = [f"{name} {value:.3g} s" for name, value in row.values.items()]
    facts += [f"{a}/{b} {median(found):.2f}" for (a, b), found in row.ratios.items()]
    facts += [f"{name} failed: {reason}" for name, reason in row.failures.items()]
    return f"{row.name} [{row.threads}]: {', '.join(facts)}"


if __name__ == "__main__":
    sys.exit(main())
