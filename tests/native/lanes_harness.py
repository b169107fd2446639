"""Functions of the vector mathematics as functions of arrays, compiled for a width and a processor."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from unittest import mock

import numpy as np
from llvmlite import binding, ir

from retrograd.native import jit
from retrograd.native.maths import FUNCTIONS, avx512
from retrograd.native.maths.lanes import Lanes

KINDS = {32: ir.FloatType(), 64: ir.DoubleType()}
DTYPES = {32: np.float32, 64: np.float64}


def emit_loop(module: ir.Module, name: str, emit: Callable, bits: int, lanes: int, arity: int) -> None:
    """Add `void name(i64 count, x..., result)`, whose count is a multiple of the lanes."""
    kind = KINDS[bits]
    vector = ir.VectorType(kind, lanes) if lanes > 1 else kind
    i64, pointer = ir.IntType(64), vector.as_pointer()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [i64] + [pointer] * (arity + 1)), name)
    entry, body, end = (function.append_basic_block(b) for b in ("entry", "body", "end"))
    builder = ir.IRBuilder(entry)
    builder.branch(body)
    builder.position_at_end(body)
    index = builder.phi(i64)
    count, *inputs, result = function.args
    for argument in (*inputs, result):
        argument.add_attribute("noalias")
    given = [builder.load(builder.gep(x, [index]), align=bits // 8) for x in inputs]
    value = emit(builder, *given)
    if Lanes(builder, value).bits == 1:
        value = builder.uitofp(value, vector)
    builder.store(value, builder.gep(result, [index]), align=bits // 8)
    following = builder.add(index, i64(1))
    index.add_incoming(i64(0), entry)
    index.add_incoming(following, body)
    builder.cbranch(builder.icmp_signed("<", following, builder.sdiv(count, i64(lanes))), body, end)
    builder.position_at_end(end)
    builder.ret_void()


class ArrayFunction:
    """A function of NumPy arrays of equal shape."""

    def __init__(self, emit: Callable, bits: int, lanes: int, arity: int) -> None:
        module = ir.Module("harness")
        emit_loop(module, "apply", emit, bits, lanes, arity)
        self.library = jit.load(str(module))
        address = self.library.address("apply")
        self.apply = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * (arity + 2))(address)
        self.dtype, self.lanes = DTYPES[bits], lanes

    def __call__(self, *arrays: np.ndarray) -> np.ndarray:
        shape = np.broadcast_shapes(*(np.shape(x) for x in arrays))
        size = int(np.prod(shape))
        padded = -size % self.lanes
        flat = [np.broadcast_to(np.asarray(x, self.dtype), shape).ravel() for x in arrays]
        flat = [np.concatenate([x, np.ones(padded, self.dtype)]) if padded else x for x in flat]
        result = np.empty(size + padded, self.dtype)
        if size:
            self.apply(size + padded, *(x.ctypes.data for x in flat), result.ctypes.data)
        return result[:size].reshape(shape)


@cache
def array_function(name: str, bits: int, lanes: int, arity: int = 1, *, plain: bool = False) -> ArrayFunction:
    """Return NumPy's function of that name; a plain one keeps to what LLVM has for every processor."""
    if not plain:
        return ArrayFunction(FUNCTIONS[name], bits, lanes, arity)
    with mock.patch.object(avx512, "is_available", lambda: False):
        return ArrayFunction(FUNCTIONS[name], bits, lanes, arity)


def assembly_for(triple: str, cpu: str, name: str, bits: int, lanes: int, arity: int) -> str:
    """Return what LLVM makes of a function for some processor without AVX-512."""
    module = ir.Module("harness")
    with mock.patch.object(avx512, "is_available", lambda: False):
        emit_loop(module, "apply", FUNCTIONS[name], bits, lanes, arity)
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    machine = binding.Target.from_triple(triple).create_target_machine(cpu=cpu, opt=2)
    return machine.emit_assembly(binding.parse_assembly(str(module)))
