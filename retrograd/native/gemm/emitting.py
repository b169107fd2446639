"""How IR is written here: loops whose counters are phi nodes, addresses by element, vectors of any width.

Nothing is kept in stack slots that a pass would have to promote: the code is good as it is emitted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from llvmlite import ir

    Value = ir.Value
    Builder = ir.IRBuilder

Number = Any  # a Python int, or an ir.Value of type i64


def element_type(dtype: np.dtype[Any]) -> ir.Type:
    """Return the IR type of one element."""
    from llvmlite import ir

    if dtype.kind in "iu":
        return ir.IntType(8 * dtype.itemsize)
    return {"f4": ir.FloatType, "f8": ir.DoubleType}[dtype.str[1:]]()


def vector_of(element: ir.Type, width: int) -> ir.Type:
    """Return the type of `width` elements side by side: the element itself where that is one."""
    from llvmlite import ir

    return element if width == 1 else ir.VectorType(element, width)


def i64(value: Number) -> Value:
    """Return a 64-bit constant for a Python int, and a value as it is."""
    from llvmlite import ir

    return ir.Constant(ir.IntType(64), value) if isinstance(value, int) else value


def internal(
    module: ir.Module, name: str, parameters: Sequence[ir.Type], *, is_plain: bool = False
) -> ir.Function:
    """Add an empty function that only this module sees.

    A plain one is not optimised: it only calls others, and its compilation took longer than theirs.
    """
    from llvmlite import ir

    function = ir.Function(module, ir.FunctionType(ir.VoidType(), parameters), name)
    function.linkage = "internal"
    function.attributes.add("nounwind")
    function.attributes.add("noinline")
    if is_plain:
        function.attributes.add("optnone")
    return function


def pointer() -> ir.Type:
    from llvmlite import ir

    return ir.PointerType()


def integer() -> ir.Type:
    from llvmlite import ir

    return ir.IntType(64)


def add(builder: Builder, left: Number, right: Number) -> Number:
    """Add two numbers, at once where both are known."""
    if isinstance(left, int) and isinstance(right, int):
        return left + right
    if isinstance(left, int) and left == 0:
        return right
    if isinstance(right, int) and right == 0:
        return left
    return builder.add(i64(left), i64(right))


def multiply(builder: Builder, left: Number, right: Number) -> Number:
    """Multiply two numbers, at once where both are known."""
    if isinstance(left, int) and isinstance(right, int):
        return left * right
    for known, other in ((left, right), (right, left)):
        if isinstance(known, int) and known in {0, 1}:
            return other if known else 0
    return builder.mul(i64(left), i64(right))


def subtract(builder: Builder, left: Number, right: Number) -> Number:
    if isinstance(left, int) and isinstance(right, int):
        return left - right
    return left if isinstance(right, int) and right == 0 else builder.sub(i64(left), i64(right))


def minimum(builder: Builder, left: Number, right: Number) -> Number:
    if isinstance(left, int) and isinstance(right, int):
        return min(left, right)
    left, right = i64(left), i64(right)
    return builder.select(builder.icmp_signed("<", left, right), left, right)


def divide(builder: Builder, left: Number, right: int) -> Number:
    if right == 1 or isinstance(left, int):
        return left if right == 1 else left // right
    return builder.udiv(left, i64(right))


def remainder(builder: Builder, left: Number, right: int) -> Number:
    if right == 1 or isinstance(left, int):
        return 0 if right == 1 else left % right
    return builder.urem(left, i64(right))


def at(builder: Builder, element: ir.Type, base: Value, *terms: Number | tuple[Number, Number]) -> Value:
    """Return the address so many elements behind `base`; a term may be a pair to be multiplied."""
    offset: Number = 0
    for term in terms:
        offset = add(builder, offset, multiply(builder, *term) if isinstance(term, tuple) else term)
    if isinstance(offset, int) and offset == 0:
        return base
    return builder.gep(base, [i64(offset)], source_etype=element, inbounds=True)


def load(builder: Builder, element: ir.Type, address: Value, width: int = 1) -> Value:
    """Load elements that are aligned as single elements are."""
    return builder.load(address, align=bytes_of(element), typ=vector_of(element, width))


def store(builder: Builder, element: ir.Type, value: Value, address: Value) -> None:
    """Store elements that are aligned as single elements are."""
    builder.store(value, address, align=bytes_of(element))


def bytes_of(element: ir.Type) -> int:
    from llvmlite import ir

    if isinstance(element, ir.IntType):
        return int(element.width) // 8
    return 4 if isinstance(element, ir.FloatType) else 8


def zero(element: ir.Type, width: int = 1) -> Value:
    from llvmlite import ir

    return ir.Constant(vector_of(element, width), None)


def spread(builder: Builder, value: Value, width: int) -> Value:
    """Return a vector that holds one value in every lane."""
    from llvmlite import ir

    if width == 1:
        return value
    first = builder.insert_element(
        ir.Constant(ir.VectorType(value.type, width), ir.Undefined), value, ir.Constant(ir.IntType(32), 0)
    )
    return shuffle(builder, first, first, [0] * width)


def shuffle(builder: Builder, left: Value, right: Value, lanes: Sequence[int]) -> Value:
    """Pick lanes out of two vectors side by side."""
    from llvmlite import ir

    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes))
    return builder.shuffle_vector(left, right, mask)


def multiply_add(builder: Builder, x: Value, y: Value, total: Value) -> Value:
    """Return total + x * y, rounded once where the machine can; integers wrap."""
    from llvmlite import ir

    kind = total.type.element if isinstance(total.type, ir.VectorType) else total.type
    if isinstance(kind, ir.IntType):
        return builder.add(total, builder.mul(x, y))
    function = intrinsic(builder.module, "llvm.fmuladd", total.type, [total.type] * 3)
    return builder.call(function, (x, y, total))


def sum_of(builder: Builder, x: Value, y: Value) -> Value:
    """Add two values or vectors of either kind of number."""
    from llvmlite import ir

    kind = x.type.element if isinstance(x.type, ir.VectorType) else x.type
    return builder.add(x, y) if isinstance(kind, ir.IntType) else builder.fadd(x, y)


def intrinsic(module: ir.Module, name: str, kind: ir.Type, parameters: Sequence[ir.Type]) -> ir.Function:
    """Declare the instance of an LLVM intrinsic for one type."""
    from llvmlite import ir

    letters = {"float": "f32", "double": "f64"}
    if isinstance(kind, ir.VectorType):
        suffix = f"v{kind.count}{letters.get(str(kind.element), str(kind.element))}"
    else:
        suffix = letters.get(str(kind), str(kind))
    full = f"{name}.{suffix}"
    known = module.globals.get(full)
    return known or ir.Function(module, ir.FunctionType(kind, parameters), full)


@contextmanager
def loop(builder: Builder, begin: Number, end: Number, step: int = 1) -> Iterator[Value]:
    """Emit what is in the `with` block for each index in range(begin, end, step)."""
    with carried(builder, begin, end, (), step) as (index, _, _):
        yield index


@contextmanager
def steps(builder: ir.IRBuilder, begin: Number, end: Number, step: int) -> Iterator[Number]:
    """Emit a loop, or what is in it once where it has at most one round that is known."""
    if isinstance(begin, int) and isinstance(end, int) and end - begin <= max(1, step):
        yield begin
        return
    with loop(builder, begin, end, step) as index:
        yield index


class Carried:
    """Values that a loop hands from one round to the next: give each its next value; read the results after."""

    def __init__(self, values: Sequence[Value]) -> None:
        self.next: Sequence[Value] = values
        self.results: Sequence[Value] = ()


@contextmanager
def carried(
    builder: Builder, begin: Number, end: Number, initial: Sequence[Value], step: int = 1
) -> Iterator[tuple[Value, Sequence[Value], Carried]]:
    """Emit a loop over range(begin, end, step) that carries values in registers.

    Yields the index, the values at the start of a round, and where to put those at its end. After the block
    `results` of the latter holds the values behind the loop.
    """
    before = builder.block
    body, behind = builder.append_basic_block("loop"), builder.append_basic_block("behind")
    begin, end = i64(begin), i64(end)
    builder.cbranch(builder.icmp_signed("<", begin, end), body, behind)
    builder.position_at_end(body)
    index = builder.phi(begin.type)
    index.add_incoming(begin, before)
    values = []
    for value in initial:
        phi = builder.phi(value.type)
        phi.add_incoming(value, before)
        values.append(phi)
    state = Carried(values)
    yield index, values, state
    following = builder.add(index, i64(step))
    last = builder.block
    index.add_incoming(following, last)
    for phi, value in zip(values, state.next, strict=True):
        phi.add_incoming(value, last)
    builder.cbranch(builder.icmp_signed("<", following, end), body, behind)
    builder.position_at_end(behind)
    results = []
    for start, value in zip(initial, state.next, strict=True):
        phi = builder.phi(value.type)
        phi.add_incoming(start, before)
        phi.add_incoming(value, last)
        results.append(phi)
    state.results = results


@contextmanager
def when(builder: Builder, condition: Value) -> Iterator[None]:
    """Emit what is in the `with` block to be run only if the condition holds."""
    inside, behind = builder.append_basic_block("then"), builder.append_basic_block("endif")
    builder.cbranch(condition, inside, behind)
    builder.position_at_end(inside)
    yield
    builder.branch(behind)
    builder.position_at_end(behind)
