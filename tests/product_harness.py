"""Runs what retrograd.native.gemm emits, on arrays whose neighbouring memory may not be touched."""

from __future__ import annotations

import ctypes
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd.native import gemm, jit, memory, target

Array = np.ndarray[Any, Any]


def machine(vector_bytes: int, registers: int, l1: int, l2: int) -> target.Target:
    """Return a machine with this one's instructions, for which products are cut as for another."""
    return dataclasses.replace(
        target.host(), vector_bytes=vector_bytes, vector_registers=registers, l1=l1 << 10, l2=l2 << 10
    )


def backwards(module: Any) -> Any:
    """Define a stand-in for the threads' entry point: a plain loop over the chunks, the last one first."""
    from llvmlite import ir

    pointer, number = ir.PointerType(), ir.IntType(64)
    kind = ir.FunctionType(ir.VoidType(), [pointer, number, number])
    parameters = [kind.as_pointer(), pointer, number, number]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), parameters), "backwards")
    body, context, count, grain = function.args
    builder = ir.IRBuilder(function.append_basic_block())
    before, head, behind = builder.block, builder.append_basic_block(), builder.append_basic_block()
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


def in_layout(values: Array, layout: str = "rows", *, at: Any = "end") -> Array:
    """Copy an array to memory that ends, or starts, at memory that may not be touched.

    `layout` is "rows" for rows side by side, "columns" for columns, "gap" for rows 5 elements apart, "wide"
    for neither side by side; "one row", "one column" and "one element" repeat the first.
    """
    *outer, rows, columns = values.shape
    strides = {
        "rows": (columns, 1),
        "columns": (1, rows),
        "gap": (columns + 5, 1),
        "wide": (2 * columns + 3, 2),
        "one row": (0, 1),
        "one column": (1, 0),
        "one element": (0, 0),
    }[layout]
    if not values.size:
        return values.copy()
    inner = (rows - 1) * strides[0] + (columns - 1) * strides[1] + 1
    step = max(inner, rows * strides[0])
    steps = [step * int(np.prod(outer[i + 1 :])) for i in range(len(outer))]
    total = sum((n - 1) * s for n, s in zip(outer, steps, strict=True)) + inner
    flat = memory.guarded(np.zeros(total, values.dtype), at=at)
    in_bytes = [s * values.itemsize for s in (*steps, *strides)]
    result = np.lib.stride_tricks.as_strided(flat, values.shape, in_bytes)
    result[...] = values
    return result


def product_of(a: Array, b: Array, c: Array, *, accumulate: bool = False) -> gemm.Product:
    """Describe the product of arrays of equal batch dimensions."""

    def strides(x: Array) -> list[int]:
        return [s // x.itemsize for s in x.strides]

    batch = zip(a.shape[:-2], strides(a)[:-2], strides(b)[:-2], strides(c)[:-2], strict=True)
    last = tuple(strides(a)[-2:]), tuple(strides(b)[-2:]), strides(c)[-2]
    return gemm.Product(*c.shape[-2:], a.shape[-1], a.dtype, *last, accumulate, tuple(batch))


def compiled(
    a: Array,
    b: Array,
    c: Array,
    *,
    accumulate: bool = False,
    host: Any = None,
    epilogue: gemm.Epilogue | None = None,
    context: Array | None = None,
    parallel: Callable[[Any], Any] | None = None,
) -> Callable[[], None]:
    """Return a call that computes one product, with scratch that is guarded too."""
    from llvmlite import ir

    host = host or target.host()
    spec = product_of(a, b, c, accumulate=accumulate)
    module = ir.Module()
    threads = parallel(module) if parallel else None
    gemm.emit(module, spec, "product", target=host, epilogue=epilogue, parallel=threads)
    library = jit.load(str(module))
    size = -(-gemm.workspace(spec, host) // 64) * 64
    scratch = memory.guarded(np.full(size, 255, np.uint8))
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5)(library.address("product"))
    arrays = a, b, c, scratch, context

    def call() -> None:
        assert library  # it and the arrays live as long as this call
        function(*(None if x is None else x.ctypes.data for x in arrays))

    return call
