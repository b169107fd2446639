"""Writing into a tensor: all checks first, then the memory, then the version and the history.

An in-place op computes its result as any op does, recorded, and the result's values and node then become the
target's. When the target is a view, its base takes a node that says 'the old base with these values at the
view's place' (torch's CopySlices), and every view of that base derives its history from the base anew when it
is next asked.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.autograd.dispatch import plain
from retrograd.autograd.graph import AccumulateGrad, Output, Witness
from retrograd.autograd.modes import enable_grad, local, modes
from retrograd.autograd.pull import op_label
from retrograd.autograd.record import named_node_class
from retrograd.ops import write as writes
from retrograd.ops.declare import TABLE, Op
from retrograd.ops.helpers import memory_of
from retrograd.tensor import Tensor, history, hold_cut, wrap

_WRITE_PLACE, _TAKE_PLACE = TABLE["write_place"], TABLE["take_place"]


def inplace(op: Op, args: tuple[Any, ...]) -> Tensor:
    """Write the result of an op into its first argument, and return that.

    Raises:
        RuntimeError: the target is a leaf that requires grad, a view that may not be written to, or overlaps
            itself or
            another argument; the result has another shape or a higher category of dtype. Nothing is changed
            then.
    """
    target = args[0]
    if not isinstance(target, Tensor):
        raise TypeError(f"{op.torch_name}_(): argument 'self' must be Tensor, not {type(target).__name__}")
    if modes.special and local.intercepts:
        return local.intercepts[-1].call(op, args, target)  # type: ignore[no-any-return]
    return inplace_here(op, args)


def inplace_here(op: Op, args: tuple[Any, ...]) -> Tensor:
    """Do `inplace` without asking whoever intercepts."""
    target: Tensor = args[0]
    for answer in modes.elsewhere:
        found = answer(op, args, target)
        if found is not NotImplemented:
            return found  # type: ignore[no-any-return]
    recording = local.grad and any(_needs_grad(a) for a in args)
    check_target(target, recording)
    _check_overlap(target, args)
    if recording and any(op.parameters[0].name in names for names in op.needs.values()):
        args = (_copy_of(target), *args[1:])
    result = plain(op, args)
    write(target, result)
    return target


def _copy_of(target: Tensor) -> Tensor:
    """Return the target as it is before the write, with its history, for rules that need it."""
    copy = wrap(target._array.copy())
    copy._node = history(target)
    return copy


def _needs_grad(value: Any) -> bool:
    if isinstance(value, Tensor):
        return history(value) is not None
    return isinstance(value, (list, tuple)) and any(_needs_grad(v) for v in value)


def write(target: Tensor, result: Tensor) -> None:
    """Give `target` the values and the history of `result`, which nobody else uses."""
    have, new = target._array, result._array
    if have.shape != new.shape:
        raise RuntimeError(
            f"output with shape {list(have.shape)} doesn't match the broadcast shape {list(new.shape)}"
        )
    if have.dtype != new.dtype and not dtypes.can_cast(result.dtype, target.dtype):
        raise RuntimeError(
            f"result type {result.dtype.scalar_name} can't be cast to the desired output type "
            f"{target.dtype.scalar_name}"
        )
    node = result._node
    if node is not None and have.dtype != new.dtype:
        result = result.to(target.dtype)
        node = result._node
    if not have.flags.writeable:
        raise RuntimeError(
            "in-place write: the tensor's memory is read-only (it came from a read-only NumPy array)"
        )
    if modes.special and local.watch is not None:
        local.watch.announce(target)
    with np.errstate(all="ignore"):
        np.copyto(have, new, casting="unsafe")
    cell = target._version_cell()
    cell.bump()
    if node is not None:
        _patch_saved(node, target, new)
        rebase(target, node)
    elif result._meta is not None and result._meta.cut is not None and target._node is None:
        hold_cut(target, result._meta.cut)


def _patch_saved(node: Any, target: Tensor, result: Any) -> None:
    """Make what the node saved of the target refer to the target's memory.

    Not to its handle, which holds the node.
    """
    node = node.edges[0] if type(node) is Output else node
    op = node.op
    if op is None:
        return
    for parameter in op.parameters:
        slot = f"saved_{parameter.name}_of"
        if getattr(node, slot, None) is target:
            setattr(node, slot, Witness(target._cell, f", which is output 0 of {op_label(node)},"))
    if getattr(node, "saved_result", None) is result:
        node.saved_result = target._array
        node.saved_result_cell = target._cell
        node.saved_result_version = target._cell.count  # type: ignore[union-attr]


def rebase(target: Tensor, node: Any) -> None:
    """Make `node` the history of what was just written into `target`."""
    cell = target._version_cell()
    meta = target._meta
    if meta is None or meta.base is None:
        _set_history(target, node)
    else:
        _set_history(meta.base, _write_node(target._array, node, meta.base))
        cell.rebased += 1
        refresh(target)
        return
    if cell.viewed:
        cell.rebased += 1


def _write_node(place: Any, node: Any, base: Tensor) -> Any:
    """Return the history of a base into which a result of `node` was written, at the place of a view."""
    whole, before = base._array, history(base)
    paired = whole.dtype.kind == "c" != place.dtype.kind  # the view is of the real numbers in a complex base
    if paired:
        whole, before = _through("view_as_real", whole, before)
    elif place.dtype.kind == "c" != whole.dtype.kind:
        place, node = _through("view_as_real", place, node)
    copy = named_node_class(_WRITE_PLACE, "CopySlices")()
    copy.stamp()
    copy.edges = (before, node)
    copy.saved_geometry = writes.geometry_of(place, whole)
    return _through("view_as_complex", whole, copy)[1] if paired else copy


def _read_node(place: Any, base: Tensor, edge: Any) -> Any:
    """Return the history of a view of a base whose history is `edge`."""
    whole = base._array
    paired = place.dtype.kind == "c" != whole.dtype.kind
    if paired:
        place = _through("view_as_real", place, None)[0]
    elif whole.dtype.kind == "c" != place.dtype.kind:
        whole, edge = _through("view_as_real", whole, edge)
    node = named_node_class(_TAKE_PLACE, "AsStridedBackward0")()
    node.stamp()
    node.edges = (edge,)
    node.saved_input_shape = whole.shape
    node.saved_geometry = writes.geometry_of(place, whole)
    return _through("view_as_complex", place, node)[1] if paired else node


def _through(name: str, array: Any, node: Any) -> tuple[Any, Any]:
    """Return the array and the node of an op's result on a tensor of this memory and history."""
    tensor = wrap(array)
    tensor._node = node
    with enable_grad():
        made = TABLE[name].function(tensor)
    return made._array, made._node


def _set_history(tensor: Tensor, node: Any) -> None:
    meta, old = tensor._meta, tensor._node
    if meta is not None and meta.retains and old is not None and old.extras is not None:
        mine = [r for r in old.extras.retain if r() is tensor]
        old.extras.retain = [r for r in old.extras.retain if r() is not tensor]
        node.more().retain += mine
    tensor._node = node


def refresh(view: Tensor) -> None:
    """Derive a view's history from its base's, if that has changed since."""
    meta, cell = view._meta, view._cell
    assert meta is not None
    assert cell is not None
    if meta.epoch == cell.rebased:
        return
    if meta.origin is not None and history(meta.base) is not None:
        raise RuntimeError(_refused(view, "its base or another view of its base has been"))
    meta.epoch = cell.rebased
    edge = history(meta.base)
    if edge is None:
        view._node = None
        return
    view._node = _read_node(view._array, meta.base, edge)


# ---- checks ----

_LEAF = "a leaf Variable that requires grad is being used in an in-place operation."
_AMBIGUOUS = (
    "Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your code by "
    "moving both the view and the inplace either both inside the {mode} block (if you don't want the inplace "
    "to be tracked) or both outside (if you want the inplace to be tracked)."
)
_WHY = {
    "no_grad": _AMBIGUOUS.format(mode="no_grad"),
    "inference": _AMBIGUOUS.format(mode="inference_mode"),
    "multi": (
        "This view is the output of a function that returns multiple views. Such functions do not allow the "
        "output views to be modified inplace. You should replace the inplace operation by an out-of-place "
        "one."
    ),
    "function": (
        "This view was created inside a custom Function (or because an input was returned as-is) and the "
        "autograd logic to handle view+inplace would override the custom backward associated with the custom "
        "Function, leading to incorrect gradients. This behavior is forbidden. You can fix this by cloning "
        "the output of the custom Function."
    ),
}
_INFERENCE = (
    "Inplace update to inference tensor outside InferenceMode is not allowed.You can make a clone to get a "
    "normal tensor before doing inplace update.See https://github.com/pytorch/rfcs/pull/17 for more details."
)
_SELF_OVERLAP = (
    "unsupported operation: more than one element of the written-to tensor refers to a single memory "
    "location. Please clone() the tensor before performing the operation."
)
_OVERLAP = (
    "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single "
    "memory location. Please clone() the tensor before performing the operation."
)


def check_target(target: Tensor, recording: bool) -> None:
    """Raise unless `target` may be written to; `recording` says that the write will be recorded."""
    meta = target._meta
    if meta is not None and meta.inference and not local.inference:
        raise RuntimeError(_INFERENCE)
    array = target._array
    if array.size and any(n > 1 and s == 0 for n, s in zip(array.shape, array.strides, strict=True)):
        raise RuntimeError(f"{_SELF_OVERLAP}\n[got shape {tuple(target.shape)}, strides {target.stride()}]")
    if not local.grad:
        return
    base = None if meta is None else meta.base
    if base is None:
        if type(target._node) is AccumulateGrad:
            raise RuntimeError(_LEAF)
        return
    assert meta is not None
    if type(target._node) is AccumulateGrad:
        raise RuntimeError(_LEAF.replace("a leaf", "a view of a leaf"))
    if not recording and history(base) is None:
        return
    if meta.origin is not None:
        raise RuntimeError(_refused(target, "is being"))
    if type(base._node) is AccumulateGrad:
        raise RuntimeError(_LEAF.replace("a leaf", "a view of a leaf"))


def _refused(view: Tensor, what: str) -> str:
    """Return why a view may not be written to, or be used after `what` was."""
    meta, node = view._meta, view._node
    assert meta is not None
    assert meta.origin is not None
    if node is not None:
        inner = node.edges[0] if type(node) is Output else node
        start = f"Output {view.output_nr} of {op_label(inner)} is a view and {what} modified inplace."
    elif meta.origin == "inference":
        start = f"A view was created in inference mode and {what} modified inplace in normal mode."
    else:
        start = f"A view was created in no_grad mode and {what} modified inplace with grad mode enabled."
    return f"{start} {_WHY[meta.origin]}"


def _start(array: Any) -> Any:
    return memory_of(array).__array_interface__["data"][0]


def _check_overlap(target: Tensor, args: tuple[Any, ...]) -> None:
    """Raise if another argument shares some of the target's memory without being the same elements."""
    have = target._array
    for arg in args[1:]:
        other = arg._array if isinstance(arg, Tensor) else None
        if other is None or other is have or not np.may_share_memory(have, other):
            continue
        same = other.shape == have.shape and other.strides == have.strides
        if same and _start(other) == _start(have):
            continue
        try:
            shared = np.shares_memory(have, other, max_work=1000)  # type: ignore[arg-type]  # any number will do
        except np.exceptions.TooHardError:
            shared = False
        if shared:
            raise RuntimeError(_OVERLAP)
