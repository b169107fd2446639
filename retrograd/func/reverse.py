"""grad, grad_and_value, vjp: reverse mode as functions of functions.

A transform runs the function on leaves of its own, on the tape, and asks the engine for their gradients. What
it returns keeps a history only where that leads to something else than those leaves: an enclosing transform,
or a tensor of the caller's that requires grad.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from retrograd.autograd.levels import (
    GradLevel,
    Reach,
    contents,
    cut,
    entered,
    tracked,
    with_contents,
    zeros_like,
)
from retrograd.autograd.modes import enable_grad, local
from retrograd.autograd.through import gradients
from retrograd.func import trees
from retrograd.tensor import Tensor, history, wrap


def _track(tree: Any, level: GradLevel, recording: bool) -> Any:
    """Return a tree of tensors whose gradients the level can ask for."""

    def one(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            raise ValueError(f"Thing passed to transform API must be Tensor, got {type(leaf)}")  # noqa: TRY004 - torch's exception
        return tracked(leaf, level, recording)

    return trees.mapped(one, tree)


class _Outside:
    """Hands the results of a level out: without the history that ends in the level's own leaves."""

    def __init__(self, level: GradLevel, recording: bool) -> None:
        self._reach = Reach(level)
        self._recording = recording

    def depends(self, *tensors: Any) -> bool:
        """Return whether some tensor is to be differentiated outside the level."""
        return self._recording and any(self._reach.others(t) for t in tensors if isinstance(t, Tensor))

    def released(self, tree: Any) -> Any:
        """Return a tree of tensors as the caller gets it."""
        if self._recording:
            return trees.mapped(self._reach.released, tree)
        return trees.mapped(lambda t: with_contents(t, cut) if isinstance(t, Tensor) else t, tree)


def grad_and_value(
    func: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """Return the function that computes the gradient of `func` and its value.

    Args:
        func: returns a scalar tensor; with `has_aux`, (scalar, anything).
        argnums: which arguments to differentiate: a number, or several. Each may be nested tensors.
        has_aux: `func` also returns something that is passed on.

    Returns:
        A function that returns (gradient, value), or (gradient, (value, aux)).

    Raises:
        RuntimeError: `func` does not return a scalar tensor.

    Example:
        >>> import retrograd as torch
        >>> torch.func.grad_and_value(lambda x: x**3)(torch.tensor(2.0))
        (tensor(12.), tensor(8.))
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        recording, level, aux = local.grad, GradLevel(), None
        with entered(level), enable_grad():
            numbers = trees.chosen(args, argnums)
            inside = list(args)
            for n in numbers:
                inside[n] = _track(args[n], level, recording)
            output = func(*inside, **kwargs)
            if has_aux:
                output, aux = _with_aux("grad_and_value(f)(*args)", output)
            _check_scalar(output)
        outside = _Outside(level, recording)
        aux_leaves, aux_structure = trees.flatten(aux)
        _check_aux(aux_leaves if has_aux else [])
        recorded = outside.depends(output)
        keep = recorded or outside.depends(*aux_leaves)
        nodes = [x._node for x in level.leaves]
        found = gradients(
            [output], [wrap(np.ones((), output._array.dtype))], nodes, keep=keep, recorded=recorded
        )
        given = iter(found)
        grads = [trees.mapped(lambda x: _or_zeros(next(given), x), inside[n]) for n in numbers]
        made = tuple(outside.released(g) for g in grads)
        value = outside.released(output)
        result = made if isinstance(argnums, tuple) else made[0]
        return (
            (result, (value, outside.released(trees.unflatten(aux_leaves, aux_structure))))
            if has_aux
            else (result, value)
        )

    return wrapper


def grad(
    func: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """Return the function that computes the gradient of `func`; it may be transformed again.

    Args and Raises: as for grad_and_value.

    Example:
        >>> import retrograd as torch
        >>> torch.func.grad(torch.func.grad(torch.sin))(torch.tensor(0.5))
        tensor(-0.4794)
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        found, value = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return wrapper


def _or_zeros(ct: Tensor | None, leaf: Tensor) -> Tensor:
    return zeros_like(leaf) if ct is None else ct


def _with_aux(what: str, output: Any) -> tuple[Any, Any]:
    if not isinstance(output, tuple) or len(output) != 2:
        raise RuntimeError(
            f"{what}: output of function f should be a tuple: (output, aux) if has_aux is True"
        )
    return output


def _check_aux(leaves: list[Any]) -> None:
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise RuntimeError(f"Expected tensors, got unsupported type {type(leaf)}")  # noqa: TRY004 - torch's exception


def _check_scalar(output: Any) -> None:
    if not isinstance(output, Tensor):
        raise RuntimeError(  # noqa: TRY004 - torch's exception
            f"grad_and_value(f)(*args): Expected f(*args) to return a Tensor, got {type(output)}"
        )
    if output._array.ndim != 0:
        raise RuntimeError(
            "grad_and_value(f)(*args): Expected f(*args) to return a scalar Tensor, got tensor with "
            f"{output._array.ndim} dims. Maybe you wanted to use the vjp or jacrev APIs instead?"
        )
    if output.dtype.is_complex:
        raise RuntimeError(
            f"grad can be implicitly created only for real scalar outputs but got {output.dtype}"
        )


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """Return `func(*primals)` and the function that pulls cotangents of it back to the primals.

    Args:
        func: returns tensors, nested at will; with `has_aux`, (tensors, anything).
        *primals: tensors, nested at will.
        has_aux: `func` also returns something that is passed on.

    Returns:
        (output, pullback), or (output, pullback, aux). The pullback takes a cotangent for each tensor of the
        output, in the same structure, and returns a tuple with one gradient per primal. It may be called
        often, and transformed.

    Raises:
        RuntimeError: the output holds something else than tensors, or nothing.

    Example:
        >>> import retrograd as torch
        >>> y, pullback = torch.func.vjp(torch.sin, torch.tensor(0.0))
        >>> pullback(torch.tensor(2.0))
        (tensor(2.),)
    """
    found = recorded_call(func, primals, has_aux)
    value, pullback = found.outside.released(found.output), pullback_of(found)
    if not has_aux:
        return value, pullback
    _check_aux(trees.flatten(found.aux)[0])
    return value, pullback, found.outside.released(found.aux)


class Recorded(NamedTuple):
    """A call that a level of its own has recorded."""

    level: GradLevel
    outside: _Outside
    inside: Any
    output: Any
    results: list[Tensor]
    structure: trees.Structure
    aux: Any


def recorded_call(func: Callable[..., Any], primals: tuple[Any, ...], has_aux: bool) -> Recorded:
    """Run a function on leaves of a level of its own."""
    recording, level, aux = local.grad, GradLevel(), None
    with entered(level), enable_grad():
        inside = _track(primals, level, recording)
        output = func(*inside)
        if has_aux:
            output, aux = _with_aux("vjp(f, *primals)", output)
    results, structure = trees.flatten(output)
    if not results:
        raise RuntimeError(
            f"vjp(f, *primals): Expected f to be a function that has non-empty output (got output = {output})"
        )
    for result in results:
        if not isinstance(result, Tensor):
            raise RuntimeError(  # noqa: TRY004 - torch's exception
                f"vjp(f, *primals): expected f(*primals) to return only tensors, got unsupported type "
                f"{type(result)}"
            )
    return Recorded(level, _Outside(level, recording), inside, output, results, structure, aux)


def pullback_of(call: Recorded) -> Callable[..., Any]:
    """Return the function that pulls cotangents of a recorded call's results back to its primals."""
    level, outside, inside, _, results, structure, _ = call
    nodes = [x._node for x in level.leaves]
    depends = outside.depends(*results)

    def wrapper(cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        """Return the cotangents of the primals, given those of the output."""
        cts, given = trees.flatten(cotangents)
        if given != structure:
            raise RuntimeError(
                "Expected pytree structure of cotangents to be the same as pytree structure of outputs to "
                "the function. "
                f"cotangents: {given.brief()}, primal output: {structure.brief()}"
            )
        for i, (ct, result) in enumerate(zip(cts, results, strict=True)):
            if not isinstance(ct, Tensor):
                raise ValueError(f"Thing passed to transform API must be Tensor, got {type(ct)}")  # noqa: TRY004 - torch's exception
            if ct._array.shape != result._array.shape:
                raise RuntimeError(
                    f"Mismatch in shape: grad_output[{i}] has a shape of {ct.shape} and output[{i}] has a "
                    "shape of "
                    f"{result.shape}."
                )
        recorded = local.grad and (
            depends or any(history(part) is not None for ct in cts for part in contents(ct))
        )
        if create_graph is not None:
            recorded = recorded and create_graph
        found = iter(gradients(results, cts, nodes, keep=retain_graph, recorded=recorded))
        made = trees.mapped(lambda x: _or_zeros(next(found), x), inside)
        if not recorded:
            return trees.mapped(lambda t: with_contents(t, cut), made)
        return outside.released(made)

    return wrapper
