"""How long the first call of a compiled training step takes: with nothing cached, and from the disk cache.

Run: python benchmarks/first_call.py

The step is that of the 784-256-10 network with Adam, batch 128. Each figure is the median over processes of
their own; a cold one has an empty cache, a warm one that which another process has filled.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
TIMES = 7
PROGRAM = """
import time
import retrograd as torch
nn = torch.nn
model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
optimizer = torch.optim.Adam(model.parameters())
x, y = torch.randn(128, 784), torch.randint(10, (128,))

@torch.compile
def step():
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()

start = time.perf_counter()
step()
print(time.perf_counter() - start)
"""


def first_call(folder: str) -> float:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RETROGRAD_CACHE": folder}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return float(done.stdout)


def main() -> None:
    cold = []
    for _ in range(TIMES):
        with tempfile.TemporaryDirectory() as folder:
            cold.append(first_call(folder))
    with tempfile.TemporaryDirectory() as folder:
        first_call(folder)
        warm = [first_call(folder) for _ in range(TIMES)]
    print(f"first call, nothing cached: {median(cold):.3f} s [{min(cold):.3f}, {max(cold):.3f}]")
    print(f"first call, from the disk:  {median(warm):.3f} s [{min(warm):.3f}, {max(warm):.3f}]")


if __name__ == "__main__":
    main()
