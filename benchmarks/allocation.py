"""What fresh pages cost: mean(3 (x + 2)^2) and its gradient in NumPy, with freed memory kept and returned.

Run: python benchmarks/allocation.py
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

WORK = """
import os, sys, time
if os.environ["KEEP"] == "1":
    from retrograd.startup import keep_pages
import numpy as np
x = np.ones(int(sys.argv[1]), np.float32)
def step():
    a = x + np.float32(2); b = a * a; m = (b * np.float32(3)).mean()
    g = np.broadcast_to(np.float32(1 / x.size), x.shape) * np.float32(3)
    return g * a + g * a
for _ in range(3): step()
times = []
for _ in range(9):
    start = time.perf_counter(); step(); times.append(time.perf_counter() - start)
print(sorted(times)[4])
"""


def measure(size: int, keep: str) -> float:
    """Return the median seconds of a step in a fresh process."""
    environment = {**os.environ, "KEEP": keep, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", WORK, str(size)], env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


if __name__ == "__main__":
    print(f"{time.strftime('%Y-%m-%d')}  elements  kept ms  returned ms  ratio (medians of 5 pairs)")
    for size in (10**5, 10**6, 10**7):
        pairs = [(measure(size, "1"), measure(size, "0")) for _ in range(5)]
        kept, returned = (statistics.median(p[i] for p in pairs) * 1e3 for i in (0, 1))
        ratio = statistics.median(a / b for a, b in pairs)
        print(f"{size:>20,}  {kept:8.2f}  {returned:8.2f}  {ratio:5.2f}")
