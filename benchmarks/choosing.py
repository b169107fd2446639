"""What choosing elements by a mask costs: np.where, a product with the mask, and the bits of ops/select.py.

    python benchmarks/choosing.py

Prints microseconds for float32 arrays and masks without a pattern, and with one (all true).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd.ops.select import keep, select

REPEATS = 15


def microseconds(function: Callable[[], Any]) -> float:
    """Return the median time of a call."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def main() -> None:
    """Print one row for each size."""
    rng = np.random.default_rng(0)
    columns = (
        "product",
        "where(m, x, 0)",
        "keep(m, x)",
        "where(m, x, y)",
        "select(m, x, y)",
        "where(True, x, y)",
    )
    print("elements", *columns, sep=" | ")
    for size in (1_000, 4_096, 20_000, 100_000, 1_000_000):
        x, y = (rng.standard_normal(size).astype(np.float32) for _ in range(2))
        mask, always = rng.random(size) > 0.5, np.ones(size, bool)
        calls: list[Callable[[], Any]] = [
            lambda x=x, mask=mask: x * mask,
            lambda x=x, mask=mask: np.where(mask, x, 0),
            lambda x=x, mask=mask: keep(mask, x),
            lambda x=x, y=y, mask=mask: np.where(mask, x, y),
            lambda x=x, y=y, mask=mask: select(mask, x, y),
            lambda x=x, y=y, mask=always: np.where(mask, x, y),
        ]  # type: ignore[misc]
        print(size, *(f"{microseconds(call):.1f}" for call in calls), sep=" | ")


if __name__ == "__main__":
    main()
