"""What this machine can do at most, measured: bytes copied and floating-point operations per second."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import numpy as np

from retrograd.native import jit, target, threads

_COPIED = 64 << 20  # bytes: more than the caches near a core hold
_ROUNDS = 5
_CHAINS = 12  # products in flight: more than a processor's latency times its units
_TURNS = 200_000


@functools.cache
def bandwidth(count: int) -> float:
    """Return the bytes per second that a copy reads and writes, with this many threads.

    Source: the median of five runs of this package's own loop.
    """
    from retrograd.arrays import trace  # noqa: PLC0415 - this file is read when somebody asks for an explanation
    from retrograd.native.executable import build  # noqa: PLC0415 - it needs this file's neighbours

    x, y = np.ones((2, _COPIED // 4), np.float32)
    made = build(trace(lambda x, y: (x,), x, y), {0: 1}, name="copy")
    before = threads.get_num_threads()
    threads.set_num_threads(count)
    try:
        return 2 * _COPIED / _median(lambda: made(x, y))
    finally:
        threads.set_num_threads(before)


@functools.cache
def operations() -> float:
    """Return the float32 operations per second of one core that multiplies and adds in registers only."""
    import ctypes  # noqa: PLC0415 - see above

    from retrograd.native.code import counted, i64  # noqa: PLC0415 - see above
    from retrograd.native.types import intrinsic, llvm, number  # noqa: PLC0415 - see above

    ir = llvm()
    lanes = target.host().lanes(np.float32)
    kind = ir.VectorType(ir.FloatType(), lanes)
    module = ir.Module("ceiling")
    function = ir.Function(module, ir.FunctionType(ir.FloatType(), ()), "multiply_add")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    places = [builder.alloca(kind) for _ in range(_CHAINS)]
    factor, term = number(np.dtype(np.float32), 0.999, lanes), number(np.dtype(np.float32), 0.001, lanes)
    for i, place in enumerate(places):
        place.type = ir.PointerType()
        builder.store(number(np.dtype(np.float32), i, lanes), place)
    with counted(builder, i64(0), i64(_TURNS)):
        for place in places:
            builder.store(intrinsic(builder, "llvm.fma", builder.load(place, typ=kind), factor, term), place)
    total = builder.load(places[0], typ=kind)
    for place in places[1:]:
        total = builder.fadd(total, builder.load(place, typ=kind))
    builder.ret(builder.extract_element(total, ir.IntType(32)(0)))
    library = jit.load(str(module), key="ceiling")
    run = ctypes.CFUNCTYPE(ctypes.c_float)(library.address("multiply_add"))
    return 2 * lanes * _CHAINS * _TURNS / _median(run)


def _median(run: Callable[[], object]) -> float:
    run()
    times = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times))
