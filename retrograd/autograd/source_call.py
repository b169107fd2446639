"""The source of the function that users call: the common case of `dispatch.plain` as straight-line Python."""

from __future__ import annotations

import numpy as np

from retrograd.autograd.large import limit
from retrograd.autograd.promote import PROMOTED
from retrograd.autograd.record import saved_names
from retrograd.ops.declare import Op, Parameter

_LITERALS = (type(None), bool, int, float, str)
_SYMBOLS = {np.add: "+", np.subtract: "-", np.multiply: "*", np.true_divide: "/"}


def dispatch_source(op: Op, dunder: bool) -> str:
    """Return the source of the function that users call; `dunder` for one of Python's operators."""
    out = op.out and not dunder
    names = ", ".join(default(p) if dunder and p.keyword_only else p.name for p in op.parameters) + ","
    fall = f"operator(op, ({names}))" if dunder else f"general(op, ({names}))"
    lines = [f"def dispatch({signature(op, out, dunder)}):"]
    tensors = [p for p in op.parameters if not p.is_static]
    sequences = [p for p in tensors if p.kind == "tensors"]
    if "f" not in op.kinds or not tensors or op.outputs == ("*",) or (sequences and len(tensors) > 1):
        lines.append(f"    return general(op, ({names}), out)" if out else f"    return {fall}")
        return "\n".join(lines) + "\n"
    if out:
        lines += ["    if out is not None:", f"        return general(op, ({names}), out)"]
    lines += ["    if modes.special and (local.careful or process.anomaly):", f"        return {fall}"]
    for position, parameter in enumerate(tensors):
        lines += unwrap_lines(op, parameter, position, fall)
    compute = f"    result = {compute_expression(op, dunder)}"
    if limit(op) is not None:
        first = next(p.name for p in tensors)
        compute = f"    result = {large_call(op, dunder)} if {first}_.size >= limit else ({compute[13:]})"
    if (
        op.family in ("pointwise", "general") and len(tensors) > 1
    ):  # shapes that do not fit: `general` says so
        lines += ["    try:", f"    {compute}", "    except ValueError:", f"        return {fall}"]
    else:
        lines.append(compute)
    lines += _wrap_lines(op)
    made = _made(op)
    results = f"return_type({', '.join(made)})" if op.outputs else "made"
    recorded = [p for p in tensors if p.name in op.rules]
    blank = [f"    {' = '.join(f'{m}._cell = {m}._node' for m in made)} = None"]
    if not recorded:
        tail = [*blank, *_cut_lines(op, tensors), *_view_lines(op), f"    return {results}"]
        return "\n".join([*lines, *tail]) + "\n"
    lines += [
        f"    if {_idle(recorded)}:",
        *_in(blank),
        *_in(_cut_lines(op, tensors)),
        *_in(_view_lines(op)),
        f"        return {results}",
        "    if modes.special and (cut := local.cut) is not None:",
        *_in(blank),
        *_in(_hold_lines(op, "cut")),
        *_in(_view_lines(op)),
        f"        return {results}",
        *_whole_lines(op, fall),
        *_record_lines(op, recorded, dunder),
        *_view_lines(op),
        f"    return {results}",
    ]
    return "\n".join(lines) + "\n"


def composite_source(op: Op) -> str:
    """Return the source of a composite's function."""
    call = definition_call(op, unwrapped=False)
    names = ", ".join(p.name for p in op.parameters)
    return "\n".join(
        [
            f"def dispatch({signature(op, out=True)}):",
            "    if out is None:",
            f"        return {call}",
            f"    return write_out(op, ({names},), {call}, out)",
        ]
    )


def _made(op: Op) -> list[str]:
    return [f"made_{name}" for name in op.outputs] if op.outputs else ["made"]


def _idle(recorded: list[Parameter]) -> str:
    """Return the condition under which no input asks for a node."""
    if recorded[0].kind == "tensors":
        return f"{recorded[0].name}_node.count(None) == len({recorded[0].name}_node)"
    idle = " and ".join(f"{p.name}_node is None" for p in recorded)
    return f"({idle})" if len(recorded) > 1 else idle


def signature(op: Op, out: bool, dunder: bool = False) -> str:
    """Return the parameter list; without keyword-only ones for an operator."""
    parts: list[str] = []
    starred = False
    for p in op.parameters:
        if dunder and p.keyword_only:
            continue
        if p.keyword_only and not starred:
            parts.append("*")
            starred = True
        parts.append(p.name if p.is_required else f"{p.name}={default(p)}")
    if out:
        parts += ["out=None"] if starred else ["*", "out=None"]
    return ", ".join(parts)


def default(parameter: Parameter) -> str:
    """Return the text of a default: a literal, or a name in the function's namespace."""
    return (
        repr(parameter.default) if isinstance(parameter.default, _LITERALS) else f"default_{parameter.name}"
    )


def unwrap_lines(op: Op, parameter: Parameter, position: int, fall: str) -> list[str]:
    """Unwrap one operand; give up on whatever is not the common case."""
    x = parameter.name
    take = [f"{x}_ = {x}._array", f"{x}_cell = {x}._cell", f"{x}_node = {x}._node"]
    stale = [f"    if {x}_cell is not None and {x}_cell.rebased:", f"        return {fall}"]
    if parameter.kind == "tensors":
        return _sequence_lines(op, x, fall)
    if parameter.kind in ("operand", "operand?") and position > 0:
        return _operand_lines(op, parameter, take, stale, fall)
    typed = op.promote != "none" and parameter.kind not in ("plain", "plain?")
    first = next((p.name for p in op.parameters if p.kind in PROMOTED), None)
    check: list[str] = []
    if typed and x == first:
        check = [
            f"    _dtype = {x}_.dtype",
            "    if _dtype is not float32 and _dtype is not float64:",
            f"        return {fall}",
        ]
    elif typed:
        check = [f"    if {x}_.dtype is not _dtype:", f"        return {fall}"]
    absent = [f"{x}_ = {x}_cell = {x}_node = None"]
    if parameter.kind in ("optional", "operand?", "plain?"):
        body = [
            "try:",
            *_in(take),
            "except AttributeError:",
            f"    return {fall}",
            *[c[4:] for c in check + stale],
        ]
        return [f"    if {x} is None:", *_in(_in(absent)), "    else:", *_in(_in(body))]
    return [*_in(["try:", *_in(take), "except AttributeError:", f"    return {fall}"]), *check, *stale]


def _operand_lines(op: Op, parameter: Parameter, take: list[str], stale: list[str], fall: str) -> list[str]:
    """Unwrap an operand that may be a Python number, or None."""
    x = parameter.name
    check = [f"    if {x}_.dtype is not _dtype:", f"        return {fall}"] if op.promote != "none" else []
    number = f"{x}.__class__ is float or {x}.__class__ is int"
    saved = x in saved_names(op)
    return [
        f"    if {f'{x} is None or ' if parameter.kind == 'operand?' else ''}{number}:",
        f"        {x}_ = {number_expression(op, x)}",
        f"        {x}_cell = {x}_node = None",
        *_in(_in([f"{x}_of = UNSHARED"] if saved else [])),
        "    else:",
        *_in(_in(["try:", *_in(take), "except AttributeError:", f"    return {fall}"])),
        *_in(_in([f"{x}_of = {x}"] if saved else [])),
        *_in(check),
        *_in(stale),
    ]


def number_expression(op: Op, x: str) -> str:
    """Return the expression for what the definition gets for a Python number: for a kernel, an array."""
    return f"(single if _dtype is float32 else double)[{x}]" if op.kernel else x


def _sequence_lines(op: Op, x: str, fall: str) -> list[str]:
    """Unwrap a list or tuple of tensors of one dtype."""
    lines = [
        f"if {x}.__class__ is not tuple and {x}.__class__ is not list or not {x}:",
        f"    return {fall}",
        "try:",
        f"    {x}_ = [item._array for item in {x}]",
        f"    {x}_node = [item._node for item in {x}]",
        f"    for item in {x}:",
        "        if item._cell is not None and item._cell.rebased:",
        f"            return {fall}",
        "except AttributeError:",
        f"    return {fall}",
        f"_dtype = {x}_[0].dtype",
        f"for item in {x}_:",
        "    if item.dtype is not _dtype:",
        f"        return {fall}",
    ]
    if op.promote != "none":
        lines += ["if _dtype is not float32 and _dtype is not float64:", f"    return {fall}"]
    return _in(lines)


def _in(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def definition_call(op: Op, dunder: bool = False, *, unwrapped: bool = True) -> str:
    """Return the expression that calls the definition, on arrays or (not `unwrapped`) on what was given."""
    passed = ", ".join(
        (f"{p.name}=" if p.keyword_only else "") + (p.name if p.is_static or not unwrapped else f"{p.name}_")
        for p in op.parameters
        if not (dunder and p.keyword_only)
    )
    return f"definition({passed})"


def large_call(op: Op, dunder: bool = False) -> str:
    """Return the expression that calls the definition for large arrays."""
    given = [
        (default(p) if dunder and p.keyword_only else p.name) if p.is_static else f"{p.name}_"
        for p in op.parameters
    ]
    return f"large({', '.join(given)})"


def compute_expression(op: Op, dunder: bool = False) -> str:
    """Return the expression for the result: the kernel where static parameters have their defaults."""
    operands = [f"{p.name}_" for p in op.parameters if not p.is_static]
    compute = definition_call(op, dunder)
    if op.kernel is None:
        return compute
    call = f"kernel_({', '.join(operands)})"
    if op.kernel in _SYMBOLS:
        call = f" {_SYMBOLS[op.kernel]} ".join(operands)
    usual = usual_condition(op, dunder)
    return f"{call} if {usual} else {compute}" if usual else call


def usual_condition(op: Op, dunder: bool = False) -> str:
    """Return the condition that all static parameters have their defaults; empty if there are none."""
    statics = [p for p in op.parameters if p.is_static and not (dunder and p.keyword_only)]
    return " and ".join(
        f"{p.name} is {default(p)}"
        if p.default is None or isinstance(p.default, bool)
        else f"{p.name}.__class__ is {type(p.default).__name__} and {p.name} == {default(p)}"
        for p in statics
    )


def _wrap_lines(op: Op) -> list[str]:
    lines = []
    if op.outputs:
        lines.append(f"    {', '.join(f'result_{name}' for name in op.outputs)} = result")
    for name in op.outputs or ("",):
        result = f"result_{name}" if name else "result"
        made = f"made_{name}" if name else "made"
        lines += [
            f"    if {result}.__class__ is not ndarray:",
            f"        {result} = asarray({result})",
            f"    {made} = new(Tensor)",
            f"    {made}._array = {result}",
            f"    {made}._meta = None",
        ]
    return lines


def _whole_lines(op: Op, fall: str) -> list[str]:
    """Leave it to `general` where the user asks for integers or bools, which are not recorded."""
    if all(p.name != "dtype" for p in op.parameters):
        return []
    return ["    if dtype is not None and result.dtype.kind in 'biu':", f"        return {fall}"]


def _hold_lines(op: Op, cut: str) -> list[str]:
    """Note on the results where they lost their history."""
    return [f"    {' = '.join(f'{m}._meta' for m in _made(op))} = {cut}"]


def is_tensor(parameter: Parameter) -> str:
    """Return the condition that an argument, which may be a number or None, is neither."""
    x = parameter.name
    number = f"{x}.__class__ is not float and {x}.__class__ is not int"
    return {"operand": number, "operand?": f"{x} is not None and {number}"}.get(
        parameter.kind, f"{x} is not None"
    )


def _cut_lines(op: Op, tensors: list[Parameter]) -> list[str]:
    """Hand on where an operand lost its history; it does so here, if the op has no rules."""
    lines: list[str] = []
    for position, p in enumerate(tensors):
        x = p.name
        if p.kind == "tensors":
            lines += [
                f"    for item in {x}:",
                "        if item._meta is not None and item._meta.cut is not None:",
                *_in(_in(_hold_lines(op, "item._meta.cut"))),
            ]
            continue
        has = f"{x}._meta is not None and {x}._meta.cut is not None"
        if p.kind != "tensor" and (position or p.kind != "operand"):
            has = f"{is_tensor(p)} and {has}"
        lines += [f"    if {has}:", *_in(_hold_lines(op, f"{x}._meta.cut"))]
        if not op.rules:
            cut = f"cut_in(getframe(1), 'op', {op.torch_name!r}, {x}_node)"
            lines += [f"    elif {x}_node is not None:", *_in(_hold_lines(op, cut))]
    return lines


def _view_lines(op: Op) -> list[str]:
    """Make the result a view of the first operand, if it shares its memory."""
    if not op.view:
        return []
    x = next(p.name for p in op.parameters if not p.is_static)
    return [
        f"    if result is {x}_:",
        "        result = made._array = result.view()",
        "    base = result.base",
        f"    if base is not None and (base is {x}_ or base is {x}_.base):",
        f"        if {x}_cell is None:",
        f"            {x}_cell = {x}._version_cell()",
        f"        {x}_cell.viewed = True",
        f"        made._cell = {x}_cell",
        "        meta = Meta()",
        "        meta.cut = made._meta",
        "        made._meta = meta",
        f"        meta.base = {x} if {x}._meta is None or {x}._meta.base is None else {x}._meta.base",
        f"        meta.epoch = {x}_cell.rebased",
        "        if modes.special and not local.grad:",
        "            meta.origin = 'no_grad'",
    ]


def _record_lines(op: Op, recorded: list[Parameter], dunder: bool) -> list[str]:
    """Make the node, fill it, and hang the results on it."""
    lines: list[str] = []
    if callable(op.node):
        code = op.node.__code__
        wanted = ", ".join(code.co_varnames[: code.co_argcount])
        lines.append(f"    node = node_classes[node_name({wanted})]()")
    else:
        lines.append("    node = node_class()")
    if recorded[0].kind == "tensors":
        lines.append(f"    node.edges = tuple({recorded[0].name}_node)")
    else:
        lines.append(f"    node.edges = ({', '.join(f'{p.name}_node' for p in recorded)},)")
    lines.append(f"    node.metas = {_metas_expression(op, recorded)}")
    lines += _save_lines(op, recorded, dunder)
    return [*lines, *stamp_lines("node"), *_hang_lines(op)]


def _hang_lines(op: Op) -> list[str]:
    if not op.outputs:
        return ["    made._node = node"]
    places = op.differentiable_outputs
    lines = []
    for i, made in enumerate(_made(op)):
        if i not in places:
            lines.append(f"    {made}._node = None")
        elif len(places) == 1:
            lines.append(f"    {made}._node = node")
        else:
            lines.append(f"    {made}._node = Output(node, {places.index(i)}, {len(places)})")
    return lines


def stamp_lines(owner: str) -> list[str]:
    """Note the user's place on a node, and number it."""
    return [
        f"    {owner}.extras = None",
        f"    {owner}.seq = next(clock)",
        *place_lines(owner),
    ]


def place_lines(owner: str) -> list[str]:
    """Note the user's place."""
    return [
        "    frame = getframe(1)",
        "    code = frame.f_code",
        "    if code is not seen.code:",
        "        if library[code.co_filename]:",
        "            frame = outside(frame)",
        "            code = frame.f_code",
        "        seen.code = code",
        f"    {owner}.code = code",
        f"    {owner}.lasti = frame.f_lasti",
    ]


def _metas_expression(op: Op, recorded: list[Parameter]) -> str:
    """Return the shapes and dtypes that the pullback must restore, or None where nothing was broadcast."""
    if op.exact or len([p for p in op.parameters if not p.is_static]) == 1:
        return "None"
    shapes = [
        f"(({p.name}_.shape, {p.name}_.dtype) if {p.name}_.__class__ is ndarray else None)"
        if p.kind != "tensor"
        else f"({p.name}_.shape, {p.name}_.dtype)"
        for p in recorded
    ]
    operands = [p for p in op.parameters if not p.is_static]
    same = " and ".join(f"({p.name}_node is None or {p.name}_.shape == result.shape)" for p in recorded)
    if len(operands) == 2 and len(recorded) == 2:
        first, second = (p.name for p in operands)
        numbers = f"{second}_.__class__ is not ndarray or " if operands[1].kind.startswith("operand") else ""
        same = f"{numbers}{first}_.shape == {second}_.shape or ({same})"
    return f"None if {same} else ({', '.join(shapes)},)"


def _save_lines(op: Op, recorded: list[Parameter], dunder: bool) -> list[str]:
    """Save what the rules of the inputs that need them name; make the results' version cells."""
    lines: list[str] = []
    for name in saved_names(op):
        users = [p.name for p in recorded if name in op.needs[p.name]]
        body = _save_one(op, name, dunder)
        if len(users) == len(recorded) or len(body) == 1:
            lines += _in(body)
        else:
            lines += [f"    if {' or '.join(f'{u}_node is not None' for u in users)}:", *_in(_in(body))]
    if "result" not in saved_names(op):
        return [*lines, f"    {' = '.join(f'{m}._cell' for m in _made(op))} = None"]
    if any("result" not in op.needs[p.name] for p in recorded):
        lines.insert(0, "    " + " = ".join(f"cell_{m}" for m in _made(op)) + " = None")
    return [*lines, *[f"    {m}._cell = cell_{m}" for m in _made(op)]]


def _save_one(op: Op, name: str, dunder: bool) -> list[str]:
    """Return the lines that save one value (a single line where it costs nothing to save it always)."""
    parameters = {p.name: p for p in op.parameters}
    first = next(p for p in op.parameters if not p.is_static)
    if name == "result":
        cells = [f"cell_{m}" for m in _made(op)]
        lines = [
            line
            for cell in cells
            for line in (
                f"{cell} = Version()",
                f"{cell}.count = {cell}.rebased = 0",
                f"{cell}.viewed = False",
            )
        ]
        if op.outputs:
            arrays = ", ".join(f"result_{n}" for n in op.outputs)
            zeros = ", ".join("0" for _ in cells)
            return [
                *lines, f"node.saved_result = ({arrays},)", f"node.saved_result_cell = [{', '.join(cells)}]",
                f"node.saved_result_version = [{zeros}]",
            ]  # fmt: skip
        return [
            *lines,
            "node.saved_result = result",
            f"node.saved_result_cell = {cells[0]}",
            "node.saved_result_version = 0",
        ]
    if name not in parameters:
        owner, _, what = name.rpartition("_")
        if parameters[owner].kind == "tensors":
            return [f"node.saved_{name} = [item.{what} for item in {owner}_]"]
        absent = f" if {owner}_.__class__ is ndarray else None" if parameters[owner].kind != "tensor" else ""
        return [f"node.saved_{name} = {owner}_.{what}{absent}"]
    parameter = parameters[name]
    if parameter.is_static:
        return [f"node.saved_{name} = {default(parameter) if dunder and parameter.keyword_only else name}"]
    if parameter.kind == "tensors":
        return [
            f"node.saved_{name} = {name}_",
            f"node.saved_{name}_of = list({name})",
            f"node.saved_{name}_version = [0 if x._cell is None else x._cell.count for x in {name}]",
        ]
    owner = name
    if parameter.kind in ("operand", "operand?") and parameter is not first:
        owner = f"{name}_of"
    elif parameter.kind.endswith("?") or parameter.kind == "optional":
        owner = f"UNSHARED if {name} is None else {name}"
    return [
        f"node.saved_{name} = {name}_",
        f"node.saved_{name}_of = {owner}",
        f"node.saved_{name}_version = 0 if {name}_cell is None else {name}_cell.count",
    ]
