"""The native thread pool: how compiled loops are shared by threads, and by how many.

RETROGRAD_NUM_THREADS=N    how many threads work, the caller among them. Else OMP_NUM_THREADS, as torch has
                           it; else as many as the cores that this process may run on.

Helpers are started by the first loop that is worth sharing, and wait in native code (pool.py). They run no
Python. One loop at a time has the pool: a second Python thread that comes meanwhile runs its loop alone, as
does a loop inside a loop. A child of os.fork() starts helpers of its own.
"""

from __future__ import annotations

import ctypes
import os
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrograd.native.jit import Library

NAME = "retrograd_parallel"
MAX_THREADS = 1024  # the pool has a place to sleep for each


class _Count:
    """The number of threads, None until somebody asks."""

    value: int | None = None


def get_num_threads() -> int:
    """Return how many threads work on a compiled loop."""
    if _Count.value is None:
        _Count.value = min(_from_environment() or _available(), MAX_THREADS)
    return _Count.value


def set_num_threads(number: int) -> None:
    """Set how many threads work on a compiled loop, from the next one on.

    Raises:
        ValueError: the number is not positive.
    """
    if number < 1:
        raise ValueError(f"set_num_threads: expected a positive number; got {number}")
    _Count.value = min(number, MAX_THREADS)
    if _Made.pool:
        _Made.pool.set_threads(_Count.value)


def _available() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _from_environment() -> int | None:
    for name in ("RETROGRAD_NUM_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(name, "").split(",")[0].strip()  # OpenMP's may be a list, one per level
        if text.isdecimal() and int(text) > 0:
            return int(text)
        if text:
            warnings.warn(f"{name}: expected a positive number; got {text!r}", UserWarning, stacklevel=2)
    return None


class Pool:
    """The pool's code in memory."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.parallel = library.address(NAME)
        self.set_threads = ctypes.CFUNCTYPE(None, ctypes.c_int32)(library.address("retrograd_set_threads"))
        self.reset = ctypes.CFUNCTYPE(None)(library.address("retrograd_reset_threads"))
        self.reset()
        self.set_threads(get_num_threads())
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._start_anew)

    def _start_anew(self) -> None:
        """Forget the helpers. As a bound method it also keeps the library: helpers never leave its code."""
        self.reset()


class _Made:
    """The process's pool, None until it is needed."""

    pool: Pool | None = None


def ensure() -> int:
    """Make the pool available; return the address of `retrograd_parallel`."""
    if _Made.pool is None:
        from retrograd.native import jit  # noqa: PLC0415 - loaded when first needed; it knows us

        jit.exclusively(_make)
    assert _Made.pool is not None
    return _Made.pool.parallel


def _make() -> None:
    from retrograd.native import jit, pool, target  # noqa: PLC0415 - loaded when first needed

    if _Made.pool is None:
        _Made.pool = Pool(jit.load(pool.source(target.host().triple), key="threads"))


def declare(module: Any) -> Any:
    """Return the declaration of `retrograd_parallel` in a module of llvmlite.ir.

    It is called with a body (a function of the context, and of the begin and the end of a range), the
    context, the number of items, and the grain: the number of items that a call of the body gets.
    """
    from llvmlite import ir  # noqa: PLC0415 - loaded when first needed

    if NAME in module.globals:
        return module.globals[NAME]
    pointer, number = ir.PointerType(), ir.IntType(64)
    return ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer, pointer, number, number]), NAME)
