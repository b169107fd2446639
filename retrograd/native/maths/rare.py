"""Rare cases: code off the straight line, to which the lanes branch where one of them needs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from retrograd.native.maths.lanes import Lanes, llvm


def where_any(rare: Lanes, corrected: Callable[[], Lanes], usual: Lanes) -> Lanes:
    """Return the usual value, or, where there is a rare lane, what corrects the value on all lanes."""
    builder = rare.builder
    before = builder.block
    odd, after = _branch(rare)
    value = corrected()
    builder.branch(after)
    builder.position_at_end(after)
    return _joined(usual, before, value, odd)


def _branch(rare: Lanes) -> tuple[Any, Any]:
    """Go on in a block for the case of a rare lane; return it and the block where all come together."""
    builder = rare.builder
    odd, after = builder.append_basic_block("rare"), builder.append_basic_block("joined")
    builder.cbranch(rare.any(), odd, after).set_weights([1, 1_000_000])
    builder.position_at_end(odd)
    return odd, after


def _joined(usual: Lanes, before: Any, other: Lanes, odd: Any) -> Lanes:
    phi = usual.builder.phi(usual.value.type)
    phi.add_incoming(usual.value, before)
    phi.add_incoming(other.value, odd)
    return Lanes(usual.builder, phi)


def on_rare_lanes(
    name: str,
    rare: Lanes,
    formula: Callable[..., Sequence[Lanes]],
    given: Sequence[Lanes],
    usual: Sequence[Lanes],
) -> list[Lanes]:
    """Return, on the rare lanes, what a formula of scalars returns, and the usual values on the others.

    The code branches to a function that takes the lanes one by one where there is a rare one among them.
    """
    builder = rare.builder
    before = builder.block
    odd, after = _branch(rare)
    kinds = [x.value.type for x in usual]
    function = _lane_by_lane(name, builder.module, formula, given, kinds)
    made = builder.call(function, [x.value for x in given])
    others = [
        rare.choose(Lanes(builder, builder.extract_value(made, place)), x) for place, x in enumerate(usual)
    ]
    builder.branch(after)
    builder.position_at_end(after)
    return [_joined(x, before, y, odd) for x, y in zip(usual, others, strict=True)]


def _lane_by_lane(
    name: str,
    module: Any,
    formula: Callable[..., Sequence[Lanes]],
    given: Sequence[Lanes],
    kinds: Sequence[Any],
) -> Any:
    """Return the function that applies a formula of scalars to each lane; it returns a struct."""
    ir = llvm()
    symbol = f"retrograd.{name}.{given[0].suffix}"
    if found := module.globals.get(symbol):
        return found
    result = ir.LiteralStructType(kinds)
    function = ir.Function(module, ir.FunctionType(result, [x.value.type for x in given]), symbol)
    function.linkage = "internal"
    for attribute in ("noinline", "cold", "nounwind"):
        function.attributes.add(attribute)
    entry = function.append_basic_block("entry")
    builder = ir.IRBuilder(entry)
    if given[0].count is None:
        values = [x.value for x in formula(*(Lanes(builder, argument) for argument in function.args))]
    else:
        loop, end = function.append_basic_block("lane"), function.append_basic_block("end")
        builder.branch(loop)
        builder.position_at_end(loop)
        i32 = ir.IntType(32)
        lane = builder.phi(i32)
        totals = [builder.phi(kind) for kind in kinds]
        scalars = [Lanes(builder, builder.extract_element(argument, lane)) for argument in function.args]
        made = formula(*scalars)
        values = [builder.insert_element(t, x.value, lane) for t, x in zip(totals, made, strict=True)]
        following = builder.add(lane, i32(1))
        for phi, first, later in zip(
            [lane, *totals],
            [i32(0), *(ir.Constant(kind, ir.Undefined) for kind in kinds)],
            [following, *values],
            strict=True,
        ):
            phi.add_incoming(first, entry)
            phi.add_incoming(later, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, i32(given[0].count)), loop, end)
        builder.position_at_end(end)
    made = ir.Constant(result, ir.Undefined)
    for place, value in enumerate(values):
        made = builder.insert_value(made, value, place)
    builder.ret(made)
    return function
