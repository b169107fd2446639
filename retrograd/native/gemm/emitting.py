"""How IR is written here: numbers that may be known, addresses by element, vectors of any width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from llvmlite import ir

Number = Any  # a Python int, or an ir.Value of type i64


def llvm() -> Any:
    """Return llvmlite's module of IR."""
    from llvmlite import ir  # noqa: PLC0415 - loaded when first needed

    return ir


def element_type(dtype: np.dtype[Any]) -> ir.Type:
    """Return the IR type of one element."""
    ir = llvm()
    if dtype.kind in "iu":
        return ir.IntType(8 * dtype.itemsize)
    return {"f4": ir.FloatType, "f8": ir.DoubleType}[dtype.str[1:]]()


def vector_of(element: ir.Type, width: int) -> ir.Type:
    """Return the type of `width` elements side by side: the element itself where that is one."""
    ir = llvm()
    return element if width == 1 else ir.VectorType(element, width)


def i64(value: Number) -> ir.Value:
    """Return a 64-bit constant for a Python int, and a value as it is."""
    ir = llvm()
    return ir.Constant(ir.IntType(64), value) if isinstance(value, int) else value


def defined(module: ir.Module, name: str, parameters: Sequence[ir.Type]) -> ir.Function:
    """Add an empty function that returns nothing."""
    ir = llvm()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), parameters), name)
    function.attributes.add("nounwind")
    return function


def internal(
    module: ir.Module, name: str, parameters: Sequence[ir.Type], *, is_plain: bool = False
) -> ir.Function:
    """Add an empty function that only this module sees.

    A plain one is not optimised: it only calls others, and would take longer to compile than they.
    """
    function = defined(module, name, parameters)
    function.linkage = "internal"
    function.attributes.add("noinline")
    if is_plain:
        function.attributes.add("optnone")
    return function


def starting(function: ir.Function) -> ir.IRBuilder:
    """Return a builder at the start of an empty function."""
    ir = llvm()
    return ir.IRBuilder(function.append_basic_block("entry"))


def pointer() -> ir.Type:
    ir = llvm()
    return ir.PointerType()


def integer() -> ir.Type:
    ir = llvm()
    return ir.IntType(64)


def truth_type() -> ir.Type:
    ir = llvm()
    return ir.IntType(1)


def truth(value: bool) -> ir.Value:
    ir = llvm()
    return ir.Constant(ir.IntType(1), int(value))


def add(builder: ir.IRBuilder, left: Number, right: Number) -> Number:
    """Add two numbers, at once where both are known."""
    if isinstance(left, int) and isinstance(right, int):
        return left + right
    if isinstance(left, int) and left == 0:
        return right
    if isinstance(right, int) and right == 0:
        return left
    return builder.add(i64(left), i64(right))


def multiply(builder: ir.IRBuilder, left: Number, right: Number) -> Number:
    """Multiply two numbers, at once where both are known."""
    if isinstance(left, int) and isinstance(right, int):
        return left * right
    for known, other in ((left, right), (right, left)):
        if isinstance(known, int) and known in {0, 1}:
            return other if known else 0
    return builder.mul(i64(left), i64(right))


def subtract(builder: ir.IRBuilder, left: Number, right: Number) -> Number:
    if isinstance(left, int) and isinstance(right, int):
        return left - right
    return left if isinstance(right, int) and right == 0 else builder.sub(i64(left), i64(right))


def minimum(builder: ir.IRBuilder, left: Number, right: Number) -> Number:
    if isinstance(left, int) and isinstance(right, int):
        return min(left, right)
    left, right = i64(left), i64(right)
    return builder.select(builder.icmp_signed("<", left, right), left, right)


def maximum(builder: ir.IRBuilder, left: Number, right: Number) -> Number:
    if isinstance(left, int) and isinstance(right, int):
        return max(left, right)
    left, right = i64(left), i64(right)
    return builder.select(builder.icmp_signed(">", left, right), left, right)


def divide(builder: ir.IRBuilder, left: Number, right: int) -> Number:
    if right == 1 or isinstance(left, int):
        return left if right == 1 else left // right
    return builder.udiv(left, i64(right))


def remainder(builder: ir.IRBuilder, left: Number, right: int) -> Number:
    if right == 1 or isinstance(left, int):
        return 0 if right == 1 else left % right
    return builder.urem(left, i64(right))


def at(
    builder: ir.IRBuilder, element: ir.Type, base: ir.Value, *terms: Number | tuple[Number, Number]
) -> ir.Value:
    """Return the address so many elements behind `base`; a term may be a pair to be multiplied."""
    offset: Number = 0
    for term in terms:
        offset = add(builder, offset, multiply(builder, *term) if isinstance(term, tuple) else term)
    if isinstance(offset, int) and offset == 0:
        return base
    return builder.gep(base, [i64(offset)], source_etype=element, inbounds=True)


def load(builder: ir.IRBuilder, element: ir.Type, address: ir.Value, width: int = 1) -> ir.Value:
    """Load elements that are aligned as single elements are."""
    return builder.load(address, align=bytes_of(element), typ=vector_of(element, width))


def store(builder: ir.IRBuilder, element: ir.Type, value: ir.Value, address: ir.Value) -> None:
    """Store elements that are aligned as single elements are."""
    builder.store(value, address, align=bytes_of(element))


def bytes_of(element: ir.Type) -> int:
    ir = llvm()
    if isinstance(element, ir.IntType):
        return int(element.width) // 8
    return 4 if isinstance(element, ir.FloatType) else 8


def zero(element: ir.Type, width: int = 1) -> ir.Value:
    ir = llvm()
    return ir.Constant(vector_of(element, width), None)


def spread(builder: ir.IRBuilder, value: ir.Value, width: int) -> ir.Value:
    """Return a vector that holds one value in every lane."""
    ir = llvm()
    if width == 1:
        return value
    first = builder.insert_element(
        ir.Constant(ir.VectorType(value.type, width), ir.Undefined), value, ir.Constant(ir.IntType(32), 0)
    )
    return shuffle(builder, first, first, [0] * width)


def shuffle(builder: ir.IRBuilder, left: ir.Value, right: ir.Value, lanes: Sequence[int]) -> ir.Value:
    """Pick lanes out of two vectors side by side."""
    ir = llvm()
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes))
    return builder.shuffle_vector(left, right, mask)


def multiply_add(builder: ir.IRBuilder, x: ir.Value, y: ir.Value, total: ir.Value) -> ir.Value:
    """Return total + x * y, rounded once where the machine can; integers wrap."""
    ir = llvm()
    kind = total.type.element if isinstance(total.type, ir.VectorType) else total.type
    if isinstance(kind, ir.IntType):
        return builder.add(total, builder.mul(x, y))
    name = f"llvm.fmuladd.{letters_of(total.type)}"
    return builder.call(declared(builder.module, name, total.type, [total.type] * 3), (x, y, total))


def sum_of(builder: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
    """Add two values or vectors of either kind of number."""
    ir = llvm()
    kind = x.type.element if isinstance(x.type, ir.VectorType) else x.type
    return builder.add(x, y) if isinstance(kind, ir.IntType) else builder.fadd(x, y)


def letters_of(kind: ir.Type) -> str:
    """Return how the names of LLVM's intrinsics spell a type."""
    ir = llvm()
    if isinstance(kind, ir.VectorType):
        return f"v{kind.count}{letters_of(kind.element)}"
    return {"float": "f32", "double": "f64"}.get(str(kind), str(kind))


def declared(module: ir.Module, name: str, result: ir.Type, parameters: Sequence[ir.Type]) -> ir.Function:
    """Declare a function that is defined elsewhere."""
    ir = llvm()
    return module.globals.get(name) or ir.Function(module, ir.FunctionType(result, parameters), name)


def prefetch(builder: ir.IRBuilder, address: ir.Value) -> None:
    """Ask for a line of memory that will be written."""
    ir = llvm()
    number = ir.IntType(32)
    function = declared(
        builder.module, "llvm.prefetch.p0", ir.VoidType(), [pointer(), number, number, number]
    )
    write, near, data = 1, 3, 1
    builder.call(function, [address, *(ir.Constant(number, flag) for flag in (write, near, data))])


def load_padded(
    builder: ir.IRBuilder, element: ir.Type, address: ir.Value, width: int, lanes: int
) -> ir.Value:
    """Load `width` elements into the first lanes of a vector, the others of which are zero."""
    ir = llvm()
    value = load(builder, element, address, width)
    if width == lanes:
        return value
    if width == 1:
        return builder.insert_element(zero(element, lanes), value, ir.Constant(ir.IntType(32), 0))
    return shuffle(builder, value, zero(element, width), [*range(width), *[width] * (lanes - width)])


def sum_of_lanes(builder: ir.IRBuilder, vector: ir.Value) -> ir.Value:
    """Add up the lanes of a vector, in whatever order is quick."""
    ir = llvm()
    if not isinstance(vector.type, ir.VectorType):
        return vector
    element, letters = vector.type.element, letters_of(vector.type)
    if isinstance(element, ir.IntType):
        name = f"llvm.vector.reduce.add.{letters}"
        return builder.call(declared(builder.module, name, element, [vector.type]), [vector])
    function = declared(builder.module, f"llvm.vector.reduce.fadd.{letters}", element, [element, vector.type])
    return builder.call(function, [ir.Constant(element, -0.0), vector], fastmath=["reassoc"])
