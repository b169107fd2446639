"""What calling a compiled function costs besides its program, and what its first call costs.

A call with ten tensors (five arguments, five captured): whole, the program alone, and the rest, which is
guards, binding and results; NumPy's addition of four numbers for scale. Then a whole step of a network with
Adam: the trace, and building the program.

Run: python benchmarks/compiled_calls.py
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import retrograd as torch
from retrograd import native, nn
from retrograd.compiler.capture import Call, capture
from retrograd.nn import functional as F

ROUNDS, CALLS = 50, 1000


def quickest(functions: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Return the least microseconds of a call of each, measured in turns."""
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(ROUNDS):
        for name, function in functions.items():
            start = time.perf_counter()
            for _ in range(CALLS):
                function()
            best[name] = min(best[name], (time.perf_counter() - start) / CALLS * 1e6)
    return best


def ten_tensors() -> None:
    """Print what a call with ten tensors of four elements costs."""
    weights = [torch.randn(4) for _ in range(5)]
    given = [torch.randn(4) for _ in range(5)]

    def total(a: Any, b: Any, c: Any, d: Any, e: Any) -> Any:
        return a + b + c + d + e + weights[0] + weights[1] + weights[2] + weights[3] + weights[4]

    compiled = torch.compile(total, fullgraph=True)
    compiled(*given)
    executable = compiled.state.entries[0].executable
    arrays = tuple(t._array for t in (*given, *weights))
    quick = getattr(executable, "run", None)
    few = np.ones(4, np.float32)
    alone = (lambda: quick(arrays)) if quick else (lambda: executable(*arrays))
    found = quickest({
        "as it is": lambda: total(*given), "compiled": lambda: compiled(*given),
        "program": alone, "np.add": lambda: few + few,
    })  # fmt: skip
    found["rest"] = found["compiled"] - found["program"]
    print("ten tensors, microseconds a call:", "  ".join(f"{k} {v:.2f}" for k, v in found.items()))


def first_call() -> None:
    """Print what the first call of a training step spends its time on."""
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer = torch.optim.Adam(model.parameters())
    x, y = torch.randn(128, 784), torch.randint(0, 10, (128,))

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    build, native.build = native.build, lambda *_, **__: None
    seconds = []
    for _ in range(9):
        gc.collect()
        start = time.perf_counter()
        entry = capture(Call(step, (x, y), {}, "step"))
        seconds.append(time.perf_counter() - start)
    native.build = build
    start = time.perf_counter()
    native.build(entry.plan.program, entry.plan.updates, name="step")
    built = time.perf_counter() - start
    print(
        f"784-256-10 step with Adam, {len(entry.plan.program.instructions)} instructions, milliseconds: "
        f"first trace {seconds[0] * 1e3:.0f}, median {sorted(seconds)[4] * 1e3:.0f}; build {built * 1e3:.0f}"
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    ten_tensors()
    first_call()
