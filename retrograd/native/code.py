"""What emitted code is made of: loops, masked and gathered access to memory, sums across lanes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from retrograd.native.elementwise import larger
from retrograd.native.types import lanes_of, llvm, memory, number, register, spread

Dtype = np.dtype[Any]


def i64(value: int) -> Any:
    """Return a number as a constant."""
    ir = llvm()
    return ir.Constant(ir.IntType(64), value)


def known(value: Any) -> int | None:
    """Return a constant's number; None for what is computed."""
    return value.constant if isinstance(value, llvm().Constant) and isinstance(value.constant, int) else None


def add(builder: Any, x: Any, y: Any) -> Any:
    """Add two indices; constants are folded."""
    if known(x) is not None and known(y) is not None:
        return i64(known(x) + known(y))  # type: ignore[operator]
    if known(x) == 0:
        return y
    return x if known(y) == 0 else builder.add(x, y, flags=("nsw",))


def scale(builder: Any, x: Any, factor: int) -> Any:
    """Multiply an index by a number."""
    if known(x) is not None:
        return i64(known(x) * factor)  # type: ignore[operator]
    return x if factor == 1 else builder.mul(x, i64(factor), flags=("nsw",))


@contextmanager
def counted(builder: Any, start: Any, stop: Any, step: int = 1) -> Iterator[Any]:
    """Emit a loop: the block's code runs with each index from `start` up to `stop`, which it does not reach.

    What runs once, and what does not run at all, if that is known, gets no loop.
    """
    first, last = known(start), known(stop)
    if first is not None and last is not None and last - first <= step:
        if last <= first:
            dead = builder.append_basic_block("dead")
            after = builder.append_basic_block("after")
            builder.branch(after)
            builder.position_at_end(dead)
            yield start
            builder.branch(after)
            builder.position_at_end(after)
        else:
            yield start
        return
    ir = llvm()
    before = builder.block
    head = builder.append_basic_block("head")
    body = builder.append_basic_block("body")
    after = builder.append_basic_block("after")
    builder.branch(head)
    builder.position_at_end(head)
    index = builder.phi(ir.IntType(64))
    index.add_incoming(start, before)
    builder.cbranch(builder.icmp_signed("<", index, stop), body, after)
    builder.position_at_end(body)
    yield index
    index.add_incoming(builder.add(index, i64(step), flags=("nsw",)), builder.block)
    builder.branch(head)
    builder.position_at_end(after)


# ---- memory ----


def element(builder: Any, pointer: Any, dtype: Dtype, at: Any) -> Any:
    """Return the address of an element."""
    return builder.gep(pointer, [at], source_etype=memory(dtype))


def load(
    builder: Any, pointer: Any, dtype: Dtype, at: Any, lanes: int | None = None, mask: Any = None
) -> Any:
    """Load one element, or as many as a vector has lanes; where a mask is off, 0."""
    address = element(builder, pointer, dtype, at)
    kind = memory(dtype, lanes)
    if mask is None:
        found = builder.load(address, align=dtype.itemsize, typ=kind)
    else:
        ir = llvm()
        function = _intrinsic(
            builder.module,
            "llvm.masked.load",
            kind,
            kind,
            (ir.PointerType(), ir.IntType(32), mask.type, kind),
        )
        found = builder.call(
            function, (address, ir.IntType(32)(dtype.itemsize), mask, ir.Constant(kind, None))
        )
    return _to_register(builder, found, dtype)


def store(builder: Any, pointer: Any, dtype: Dtype, at: Any, value: Any, mask: Any = None) -> None:
    """Store one element, or a vector of them, where a mask is on."""
    address = element(builder, pointer, dtype, at)
    if dtype.kind == "b":
        value = builder.zext(value, memory(dtype, lanes_of(value)))
    if mask is None:
        builder.store(value, address, align=dtype.itemsize)
        return
    ir = llvm()
    function = _intrinsic(
        builder.module, "llvm.masked.store", value.type, ir.VoidType(),
        (value.type, ir.PointerType(), ir.IntType(32), mask.type),
    )  # fmt: skip
    builder.call(function, (value, address, ir.IntType(32)(dtype.itemsize), mask))


def clear(builder: Any, pointer: Any, count: int, dtype: Dtype) -> None:
    """Fill an array with zeros."""
    ir = llvm()
    given = (ir.PointerType(), ir.IntType(8), ir.IntType(64), ir.IntType(1))
    name = "llvm.memset.p0.i64"
    function = builder.module.globals.get(name) or ir.Function(
        builder.module, ir.FunctionType(ir.VoidType(), given), name
    )
    builder.call(function, (pointer, ir.IntType(8)(0), i64(count * dtype.itemsize), ir.IntType(1)(0)))


def gather(builder: Any, pointer: Any, dtype: Dtype, at: Any, mask: Any = None) -> Any:
    """Load the elements at a vector of positions."""
    ir = llvm()
    lanes = lanes_of(at)
    assert lanes is not None
    kind = memory(dtype, lanes)
    addresses = builder.gep(pointer, [at], source_etype=memory(dtype))
    addresses.type = ir.VectorType(ir.PointerType(), lanes)  # llvmlite takes a vector of indices for one
    if mask is None:
        mask = number(np.dtype(bool), 1, lanes)
    function = _intrinsic(
        builder.module, "llvm.masked.gather", kind, kind, (addresses.type, ir.IntType(32), mask.type, kind),
        pointers=f"v{lanes}p0",
    )  # fmt: skip
    alignment = ir.IntType(32)(dtype.itemsize)
    found = builder.call(function, (addresses, alignment, mask, ir.Constant(kind, None)))
    return _to_register(builder, found, dtype)


def scatter(builder: Any, pointer: Any, dtype: Dtype, at: Any, value: Any, mask: Any = None) -> None:
    """Store the lanes of a vector at a vector of positions."""
    ir = llvm()
    lanes = lanes_of(at)
    assert lanes is not None
    kind = memory(dtype, lanes)
    if dtype.kind == "b":
        value = builder.zext(value, kind)
    addresses = builder.gep(pointer, [at], source_etype=memory(dtype))
    addresses.type = ir.VectorType(ir.PointerType(), lanes)
    if mask is None:
        mask = number(np.dtype(bool), 1, lanes)
    function = _intrinsic(
        builder.module, "llvm.masked.scatter", kind, ir.VoidType(),
        (kind, addresses.type, ir.IntType(32), mask.type), pointers=f"v{lanes}p0",
    )  # fmt: skip
    builder.call(function, (value, addresses, ir.IntType(32)(dtype.itemsize), mask))


def _to_register(builder: Any, value: Any, dtype: Dtype) -> Any:
    if dtype.kind != "b":
        return value
    return builder.icmp_unsigned("!=", value, number(np.dtype(np.uint8), 0, lanes_of(value)))


def _intrinsic(module: Any, name: str, kind: Any, result: Any, given: Any, pointers: str = "p0") -> Any:
    ir = llvm()
    letter = {"float": "f32", "double": "f64"}.get(str(kind.element)) or str(kind.element)
    full = f"{name}.v{kind.count}{letter}.{pointers}"
    found = module.globals.get(full)
    return found or ir.Function(module, ir.FunctionType(result, given), full)


def ramp(builder: Any, start: Any, factor: int, lanes: int) -> Any:
    """Return start, start + factor, start + 2 factor, ... as a vector of indices."""
    ir = llvm()
    steps = ir.Constant(ir.VectorType(ir.IntType(64), lanes), [i64(factor * k) for k in range(lanes)])
    return builder.add(spread(builder, start, lanes), steps)


def below(builder: Any, start: Any, stop: Any, lanes: int) -> Any:
    """Return the mask of the lanes whose index, counted from `start`, lies below `stop`."""
    ir = llvm()
    left = (
        builder.sub(stop, start)
        if known(stop) is None or known(start) is None
        else i64(
            known(stop) - known(start)  # type: ignore[operator]
        )
    )
    n = known(left)
    if n is not None:
        return ir.Constant(ir.VectorType(ir.IntType(1), lanes), [ir.IntType(1)(k < n) for k in range(lanes)])
    small = builder.trunc(left, ir.IntType(32))
    steps = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [ir.IntType(32)(k) for k in range(lanes)])
    return builder.icmp_signed("<", steps, spread(builder, small, lanes))


def resized(builder: Any, value: Any, lanes: int) -> Any:
    """Return a vector of another width: its first lanes, and nothing in particular behind them."""
    ir = llvm()
    have = lanes_of(value)
    if have == lanes or have is None:
        return value
    order = [ir.IntType(32)(min(k, have - 1)) for k in range(lanes)]
    mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes), order)
    return builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), mask)


# ---- reductions ----


def _multiply(builder: Any, kind: Dtype, x: Any, y: Any) -> Any:
    return builder.fmul(x, y) if kind.kind == "f" else builder.mul(x, y)


def _sum(builder: Any, kind: Dtype, x: Any, y: Any) -> Any:
    return builder.fadd(x, y) if kind.kind == "f" else builder.add(x, y)


COMBINE: dict[str, Any] = {
    "sum": _sum,
    "prod": _multiply,
    "max": larger(">"),
    "min": larger("<"),
    "any": lambda builder, kind, x, y: builder.or_(x, y),
    "all": lambda builder, kind, x, y: builder.and_(x, y),
}
"""How a reduction joins two parts of its result."""


def identity(name: str, kind: Dtype, lanes: int | None = None) -> Any:
    """Return what a reduction gives of nothing."""
    if name in ("max", "min"):
        if kind.kind == "b":
            value: Any = name == "min"
        elif kind.kind == "f":
            value = -np.inf if name == "max" else np.inf
        else:
            limits = np.iinfo(kind)
            value = limits.min if name == "max" else limits.max
    else:
        value = {"sum": 0, "prod": 1, "any": 0, "all": 1}[name]
    return number(kind, value, lanes)


def across(builder: Any, name: str, kind: Dtype, value: Any) -> Any:
    """Join the lanes of a vector, halves first."""
    ir = llvm()
    lanes = lanes_of(value)
    assert lanes is not None
    while lanes > 1:
        lanes //= 2
        parts = [
            builder.shuffle_vector(
                value,
                ir.Constant(value.type, ir.Undefined),
                ir.Constant(
                    ir.VectorType(ir.IntType(32), lanes), [ir.IntType(32)(first + k) for k in range(lanes)]
                ),
            )
            for first in (0, lanes)
        ]
        value = COMBINE[name](builder, kind, *parts)
    return builder.extract_element(value, ir.IntType(32)(0))


def slot(builder: Any, dtype: Dtype, lanes: int | None = None, count: int | None = None) -> Any:
    """Reserve memory on the stack, in the function's first block."""
    ir = llvm()
    with builder.goto_entry_block():
        size = None if count is None else ir.IntType(32)(count)
        made = builder.alloca(register(dtype, lanes) if count is None else memory(dtype), size)
        made.type = ir.PointerType()
        if count is not None:
            made.align = 64
    return made
