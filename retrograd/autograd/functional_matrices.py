"""Jacobians and Hessians as torch.autograd.functional has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograd.autograd.dual import DualLevel
from retrograd.autograd.forward_ad import with_tangent
from retrograd.autograd.functional_arguments import (
    NEEDED_TWICE,
    NO_GRAPH,
    OUTPUTS,
    UNUSED,
    as_tuple,
    finished,
    or_zeros,
    pulled_back,
    require_graph,
    require_outputs,
    require_used,
    scalar_output,
    tracked_inputs,
    unpacked,
    zeros,
)  # fmt: skip
from retrograd.autograd.levels import entered
from retrograd.autograd.modes import enable_grad, local
from retrograd.autograd.rows import jacobian_rows
from retrograd.ops.declare import TABLE
from retrograd.tensor import Tensor, history, wrap

_INDEPENDENT = (
    "Output {number} of the user-provided function is independent of input {i}. This is not allowed in "
    "strict mode."
)
_HINT = (
    ' Hint: If your function has more outputs than inputs, "forward-mode" tends to be more performant. '
    "Otherwise, prefer to "
    'use "reverse-mode".'
)


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
        is_tuple, xs = tracked_inputs(inputs, "jacobian", create_graph)
        outputs_tuple, outputs = as_tuple(func(*xs), OUTPUTS, "jacobian")
        if strict:
            require_outputs(outputs)
        if vectorize:
            if strict:
                raise RuntimeError(
                    "torch.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not "
                    "supported together. Please either set `strict=False` or `vectorize=False`."
                )
            rows = [_rows_at_once(output, xs, create_graph) for output in outputs]
        else:
            rows = [_rows(i, output, xs, create_graph, strict) for i, output in enumerate(outputs)]
    return unpacked(finished(tuple(rows), create_graph), (outputs_tuple, is_tuple))


def _rows(number: int, output: Tensor, xs: Sequence[Tensor], graph: bool, strict: bool) -> tuple[Tensor, ...]:
    """Return the rows of one output: numbers in batches, as large as memory allows; else one by one."""
    if not graph:
        found = _numbers(output, xs)
        if found is not None:
            if strict:
                require_used(found, _INDEPENDENT.format(number=number, i="{i}"))
            return _in_shape(output, xs, found)
    return _rows_one_by_one(number, output, xs, graph, strict)


def _numbers(output: Tensor, xs: Sequence[Tensor]) -> list[Tensor | None] | None:
    """Return the rows by each input, None for zeros; None where a batch cannot get them."""
    node = history(output)
    if node is None or local.levels or output._array.size == 0:
        return None
    root = (node, output._array.shape, output._array.dtype)
    found = jacobian_rows([root], [history(x) for x in xs])
    return None if found is None else [None if rows is None else wrap(rows) for rows in found]


def _in_shape(output: Tensor, xs: Sequence[Tensor], found: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    """Return rows in the shape of an output's Jacobian by each input."""
    shapes = [(*output._array.shape, *x._array.shape) for x in xs]
    return tuple(
        wrap(np.zeros(s, x._array.dtype)) if g is None else TABLE["view"].function(g, s)
        for g, x, s in zip(found, xs, shapes, strict=True)
    )


def _rows_at_once(output: Tensor, xs: Sequence[Tensor], graph: bool) -> tuple[Tensor, ...]:
    if not graph:
        rows = _numbers(output, xs)
        if rows is not None:
            return _in_shape(output, xs, rows)
    count = output._array.size
    identity = np.eye(count, dtype=output._array.dtype).reshape(count, *output._array.shape)
    found = pulled_back([output], xs, [wrap(identity)], graph=graph, batched=True)
    return _in_shape(output, xs, found)


def _rows_one_by_one(
    number: int, output: Tensor, xs: Sequence[Tensor], graph: bool, strict: bool
) -> tuple[Tensor, ...]:
    rows: list[tuple[Tensor, ...]] = []
    flat = output._array.size
    for k in range(flat):
        ct = np.zeros(flat, output._array.dtype)
        ct[k] = 1
        found = pulled_back([output], xs, [wrap(ct.reshape(output._array.shape))], graph=graph)
        if strict:
            require_used(
                found,
                _INDEPENDENT.format(number=number, i="{i}"),
            )
        row = or_zeros(found, xs)
        if strict and graph:
            require_graph(row, NO_GRAPH)
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
    is_tuple, xs = as_tuple(inputs, "inputs", "jacobian")
    sizes = [x._array.size for x in xs]
    directions = _construct_standard_basis_for(xs, sizes)
    batch, level = VmapLevel(sum(sizes)), DualLevel()
    with entered(batch), entered(level):
        duals = []
        for x, rows in zip(xs, directions, strict=True):
            tangent = batch.wrap(wrap(rows._array.reshape(-1, *x._array.shape)), 0)
            duals.append(with_tangent(x, tangent, level))
        outputs_tuple, outputs = as_tuple(func(*duals), OUTPUTS, "jacobian")
    found = []
    for output in outputs:
        tangent = level.tangent(output)
        shape = output._array.shape
        columns = batch.spread(zeros(output) if tangent is None else tangent)
        turned = columns.movedim(0, -1)
        parts = TABLE["split_with_sizes"].function(turned, tuple(sizes), -1)
        found.append(tuple(p.reshape((*shape, *x._array.shape)) for p, x in zip(parts, xs, strict=True)))
    return unpacked(tuple(found), (outputs_tuple, is_tuple))


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
    is_tuple, xs = as_tuple(inputs, "inputs", "hessian")
    if outer_jacobian_strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode".')

    def gradient(*given: Tensor) -> Any:
        if outer_jacobian_strategy == "forward-mode":
            given = tuple(x if history(x) is not None else x.requires_grad_() for x in given)
        output = scalar_output(func, given, "hessian")
        if strict:
            require_outputs([output])
        with enable_grad():
            found = pulled_back([output], given, [None], graph=True)
        if strict:
            require_used(found, UNUSED)
        made = or_zeros(found, given)
        if strict:
            require_graph(made, NEEDED_TWICE)
        return made

    if outer_jacobian_strategy == "forward-mode":
        xs = tuple(x.detach().requires_grad_() for x in xs)
    found = jacobian(gradient, xs, create_graph, strict, vectorize, outer_jacobian_strategy)
    return unpacked(found, (is_tuple, is_tuple))
