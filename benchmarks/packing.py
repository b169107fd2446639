"""What packing an operand of a matrix product costs: the numbers behind retrograd/native/gemm/tiling.py.

Run: python benchmarks/packing.py

Nanoseconds of one thread for each element, the fastest of many runs. Warm: every panel is packed to
the same place, as a task does that reads it at once. Ahead: each to a place of its own.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from retrograd.native import jit, target
from retrograd.native.gemm.emitting import (
    at,
    defined,
    element_type,
    i64,
    integer,
    multiply,
    pointer,
    starting,
)
from retrograd.native.gemm.loops import loop
from retrograd.native.gemm.packing import Packing, emit_packing


def packer(packing: Packing, panels: int, k: int) -> tuple[Any, Callable[..., None]]:
    """Compile a function of the source, the target and whether each panel has a place of its own."""
    from llvmlite import ir

    module = ir.Module()
    pack, element = emit_packing(module, packing), element_type(packing.dtype)
    function = defined(module, "run", [pointer(), pointer(), integer()])
    source, goal, is_ahead = function.args
    builder = starting(function)
    with loop(builder, 0, panels) as panel:
        place = multiply(builder, multiply(builder, panel, packing.size(k)), is_ahead)
        first = at(builder, element, source, (panel, packing.width * packing.line))
        builder.call(pack, [first, at(builder, element, goal, place), i64(k)])
    builder.ret_void()
    library = jit.load(str(module))
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    return library, kind(library.address("run"))


def measure(run: Callable[..., None], source: Any, goal: Any, is_ahead: int) -> float:
    best = float("inf")
    for _ in range(100):
        start = time.thread_time()
        run(source.ctypes.data, goal.ctypes.data, is_ahead)
        best = min(best, time.thread_time() - start)
    return best / source.size * 1e9


if __name__ == "__main__":
    dtype, lanes = np.dtype(np.float32), target.host().lanes(np.float32)
    print(f"{time.strftime('%Y-%m-%d')}  ns for each element     warm   ahead")
    for k, n, vectors in ((256, 768, 3), (768, 768, 4), (1024, 1024, 4)):
        width = vectors * lanes
        panels = n // width
        source = np.zeros((k, panels * width), np.float32)
        goal = np.zeros(2 * source.size + 64, np.float32)
        for name, line, step in (("copied rows", 1, panels * width), ("turned columns", k, 1)):
            keep, run = packer(Packing(dtype, width, line, step, width, lanes), panels, k)
            warm, ahead = (measure(run, source, goal, is_ahead) for is_ahead in (0, 1))
            print(f"{k:>6} x {n:<6} {name:16}          {warm:6.2f}  {ahead:6.2f}")
