"""Matrix products as LLVM IR: tiles for registers, packed panels, blocks for caches, chunks for threads.

`emit` adds to a module the function of one product of static shape; products of a module share micro-kernels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from retrograd.native.gemm.blocking import emit_blocks
from retrograd.native.gemm.emitting import defined, pointer, starting
from retrograd.native.gemm.finish import Epilogue
from retrograd.native.gemm.product import Product, Target, simplified
from retrograd.native.gemm.tiling import plan
from retrograd.native.gemm.vector import emit_vector, vector_plan

if TYPE_CHECKING:
    from llvmlite import ir

__all__ = ["Epilogue", "Product", "Target", "emit", "workspace"]


def emit(
    module: ir.Module,
    spec: Product,
    name: str,
    *,
    target: Target,
    epilogue: Epilogue | None = None,
    parallel: ir.Function | None = None,
) -> ir.Function:
    """Add the function `void name(a, b, c, scratch, context)` to a module, all of them pointers.

    Args:
        module: what the function, and what it calls, is added to.
        spec: the product.
        name: of the function.
        target: the machine.
        epilogue: what is done to a value of C before it is stored for good.
        parallel: `retrograd_parallel` of the module; without it the product runs in the caller's thread.
    """
    function = defined(module, name, [pointer()] * 5)
    spec = simplified(spec)
    if not (spec.m and spec.n and spec.items):
        starting(function).ret_void()
    elif (by_vector := vector_plan(spec, target)) is not None:
        emit_vector(module, by_vector, function, epilogue, parallel)
    else:
        emit_blocks(module, plan(spec, target), function, epilogue, parallel)
    return function


def workspace(spec: Product, target: Target) -> int:
    """Return the bytes of scratch that a product needs, from an address that is a multiple of 64."""
    spec = simplified(spec)
    if not (spec.m and spec.n and spec.items):
        return 0
    by_vector = vector_plan(spec, target)
    if by_vector is not None:
        return by_vector.elements * spec.dtype.itemsize
    cut = plan(spec, target)
    return (cut.a_elements + cut.b_elements) * spec.dtype.itemsize
