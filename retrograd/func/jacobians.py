"""jacrev, jacfwd, hessian: derivatives as whole arrays, one row or column per element of a batch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograd.autograd.modes import local
from retrograd.autograd.rows import identity, jacobian_rows
from retrograd.func import trees
from retrograd.func.forward import jvp
from retrograd.func.reverse import Recorded, _check_aux, pullback_of, recorded_call
from retrograd.func.vectorize import vmap
from retrograd.ops.declare import TABLE
from retrograd.tensor import Tensor, history, wrap


def basis(tensors: Sequence[Tensor], start: int = 0, stop: int | None = None) -> list[Tensor]:
    """Return rows of the identity on all the tensors' elements laid in a row, cut up per tensor.

    Shape: (rows, *tensor.shape) each
    """
    arrays = [t._array for t in tensors]
    sizes = [a.size for a in arrays]
    stop = sum(sizes) if stop is None else stop
    blocks = identity(sizes, [a.dtype for a in arrays], start, stop)
    return [wrap(block.reshape((stop - start, *a.shape))) for block, a in zip(blocks, arrays, strict=True)]


def _cut(rows: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    return list(TABLE["split_with_sizes"].function(rows, tuple(sizes), 0))


def _only_chosen(
    func: Callable[..., Any], args: tuple[Any, ...], numbers: tuple[int, ...], kwargs: dict[str, Any]
) -> Any:
    """Return `func` as a function of the chosen arguments only."""

    def partial(*given: Any) -> Any:
        whole = list(args)
        for n, value in zip(numbers, given, strict=True):
            whole[n] = value
        return func(*whole, **kwargs)

    return partial


def _require_real(name: str, what: str, tensors: Sequence[Any]) -> None:
    for i, x in enumerate(tensors):
        if isinstance(x, Tensor) and x.dtype.is_complex:
            raise RuntimeError(
                f"{name}: Expected all {what}s to be real but received complex tensor at flattened "
                f"{what} idx: {i}"
            )


def jacrev(
    func: Callable[..., Any],
    argnums: int | tuple[int, ...] = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Callable[..., Any]:
    """Return the function that computes the Jacobian of `func`, a row per element of its output.

    Args:
        func: returns tensors, nested at will; with `has_aux`, (tensors, anything).
        argnums: which arguments to differentiate: a number, or several.
        has_aux: `func` also returns something that is passed on.
        chunk_size: compute that many rows at a time.

    Returns:
        A function that returns, in each place of the output's structure, that of the chosen arguments.

    Shape: (*output.shape, *argument.shape) each

    Example:
        >>> import retrograd as torch
        >>> torch.func.jacrev(lambda x: x * x)(torch.tensor([1.0, 2.0]))
        tensor([[2., 0.],
                [0., 4.]])
    """
    if not (chunk_size is None or chunk_size > 0):
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        numbers = trees.chosen(args, argnums)
        given = [args[n] for n in numbers]
        _require_real("jacrev", "input", trees.flatten(given)[0])
        call = recorded_call(_only_chosen(func, args, numbers, kwargs), tuple(given), has_aux)
        _require_real("jacrev", "output", call.results)
        sizes = [r._array.size for r in call.results]
        inputs, nested = trees.flatten(tuple(given))
        rows = _numbers(call, chunk_size)
        if rows is None:
            rows = _pulled_rows(call, sizes, chunk_size)
        made = _by_output(call.results, sizes, inputs, rows)
        per_output = [_structured(parts, nested, argnums) for parts in made]
        jacobian = trees.unflatten(per_output, call.structure)
        if not has_aux:
            return jacobian
        _check_aux(trees.flatten(call.aux)[0])
        return jacobian, call.outside.released(call.aux)

    return wrapper


def _numbers(call: Recorded, chunk_size: int | None) -> list[Tensor] | None:
    """Return the rows by each input as plain numbers; None where more is wanted of them, or it cannot be."""
    if local.levels or call.outside.depends(*call.results):
        return None
    if any(history(r) is None for r in call.results):
        return None
    leaves = call.level.leaves
    roots = [(history(r), r._array.shape, r._array.dtype) for r in call.results]
    found = jacobian_rows(roots, [x._node for x in leaves], chunk_size)
    if found is None:
        return None
    total = sum(r._array.size for r in call.results)
    return [
        wrap(np.zeros((total, *x._array.shape), x._array.dtype) if rows is None else rows)
        for rows, x in zip(found, leaves, strict=True)
    ]


def _pulled_rows(call: Recorded, sizes: Sequence[int], chunk_size: int | None) -> list[Tensor]:
    """Return the rows by each input through the pullback, which may be differentiated."""
    pullback = pullback_of(call)
    total = sum(sizes)
    step = max(total if chunk_size is None else min(chunk_size, total), 1)
    blocks = []
    for start in range(0, total, step):
        cts = basis(call.results, start, min(start + step, total))
        if total == 1:  # a gradient: no batch is needed
            pulled = pullback(trees.unflatten([ct[0] for ct in cts], call.structure))
            blocks.append([g.unsqueeze(0) for g in trees.flatten(pulled)[0]])
            break
        pulled = vmap(lambda *ct: pullback(trees.unflatten(ct, call.structure)))(*cts)
        blocks.append(trees.flatten(pulled)[0])
    if not blocks:
        return [wrap(np.zeros((0, *x._array.shape), x._array.dtype)) for x in trees.flatten(call.inside)[0]]
    columns = [list(c) for c in zip(*blocks, strict=True)]
    return [c[0] if len(c) == 1 else TABLE["cat"].function(c, 0) for c in columns]


def _by_output(
    results: Sequence[Tensor], sizes: Sequence[int], inputs: Sequence[Tensor], rows: Sequence[Tensor]
) -> list[list[Tensor]]:
    """Return, per output and input, the Jacobian: its rows cut up and given the output's shape."""
    found: list[list[Tensor]] = [[] for _ in results]
    for x, column in zip(inputs, rows, strict=True):
        parts = [column] if len(results) == 1 else _cut(column, sizes)
        for i, (result, part) in enumerate(zip(results, parts, strict=True)):
            found[i].append(part.reshape((*result._array.shape, *x._array.shape)))
    return found


def _structured(parts: Sequence[Tensor], nested: trees.Structure, argnums: int | tuple[int, ...]) -> Any:
    made = trees.unflatten(parts, nested)
    return made if isinstance(argnums, tuple) else made[0]


def jacfwd(
    func: Callable[..., Any],
    argnums: int | tuple[int, ...] = 0,
    has_aux: bool = False,
    *,
    randomness: str = "error",
) -> Callable[..., Any]:
    """Return the function that computes the Jacobian of `func`, a column per element of its input.

    Args, Returns, Shape: as for jacrev; `randomness` as for vmap.

    Example:
        >>> import retrograd as torch
        >>> torch.func.jacfwd(lambda x: x.prod())(torch.tensor([2.0, 3.0]))
        tensor([3., 2.])
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        numbers = trees.chosen(args, argnums)
        given = tuple(args[n] for n in numbers)
        inputs, nested = trees.flatten(given)
        _require_real("jacfwd", "input", inputs)
        partial = _only_chosen(func, args, numbers, kwargs)

        def push(*tangents: Tensor) -> Any:
            found = jvp(partial, given, trees.unflatten(tangents, nested), has_aux=has_aux)
            return (found[1], found[2]) if has_aux else found[1]

        moved = vmap(push, randomness=randomness)(*basis(inputs))
        aux: Any = None
        if has_aux:
            moved, aux = moved
            aux = trees.mapped(lambda t: t[0], aux)
        columns, structure = trees.flatten(moved)
        _require_real("jacfwd", "output", columns)
        sizes = [x._array.size for x in inputs]
        per_output = []
        for column in columns:
            shape = column._array.shape[1:]
            parts = _cut(column.movedim(0, -1), sizes) if not shape else list(
                TABLE["split_with_sizes"].function(column.movedim(0, -1), tuple(sizes), -1)
            )  # fmt: skip
            parts = [p.reshape((*shape, *x._array.shape)) for p, x in zip(parts, inputs, strict=True)]
            per_output.append(_structured(parts, nested, argnums))
        jacobian = trees.unflatten(per_output, structure)
        return (jacobian, aux) if has_aux else jacobian

    return wrapper


class _SeveralError(Exception):
    """A function whose Hessian is wanted has several results."""


def hessian(func: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """Return the function that computes the Hessian of `func`.

    Of one result it is taken in reverse mode twice: the gradient is recorded once, and its rows come in one
    batch of numbers. Of several it is forward mode over reverse mode, for which `func` runs once more.

    Example:
        >>> import retrograd as torch
        >>> torch.func.hessian(lambda x: (x**3).sum())(torch.tensor([1.0, 2.0]))
        tensor([[ 6.,  0.],
                [ 0., 12.]])
    """

    def single(*args: Any, **kwargs: Any) -> Any:
        output = func(*args, **kwargs)
        leaves = trees.flatten(output)[0]
        if len(leaves) != 1 or not isinstance(leaves[0], Tensor) or leaves[0]._array.size != 1:
            raise _SeveralError
        return output

    over_reverse = jacrev(jacrev(single, argnums), argnums)
    over_forward = jacfwd(jacrev(func, argnums), argnums)

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return over_reverse(*args, **kwargs)
        except _SeveralError:
            return over_forward(*args, **kwargs)

    return wrapper
