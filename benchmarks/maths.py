"""Speed of the vector mathematics beside NumPy and torch: one thread, arrays that stay in the cache.

Run: python benchmarks/maths.py [function ...]

The three take turns, so that a busy machine slows all of them; a ratio is the median of the turns' ratios.
The nanoseconds are those of an undisturbed turn: the fastest tenth.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from native.lanes_harness import DTYPES, array_function
from native.maths_reference import BINARY, ROUNDED_RIGHT_BINARY, UNARY

SIZE = 100_000 // 64 * 64
TURNS = 60
RANGES = {
    "log": (1e-3, 100),
    "log2": (1e-3, 100),
    "log10": (1e-3, 100),
    "log1p": (-0.99, 100),
    "arctanh": (-0.99, 0.99),
    "arcsin": (-1, 1),
    "arccos": (-1, 1),
    "arccosh": (1, 100),
    "sqrt": (0, 100),
    "rsqrt": (1e-3, 100),
    "power": (0.01, 10),
}
TORCH = {
    "arctan2": "atan2",
    "power": "pow",
    "floor_divide": "floor_divide",
    "absolute": "abs",
    "rint": "round",
}


def numpy_call(name: str) -> Callable | None:
    return getattr(np, name, None)


def torch_call(name: str) -> Callable | None:
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    function = getattr(torch, TORCH.get(name, name), None)
    if function is None:
        return None
    return lambda *arrays, out: function(*map(torch.from_numpy, arrays), out=torch.from_numpy(out))


def measure(name: str, bits: int, arity: int, vector_bits: int = 512) -> list[float]:
    """Return nanoseconds per number, and how many times longer NumPy and torch take."""
    rng = np.random.default_rng(0)
    low, high = RANGES.get(name, (-10, 10))
    arrays = [rng.uniform(low, high, SIZE).astype(DTYPES[bits]) for _ in range(arity)]
    out = np.empty_like(arrays[0])
    ours = array_function(name, bits, vector_bits // bits, arity)
    pointers = [x.ctypes.data for x in (*arrays, out)]
    calls: list[Callable | None] = [lambda: ours.apply(SIZE, *pointers)]
    for other in (numpy_call(name), torch_call(name)):
        calls += [other and (lambda call=other: call(*arrays, out=out))]
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(TURNS + 1):
        for call, spent in zip(calls, times, strict=True):
            if call:
                started = time.perf_counter()
                call()
                if turn:
                    spent.append(time.perf_counter() - started)
    mine, *others = times
    ratios = [np.median(np.divide(other, mine)) if other else float("nan") for other in others]
    return [np.quantile(mine, 0.1) / SIZE * 1e9, *ratios]


if __name__ == "__main__":
    np.seterr(all="ignore")
    names = sys.argv[1:] or [*UNARY, *BINARY, *ROUNDED_RIGHT_BINARY]
    print(f"{'':14}{'float32':>10}{'NumPy':>9}{'torch':>9}{'float64':>12}{'NumPy':>9}{'torch':>9}")
    for name in names:
        arity = 2 if name in {*BINARY, *ROUNDED_RIGHT_BINARY} else 1
        cells = []
        for bits in (32, 64):
            nanoseconds, *ratios = measure(name, bits, arity)
            cells += [f"{nanoseconds:10.2f} ns" if bits == 64 else f"{nanoseconds:7.2f} ns"]
            cells += [f"{'':>9}" if np.isnan(r) else f"{r:7.2f} x" for r in ratios]
        print(f"{name:14}{''.join(cells)}", flush=True)
