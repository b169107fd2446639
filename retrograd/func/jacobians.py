"""jacrev, jacfwd, hessian: derivatives as whole arrays, one row or column per element of a batch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograd.func import trees
from retrograd.func.forward import jvp
from retrograd.func.reverse import vjp
from retrograd.func.vectorize import vmap
from retrograd.ops.declare import TABLE
from retrograd.tensor import Tensor, wrap


def basis(tensors: Sequence[Tensor], start: int = 0, stop: int | None = None) -> list[Tensor]:
    """Return rows of the identity on all the tensors' elements laid in a row, cut up per tensor.

    Shape: (rows, *tensor.shape) each
    """
    sizes = [t._array.size for t in tensors]
    total = sum(sizes)
    stop = total if stop is None else stop
    made, first = [], 0
    for tensor, size in zip(tensors, sizes, strict=True):
        block = np.zeros((stop - start, size), tensor._array.dtype)
        rows = np.arange(max(start, first), min(stop, first + size))
        block[rows - start, rows - first] = 1
        made.append(wrap(block.reshape(stop - start, *tensor._array.shape)))
        first += size
    return made


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
        found = vjp(_only_chosen(func, args, numbers, kwargs), *given, has_aux=has_aux)
        output, pullback = found[:2]
        results, structure = trees.flatten(output)
        _require_real("jacrev", "output", results)
        sizes = [r._array.size for r in results]
        total = sum(sizes)
        step = total if chunk_size is None else min(chunk_size, total)
        blocks = []
        for start in range(0, total, max(step, 1)):
            cts = basis(results, start, min(start + step, total))
            pulled = vmap(lambda *ct: pullback(trees.unflatten(ct, structure)))(*cts)
            blocks.append(trees.flatten(pulled)[0])
        inputs, nested = trees.flatten(tuple(given))
        columns = [list(c) for c in zip(*blocks, strict=True)] if blocks else [_empty(x) for x in inputs]
        rows = [c[0] if len(c) == 1 else TABLE["cat"].function(c, 0) for c in columns]
        made = _by_output(results, sizes, inputs, rows)
        per_output = [_structured(parts, nested, argnums) for parts in made]
        jacobian = trees.unflatten(per_output, structure)
        return (jacobian, found[2]) if has_aux else jacobian

    return wrapper


def _empty(x: Tensor) -> list[Tensor]:
    return [wrap(np.zeros((0, *x._array.shape), x._array.dtype))]


def _by_output(
    results: Sequence[Tensor], sizes: Sequence[int], inputs: Sequence[Tensor], rows: Sequence[Tensor]
) -> list[list[Tensor]]:
    """Return, per output and input, the Jacobian: its rows cut up and given the output's shape."""
    found: list[list[Tensor]] = [[] for _ in results]
    for x, column in zip(inputs, rows, strict=True):
        for i, (result, part) in enumerate(zip(results, _cut(column, sizes), strict=True)):
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


def hessian(func: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """Return the function that computes the Hessian of `func`: forward mode over reverse mode.

    Example:
        >>> import retrograd as torch
        >>> torch.func.hessian(lambda x: (x**3).sum())(torch.tensor([1.0, 2.0]))
        tensor([[ 6.,  0.],
                [ 0., 12.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)
