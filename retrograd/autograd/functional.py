"""torch.autograd.functional: Jacobians, Hessians and products with them, of functions of tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograd.autograd.calls import grad
from retrograd.autograd.dual import DualLevel
from retrograd.autograd.forward_ad import with_tangent
from retrograd.autograd.levels import entered
from retrograd.autograd.modes import enable_grad
from retrograd.ops.declare import TABLE
from retrograd.tensor import Tensor, history, wrap

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

_OUTPUTS = "outputs of the user-provided function"
_HINT = (
    ' Hint: If your function has more outputs than inputs, "forward-mode" tends to be more performant. '
    "Otherwise, prefer to "
    'use "reverse-mode".'
)


# ---- arguments and results ----


def _as_tuple(inp: Any, arg_name: str, fn_name: str) -> tuple[bool, tuple[Any, ...]]:
    """Return whether tensors came as a tuple, and the tuple.

    Raises:
        TypeError: something else than tensors is given.
    """
    is_tuple = isinstance(inp, tuple)
    items = inp if is_tuple else (inp,)
    for i, item in enumerate(items):
        if isinstance(item, Tensor):
            continue
        head = f"The {arg_name} given to {fn_name} must be either a Tensor or a tuple of Tensors but the "
        if is_tuple:
            raise TypeError(f"{head}value at index {i} has type {type(item)}.")
        raise TypeError(f"{head}given {arg_name} has type {type(item)}.")
    return is_tuple, items


def _tuple_postprocess(result: Any, to_unpack: Any) -> Any:
    """Return results without the tuples that the caller did not use; `to_unpack` says which those are."""
    if isinstance(to_unpack, tuple):
        if not to_unpack[1]:
            result = tuple(row[0] for row in result)
        return result if to_unpack[0] else result[0]
    return result if to_unpack else result[0]


def _grad_postprocess(tensors: Any, create_graph: bool) -> Any:
    """Return tensors, or nested tuples of them, without their history unless that is wanted."""
    if isinstance(tensors, Tensor):
        return tensors if create_graph else tensors.detach()
    return tuple(_grad_postprocess(t, create_graph) for t in tensors)


def _inputs(inputs: Any, name: str, create_graph: bool) -> tuple[bool, tuple[Tensor, ...]]:
    """Return the inputs as tensors that require grad; connected to the caller's if a graph is wanted."""
    is_tuple, items = _as_tuple(inputs, "inputs", name)
    made = []
    for x in items:
        if create_graph and history(x) is not None:
            made.append(TABLE["view"].function(x, tuple(x.shape)))
        else:
            made.append(x.detach().requires_grad_())
    return is_tuple, tuple(made)


def _check_v(v: Any, like: Sequence[Tensor], like_is_tuple: bool, missing: str) -> tuple[Tensor, ...]:
    """Return the vector of a product, without history; 1 where it may be left out."""
    if v is None:
        if len(like) != 1 or like[0]._array.size != 1:
            raise RuntimeError(missing)
        return (wrap(np.ones(like[0]._array.shape, like[0]._array.dtype)),)
    _, vs = _as_tuple(v, "v", "the product")
    if len(vs) != len(like):
        if like_is_tuple:
            raise RuntimeError(f"v is a tuple of invalid length: should be {len(like)} but got {len(vs)}.")
        raise RuntimeError("The given v should contain a single Tensor.")
    for i, (given, x) in enumerate(zip(vs, like, strict=True)):
        if given.shape != x.shape:
            entry = f"Entry {i} in " if like_is_tuple else ""
            raise RuntimeError(f"{entry}v has invalid size: should be {x.shape} but got {given.shape}.")
    return vs


_NO_V_INPUT = (
    "The vector v can only be None if the input to the user-provided function is a single Tensor with a "
    "single element."
)
_NO_V_OUTPUT = (
    "The vector v can only be None if the user-provided function returns a single Tensor with a single "
    "element."
)


def _zeros(x: Tensor) -> Tensor:
    return wrap(np.zeros(x._array.shape, x._array.dtype))


def _or_zeros(found: Sequence[Tensor | None], like: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(_zeros(x) if g is None else g for g, x in zip(found, like, strict=True))


# ---- strictness ----

_NEEDED_TWICE = (
    "While computing the hessian, found that the jacobian of the user-provided function with respect to "
    "input {i} is independent of the input. This is not allowed in strict mode. You should ensure that your "
    "function is twice differentiable and that the jacobian depends on the inputs (this would be violated by "
    "a linear function for example)."
)


def _require_outputs(outputs: Sequence[Tensor]) -> None:
    for i, output in enumerate(outputs):
        if history(output) is None:
            raise RuntimeError(
                f"Output {i} of the user-provided function does not require gradients. The outputs must be "
                "computed in a "
                "differentiable manner from the input when running in strict mode."
            )


def _require_used(found: Sequence[Tensor | None], text: str) -> None:
    for i, g in enumerate(found):
        if g is None:
            raise RuntimeError(text.format(i=i))


def _require_graph(found: Sequence[Tensor], text: str) -> None:
    for i, g in enumerate(found):
        if history(g) is None:
            raise RuntimeError(text.format(i=i))


_UNUSED = (
    "The output of the user-provided function is independent of input {i}. "
    "This is not allowed in strict mode."
)
_NO_GRAPH = (
    "The jacobian of the user-provided function is independent of input {i}. This is not allowed in strict "
    "mode when create_graph=True."
)


def _pull(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    cts: Sequence[Tensor | None],
    *,
    graph: bool,
    batched: bool = False,
) -> list[Tensor | None]:
    """Return the gradients of what requires grad; None for inputs that are not reached."""
    pairs = [(o, c) for o, c in zip(outputs, cts, strict=True) if history(o) is not None]
    if not pairs:
        return [None] * len(inputs)
    found = grad(
        [o for o, _ in pairs],
        inputs,
        [c for _, c in pairs],
        retain_graph=True,
        create_graph=graph,
        allow_unused=True,
        is_grads_batched=batched,
    )
    return list(found)


# ---- products ----


def vjp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Return `func(*inputs)` and the product of v with its Jacobian.

    Args:
        func: takes tensors and returns a tensor or a tuple of them.
        inputs: a tensor or a tuple of them.
        v: in the form of the outputs; may be left out for a single element.
        create_graph: keep a history of the results.
        strict: refuse outputs or gradients that do not depend on the inputs, instead of giving zeros.
    """
    with enable_grad():
        is_tuple, xs = _inputs(inputs, "vjp", create_graph)
        outputs_tuple, outputs = _as_tuple(func(*xs), _OUTPUTS, "vjp")
        if strict:
            _require_outputs(outputs)
        vs = _check_v(v, outputs, outputs_tuple, _NO_V_OUTPUT)
        found = _pull(outputs, xs, vs, graph=create_graph)
        if strict:
            _require_used(found, _UNUSED)
        grads = _or_zeros(found, xs)
        if strict and create_graph:
            _require_graph(grads, _NO_GRAPH)
    return (
        _tuple_postprocess(_grad_postprocess(outputs, create_graph), outputs_tuple),
        _tuple_postprocess(_grad_postprocess(grads, create_graph), is_tuple),
    )


def jvp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Return `func(*inputs)` and the product of its Jacobian with v, by differentiating the pullback.

    Args: as for vjp; `v` has the form of the inputs.
    """
    with enable_grad():
        is_tuple, xs = _inputs(inputs, "jvp", create_graph)
        vs = _check_v(v, xs, is_tuple, _NO_V_INPUT)
        outputs_tuple, outputs = _as_tuple(func(*xs), _OUTPUTS, "jvp")
        if strict:
            _require_outputs(outputs)
        cts = tuple(_zeros(o).requires_grad_() for o in outputs)
        first = _pull(outputs, xs, cts, graph=True)
        if strict:
            _require_used(first, _UNUSED)
        pulled = _or_zeros(first, xs)
        found = _pull(pulled, cts, vs, graph=create_graph)
        moved = _or_zeros(found, outputs)
        if strict and create_graph:
            _require_graph(moved, _NO_GRAPH)
    return (
        _tuple_postprocess(_grad_postprocess(outputs, create_graph), outputs_tuple),
        _tuple_postprocess(_grad_postprocess(moved, create_graph), outputs_tuple),
    )


def _scalar(func: Callable[..., Any], xs: Sequence[Tensor], name: str) -> Tensor:
    is_tuple, outputs = _as_tuple(func(*xs), _OUTPUTS, name)
    if is_tuple:
        raise RuntimeError(f"The function given to {name} should return a single Tensor")
    if outputs[0]._array.size != 1:
        raise RuntimeError(
            f"The Tensor returned by the function given to {name} should contain a single element"
        )
    return outputs[0]  # type: ignore[no-any-return]


def _gradient(
    func: Callable[..., Any], xs: Sequence[Tensor], name: str, strict: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return the value of a scalar function and its gradient, recorded."""
    output = _scalar(func, xs, name)
    if strict:
        _require_outputs([output])
    found = _pull([output], xs, [None], graph=True)
    if strict:
        _require_used(found, _UNUSED)
    gradient = _or_zeros(found, xs)
    if strict:
        _require_graph(gradient, _NEEDED_TWICE)
    return output, gradient


def vhp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Return the value of a scalar function and the product of v with its Hessian.

    Args: as for vjp; `v` has the form of the inputs.
    """
    with enable_grad():
        is_tuple, xs = _inputs(inputs, "vhp", create_graph)
        vs = _check_v(v, xs, is_tuple, _NO_V_INPUT)
        output, gradient = _gradient(func, xs, "vhp", strict)
        found = _pull(gradient, xs, vs, graph=create_graph)
        if strict:
            _require_used(found, _NEEDED_TWICE)
        product = _or_zeros(found, xs)
        if strict and create_graph:
            _require_graph(product, _NO_GRAPH)
    return (
        _grad_postprocess(output, create_graph),
        _tuple_postprocess(_grad_postprocess(product, create_graph), is_tuple),
    )


def hvp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Return the value of a scalar function and the product of its Hessian with v.

    The pullback is differentiated twice: `vhp` is cheaper, and the same where the Hessian is symmetric.

    Args: as for vjp; `v` has the form of the inputs.
    """
    with enable_grad():
        is_tuple, xs = _inputs(inputs, "hvp", create_graph)
        vs = _check_v(v, xs, is_tuple, _NO_V_INPUT)
        output, gradient = _gradient(func, xs, "hvp", strict)
        cts = tuple(_zeros(x).requires_grad_() for x in xs)
        pulled = _or_zeros(_pull(gradient, xs, cts, graph=True), xs)
        found = _pull(pulled, cts, vs, graph=create_graph)
        if strict:
            _require_used(found, _NEEDED_TWICE)
        product = _or_zeros(found, xs)
        if strict and create_graph:
            _require_graph(product, _NO_GRAPH)
    return (
        _grad_postprocess(output, create_graph),
        _tuple_postprocess(_grad_postprocess(product, create_graph), is_tuple),
    )


# ---- whole matrices ----


def _construct_standard_basis_for(
    tensors: Sequence[Tensor], tensor_numels: Sequence[int]
) -> tuple[Tensor, ...]:
    """Return the identity on all elements of the tensors laid in a row, its columns cut up per tensor."""
    total, first, made = sum(tensor_numels), 0, []
    for tensor, count in zip(tensors, tensor_numels, strict=True):
        block = np.zeros((total, count), tensor._array.dtype)
        np.fill_diagonal(block[first : first + count], 1)
        made.append(wrap(block))
        first += count
    return tuple(made)


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """Return the Jacobian of `func` at `inputs`.

    Args:
        func: as for vjp.
        inputs: likewise.
        create_graph: likewise.
        strict: likewise.
        vectorize: compute all rows at once instead of one after the other.
        strategy: "reverse-mode", or "forward-mode" with `vectorize`: columns instead of rows.

    Returns:
        A tensor; for several inputs a tuple of them; for several outputs a tuple of those.

    Shape: (*output.shape, *input.shape) each
    """
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(f'Expected strategy to be either "forward-mode" or "reverse-mode".{_HINT}')
    if strategy == "forward-mode":
        return _forward_jacobian(func, inputs, create_graph, strict, vectorize)
    with enable_grad():
        is_tuple, xs = _inputs(inputs, "jacobian", create_graph)
        outputs_tuple, outputs = _as_tuple(func(*xs), _OUTPUTS, "jacobian")
        if strict:
            _require_outputs(outputs)
        if vectorize:
            if strict:
                raise RuntimeError(
                    "torch.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not "
                    "supported together. Please either set `strict=False` or `vectorize=False`."
                )
            rows = [_rows_at_once(output, xs, create_graph) for output in outputs]
        else:
            rows = [_rows_one_by_one(i, output, xs, create_graph, strict) for i, output in enumerate(outputs)]
    return _tuple_postprocess(_grad_postprocess(tuple(rows), create_graph), (outputs_tuple, is_tuple))


def _rows_at_once(output: Tensor, xs: Sequence[Tensor], graph: bool) -> tuple[Tensor, ...]:
    count = output._array.size
    identity = np.eye(count, dtype=output._array.dtype).reshape(count, *output._array.shape)
    found = _pull([output], xs, [wrap(identity)], graph=graph, batched=True)
    shapes = [(*output._array.shape, *x._array.shape) for x in xs]
    return tuple(
        wrap(np.zeros(s, x._array.dtype)) if g is None else TABLE["view"].function(g, s)
        for g, x, s in zip(found, xs, shapes, strict=True)
    )


def _rows_one_by_one(
    number: int, output: Tensor, xs: Sequence[Tensor], graph: bool, strict: bool
) -> tuple[Tensor, ...]:
    rows: list[tuple[Tensor, ...]] = []
    flat = output._array.size
    for k in range(flat):
        ct = np.zeros(flat, output._array.dtype)
        ct[k] = 1
        found = _pull([output], xs, [wrap(ct.reshape(output._array.shape))], graph=graph)
        if strict:
            _require_used(
                found,
                f"Output {number} of the user-provided function is independent of input {{i}}. This is not "
                "allowed in "
                "strict mode.",
            )
        row = _or_zeros(found, xs)
        if strict and graph:
            _require_graph(row, _NO_GRAPH)
        rows.append(row)
    if not rows:
        return tuple(wrap(np.zeros((*output._array.shape, *x._array.shape), x._array.dtype)) for x in xs)
    return tuple(
        TABLE["view"].function(
            TABLE["stack"].function(list(column), 0), (*output._array.shape, *x._array.shape)
        )
        for column, x in zip(zip(*rows, strict=True), xs, strict=True)
    )


def _forward_jacobian(
    func: Callable[..., Any], inputs: Any, create_graph: bool, strict: bool, vectorize: bool
) -> Any:
    """Return the Jacobian column by column, all at once."""
    from retrograd.autograd.batched import VmapLevel  # noqa: PLC0415 - only here

    name = "torch.autograd.functional.jacobian"
    if create_graph:
        raise NotImplementedError(
            f'{name}: `create_graph=True` and `strategy="forward-mode"` are not supported together (yet). '
            "Please either set "
            '`create_graph=False` or `strategy="reverse-mode"`.'
        )
    if strict:
        raise RuntimeError(
            f'{name}: `strict=True` and `strategy="forward-mode"` are not supported together (yet). Please '
            "either set "
            '`strict=False` or `strategy="reverse-mode"`.'
        )
    if not vectorize:
        raise NotImplementedError(
            "Computing Jacobian using forward-AD or forward-over-reverse Hessian isonly implemented for "
            "`vectorize=True`."
        )
    is_tuple, xs = _as_tuple(inputs, "inputs", "jacobian")
    sizes = [x._array.size for x in xs]
    directions = _construct_standard_basis_for(xs, sizes)
    batch, level = VmapLevel(sum(sizes)), DualLevel()
    with entered(batch), entered(level):
        duals = []
        for x, rows in zip(xs, directions, strict=True):
            tangent = batch.wrap(wrap(rows._array.reshape(-1, *x._array.shape)), 0)
            duals.append(with_tangent(x, tangent, level))
        outputs_tuple, outputs = _as_tuple(func(*duals), _OUTPUTS, "jacobian")
    found = []
    for output in outputs:
        tangent = level.tangent(output)
        shape = output._array.shape
        columns = batch.spread(_zeros(output) if tangent is None else tangent)
        turned = columns.movedim(0, -1)
        parts = TABLE["split_with_sizes"].function(turned, tuple(sizes), -1)
        found.append(tuple(p.reshape((*shape, *x._array.shape)) for p, x in zip(parts, xs, strict=True)))
    return _tuple_postprocess(tuple(found), (outputs_tuple, is_tuple))


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """Return the Hessian of a scalar function at `inputs`.

    Args: as for jacobian; the strategy is that of the outer derivative.

    Returns:
        A tensor; for several inputs a tuple of tuples of them.
    """
    is_tuple, xs = _as_tuple(inputs, "inputs", "hessian")
    if outer_jacobian_strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode".')

    def gradient(*given: Tensor) -> Any:
        if outer_jacobian_strategy == "forward-mode":
            given = tuple(x if history(x) is not None else x.requires_grad_() for x in given)
        output = _scalar(func, given, "hessian")
        if strict:
            _require_outputs([output])
        with enable_grad():
            found = _pull([output], given, [None], graph=True)
        if strict:
            _require_used(found, _UNUSED)
        made = _or_zeros(found, given)
        if strict:
            _require_graph(made, _NEEDED_TWICE)
        return made

    if outer_jacobian_strategy == "forward-mode":
        xs = tuple(x.detach().requires_grad_() for x in xs)
    found = jacobian(gradient, xs, create_graph, strict, vectorize, outer_jacobian_strategy)
    return _tuple_postprocess(found, (is_tuple, is_tuple))
