"""jvp and linearize: directional derivatives as functions of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.autograd.dual import DualLevel
from retrograd.autograd.forward_ad import with_tangent
from retrograd.autograd.levels import entered, zeros_like
from retrograd.func import trees
from retrograd.func.reverse import _check_aux, vjp
from retrograd.tensor import Tensor, wrap

_NAME = "jvp(f, primals, tangents)"


def jvp(
    func: Callable[..., Any], primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False
) -> Any:
    """Return `func(*primals)` and its derivative in the direction `tangents`.

    Args:
        func: returns tensors, nested at will; with `has_aux`, (tensors, anything).
        primals: the tuple of its arguments: tensors, nested at will.
        tangents: the direction, in the same structure.
        strict: refuse an output that does not depend on the arguments.
        has_aux: `func` also returns something that is passed on.

    Returns:
        (output, tangent), or (output, tangent, aux).

    Example:
        >>> import retrograd as torch
        >>> torch.func.jvp(torch.sin, (torch.tensor(0.0),), (torch.tensor(2.0),))
        (tensor(0.), tensor(2.))
    """
    if not isinstance(primals, tuple):
        raise RuntimeError(  # noqa: TRY004 - torch's exception
            f"{_NAME}: Expected primals to be a tuple. E.g. it should be valid to call f(*primals)."
        )
    points, structure = trees.flatten(primals)
    directions, given = trees.flatten(tangents)
    if given != structure:
        raise RuntimeError(
            f"{_NAME}: Expected primals and tangents to have the same python structure. For example, if "
            "primals is a tuple "
            f"of 3 tensors, tangents also must be. Got primals with structure {structure} and tangents with "
            "structure "
            f"{given}"
        )
    if not points:
        raise RuntimeError(f"{_NAME}: Expected primals to contain at least one Tensor.")
    for what, leaves in (("primals", points), ("tangents", directions)):
        for leaf in leaves:
            if not isinstance(leaf, Tensor):
                raise RuntimeError(f"{_NAME}: Expected {what} to only contain Tensors, got {type(leaf)}")  # noqa: TRY004 - torch's exception
    level = DualLevel()
    with entered(level):
        duals = [_moving(p, t, level) for p, t in zip(points, directions, strict=True)]
        output = func(*trees.unflatten(duals, structure))
    level.active = False
    aux: Any = None
    if has_aux:
        if not isinstance(output, tuple) or len(output) != 2:
            raise RuntimeError(
                f"{_NAME}: output of function f should be a tuple: (output, aux) if has_aux is True"
            )
        output, aux = output
        _check_aux(trees.flatten(aux)[0])
    results, made = trees.flatten(output)
    if not results:
        raise RuntimeError(
            f"{_NAME}: Expected f to be a function that has non-empty output (got output = {output})"
        )
    for result in results:
        if not isinstance(result, Tensor):
            raise RuntimeError(  # noqa: TRY004 - torch's exception
                f"{_NAME}: expected f(*primals) to return only tensors, got unsupported type {type(result)}"
            )
    moved = [_tangent(level, result, strict) for result in results]
    value = trees.unflatten([level.primal_alone(r) for r in results], made)
    tangent = trees.unflatten(moved, made)
    return (value, tangent, trees.mapped(level.primal_alone, aux)) if has_aux else (value, tangent)


def _moving(primal: Tensor, tangent: Tensor, level: DualLevel) -> Tensor:
    for what, value in (("primal", primal), ("tangent", tangent)):
        if value.dtype.category < dtypes.FLOATING:
            raise ValueError(f"Expected {what} to be floating point or complex, but got: {value.dtype}")
    return with_tangent(primal, tangent, level)


def _tangent(level: DualLevel, result: Tensor, strict: bool) -> Tensor:
    found: Tensor | None = level.tangent(result)
    if found is None:
        if strict:
            raise RuntimeError(
                "jvp(f, primals, tangents, strict=True): The output of f is independent of the inputs. This "
                "is not allowed with strict=True."
            )
        return zeros_like(result)
    return found


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """Return `func(*primals)` and its derivative there, a linear function of tangents.

    The derivative runs none of `func` again: it is the transpose of the pullback.

    Example:
        >>> import retrograd as torch
        >>> y, push = torch.func.linearize(torch.sin, torch.tensor(0.0))
        >>> push(torch.tensor(2.0))
        tensor(2.)
    """
    output, pullback = vjp(func, *primals)
    results, made = trees.flatten(output)
    points, structure = trees.flatten(primals)
    zeros = [wrap(np.zeros(r._array.shape, r._array.dtype)) for r in results]
    _, transpose = vjp(lambda *cts: pullback(trees.unflatten(cts, made)), *zeros)

    def push(*tangents: Any) -> Any:
        """Return the tangent of the output, given those of the primals."""
        directions, given = trees.flatten(tangents)
        if given != structure:
            raise RuntimeError(
                f"Expected the tangents {given} to have the same argspec as the primals {structure}"
            )
        for i, (t, p) in enumerate(zip(directions, points, strict=True)):
            for what, have, want in (("shape", t.shape, p.shape), ("dtype", t.dtype, p.dtype)):
                if have != want:
                    raise RuntimeError(
                        f"tangent:{i} with {what} {have} in flattened pytree doesn't match the {what} "
                        f"{want} of the "
                        "corresponding primal."
                    )
        return trees.unflatten(transpose(trees.unflatten(directions, structure)), made)

    return output, push
