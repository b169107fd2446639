"""vmap: a function of one element, made into one of a batch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from retrograd.autograd.batched import VmapLevel, is_batched
from retrograd.autograd.levels import entered
from retrograd.errors import NotBatchableError
from retrograd.func import trees
from retrograd.func.one_by_one import Loop
from retrograd.ops.declare import TABLE
from retrograd.tensor import Tensor

AUTO_BYTES = 256 << 20
"""What the batched tensors that one chunk makes may take together with `chunk_size="auto"`."""


class _Call(NamedTuple):
    """One call of a function made by vmap."""

    func: Callable[..., Any]
    out_dims: Any
    randomness: str
    kwargs: dict[str, Any]
    loop: Loop | None


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | Literal["auto"] | None = None,
    fallback: Literal["loop"] | None = None,
) -> Callable[..., Any]:
    """Return the function that runs `func` on every element of a batch at once.

    Args:
        func: takes and returns tensors, nested at will.
        in_dims: which dimension of each argument is the batch; None where all elements share it. One for all
            arguments, or a tuple with one for each, nested as they are.
        out_dims: where the batch goes in the results, likewise.
        randomness: "error" refuses random functions in `func`; "same" draws once for all elements,
            "different" anew for each.
        chunk_size: run that many elements at a time. "auto" runs one element first and adds up the bytes of
            all batched tensors that it makes (as if none were freed, which is so where gradients are
            recorded); then as many at a time as keep within AUTO_BYTES.
        fallback: "loop" runs `func` element by element where it needs one's values (`.item()`, an `if` on a
            tensor, results whose size depends on values, a Function without a rule), and warns once, naming
            the line that does.

    Returns:
        A function of the same arguments. Keyword arguments are shared by all elements.

    Raises:
        ValueError: nothing has a batch dimension, sizes differ, or dimensions fit no argument or result.
        RuntimeError: `func` reads the value of a batched tensor, or has results whose size depends on values.

    Example:
        >>> import retrograd as torch
        >>> dot = torch.vmap(torch.dot)
        >>> dot(torch.ones(3, 2), torch.ones(3, 2))
        tensor([2., 2., 2.])
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(
            f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}"
        )
    if not (chunk_size is None or chunk_size == "auto" or chunk_size > 0):
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")
    if fallback not in (None, "loop"):
        raise ValueError(f"vmap: fallback should be None or 'loop'. (got {fallback!r})")

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = trees.flatten(args)
        dims, size = _check_inputs(func, in_dims, leaves, structure)
        call = _Call(func, out_dims, randomness, kwargs, Loop() if fallback else None)
        if chunk_size is None or (chunk_size != "auto" and chunk_size >= size) or size < 2:
            return _run(call, leaves, dims, structure, size)[0]
        return _in_chunks(call, leaves, dims, structure, size, chunk_size)

    return wrapped


def _name(func: Any) -> str:
    return getattr(func, "__name__", None) or repr(func)


def _check_inputs(
    func: Any, in_dims: Any, leaves: list[Any], structure: trees.Structure
) -> tuple[list[int | None], int]:
    """Return the batch dimension of each leaf, counted from the front, and the batch size."""
    call = f"vmap({_name(func)}, in_dims={in_dims}, ...)(<inputs>)"
    if not isinstance(in_dims, (int, tuple)):
        raise ValueError(  # noqa: TRY004 - torch's exception
            f"{call}: expected `in_dims` to be int or a (potentially nested) tuple matching the structure "
            "of inputs, got: "
            f"{type(in_dims)}."
        )
    if not leaves:
        raise ValueError(
            f"vmap({_name(func)})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are "
            "trying to vmap over "
            "a function with no inputs. The latter is unsupported."
        )
    dims = trees.spread(in_dims, structure)
    if dims is None:
        raise ValueError(
            f"{call}: in_dims is not compatible with the structure of `inputs`. in_dims has structure "
            f"{trees.flatten(in_dims)[1]} but inputs has structure {structure}."
        )
    ready: list[int | None] = []
    for leaf, dim in zip(leaves, dims, strict=True):
        if dim is not None and not isinstance(dim, int):
            raise ValueError(
                f"{call}: Got in_dim={dim} for an input but in_dim must be either an integer dimension or "
                "None."
            )
        if dim is not None and not isinstance(leaf, Tensor):
            raise ValueError(
                f"{call}: Got in_dim={dim} for an input but the input is of type {type(leaf)}. We cannot "
                "vmap over "
                "non-Tensor arguments, please use None as the respective in_dim"
            )
        if dim is not None and not -leaf.ndim <= dim < leaf.ndim:
            raise ValueError(
                f"{call}: Got in_dim={dim} for some input, but that input is a Tensor of dimensionality "
                f"{leaf.ndim} so expected in_dim to satisfy -{leaf.ndim} <= in_dim < {leaf.ndim}."
            )
        ready.append(None if dim is None else dim % leaf.ndim)
    sizes = [leaf.shape[dim] for leaf, dim in zip(leaves, ready, strict=True) if dim is not None]
    if not sizes:
        raise ValueError("vmap: at least one input must have a batch dimension; all in_dims are None")
    if any(n != sizes[0] for n in sizes):
        raise ValueError(
            f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sizes} "
            "for the mapped "
            "dimension"
        )
    return ready, sizes[0]


def _run(
    call: _Call, leaves: list[Any], dims: list[int | None], structure: trees.Structure, size: int
) -> tuple[Any, int]:
    """Run on a batch at once; return the results, and the bytes of the batched tensors that came up."""
    func, level = call.func, VmapLevel(size, call.randomness)
    if call.loop is None or not call.loop.needed:
        try:
            with entered(level):
                inside = [x if d is None else level.wrap(x, d) for x, d in zip(leaves, dims, strict=True)]
                output = func(*trees.unflatten(inside, structure), **call.kwargs)
        except NotBatchableError as error:
            if call.loop is None or not size:
                raise
            call.loop.tell(error)
        else:
            results, made = trees.flatten(output)
            places = _out_dims(func, call.out_dims, made)
            ready = [_unwrapped(func, level, r, d) for r, d in zip(results, places, strict=True)]
            return trees.unflatten(ready, made), level.made
    rows, made = call.loop.rows(func, leaves, dims, structure, size, call.randomness, call.kwargs)
    places = _out_dims(func, call.out_dims, made)
    ready = [_stacked(func, list(c), d) for c, d in zip(zip(*rows, strict=True), places, strict=True)]
    return trees.unflatten(ready, made), 0


def _stacked(func: Any, column: list[Any], dim: int | None) -> Any:
    """Return one result of each element, one after the other along dimension `dim`."""
    if dim is None:
        return column[0]
    if not isinstance(column[0], Tensor):
        raise ValueError(_not_a_tensor(func, column[0]))  # noqa: TRY004 - torch's exception
    rows: Tensor = TABLE["stack"].function(column, 0)
    _check_place(rows, dim)
    return rows if dim == 0 else rows.movedim(0, dim)


def _out_dims(func: Any, out_dims: Any, structure: trees.Structure) -> list[Any]:
    head = f"vmap({_name(func)}, ..., out_dims={out_dims})"
    given, own = trees.flatten(out_dims)
    if any(d is not None and not isinstance(d, int) for d in given):
        raise ValueError(
            f"{head}: `out_dims` must be an int, None or a python collection of ints representing where in "
            "the outputs the "
            "vmapped dimension should appear."
        )
    if structure.kind is None and isinstance(out_dims, tuple) and len(out_dims) == 1:
        out_dims = out_dims[0]
    places = trees.spread(out_dims, structure)
    if places is None:
        raise ValueError(
            f"{head}(<inputs>): out_dims is not compatible with the structure of `outputs`. out_dims has "
            f"structure {own} but outputs has structure {structure}."
        )
    return places


def _unwrapped(func: Any, level: VmapLevel, result: Any, dim: int | None) -> Any:
    """Return a result with the batch as its visible dimension `dim`."""
    if not isinstance(result, Tensor):
        if dim is None:
            return result
        raise ValueError(_not_a_tensor(func, result))
    if dim is None:
        if is_batched(result, level):
            raise ValueError(
                f"vmap({_name(func)}, ...): `{_name(func)}` can not return a BatchedTensor when out_dim is "
                "None"
            )
        return result
    value = result._value if is_batched(result, level) else level.spread(result)
    at = result._dim if is_batched(result, level) else 0
    _check_place(value, dim)
    return value if at == dim % value._array.ndim else value.movedim(at, dim)


def _not_a_tensor(func: Any, result: Any) -> str:
    return (
        f"vmap({_name(func)}, ...): `{_name(func)}` must only return Tensors, got type {type(result)}. Did "
        "you mean to set out_dims= to None for output?"
    )


def _check_place(value: Tensor, dim: int) -> None:
    rank = value._array.ndim
    if not -rank <= dim < rank:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-rank}, {rank - 1}], but got {dim})"
        )


def _in_chunks(
    call: _Call,
    leaves: list[Any],
    dims: list[int | None],
    structure: trees.Structure,
    size: int,
    chunk: int | Literal["auto"],
) -> Any:
    columns: list[list[Any]] = []
    made: Any = None
    start, step = 0, 1 if chunk == "auto" else chunk
    while start < size:
        count = min(step, size - start)
        part = [x if d is None else x.narrow(d, start, count) for x, d in zip(leaves, dims, strict=True)]
        output, taken = _run(call, part, dims, structure, count)
        results, made = trees.flatten(output)
        columns.append(results)
        start += count
        if chunk == "auto" and start == 1:
            step = max(1, AUTO_BYTES // max(taken, 1))
    places = _out_dims(call.func, call.out_dims, made)
    joined = [
        column[0] if dim is None else TABLE["cat"].function(list(column), dim)
        for column, dim in zip(zip(*columns, strict=True), places, strict=True)
    ]
    return trees.unflatten(joined, made)
