"""Indices into arrays as affine expressions of loop variables: what a view does to them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from retrograd.arrays import Instruction, Value


@dataclass(frozen=True, slots=True)
class Var:
    """A loop variable: dimension number `dim` of a kernel's frame."""

    dim: int


@dataclass(frozen=True, slots=True)
class Looked:
    """An index that is read from an array: the element of `value` at `index`, checked to lie below `size`.

    Where it `wraps`, one below 0 counts from the end.
    """

    value: Value
    index: tuple[Affine, ...]
    size: int
    wraps: bool = False


@dataclass(frozen=True, slots=True)
class Affine:
    """A sum of multiples of variables, and a constant."""

    terms: tuple[tuple[Var | Looked, int], ...] = ()
    constant: int = 0

    def __add__(self, other: Affine) -> Affine:
        found = dict(self.terms)
        for variable, factor in other.terms:
            found[variable] = found.get(variable, 0) + factor
        terms = tuple(sorted(((v, f) for v, f in found.items() if f), key=_order))
        return Affine(terms, self.constant + other.constant)

    def scaled(self, factor: int) -> Affine:
        """Return the expression times a number."""
        if factor == 0:
            return ZERO
        return Affine(tuple((v, f * factor) for v, f in self.terms), self.constant * factor)

    def plus(self, number: int) -> Affine:
        """Return the expression plus a number."""
        return Affine(self.terms, self.constant + number)


def _order(term: tuple[Var | Looked, int]) -> tuple[int, int]:
    variable = term[0]
    return (0, variable.dim) if isinstance(variable, Var) else (1, variable.value.id)


ZERO = Affine()
Index = tuple[Affine, ...]


def of(variable: Var | Looked) -> Affine:
    """Return a variable as an expression."""
    return Affine(((variable, 1),))


def strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the strides, in elements, of a contiguous array."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def offset(index: Iterable[Affine], shape: Sequence[int]) -> Affine:
    """Return the position of an element of a contiguous array."""
    total = ZERO
    for each, stride in zip(index, strides(shape), strict=True):
        total = total + each.scaled(stride)
    return total


def broadcast(index: Index, shape: Sequence[int]) -> Index:
    """Return the index into an operand of `shape`, given the index into what it is broadcast to."""
    own = index[len(index) - len(shape) :]
    return tuple(ZERO if n == 1 else i for i, n in zip(own, shape, strict=True))


class NotAffineError(Exception):
    """An index would need a division: the array must lie in memory."""


VIEWS = frozenset({"reshape", "transpose", "broadcast_to", "flip", "diagonal"})


def is_view(instruction: Instruction) -> bool:
    """Whether an instruction only says which elements of its operand its result has."""
    if instruction.name == "getitem":
        return isinstance(instruction.inputs[0], Value) and is_basic(instruction.inputs[1])
    return instruction.name in VIEWS and isinstance(instruction.inputs[0], Value)


def is_basic(index: Any) -> bool:
    """Whether an index is made of numbers and slices only."""
    items = index if isinstance(index, tuple) else (index,)
    return all(
        i is None or i is Ellipsis or (isinstance(i, int) and not isinstance(i, bool)) or isinstance(i, slice)
        for i in items
    )


def through(view: Instruction, index: Index) -> Index:
    """Return the index into a view's operand that an index into the view means.

    Raises:
        NotAffineError: it is no affine expression.
    """
    source: Value = view.inputs[0]
    params = dict(view.params)
    if view.name == "reshape":
        return _reshaped(index, view.outputs[0].shape, source.shape)
    if view.name == "transpose":
        found = [ZERO] * len(index)
        for each, axis in zip(index, params["axes"], strict=True):
            found[axis] = each
        return tuple(found)
    if view.name == "broadcast_to":
        return broadcast(index, source.shape)
    if view.name == "flip":
        axis = params.get("axis")
        rank = len(source.shape)
        given = range(rank) if axis is None else (axis,) if isinstance(axis, int) else axis
        axes = {a % rank for a in given}
        return tuple(
            each.scaled(-1).plus(n - 1) if i in axes else each
            for i, (each, n) in enumerate(zip(index, source.shape, strict=True))
        )
    if view.name == "diagonal":
        return _diagonal(index, source.shape, **params)
    return _taken(index, view.inputs[1], source.shape)


def _diagonal(index: Index, shape: Sequence[int], offset: int = 0, axis1: int = 0, axis2: int = 1) -> Index:
    rank = len(shape)
    first, second = axis1 % rank, axis2 % rank
    rest = iter(index[:-1])
    along = index[-1]
    return tuple(
        along.plus(max(-offset, 0)) if i == first
        else along.plus(max(offset, 0)) if i == second
        else next(rest)
        for i in range(rank)
    )  # fmt: skip


def _taken(index: Index, given: Any, shape: Sequence[int]) -> Index:
    items = list(given) if isinstance(given, tuple) else [given]
    if Ellipsis in items:
        at = items.index(Ellipsis)
        missing = len(shape) - sum(i is not None and i is not Ellipsis for i in items)
        items[at : at + 1] = [slice(None)] * missing
    items += [slice(None)] * (len(shape) - sum(i is not None for i in items))
    found = []
    places = iter(index)
    sizes = iter(shape)
    for item in items:
        if item is None:
            next(places)
            continue
        size = next(sizes)
        if isinstance(item, slice):
            start, _, step = item.indices(size)
            found.append(next(places).scaled(step).plus(start))
        else:
            found.append(Affine((), int(item) % size))
    return tuple(found)


def _reshaped(index: Index, new: Sequence[int], old: Sequence[int]) -> Index:
    """Match runs of dimensions of equal product: of each, one side must be a single dimension."""
    if 0 in new:
        return (ZERO,) * len(old)  # there are no elements to ask for
    found: list[Affine] = []
    i = j = 0
    while i < len(new) or j < len(old):
        i_end, j_end = i, j
        product_new = product_old = 1
        while True:
            if i_end < len(new) and (product_new <= product_old or j_end >= len(old)):
                product_new *= new[i_end]
                i_end += 1
            elif j_end < len(old):
                product_old *= old[j_end]
                j_end += 1
            if product_new == product_old and (i_end > i or i_end == len(new)):
                break
        found += _run(index[i:i_end], new[i:i_end], old[j:j_end])
        i, j = i_end, j_end
    return tuple(found)


def _run(index: Index, new: Sequence[int], old: Sequence[int]) -> list[Affine]:
    wide = [n for n in old if n != 1]
    if len(wide) > 1:
        given = [(i, n) for i, n in zip(index, new, strict=True) if n != 1]
        if [n for _, n in given] == wide:
            places = iter([i for i, _ in given])
            return [ZERO if n == 1 else next(places) for n in old]
        raise NotAffineError
    flat = offset(index, new)
    return [ZERO if n == 1 else flat for n in old]
