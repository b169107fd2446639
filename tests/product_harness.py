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
    l1_bytes: int = 48 << 10
    l2_bytes: int = 2 << 20


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

    def __init__(self, module: Any) -> None:
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        started = time.perf_counter()
        parsed = llvm.parse_assembly(str(module))
        parsed.verify()
        self.machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2
        )
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


def build(spec: gemm.Product, *, target: Any = None, epilogue: Any = None, is_parallel: bool = False) -> Library:
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
