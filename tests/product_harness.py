"""Runs what retrograd.native.gemm emits: on memory whose neighbouring pages may not be touched, or on any."""

from __future__ import annotations

import ctypes
import functools
import mmap
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrograd.native import gemm

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Machine:
    """A stand-in for the host, so that tests can cut products as other machines would."""

    vector_bytes: int = 64
    vector_registers: int = 32
    l1: int = 48 << 10
    l2: int = 2 << 20


@functools.cache
def host() -> Machine:
    """Return what LLVM says of this machine."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return Machine()
    if features.get("avx2"):
        return Machine(32, 16, 32 << 10, 512 << 10)
    return Machine(16, 32 if features.get("neon") else 16, 32 << 10, 256 << 10)


class Library:
    """Machine code of a module."""

    def __init__(self, module: Any, is_optimised: bool = True) -> None:
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        started = time.perf_counter()
        parsed = llvm.parse_assembly(str(module))
        parsed.verify()
        self.machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2
        )
        tuning = llvm.create_pipeline_tuning_options(speed_level=2)
        tuning.loop_vectorization = tuning.slp_vectorization = tuning.loop_interleaving = False
        tuning.loop_unrolling = False
        passes = llvm.create_pass_builder(self.machine, tuning)
        if is_optimised:
            passes.getModulePassManager().run(parsed, passes)
        self.engine = llvm.create_mcjit_compiler(parsed, self.machine)
        self.engine.finalize_object()
        self.seconds = time.perf_counter() - started

    def function(self, name: str) -> Callable[..., None]:
        kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5)
        return kind(self.engine.get_function_address(name))


def serial(module: Any) -> Any:
    """Define the threads' entry point as a plain loop, last chunk first."""
    from llvmlite import ir

    pointer, number = ir.PointerType(), ir.IntType(64)
    kind = ir.FunctionType(ir.VoidType(), [pointer, number, number])
    function = ir.Function(
        module,
        ir.FunctionType(ir.VoidType(), [kind.as_pointer(), pointer, number, number]),
        "retrograd_parallel",
    )
    body, context, count, grain = function.args
    builder = ir.IRBuilder(function.append_basic_block())
    before = builder.block
    head = builder.append_basic_block()
    behind = builder.append_basic_block()
    one = ir.Constant(number, 1)
    chunks = builder.udiv(builder.sub(builder.add(count, grain), one), grain)
    builder.branch(head)
    builder.position_at_end(head)
    left = builder.phi(number)
    left.add_incoming(chunks, before)
    chunk = builder.sub(left, one)
    begin = builder.mul(chunk, grain)
    end = builder.add(begin, grain)
    end = builder.select(builder.icmp_signed("<", end, count), end, count)
    builder.call(body, [context, begin, end])
    left.add_incoming(chunk, head)
    builder.cbranch(builder.icmp_signed(">", chunk, ir.Constant(number, 0)), head, behind)
    builder.position_at_end(behind)
    builder.ret_void()
    return function


def build(
    spec: gemm.Product, *, target: Any = None, epilogue: Any = None, is_parallel: bool = False
) -> Library:
    """Compile the function `product` for one product."""
    from llvmlite import ir

    module = ir.Module()
    gemm.emit(
        module,
        spec,
        "product",
        target=target or host(),
        epilogue=epilogue,
        parallel=serial(module) if is_parallel else None,
    )
    return Library(module)


def guarded(values: Array, layout: str, *, gap: int = 0) -> Array:
    """Copy an array to memory whose end is the end of what may be touched.

    `layout` is "ab" for rows side by side, "ba" for columns, "gap" for rows 5 elements apart, "wide" for neither
    side by side; "0a" repeats the first row, "a0" the first column, "00" the first element.
    """
    *outer, rows, columns = (1, *values.shape) if values.ndim == 1 else values.shape
    strides = {
        "ab": (columns + gap, 1),
        "ba": (1, rows),
        "gap": (columns + 5, 1),
        "wide": (2 * columns + 3, 2),
        "0a": (0, 1),
        "a0": (1, 0),
        "00": (0, 0),
    }[layout]
    extent = max(0, (rows - 1) * strides[0] + (columns - 1) * strides[1] + 1) if rows and columns else 0
    items = int(np.prod(outer)) if outer else 1
    step = rows * strides[0]
    total = (items - 1) * step + extent if items and extent else 0
    flat = np.frombuffer(memory(total * values.itemsize), values.dtype, total)
    outer_strides = [step * int(np.prod(outer[i + 1 :])) for i in range(len(outer))]
    byte_strides = [s * values.itemsize for s in (*outer_strides, *strides)]
    shape = (*outer, rows, columns)
    view = (
        np.lib.stride_tricks.as_strided(flat, shape, byte_strides) if total else np.zeros(shape, values.dtype)
    )
    view[...] = values.reshape(shape)
    return view.reshape(values.shape) if values.ndim == 1 else view


def memory(size: int) -> memoryview:
    """Return so many bytes, behind which lies a page that cannot be read or written."""
    page = mmap.PAGESIZE
    pages = -(-max(size, 1) // page) * page
    block = mmap.mmap(-1, pages + page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(block))
    if hasattr(mmap, "PROT_READ"):
        c = ctypes.CDLL(None, use_errno=True)
        if c.mprotect(ctypes.c_void_p(start + pages), ctypes.c_size_t(page), 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    _KEPT.append(block)
    return memoryview(block)[pages - size : pages]


_KEPT: list[mmap.mmap] = []  # a block that is freed would take its guard with it


def product_of(a: Array, b: Array, c: Array, *, accumulate: bool = False) -> gemm.Product:
    """Describe the product of arrays of equal batch dimensions."""

    def strides(x: Array) -> list[int]:
        return [s // x.itemsize for s in x.strides]

    batch = zip(a.shape[:-2], strides(a)[:-2], strides(b)[:-2], strides(c)[:-2], strict=True)
    return gemm.Product(
        *c.shape[-2:],
        a.shape[-1],
        a.dtype,
        tuple(strides(a)[-2:]),
        tuple(strides(b)[-2:]),
        strides(c)[-2],
        accumulate,
        tuple(batch),
    )


def run(
    a: Array,
    b: Array,
    c: Array,
    *,
    accumulate: bool = False,
    target: Any = None,
    epilogue: Any = None,
    context: Array | None = None,
    is_parallel: bool = False,
) -> None:
    """Compile and compute one product, with scratch that is guarded too."""
    target = target or host()
    spec = product_of(a, b, c, accumulate=accumulate)
    library = build(spec, target=target, epilogue=epilogue, is_parallel=is_parallel)
    scratch = memory(-(-gemm.workspace(spec, target) // 64) * 64)
    addresses = [x.ctypes.data for x in (a, b, c)]
    place = ctypes.addressof(ctypes.c_char.from_buffer(scratch)) if len(scratch) else 0
    library.function("product")(*addresses, place, None if context is None else context.ctypes.data)
