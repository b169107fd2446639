"""A line that says what is being compiled, if it takes longer than a user will wait without wondering."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE = 1.0  # seconds until the line appears


@contextmanager
def progress(name: str) -> Iterator[None]:
    """Print to standard error that `name` is being compiled, after a second, and how long it took."""
    start = time.perf_counter()
    is_shown = threading.Event()

    def show() -> None:
        is_shown.set()
        print(f"retrograd: compiling {name} ...", file=sys.stderr, flush=True)

    timer = threading.Timer(PATIENCE, show)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if is_shown.is_set():
            print(
                f"retrograd: compiled {name} in {time.perf_counter() - start:.1f} s",
                file=sys.stderr,
                flush=True,
            )
