"""Arrays at the edge of memory that nobody may touch: generated code that leaves its arrays is caught.

    x = guarded(np.arange(5.0), writable=False)
    y = guarded(np.empty(5))
    contained(lambda: executable(x, y))  # OutOfBoundsError where a plain array would let it pass

The arrays lie in memory that a child of fork shares, so what `contained` computes is there afterwards.
"""

from __future__ import annotations

import ctypes
import faulthandler
import mmap
import os
import select
import signal
import time
import traceback
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, Any]

_GUARD = (
    1 << 16
)  # bytes on each side: what misses by a row or a tile is caught too; a multiple of all page sizes
_PROT_NONE, _PROT_READ = 0, 1  # of mprotect(2), the same on every Unix


class OutOfBoundsError(AssertionError):
    """Code touched memory that is not its own."""


def guarded(array: Array, *, at: Literal["start", "end"] = "end", writable: bool = True) -> Array:
    """Return a C-contiguous copy of an array that ends, or starts, at memory that cannot be touched.

    At the end it is aligned to its items and to no more. Without `writable` a write into it, or into the rest
    of its pages, is caught too.

    Raises:
        OSError: the system has no mprotect, or refuses.
    """
    inner = max(-(-array.nbytes // mmap.PAGESIZE), 1) * mmap.PAGESIZE
    pages = mmap.mmap(-1, inner + 2 * _GUARD)
    start = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    offset = _GUARD + (0 if at == "start" else inner - array.nbytes)
    result: Array = np.ndarray(array.shape, array.dtype, buffer=pages, offset=offset)
    result[...] = array
    _protect(start, _GUARD, _PROT_NONE)
    _protect(start + _GUARD + inner, _GUARD, _PROT_NONE)
    if not writable:
        _protect(start + _GUARD, inner, _PROT_READ)
        result.flags.writeable = False
    return result


def _protect(address: int, size: int, kind: int) -> None:
    if os.name == "nt":
        raise OSError("guarded arrays need mprotect")
    library = ctypes.CDLL(None, use_errno=True)
    if library.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size), kind):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def contained(work: Callable[[], object], *, timeout: float = 60.0) -> None:
    """Run work in a child of this process, so that its crash is an exception here.

    What it writes into guarded arrays is seen here; what else it changes is not.

    Units: timeout in seconds.

    Raises:
        OutOfBoundsError: it was killed for an access to memory; with the Python stack at that point.
        RuntimeError: it raised, or was killed otherwise; with the child's traceback.
        TimeoutError: it did not end in time.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _run_child(work, writer)
    os.close(writer)
    try:
        text = _read_all(reader, time.monotonic() + timeout)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    finally:
        os.close(reader)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status in (-signal.SIGSEGV, -signal.SIGBUS):
        raise OutOfBoundsError(f"memory was touched out of bounds ({signal.Signals(-status).name}):\n{text}")
    if status:
        raise RuntimeError(f"work ended with status {status}:\n{text}")


def _run_child(work: Callable[[], object], writer: int) -> None:
    status = 1
    try:
        faulthandler.enable(writer, all_threads=False)
        work()
        status = 0
    except BaseException:  # noqa: BLE001 - it is told to the parent
        os.write(writer, traceback.format_exc().encode())
    finally:
        os._exit(status)


def _read_all(reader: int, deadline: float) -> str:
    """Return what comes until the other end is closed."""
    parts: list[bytes] = []
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reader], [], [], left)[0]:
            raise TimeoutError("work did not end in time")
        part = os.read(reader, 65536)
        if not part:
            return b"".join(parts).decode(errors="replace")
        parts.append(part)
