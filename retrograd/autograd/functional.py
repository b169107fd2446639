"""torch.autograd.functional: products with Jacobians and Hessians; these themselves are made next door."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retrograd.autograd.functional_arguments import (
    NEEDED_TWICE,
    NO_GRAPH,
    NO_V_INPUT,
    NO_V_OUTPUT,
    OUTPUTS,
    UNUSED,
    as_tuple,
    checked_v,
    finished,
    or_zeros,
    pulled_back,
    recorded_gradient,
    require_graph,
    require_outputs,
    require_used,
    tracked_inputs,
    unpacked,
    zeros,
)  # fmt: skip
from retrograd.autograd.functional_matrices import hessian, jacobian
from retrograd.autograd.modes import enable_grad

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

# The names under which others' programs reach for torch's private helpers.
_as_tuple, _tuple_postprocess, _grad_postprocess = as_tuple, unpacked, finished


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
        is_tuple, xs = tracked_inputs(inputs, "vjp", create_graph)
        outputs_tuple, outputs = as_tuple(func(*xs), OUTPUTS, "vjp")
        if strict:
            require_outputs(outputs)
        vs = checked_v(v, outputs, outputs_tuple, NO_V_OUTPUT)
        found = pulled_back(outputs, xs, vs, graph=create_graph)
        if strict:
            require_used(found, UNUSED)
        grads = or_zeros(found, xs)
        if strict and create_graph:
            require_graph(grads, NO_GRAPH)
    return (
        unpacked(finished(outputs, create_graph), outputs_tuple),
        unpacked(finished(grads, create_graph), is_tuple),
    )


def jvp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Return `func(*inputs)` and the product of its Jacobian with v, by differentiating the pullback.

    Args: as for vjp; `v` has the form of the inputs.
    """
    with enable_grad():
        is_tuple, xs = tracked_inputs(inputs, "jvp", create_graph)
        vs = checked_v(v, xs, is_tuple, NO_V_INPUT)
        outputs_tuple, outputs = as_tuple(func(*xs), OUTPUTS, "jvp")
        if strict:
            require_outputs(outputs)
        cts = tuple(zeros(o).requires_grad_() for o in outputs)
        first = pulled_back(outputs, xs, cts, graph=True)
        if strict:
            require_used(first, UNUSED)
        pulled = or_zeros(first, xs)
        found = pulled_back(pulled, cts, vs, graph=create_graph)
        moved = or_zeros(found, outputs)
        if strict and create_graph:
            require_graph(moved, NO_GRAPH)
    return (
        unpacked(finished(outputs, create_graph), outputs_tuple),
        unpacked(finished(moved, create_graph), outputs_tuple),
    )


def vhp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Return the value of a scalar function and the product of v with its Hessian.

    Args: as for vjp; `v` has the form of the inputs.
    """
    with enable_grad():
        is_tuple, xs = tracked_inputs(inputs, "vhp", create_graph)
        vs = checked_v(v, xs, is_tuple, NO_V_INPUT)
        output, gradient = recorded_gradient(func, xs, "vhp", strict)
        found = pulled_back(gradient, xs, vs, graph=create_graph)
        if strict:
            require_used(found, NEEDED_TWICE)
        product = or_zeros(found, xs)
        if strict and create_graph:
            require_graph(product, NO_GRAPH)
    return (
        finished(output, create_graph),
        unpacked(finished(product, create_graph), is_tuple),
    )


def hvp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Return the value of a scalar function and the product of its Hessian with v.

    The pullback is differentiated twice: `vhp` is cheaper, and the same where the Hessian is symmetric.

    Args: as for vjp; `v` has the form of the inputs.
    """
    with enable_grad():
        is_tuple, xs = tracked_inputs(inputs, "hvp", create_graph)
        vs = checked_v(v, xs, is_tuple, NO_V_INPUT)
        output, gradient = recorded_gradient(func, xs, "hvp", strict)
        cts = tuple(zeros(x).requires_grad_() for x in xs)
        pulled = or_zeros(pulled_back(gradient, xs, cts, graph=True), xs)
        found = pulled_back(pulled, cts, vs, graph=create_graph)
        if strict:
            require_used(found, NEEDED_TWICE)
        product = or_zeros(found, xs)
        if strict and create_graph:
            require_graph(product, NO_GRAPH)
    return (
        finished(output, create_graph),
        unpacked(finished(product, create_graph), is_tuple),
    )
