"""What the functions of torch.autograd.functional share: arguments, results, strictness, one gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograd.autograd.calls import grad
from retrograd.ops.declare import TABLE
from retrograd.tensor import Tensor, history, wrap

OUTPUTS = "outputs of the user-provided function"


# ---- arguments and results ----


def as_tuple(inp: Any, arg_name: str, fn_name: str) -> tuple[bool, tuple[Any, ...]]:
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


def unpacked(result: Any, to_unpack: Any) -> Any:
    """Return results without the tuples that the caller did not use; `to_unpack` says which those are."""
    if isinstance(to_unpack, tuple):
        if not to_unpack[1]:
            result = tuple(row[0] for row in result)
        return result if to_unpack[0] else result[0]
    return result if to_unpack else result[0]


def finished(tensors: Any, create_graph: bool) -> Any:
    """Return tensors, or nested tuples of them, without their history unless that is wanted."""
    if isinstance(tensors, Tensor):
        return tensors if create_graph else tensors.detach()
    return tuple(finished(t, create_graph) for t in tensors)


def tracked_inputs(inputs: Any, name: str, create_graph: bool) -> tuple[bool, tuple[Tensor, ...]]:
    """Return the inputs as tensors that require grad; connected to the caller's if a graph is wanted."""
    is_tuple, items = as_tuple(inputs, "inputs", name)
    made = []
    for x in items:
        if create_graph and history(x) is not None:
            made.append(TABLE["view"].function(x, tuple(x.shape)))
        else:
            made.append(x.detach().requires_grad_())
    return is_tuple, tuple(made)


def checked_v(v: Any, like: Sequence[Tensor], like_is_tuple: bool, missing: str) -> tuple[Tensor, ...]:
    """Return the vector of a product, without history; 1 where it may be left out."""
    if v is None:
        if len(like) != 1 or like[0]._array.size != 1:
            raise RuntimeError(missing)
        return (wrap(np.ones(like[0]._array.shape, like[0]._array.dtype)),)
    _, vs = as_tuple(v, "v", "the product")
    if len(vs) != len(like):
        if like_is_tuple:
            raise RuntimeError(f"v is a tuple of invalid length: should be {len(like)} but got {len(vs)}.")
        raise RuntimeError("The given v should contain a single Tensor.")
    for i, (given, x) in enumerate(zip(vs, like, strict=True)):
        if given.shape != x.shape:
            entry = f"Entry {i} in " if like_is_tuple else ""
            raise RuntimeError(f"{entry}v has invalid size: should be {x.shape} but got {given.shape}.")
    return vs


NO_V_INPUT = (
    "The vector v can only be None if the input to the user-provided function is a single Tensor with a "
    "single element."
)
NO_V_OUTPUT = (
    "The vector v can only be None if the user-provided function returns a single Tensor with a single "
    "element."
)


def zeros(x: Tensor) -> Tensor:
    return wrap(np.zeros(x._array.shape, x._array.dtype))


def or_zeros(found: Sequence[Tensor | None], like: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(zeros(x) if g is None else g for g, x in zip(found, like, strict=True))


# ---- strictness ----

NEEDED_TWICE = (
    "While computing the hessian, found that the jacobian of the user-provided function with respect to "
    "input {i} is independent of the input. This is not allowed in strict mode. You should ensure that your "
    "function is twice differentiable and that the jacobian depends on the inputs (this would be violated by "
    "a linear function for example)."
)


def require_outputs(outputs: Sequence[Tensor]) -> None:
    for i, output in enumerate(outputs):
        if history(output) is None:
            raise RuntimeError(
                f"Output {i} of the user-provided function does not require gradients. The outputs must be "
                "computed in a "
                "differentiable manner from the input when running in strict mode."
            )


def require_used(found: Sequence[Tensor | None], text: str) -> None:
    for i, g in enumerate(found):
        if g is None:
            raise RuntimeError(text.format(i=i))


def require_graph(found: Sequence[Tensor], text: str) -> None:
    for i, g in enumerate(found):
        if history(g) is None:
            raise RuntimeError(text.format(i=i))


UNUSED = (
    "The output of the user-provided function is independent of input {i}. "
    "This is not allowed in strict mode."
)
NO_GRAPH = (
    "The jacobian of the user-provided function is independent of input {i}. This is not allowed in strict "
    "mode when create_graph=True."
)


def pulled_back(
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


def scalar_output(func: Callable[..., Any], xs: Sequence[Tensor], name: str) -> Tensor:
    is_tuple, outputs = as_tuple(func(*xs), OUTPUTS, name)
    if is_tuple:
        raise RuntimeError(f"The function given to {name} should return a single Tensor")
    if outputs[0]._array.size != 1:
        raise RuntimeError(
            f"The Tensor returned by the function given to {name} should contain a single element"
        )
    return outputs[0]  # type: ignore[no-any-return]


def recorded_gradient(
    func: Callable[..., Any], xs: Sequence[Tensor], name: str, strict: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return the value of a scalar function and its gradient, recorded."""
    output = scalar_output(func, xs, name)
    if strict:
        require_outputs([output])
    found = pulled_back([output], xs, [None], graph=True)
    if strict:
        require_used(found, UNUSED)
    gradient = or_zeros(found, xs)
    if strict:
        require_graph(gradient, NEEDED_TWICE)
    return output, gradient
