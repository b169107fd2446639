"""The source of `op_`, which writes a result into the first operand.

It serves where nothing is recorded and no view is involved.
"""

from __future__ import annotations

import numpy as np

from retrograd.autograd.large import limit
from retrograd.autograd.source_call import (
    definition_call,
    is_tensor,
    large_call,
    number_expression,
    place_lines,
    signature,
    usual_condition,
)
from retrograd.ops.declare import Op, Parameter

_RECORDS = "(not modes.special or local.grad)"


def _has_facts(x: str) -> str:
    """Return the condition that a tensor is a view, or has other facts than where it lost its history."""
    return f"({x}._meta is not None and {x}._meta.cut is not {x}._meta)"


def write_source(op: Op) -> str:
    """Return the source of the in-place form of an op; `inplace` serves what it does not."""
    names = ", ".join(p.name for p in op.parameters) + ","
    fall = f"return inplace(op, ({names}))"
    operands = [p for p in op.parameters if not p.is_static]
    lines = [f"def dispatch({signature(op, out=False)}):"]
    if (
        "f" not in op.kinds
        or op.outputs
        or any(p.kind not in ("tensor", "operand", "plain") for p in operands)
    ):
        return "\n".join([*lines, f"    {fall}"]) + "\n"
    x = operands[0].name
    lines += [
        "    if modes.special and (local.careful or process.anomaly):",
        f"        {fall}",
        "    try:",
        f"        {x}_ = {x}._array",
        f"        if {_has_facts(x)} or ({x}._node is not None and {_RECORDS}):",
        f"            {fall}",
        "    except AttributeError:",
        f"        {fall}",
        f"    _dtype = {x}_.dtype",
        "    if _dtype is not float32 and _dtype is not float64:",
        f"        {fall}",
    ]
    for operand in operands[1:]:
        lines += _operand_lines(op, operand, fall)
    lines += [
        *_store_lines(op, x, fall),
        *_cut_lines(x, operands[1:]),
        f"    cell = {x}._version_cell()",
        "    cell.count += 1",
        *place_lines("cell"),
    ]
    return "\n".join([*lines, f"    return {x}"]) + "\n"


def _cut_lines(x: str, others: list[Parameter]) -> list[str]:
    """Note on the target where another operand lost its history."""
    lines = []
    for other in others:
        y = other.name
        lines += [f"    if {is_tensor(other)} and {y}._meta is not None:", f"        {x}._meta = {y}._meta"]
    return lines


def _operand_lines(op: Op, operand: Parameter, fall: str) -> list[str]:
    y = operand.name
    lines = [
        "    try:",
        f"        {y}_ = {y}._array",
        (
            f"        if {y}_.__class__ is not ndarray or {_has_facts(y)} or "
            f"({y}._node is not None and {_RECORDS}):"
        ),
        f"            {fall}",
        *(
            [f"        if {y}_.dtype is not _dtype:", f"            {fall}"]
            if operand.kind != "plain"
            else []
        ),
        "    except AttributeError:",
        f"        {fall}",
    ]
    if operand.kind != "operand":
        return lines
    number = f"    if {y}.__class__ is float or {y}.__class__ is int:"
    return [
        number,
        f"        {y}_ = {number_expression(op, y)}",
        "    else:",
        *[f"    {line}" for line in lines],
    ]


def _computed(op: Op, x: str) -> str:
    """Return the expression that calls the definition, as a kernel for a large operand."""
    call = definition_call(op)
    return call if limit(op) is None else f"{large_call(op)} if {x}_.size >= limit else {call}"


def _store_lines(op: Op, x: str, fall: str) -> list[str]:
    """Compute straight into the memory where a kernel can, else compute and copy."""
    copy = [
        f"    result = {_computed(op, x)}",
        (
            f"    if result.__class__ is not ndarray or result.shape != {x}_.shape "
            "or result.dtype is not _dtype:"
        ),
        f"        {fall}",
        f"    copyto({x}_, result)",
    ]
    if not isinstance(op.kernel, np.ufunc) or op.promote == "bool":
        return [
            *copy[:1],
            "    if result.__class__ is not ndarray:",
            "        result = asarray(result)",
            *copy[1:],
        ]
    operands = ", ".join(f"{p.name}_" for p in op.parameters if not p.is_static)
    direct = [
        "    try:",
        f"        kernel_({operands}, out={x}_)",
        "    except ValueError:",
        f"        {fall}",
    ]
    usual = usual_condition(op)
    if not usual:
        return direct
    return [
        f"    if {usual}:",
        *[f"    {line}" for line in direct],
        "    else:",
        *[f"    {line}" for line in copy],
    ]
