"""Joining the parts that the chunks of a loop have made of a reduction, always in the same order."""

from __future__ import annotations

import math
from typing import Any

from retrograd.arrays import Value
from retrograd.native import code
from retrograd.native.code import COMBINE, counted, i64
from retrograd.native.types import llvm


def emit_join(module: Any, function: str, value: Value, name: str, chunks: int, lanes: int) -> Any:
    """Emit `void function(parts, result)`: result[j] is all parts[chunk, j], joined."""
    ir = llvm()
    pointer = ir.PointerType()
    made = ir.Function(module, ir.FunctionType(ir.VoidType(), (pointer, pointer)), function)
    made.linkage = "internal"
    builder = ir.IRBuilder(made.append_basic_block("entry"))
    parts, result = made.args
    size = math.prod(value.shape)
    whole = size // lanes * lanes

    def at(start: int, stop: int, width: int | None) -> None:
        with counted(builder, i64(start), i64(stop), width or 1) as column:
            total = code.load(builder, parts, value.dtype, column, width)
            for chunk in range(1, chunks):
                place = code.add(builder, column, i64(chunk * size))
                part = code.load(builder, parts, value.dtype, place, width)
                total = COMBINE[name](builder, value.dtype, total, part)
            code.store(builder, result, value.dtype, column, total)

    if whole:
        at(0, whole, lanes)
    if whole < size:
        at(whole, size, None)
    builder.ret_void()
    return made
