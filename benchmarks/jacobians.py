"""Race whole Jacobians and Hessians against torch, and against a loop: `python benchmarks/jacobians.py`.

As in race.py each contender lives in a process of its own and they take turns, A B A B ...; a ratio is the
median over the rounds, printed with the least and the greatest. The second table compares retrograd's
vectorised ways with its own loop over rows, which take turns in one process.
"""

from __future__ import annotations

import argparse
import sys
from statistics import median

from race import QUICK_SECONDS, ROUND_SECONDS, WARM_STEPS, Row, Worker, race
from workloads import Workload
from workloads.jacobians import LOOPS, WORKLOADS

LOOP_TARGET = 0.3  # a vectorised way's time over that of its loop


def against_torch(rounds: int, seconds: float) -> list[Row]:
    rows = []
    workers = {name: Worker(name, 1) for name in ("retrograd", "torch")}
    for workload in WORKLOADS:
        pair = ("retrograd", "torch")
        row = Row(workload.name, 1, targets={pair: workload.target})
        race(workload, workers, rounds, seconds, row)
        rows.append(row)
        print(line(row, "torch"), flush=True)
    for worker in workers.values():
        worker.close()
    return rows


def against_loop(name: str, loop: Workload, rounds: int, seconds: float) -> Row:
    """Let a workload and its loop take turns in one library."""
    workers = {"retrograd": Worker("retrograd", 1), "loop": Worker("retrograd", 1)}
    for key, workload in (("retrograd", name), ("loop", loop.name)):
        workers[key].tell(f"build {workload}")
    once = {key: worker.run(WARM_STEPS) for key, worker in workers.items()}
    count = max(1, round(seconds / max(once.values())))
    times: dict[str, list[float]] = {key: [] for key in workers}
    for _ in range(rounds):
        for key, worker in workers.items():
            times[key].append(worker.run(count))
    for worker in workers.values():
        worker.close()
    pair = ("retrograd", "loop")
    row = Row(name, 1, {key: median(spent) for key, spent in times.items()}, targets={pair: LOOP_TARGET})
    row.ratios[pair] = [a / b for a, b in zip(times["retrograd"], times["loop"], strict=True)]
    print(line(row, "loop"), flush=True)
    return row


def line(row: Row, other: str) -> str:
    if row.failures:
        return f"{row.name:44} failed: {row.failures}"
    ours, theirs = row.values["retrograd"] * 1e6, row.values[other] * 1e6
    found, target = row.ratios["retrograd", other], row.targets["retrograd", other]
    ratios = f"{median(found):.2f} ({min(found):.2f} .. {max(found):.2f})"
    aim = f", aim {target}" if target else ""
    return f"{row.name:44} {ours:8.0f} us, {other} {theirs:8.0f} us, ratio {ratios}{aim}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="two short rounds: does everything run?")
    parser.add_argument("--rounds", type=int, default=9, help="turns per contender (default 9, at least 7)")
    options = parser.parse_args()
    rounds = 2 if options.quick else max(7, options.rounds)
    seconds = QUICK_SECONDS if options.quick else ROUND_SECONDS
    rows = against_torch(rounds, seconds)
    rows += [against_loop(name, loop, rounds, seconds) for name, loop in LOOPS.items()]
    return 1 if any(row.failures for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
