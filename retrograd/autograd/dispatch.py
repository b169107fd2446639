"""Running an op: the readable path, which serves every op and every kind of argument.

`general` lets whoever intercepts have the op; otherwise `plain` unwraps, promotes, computes, wraps and
records. The functions that users call (see generate.py) are straight-line cases of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.autograd.anomaly import check_forward
from retrograd.autograd.graph import UNSHARED, anomaly
from retrograd.autograd.large import elements, forward, limit
from retrograd.autograd.modes import local, modes
from retrograd.autograd.promote import PROMOTED, promote
from retrograd.autograd.record import record
from retrograd.autograd.views import Meta, cut_here
from retrograd.errors import ShapeError
from retrograd.ops.declare import Op
from retrograd.ops.helpers import ARRAYS
from retrograd.tensor import Tensor, hold_cut, wrap

_SCALARS = (int, float, complex, bool, np.number, np.bool_)


def general(op: Op, args: tuple[Any, ...], out: Any = None) -> Any:
    """Run an op on its arguments, all of them, in the declared order."""
    if modes.special and local.intercepts:
        return local.intercepts[-1].call(op, args, out)
    for answer in modes.elsewhere:
        result = answer(op, args, out)
        if result is not NotImplemented:
            return result
    result = plain(op, args)
    return result if out is None else write_out(op, args, result, out)


def operator(op: Op, args: tuple[Any, ...]) -> Any:
    """Run an op for a Python operator: NotImplemented for operands that are no numbers."""
    for parameter, value in zip(op.parameters, args, strict=True):
        if not parameter.is_static and not isinstance(value, (Tensor, *ARRAYS, *_SCALARS)):
            return NotImplemented
    return general(op, args)


def plain(op: Op, args: tuple[Any, ...], known: Any = None) -> Any:
    """Unwrap, promote, compute, wrap, record; `known` is the result if it need not be computed."""
    values, handles = _unwrap(op, args)
    originals = list(values)
    compute = None
    if op.promote != "none":
        at = [i for i, p in enumerate(op.parameters) if p.kind in PROMOTED and values[i] is not None]
        if at:
            common, compute = promote(op, values, at)
    if known is not None:
        return _wrap(op, args, known, originals, handles, compute)
    try:
        result = _run(op, values)
    except ValueError as error:
        raise _broadcast_error(op, values, error) from None
    if compute is not None and compute != common.np:
        result = _narrow(result, compute, common.np)
    made = _wrap(op, args, result, originals, handles, compute)
    if anomaly.check_forward:
        check_forward(op, originals, made)
    return made


def _run(op: Op, values: list[Any]) -> Any:
    """Run the definition, as a kernel where arrays are large; traced, an op may be one instruction."""
    if modes.special and local.tracer is not None:
        return op(*positional(op, values), **keywords(op, values))
    least = limit(op)
    if least is not None and elements(values[forward(op).first]) >= least:
        return forward(op)(*values)
    return op.definition(*positional(op, values), **keywords(op, values))


def _broadcast_error(op: Op, values: list[Any], error: ValueError) -> Exception:
    """Return torch's error for shapes that do not broadcast; the error as it is if that is not the matter."""
    shapes = [v.shape for v in values if isinstance(v, ARRAYS)]
    is_elementwise = op.family == "pointwise" or str(error).startswith("operands could not be broadcast")
    for shape in shapes[1:] if is_elementwise else ():
        first = shapes[0]
        for i in range(1, min(len(first), len(shape)) + 1):
            if first[-i] != shape[-i] and 1 not in (first[-i], shape[-i]):
                return ShapeError(
                    f"The size of tensor a ({first[-i]}) must match the size of tensor b ({shape[-i]}) at "
                    f"non-singleton dimension {max(len(first), len(shape)) - i}\n"
                    f"[{op.torch_name}: got shapes {', '.join(map(str, shapes))}]"
                )
    return error


def positional(op: Op, values: Sequence[Any]) -> list[Any]:
    """Return the values of the positional parameters."""
    return [v for p, v in zip(op.parameters, values, strict=True) if not p.keyword_only]


def keywords(op: Op, values: Sequence[Any]) -> dict[str, Any]:
    """Return the values of the keyword-only parameters by name."""
    return {p.name: v for p, v in zip(op.parameters, values, strict=True) if p.keyword_only}


def _narrow(result: Any, compute: np.dtype[Any], to: np.dtype[Any]) -> Any:
    if isinstance(result, tuple):
        return tuple(_narrow(r, compute, to) for r in result)
    return result.astype(to) if result.dtype == compute else result


def _unwrap(op: Op, args: tuple[Any, ...]) -> tuple[list[Any], list[Any]]:
    """Return what the definition takes, and the tensors that it came from (UNSHARED for what was none)."""
    values: list[Any] = []
    handles: list[Any] = []
    value: Any
    handle: Any
    for i, (parameter, arg) in enumerate(zip(op.parameters, args, strict=True)):
        if parameter.kind == "static":
            value, handle = arg, UNSHARED
        elif isinstance(arg, Tensor):
            value, handle = arg._array, arg
        elif parameter.kind == "tensors":
            value, handle = _unwrap_sequence(op, parameter.name, i, arg)
        elif arg is None and (parameter.kind.endswith("?") or parameter.kind == "optional"):
            value, handle = None, UNSHARED
        elif isinstance(arg, ARRAYS) or (isinstance(arg, _SCALARS) and parameter.kind.startswith("operand")):
            value, handle = arg, UNSHARED
        else:
            raise _not_a_tensor(op, parameter.name, i, arg)
        values.append(value)
        handles.append(handle)
    kinds = [p.kind for p in op.parameters]
    if "operand" in kinds and not any(isinstance(v, (*ARRAYS, list)) for v in values):
        first = kinds.index("operand")
        raise _not_a_tensor(op, op.parameters[first].name, first, args[first])
    return values, handles


def _unwrap_sequence(op: Op, name: str, position: int, arg: Any) -> tuple[list[Any], list[Any]]:
    if not isinstance(arg, (list, tuple)):
        raise TypeError(
            f"{op.torch_name}(): argument '{name}' (position {position + 1}) must be tuple of Tensors, not "
            f"{type(arg).__name__}"
        )
    for i, item in enumerate(arg):
        if not isinstance(item, (Tensor, *ARRAYS)):
            raise TypeError(
                f"expected Tensor as element {i} in argument {position}, but got {type(item).__name__}"
            )
    arrays = [item._array if isinstance(item, Tensor) else item for item in arg]
    return arrays, [item if isinstance(item, Tensor) else UNSHARED for item in arg]


def _not_a_tensor(op: Op, name: str, position: int, arg: Any) -> TypeError:
    return TypeError(
        f"{op.torch_name}(): argument '{name}' (position {position + 1}) must be Tensor, not "
        f"{type(arg).__name__}"
    )


def _wrap(
    op: Op,
    args: tuple[Any, ...],
    result: Any,
    values: list[Any],
    handles: list[Any],
    compute: np.dtype[Any] | None,
) -> Any:
    """Return the result as Tensors, recorded where an input asks for it."""
    if op.outputs:
        tensors = [_wrapped(r) for r in result]
    else:
        tensors = [_wrapped(result)]
    if op.view:
        source = handles[0]
        for tensor in tensors:
            as_view(tensor, source, multi=bool(op.outputs))
    if modes.special and local.inference:
        for tensor in tensors:
            if tensor._meta is None or tensor._meta.base is None:
                mark_inference(tensor)
    elif op.rules and local.grad:
        record(op, args, tensors, values, handles, compute)
    if tensors and tensors[0]._node is None:
        _hand_on_cut(op, tensors, handles)
    if not op.outputs:
        return tensors[0]
    return tuple(tensors) if op.outputs == ("*",) else return_type(op)(*tensors)


def _wrapped(result: Any) -> Tensor:
    return wrap(result if isinstance(result, ARRAYS) else np.asarray(result))  # type: ignore[arg-type] # of any kind


def _hand_on_cut(op: Op, tensors: list[Tensor], handles: list[Any]) -> None:
    """Note where results that have no history lost it: here, or where an operand did."""
    cut = None
    for handle in handles:
        for item in handle if handle.__class__ is list else (handle,):
            if item is UNSHARED:
                continue
            if item._node is not None:
                cut = local.cut or cut_here("op", op.torch_name, item._node)
            elif cut is None and item._meta is not None:
                cut = item._meta.cut
    if cut is not None:
        for tensor in tensors:
            hold_cut(tensor, cut)


def mark_inference(tensor: Tensor) -> None:
    """Make a tensor one of inference mode.

    Its cell says 'rebased', so that dispatch always looks closer at it.
    """
    meta = tensor._facts()
    meta.inference, meta.cut = True, local.cut
    tensor._version_cell().rebased = -1


def as_view(tensor: Tensor, source: Tensor, multi: bool = False) -> None:
    """Make `tensor` a view of `source` if it shares its memory."""
    array, of = tensor._array, source._array
    if array is of:
        tensor._array = array = array.view()
    if array.base is None or not (array.base is of or array.base is of.base):
        return
    cell = tensor._cell = source._version_cell()
    cell.viewed = True
    facts = source._meta
    tensor._meta = meta = Meta()
    meta.base, meta.cut = source._root(), None if facts is None else facts.cut
    meta.epoch = cell.rebased
    if multi:
        meta.origin = "multi"
    if modes.special and local.cut is not None:
        meta.origin = "inference" if local.inference else "no_grad"
        meta.cut = local.cut if source._node is not None else meta.cut
    if source._meta is not None and source._meta.inference:
        meta.inference, meta.origin = True, None


def write_out(op: Op, args: Sequence[Any], result: Any, out: Any) -> Any:
    """Put a result, or several, into what is given as `out=`, resizing tensors that have another shape.

    All is checked before anything is written.
    """
    several = isinstance(result, tuple)
    targets = _targets(op, result, out) if several else [out]
    if local.grad and any(t.requires_grad for t in [*_tensors(args), *targets]):
        raise RuntimeError(
            f"{op.torch_name}(): functions with out=... arguments don't support automatic differentiation, "
            f"but one of "
            "the arguments requires grad."
        )
    results = list(result) if several else [result]
    for value, target in zip(results, targets, strict=True):
        if several and value.dtype is not target.dtype and "linalg" not in op.places:
            raise RuntimeError(
                f"Expected out tensor to have dtype {_cpp_name(value)}, but got {_cpp_name(target)} instead"
            )
        if not dtypes.can_cast(value.dtype, target.dtype):
            raise RuntimeError(
                f"result type {value.dtype.scalar_name} can't be cast to the desired output type "
                f"{target.dtype.scalar_name}"
            )
    for value, target in zip(results, targets, strict=True):
        _write(value, target)
    if not several:
        return out
    return return_type(op, "_out")(*targets) if op.outputs else tuple(targets)


def _cpp_name(x: Tensor) -> str:
    name: str = x.dtype.c_name
    return f"{name} int" if name in ("long", "short") else name


def _tensors(args: Sequence[Any]) -> list[Tensor]:
    """Return the tensors among arguments, and in sequences among them."""
    found = []
    for a in args:
        if isinstance(a, Tensor):
            found.append(a)
        elif isinstance(a, (tuple, list)):
            found += _tensors(a)
    return found


def _targets(op: Op, result: Any, out: Any) -> list[Any]:
    if not isinstance(out, (tuple, list)):
        raise TypeError(
            f"{op.torch_name}(): argument 'out' must be tuple of Tensors, not {type(out).__name__}"
        )
    if len(out) != len(result):
        raise TypeError(f"expected tuple of {len(result)} elements but got {len(out)}")
    return list(out)


def _write(value: Tensor, target: Tensor) -> None:
    if target._array.shape != value._array.shape:
        target._array = np.empty(value._array.shape, target._array.dtype)
    if modes.special and local.watch is not None:
        local.watch.announce(target)
    np.copyto(target._array, value._array, casting="unsafe")
    target._version_cell().bump()


_RETURN_TYPES: dict[tuple[str, str], type] = {}


def return_type(op: Op, ending: str = "") -> type:
    """Return the named tuple that an op with several results returns; "_out" where they are given."""
    found = _RETURN_TYPES.get((op.name, ending))
    if found is None:
        from retrograd.return_types import make  # noqa: PLC0415 - keeps collections out of the import

        found = _RETURN_TYPES[op.name, ending] = make(op.torch_name + ending, op.outputs)
    return found
