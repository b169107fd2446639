"""What is set up once per process, the first of it before NumPy is imported.

Each has an environment variable:

RETROGRAD_KEEP_PAGES=0       leave the C allocator as it is
RETROGRAD_KERNELS=0          large arrays by NumPy, too, in eager mode; `all` for kernels whatever the size
RETROGRAD_NUM_THREADS=N      how many threads work, NumPy's OpenBLAS included
OPENBLAS_CORETYPE=NAME       OpenBLAS's own variables: set by us only if they are not set yet,
OPENBLAS_NUM_THREADS=N       and NumPy is not loaded
"""

from __future__ import annotations

import ctypes
import functools
import gc
import importlib.util
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # parameters of glibc's mallopt(3)


def choose_blas_kernel() -> str | None:
    """Have NumPy's OpenBLAS use its AVX-512 kernels on AMD processors with AVX-512; return the choice.

    OpenBLAS picks an AVX2 kernel on some of those. `retrograd info` shows the kernel in use.
    """
    if "numpy" in sys.modules or "OPENBLAS_CORETYPE" in os.environ:
        return None
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            head = file.read(4096)
    except OSError:
        return None
    if "AuthenticAMD" in head and " avx512f " in head:
        os.environ["OPENBLAS_CORETYPE"] = "SkylakeX"
        return "SkylakeX"
    return None


def choose_blas_threads() -> str | None:
    """Have NumPy's OpenBLAS use as many threads as RETROGRAD_NUM_THREADS says; return the choice."""
    number = os.environ.get("RETROGRAD_NUM_THREADS", "")
    if "numpy" in sys.modules or "OPENBLAS_NUM_THREADS" in os.environ or not number.isdecimal():
        return None
    os.environ["OPENBLAS_NUM_THREADS"] = number
    return number


@functools.cache
def kernel_mode() -> str:
    """Return what RETROGRAD_KERNELS says: `0`, `1` or `all`; `0` too where there is no LLVM."""
    asked = os.environ.get("RETROGRAD_KERNELS", "1")
    return asked if importlib.util.find_spec("llvmlite") is not None else "0"


def keep_pages() -> bool:
    """Have glibc keep freed memory instead of returning it to the system; return whether it does.

    Large temporaries otherwise come as fresh pages each time, and touching those costs more than the
    arithmetic (benchmarks/allocation.py). Up to 2 GiB of freed memory stay with the process.
    """
    if os.environ.get("RETROGRAD_KEEP_PAGES", "1") == "0" or not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))


def rest_collector() -> tuple[int, int, int]:
    """Have Python look for cyclic garbage rarely while modules are loaded; return how often it did.

    Loading makes many objects and hardly any garbage: looking again and again would lengthen it.
    """
    before = gc.get_threshold()
    if before[0]:  # zero: the user has switched it off
        gc.set_threshold(1_000_000, *before[1:])
    return before


_collector = rest_collector()


def finish() -> None:
    """Let the collector run as before: all modules are loaded."""
    if not gc.get_freeze_count():  # else somebody's objects would thaw
        gc.freeze()
        gc.unfreeze()  # what was loaded is now among the old objects, without having been looked at
    gc.set_threshold(*_collector)


choose_blas_kernel()
choose_blas_threads()
keep_pages()
