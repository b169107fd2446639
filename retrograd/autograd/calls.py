"""backward and grad: from what the user asks for to the roots and captures of a run of the engine."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np

from retrograd import dtypes
from retrograd.autograd.engine import accumulate, run
from retrograd.autograd.graph import AccumulateGrad, Node, Output
from retrograd.autograd.modes import enable_grad, local, modes
from retrograd.autograd.quiet import quiet, restore
from retrograd.autograd.run_hooks import run_post_accumulate
from retrograd.ops.declare import TABLE
from retrograd.ops.helpers import ARRAYS, ArrayLike, as_array
from retrograd.tensor import Tensor, history, wrap


class _Edge(NamedTuple):
    node: Node
    output_nr: int
    ownership_token: Any = None


class GradientEdge(_Edge):
    """A place in the graph where a gradient can be asked for: a node and which of its results."""

    like: Any = None
    """An array without elements of the shape and dtype that the gradient has; None if nobody knows."""


def tensor_backward(
    self: Tensor,
    gradient: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add to the `grad` of every leaf the gradient of this tensor with respect to it.

    Args:
        self: the root; Tensor has this function as its method `backward`.
        gradient: the cotangent of this tensor; may be left out for a real scalar, where it is 1.
        retain_graph: keep the saved values for another backward; by default as `create_graph`.
        create_graph: record the backward pass, so that gradients can be differentiated again.
        inputs: gather gradients in these tensors only.

    Raises:
        RuntimeError: no history; not a scalar and no gradient given; the graph was freed or a saved value
            modified.
    """
    if gradient is not None or create_graph or inputs is not None or local.levels:
        backward(self, gradient, retain_graph, create_graph, inputs=inputs)
        return
    node = history(self)
    if node is None:
        raise RuntimeError("element 0 of tensors does not require grad and does not have a grad_fn")
    before = quiet()
    try:
        run([(node, _one(self))], bool(retain_graph), recorded=False)
    finally:
        restore(before)


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    """Add to the `.grad` of the leaves (or of `inputs`) the gradient of the sum of <gradient, tensor>.

    Args:
        tensors: a tensor or GradientEdge, or a sequence of them.
        grad_tensors: their cotangents; None stands for 1 at a real scalar.
        retain_graph: keep the saved values; by default as `create_graph`.
        create_graph: record the backward pass.
        grad_variables: the old name of `grad_tensors`.
        inputs: gather gradients in these tensors only.

    Raises:
        RuntimeError: as for Tensor.backward.
    """
    if local.levels:
        from retrograd.autograd.levels import refuse_backward  # noqa: PLC0415 - it needs this file

        refuse_backward()
    if grad_variables is not None:
        warnings.warn(
            "`grad_variables` is deprecated. Use `grad_tensors` instead.", FutureWarning, stacklevel=2
        )
        grad_tensors = grad_variables if grad_tensors is None else grad_tensors
    if inputs is not None and not isinstance(inputs, (Tensor, GradientEdge)) and len(inputs) == 0:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    outputs = _as_sequence(tensors)
    cts = [None] * len(outputs) if grad_tensors is None else list(_as_sequence(grad_tensors))
    if create_graph:
        warnings.warn(_CYCLE, UserWarning, stacklevel=3)
    roots = _roots(outputs, cts, create_graph)
    keep = bool(create_graph if retain_graph is None else retain_graph)
    if inputs is None:
        _guarded(roots, keep, create_graph, None)
        return
    wanted = list(inputs.values()) if isinstance(inputs, Mapping) else list(_as_sequence(inputs))
    captured = dict.fromkeys(_ready_to_gather(t) for t in wanted)
    _guarded(roots, keep, create_graph, captured)
    for tensor in dict.fromkeys(wanted):
        _gather(tensor, captured[_node_of(tensor)], create_graph)


def _ready_to_gather(tensor: Any) -> Node:
    """Return the node of an `inputs` argument.

    Raises:
        RuntimeError: it does not require grad.
    """
    node: Node | None = _node_of(tensor)
    if node is None:
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    return node


def _gather(tensor: Any, ct: Any, recorded: bool) -> None:
    """Add a captured cotangent to the `.grad` of a tensor named in `inputs`."""
    if ct is None:
        return
    node = _node_of(tensor)
    if type(node) is AccumulateGrad:
        accumulate(node, ct, recorded)
        if node.post:
            run_post_accumulate(node)
        return
    if isinstance(tensor, GradientEdge):  # there is no tensor to keep it
        return
    facts = tensor._facts()
    ct = ct if isinstance(ct, Tensor) else wrap(np.array(ct))
    facts.grad = ct if facts.grad is None else facts.grad + ct
    facts.retains = True


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> Any:
    """Return the gradients of the sum of <grad_output, output> with respect to the inputs.

    `.grad` is not touched.

    Args:
        outputs: a tensor or GradientEdge, or a sequence of them.
        inputs: likewise, or a dictionary of them.
        grad_outputs: cotangents of the outputs; None stands for 1 at a real scalar.
        retain_graph: keep the saved values; by default as `create_graph`.
        create_graph: record, so that the result can be differentiated.
        only_inputs: accepted for old programs; only True has a meaning.
        allow_unused: give None for an input that the outputs do not depend on, instead of raising.
        is_grads_batched: the cotangents have an extra first dimension; gradients come for each of its slices.
        materialize_grads: give zeros instead of None.

    Returns:
        A tuple with one gradient per input; a dictionary for a dictionary.

    Raises:
        RuntimeError: an input does not require grad or was not used; and as for Tensor.backward.

    Example:
        >>> import retrograd as torch
        >>> x = torch.tensor(3.0, requires_grad=True)
        >>> (first,) = torch.autograd.grad(x**3, x, create_graph=True)
        >>> torch.autograd.grad(first, x)
        (tensor(18.),)
    """
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: "
            "allow_unused=False."
        )
    allow_unused = materialize_grads if allow_unused is None else allow_unused
    if not only_inputs:
        warnings.warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True). To accumulate "
            "gradient for "
            "other parts of the graph, please use torch.autograd.backward.",
            FutureWarning,
            stacklevel=2,
        )
    keys = list(inputs) if isinstance(inputs, Mapping) else None
    wanted = list(inputs.values()) if isinstance(inputs, Mapping) else list(_as_sequence(inputs))
    results = _as_sequence(outputs)
    if not wanted:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    cts = [None] * len(results) if grad_outputs is None else list(_as_sequence(grad_outputs))
    keep = create_graph if retain_graph is None else retain_graph
    if (is_grads_batched or _inside_levels()) and not _has_edges(results, wanted):
        from retrograd.autograd.through import asked  # noqa: PLC0415 - it needs this file

        pairs = [(r, _checked(r, c, i) if c is not None and not is_grads_batched else c) for i, (r, c) in
                 enumerate(zip(results, cts, strict=True))]  # fmt: skip
        found = asked(pairs, wanted, keep=bool(keep), recorded=create_graph, batched=is_grads_batched)
    elif is_grads_batched:
        found = _batched(results, wanted, cts, keep, create_graph)
    else:
        roots = _roots(results, cts, create_graph)
        found = _captures(roots, wanted, keep, create_graph)
    if not allow_unused:
        for i, ct in enumerate(found):
            if ct is None:
                raise RuntimeError(
                    f"The differentiated Tensor at index {i} appears to not have been used in the graph. Set "
                    f"allow_unused=True if this is the desired behavior.{_unused(found, wanted)}"
                )
    tensors = [_as_tensor(ct, t, materialize_grads) for ct, t in zip(found, wanted, strict=True)]
    return dict(zip(keys, tensors, strict=True)) if keys is not None else tuple(tensors)


def _unused(found: list[Any], wanted: list[Any]) -> str:
    """Return a line with the names and shapes of the inputs that were not used."""
    from retrograd.autograd.owners import name_of_leaf  # noqa: PLC0415 - failing path only

    facts = []
    for i, (ct, tensor) in enumerate(zip(found, wanted, strict=True)):
        if ct is None and isinstance(tensor, Tensor):
            facts.append(f"{i}: {name_of_leaf(tensor) or 'a tensor'} of shape {tuple(tensor.shape)}")
        elif ct is None:
            facts.append(f"{i}: the result {tensor.output_nr} of {tensor.node.name()}")
    return f"\n[not used: {'; '.join(facts)}]"


def _captures(roots: list[tuple[Node, Any]], wanted: list[Any], keep: bool, recorded: bool) -> list[Any]:
    nodes = []
    for tensor in wanted:
        node = _node_of(tensor)
        if node is None:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
        nodes.append(node)
    captured = dict.fromkeys(nodes)
    _guarded(roots, keep, recorded, captured)
    return [captured[node] for node in nodes]


def _has_edges(*given: Any) -> bool:
    return any(isinstance(value, GradientEdge) for values in given for value in values)


def _batched(results: Any, wanted: list[Any], cts: list[Any], keep: bool, recorded: bool) -> list[Any]:
    """Run once per slice of the cotangents' first dimension and stack what comes."""
    size = next(len(c) for c in cts if c is not None)
    rows = []
    for i in range(size):
        roots = _roots(results, [None if c is None else c[i] for c in cts], recorded)
        row = _captures(roots, wanted, keep or i < size - 1, recorded)
        rows.append(
            [None if ct is None else _as_tensor(ct, t, False) for ct, t in zip(row, wanted, strict=True)]
        )
    stack: Any = TABLE["stack"].function
    return [None if column[0] is None else stack(column) for column in zip(*rows, strict=True)]


def _inside_levels() -> bool:
    return bool(modes.special and local.careful and (local.tracer is None or local.levels))


def _as_tensor(ct: Any, like: Any, materialize: bool) -> Tensor | None:
    if ct is None:
        if not materialize:
            return None
        return wrap(np.zeros(like._array.shape, like._array.dtype))
    if isinstance(ct, Tensor):
        return ct
    if not isinstance(ct, ARRAYS):
        return wrap(np.asarray(ct))
    return wrap(ct if type(ct) is np.ndarray and ct.base is None and ct.flags.writeable else ct.copy())


def _guarded(
    roots: list[tuple[Node, Any]], keep: bool, recorded: bool, captured: dict[Node, Any] | None
) -> None:
    """Run with NumPy's floating-point warnings off; recording, if the run is to be recorded."""
    before = quiet()
    try:
        with enable_grad() if recorded else nullcontext():
            run(roots, keep, recorded, captured)
    finally:
        restore(before)


def _as_sequence(value: Any) -> Sequence[Any]:
    return (value,) if isinstance(value, (Tensor, GradientEdge)) else tuple(value)


def _node_of(value: Any) -> Any:
    """Return the node that a tensor's or edge's cotangent goes to."""
    if isinstance(value, GradientEdge):
        return value.ownership_token if type(value.ownership_token) is Output else value.node
    if not isinstance(value, Tensor):
        raise AssertionError("Expected output to be a torch.Tensor")  # noqa: TRY004 - torch's exception
    return history(value)


def _roots(outputs: Sequence[Any], cts: list[Any], recorded: bool) -> list[tuple[Node, Any]]:
    """Return the (node, cotangent) pairs that a run starts from."""
    if len(outputs) != len(cts):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(cts)} gradients")
    roots = []
    for i, (output, ct) in enumerate(zip(outputs, cts, strict=True)):
        node = _node_of(output)
        if node is None:
            raise RuntimeError(f"element {i} of tensors does not require grad and does not have a grad_fn")
        if ct is None:
            ct = _one(output)
            roots.append((node, wrap(as_array(ct)) if recorded else ct))
        else:
            ct = _checked(output, ct, i)
            roots.append((node, ct if recorded else ct._array))
    return roots


def _one(output: Any) -> Any:
    """Return the cotangent 1 of a real scalar: a NumPy scalar for a 0-dim tensor (the quickest of arrays)."""
    array = output.like if isinstance(output, GradientEdge) else output._array
    if array is None:
        raise RuntimeError(
            "grad can be implicitly created only for scalar outputs; got a GradientEdge of unknown shape: "
            "use get_gradient_edge(tensor), or pass a gradient"
        )
    if array.__class__ is np.ndarray and array.ndim == 0 and array.dtype in _ONES:
        return _ONES[array.dtype]
    if array.size != 1:
        raise RuntimeError(
            "grad can be implicitly created only for scalar outputs\n"
            f"[got shape {tuple(array.shape)}: reduce it first, for instance with .sum(), or pass a gradient]"
        )
    if array.dtype.kind == "c":
        raise RuntimeError(
            f"grad can be implicitly created only for real scalar outputs but got {dtypes.of_array(array)}"
        )
    if isinstance(array, ArrayLike):
        return array.of(np.ones(array.shape, array.dtype))
    return array.dtype.type(1) if array.ndim == 0 else np.ones(array.shape, array.dtype)


_ONES = {np.dtype(t): t(1) for t in (np.float32, np.float64)}


def _checked(output: Any, ct: Any, i: int) -> Tensor:
    """Return the cotangent that the user gave for a root."""
    if not isinstance(ct, Tensor):
        raise TypeError(f"gradients can be either Tensors or None, but got {type(ct).__name__}")
    if isinstance(output, GradientEdge):
        return ct
    if ct._array.shape != output._array.shape:
        raise RuntimeError(
            f"Mismatch in shape: grad_output[{i}] has a shape of {ct.shape} and output[{i}] has a shape of "
            f"{output.shape}."
        )
    if ct.dtype.is_complex != output.dtype.is_complex:
        raise RuntimeError(
            "For complex Tensors, both grad_output and output are required to have the same dtype. "
            "Mismatch in "
            f"dtype: grad_output[{i}] has a dtype of {ct.dtype} and output[{i}] has a dtype of "
            f"{output.dtype}."
        )
    return ct if ct.dtype is output.dtype else ct.to(output.dtype)


_CYCLE = (
    "Using backward() with create_graph=True will create a reference cycle between the parameter and its "
    "gradient which can cause a memory leak. We recommend using autograd.grad when creating the graph to "
    "avoid this. If you have to use this function, make sure to reset the .grad fields of your parameters to "
    "None after use to break the cycle and avoid the leak."
)
