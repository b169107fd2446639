"""One contender in its own process: `worker.py CONTENDER THREADS`, a module, or `compiled` retrograd.

Reads commands on stdin, one a line, and answers each with a line of JSON:
    build NAME   make the workload's step and run it once, so that what is compiled or cached at first use is;
    run COUNT    run the step COUNT times; answers with the seconds that took;
    drop         let go of the step.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any


def main(name: str, threads: int) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a contender prints must not be taken for an answer
    if hasattr(os, "sched_setaffinity"):
        # Its cores are the one limit that every contender's threads respect; the environment tells them as
        # well.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    module = importlib.import_module("retrograd" if name == "compiled" else name)
    if hasattr(module, "set_num_threads"):
        module.set_num_threads(threads)
    from workloads import collect_all

    workloads = collect_all()
    step: Callable[[], Any] | None = None
    print(json.dumps({"version": module.__version__}), file=answers)
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        answer: dict[str, Any] = {}
        try:
            if command == "build":
                workload = workloads[argument]
                compile = module.compile if name == "compiled" else lambda step: step
                step = workload.jax() if name == "jax" and workload.jax else workload.build(module, compile)
                step()
            elif command == "run":
                assert step is not None
                start = time.perf_counter()
                for _ in range(int(argument)):
                    step()
                answer["seconds"] = time.perf_counter() - start
            elif command == "drop":
                step = None
        except Exception as error:  # noqa: BLE001 - what a contender cannot do, the table says
            answer["error"] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
