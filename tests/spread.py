"""Which of many tests of one kind always run, and which only with --long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest


def diagonals(first: Sequence[Any], second: Sequence[Any], one_in: int) -> list[Any]:
    """Return all pairs, of which one in so many always runs: on diagonals, so that each part is in some."""
    return [
        pytest.param(a, b, marks=() if (i + j) % one_in == 0 else pytest.mark.long)
        for i, a in enumerate(first)
        for j, b in enumerate(second)
    ]


def some(items: Sequence[Any], most: int) -> list[Any]:
    """Return at most so many of a list's items, the first and the last among them, the others in between."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]
