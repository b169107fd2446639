"""The largest errors found of the vector mathematics, in units in the last place of the exact result.

Run: python benchmarks/maths_accuracy.py [--count 20000000] [--every] [function ...]

float32 is compared with NumPy's float64, float64 with longdouble (erf and erfc with mpmath, fewer numbers).
The numbers are of all magnitudes, and more of them lie where functions bend, overflow and vanish. --every
takes every one of the 2^32 numbers of float32 instead, for the functions of one of them, beside our own
functions of float64: minutes for each.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from native.every_float import EveryFloat
from native.lanes_harness import array_function
from native.maths_reference import BINARY, SLOW_REFERENCE, UNARY, cancelling, pairs, reference, samples, ulps

BATCH = 1 << 20
LANES = {32: 16, 64: 8}


def batches(name: str, bits: int, count: int) -> Iterator[tuple[np.ndarray, ...]]:
    rng = np.random.default_rng(1)
    if name in SLOW_REFERENCE[bits]:
        count = min(count, 100_000)
    while count > 0:
        size = min(count, BATCH)
        count -= size
        yield pairs(name, bits, size // 3, rng) if name in BINARY else (samples(bits, size, rng),)


def largest_error(name: str, bits: int, count: int) -> tuple[float, tuple[float, ...], int]:
    """Return the largest error, where it is, and among how many numbers."""
    ours = array_function(name, bits, LANES[bits], 2 if name in BINARY else 1)
    exact_function = reference(name, bits)
    worst, place, seen = 0.0, (), 0
    for arrays in batches(name, bits, count):
        exact = exact_function(*arrays)
        scale = cancelling(name, *arrays, exact) if name in BINARY else None
        errors = ulps(ours(*arrays), exact, scale)
        at = int(np.argmax(errors))
        seen += errors.size
        if errors[at] > worst:
            worst, place = float(errors[at]), tuple(x[at].item() for x in arrays)
    return worst, place, seen


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=20_000_000)
    parser.add_argument("--every", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    if options.every:
        for name in options.names or UNARY:
            print(f"{name:12}{EveryFloat(name).largest_error():9.2f}", flush=True)
        sys.exit()
    print(f"{'':12}{'float32':>9}  {'numbers':>13}  {'at':32}{'float64':>9}  {'numbers':>13}  at")
    for name in options.names or [*UNARY, *BINARY]:
        cells = []
        for bits in (32, 64):
            error, place, seen = largest_error(name, bits, options.count)
            cells.append(f"{error:9.2f}  {seen:13,}  {', '.join(f'{x:.9g}' for x in place):32}")
        print(f"{name:12}{''.join(cells).rstrip()}", flush=True)
