"""Products over named indices: einsum, and what is written with it.

An operand's *labels* are integers, one per dimension. The product of operands over labels, with the labels
that are not in the output summed over, is linear in each operand, and its adjoint is another such product.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from retrograd.ops.declare import Array, Arrays, Sample, error, sample
from retrograd.ops.families import composite, linear
from retrograd.ops.helpers import numpy_dtype
from retrograd.ops.matmul import grid
from retrograd.ops.reduce import sum as total

Labels = tuple[int, ...]


# ---- the op on labels ----


def _diagonal(x: Any, labels: Labels) -> tuple[Any, Labels]:
    """Take the diagonal of each repeated label."""
    while len(set(labels)) < len(labels):
        first = next(i for i, name in enumerate(labels) if name in labels[i + 1 :])
        second = labels.index(labels[first], first + 1)
        x = np.diagonal(x, 0, first, second)
        labels = (*(name for i, name in enumerate(labels) if i not in (first, second)), labels[first])
    return x, labels


def _sizes(operands: Arrays, inputs: Sequence[Labels]) -> dict[int, int]:
    sizes: dict[int, int] = {}
    for x, labels in zip(operands, inputs, strict=True):
        for name, n in zip(labels, x.shape, strict=True):
            if sizes.get(name, 1) == 1:
                sizes[name] = n
    return sizes


def _simple(x: Any, labels: Labels, sizes: dict[int, int], wanted: set[int]) -> tuple[Any, Labels]:
    """Take diagonals, drop broadcast dimensions of size 1, and sum over labels that nobody else wants."""
    x, labels = _diagonal(x, labels)
    alone = tuple(i for i, name in enumerate(labels) if name not in wanted)
    if alone:
        x = total(x, alone)
    labels = tuple(name for name in labels if name in wanted)
    kept = tuple(name for name, n in zip(labels, x.shape, strict=True) if n == sizes[name])
    if kept != labels:
        x = np.reshape(x, tuple(n for name, n in zip(labels, x.shape, strict=True) if n == sizes[name]))
    return x, kept


def _pair(x: Any, left: Labels, y: Any, right: Labels, wanted: set[int]) -> tuple[Any, Labels]:
    """Multiply two operands, summing over the labels that they share and nobody else wants."""
    if x.dtype.kind == "b" and y.dtype.kind == "b":
        raise NotImplementedError("\"bmm\" not implemented for 'Bool'")
    shared = [name for name in left if name in right]
    summed = [name for name in shared if name not in wanted]
    both = [name for name in shared if name in wanted]
    rows_ = [name for name in left if name not in right]
    columns = [name for name in right if name not in left]
    x = _ordered(x, left, (*both, *rows_, *summed))
    y = _ordered(y, right, (*both, *summed, *columns))
    b, n, k = len(both), len(rows_), len(summed)
    lead, mine, inner, theirs = x.shape[:b], x.shape[b : b + n], x.shape[b + n :], y.shape[b + k :]
    if not summed:
        made = np.reshape(x, (*lead, *mine, *(1,) * len(theirs))) * np.reshape(y, (*lead, *(1,) * n, *theirs))
        return made, (*both, *rows_, *columns)
    batch, size = (math.prod(lead),) if both else (), math.prod(inner)
    made = np.reshape(x, (*batch, math.prod(mine), size)) @ np.reshape(y, (*batch, size, math.prod(theirs)))
    return np.reshape(made, (*lead, *mine, *theirs)), (*both, *rows_, *columns)


def _ordered(x: Any, labels: Labels, wanted: Labels) -> Any:
    return x if labels == wanted else np.transpose(x, tuple(labels.index(name) for name in wanted))


def _operand_cts(ct: Any, operands: Arrays, inputs: Sequence[Labels], output: Labels) -> list[Any]:
    """Return the cotangent of each operand: the product of `ct` and the others, over the operand's labels."""
    sizes = _sizes(operands, inputs)
    fresh = max((name for labels in inputs for name in labels), default=0) + 1
    found = []
    for i, (x, labels) in enumerate(zip(operands, inputs, strict=True)):
        others = [(y, names) for j, (y, names) in enumerate(zip(operands, inputs, strict=True)) if j != i]
        terms, wanted = [(ct, output), *others], []
        present = {
            name for y, names in terms for name, n in zip(names, y.shape, strict=True) if n == sizes[name]
        }
        for n, name in zip(x.shape, labels, strict=True):
            if name in wanted:  # a diagonal: nonzero only where both labels agree
                terms.append((np.eye(n, dtype=numpy_dtype(x.dtype)), (name, fresh)))
                name, fresh = fresh, fresh + 1
            elif n != sizes[name]:  # broadcast: summed over
                terms.append((np.ones(1, numpy_dtype(x.dtype)), (fresh,)))
                name, fresh = fresh, fresh + 1
            elif name not in present:
                terms.append((np.ones(n, numpy_dtype(x.dtype)), (name,)))
            wanted.append(name)
        arrays, names = zip(*terms, strict=True)
        found.append(contract(list(arrays), tuple(names), tuple(wanted)))
    return found


def _node(inputs: Sequence[Labels], output: Labels) -> str:
    if len(inputs) == 1:
        return "SumBackward1" if set(inputs[0]) - set(output) else "PermuteBackward0"
    return "ViewBackward0" if {n for labels in inputs for n in labels} - set(output) else "MulBackward0"


def _batch(op: Any, size: int, args: Any, dims: Any) -> Any:
    """Give the batch a label of its own."""
    operands, inputs, output = args
    fresh = max((name for labels in inputs for name in labels), default=0) + 1
    ready = [x if d is None else np.moveaxis(x, d, 0) for x, d in zip(operands, dims[0], strict=True)]
    labels = tuple(names if d is None else (fresh, *names) for names, d in zip(inputs, dims[0], strict=True))
    return op(ready, labels, (fresh, *output))


def _samples() -> Iterator[Sample]:
    x, y = grid(2, 3), grid(3, 4, shift=1)
    yield sample([x, y], ((0, 1), (1, 2)), (0, 2))
    yield sample([x, y], ((0, 1), (1, 2)), ())
    yield sample([grid(3, 3)], ((0, 0),), (0,))
    yield sample([grid(3, 3)], ((0, 0),), ())
    yield sample([grid(2, 2, 3), grid(2, 3, 2), grid(3)], ((0, 1, 2), (0, 2, 3), (2,)), (3, 0, 1))
    yield sample([grid(3), grid(4)], ((0,), (1,)), (1, 0))
    yield sample([grid(2, 1), y], ((0, 1), (1, 2)), (0, 2))


@linear(
    node=_node,
    operands=_operand_cts,
    jvp={
        "operands": lambda t, operands, inputs, output: _tangent(t, operands, inputs, output),
    },
    kinds="buifc",
    batch=_batch,
    samples=_samples,
    places="nn",
)
def contract(operands: Arrays, inputs: Sequence[Labels], output: Labels) -> Array:
    """Multiply operands over labelled dimensions, from left to right, and sum over labels not in `output`."""
    sizes = _sizes(operands, inputs)
    x, labels = operands[0], inputs[0]
    for i in range(len(operands)):
        later = {name for names in inputs[i + 1 :] for name in names} | set(output)
        if i == 0:
            x, labels = _simple(x, labels, sizes, later)
            continue
        y, names = _simple(operands[i], inputs[i], sizes, later | set(labels))
        x, labels = _pair(x, labels, y, names, later)
        alone = tuple(j for j, name in enumerate(labels) if name not in later)
        if alone:
            x, labels = total(x, alone), tuple(name for name in labels if name in later)
    return _ordered(x, labels, output)


def _tangent(t: Any, operands: Arrays, inputs: Sequence[Labels], output: Labels) -> Any:
    made = None
    for i, tangent in enumerate(t):
        if tangent is not None:
            term = contract([*operands[:i], tangent, *operands[i + 1 :]], inputs, output)
            made = term if made is None else made + term
    return made


# ---- the equation ----


def _fail(what: str) -> RuntimeError:
    return RuntimeError(f"einsum(): {what}")


def _subscripts(part: str, operand: int | None) -> list[Any]:
    """Return a part of an equation as letters and Ellipsis."""
    found: list[Any] = []
    i = 0
    where = "the output" if operand is None else f"operand {operand}"
    while i < len(part):
        letter = part[i]
        if letter == ".":
            if part[i : i + 3] != "..." or Ellipsis in found:
                what = (
                    "for which an ellipsis was already found"
                    if Ellipsis in found
                    else "that is not part of any ellipsis"
                )
                raise _fail(f"found '.' for {where} {what}")
            found.append(Ellipsis)
            i += 2
        elif letter.isascii() and letter.isalpha():
            found.append(letter)
        else:
            raise _fail(
                f"invalid subscript given at index {i} in the equation string, subscripts must be in [a-zA-Z]"
            )
        i += 1
    return found


@lru_cache(maxsize=512)
def _parse(equation: str) -> tuple[tuple[tuple[Any, ...], ...], tuple[Any, ...] | None]:
    left, arrow, right = equation.replace(" ", "").partition("->")
    parts = tuple(tuple(_subscripts(part, i)) for i, part in enumerate(left.split(",")))
    return parts, tuple(_subscripts(right, None)) if arrow else None


def _label_dims(parts: Any, output: Any, shapes: Sequence[Any]) -> tuple[tuple[Labels, ...], Labels]:
    """Return integer labels: for dimensions behind an ellipsis, those below 0, aligned at the right."""
    if len(parts) != len(shapes):
        raise _fail(
            ("fewer" if len(shapes) < len(parts) else "more")
            + " operands were provided than specified in the equation"
        )
    named: list[Labels] = []
    seen: dict[Any, int] = {}
    sizes: dict[int, int] = {}
    widest = 0
    for i, (part, shape) in enumerate(zip(parts, shapes, strict=True)):
        extra = len(shape) - (len(part) - (Ellipsis in part))
        if extra < 0 or (extra and Ellipsis not in part):
            but = "" if Ellipsis in part else " and no ellipsis was given"
            count = len(part) - (Ellipsis in part)
            raise _fail(
                f"the number of subscripts in the equation ({count}) "
                f"{'is more than' if Ellipsis in part else 'does not match'} the number of dimensions "
                f"({len(shape)}) for operand {i}{but}"
            )
        widest = max(widest, extra if Ellipsis in part else 0)
        labels: list[int] = []
        for letter in part:
            labels += range(-extra, 0) if letter is Ellipsis else [seen.setdefault(letter, len(seen))]
        _check_sizes(i, part, labels, shape, sizes, {v: k for k, v in seen.items()})
        named.append(tuple(labels))
    if output is None:
        every = [letter for part in parts for letter in part if letter is not Ellipsis]
        output = ([Ellipsis] if widest else []) + sorted(s for s in set(every) if every.count(s) == 1)
    result: list[int] = []
    for letter in output:
        if letter is Ellipsis:
            result += range(-widest, 0)
        elif letter not in seen:
            raise _fail(f"output subscript {letter} does not appear in the equation for any input operand")
        elif seen[letter] in result:
            raise _fail(f"output subscript {letter} appears more than once in the output")
        else:
            result.append(seen[letter])
    shift = widest  # so that all labels are non-negative
    return tuple(tuple(n + shift for n in labels) for labels in named), tuple(n + shift for n in result)


def _check_sizes(
    i: int, part: Any, labels: list[int], shape: Any, sizes: dict[int, int], letters: dict[int, Any]
) -> None:
    mine: dict[int, int] = {}
    for name, n in zip(labels, shape, strict=True):
        if mine.setdefault(name, n) != n:
            raise _fail(
                f"subscript {letters[name]} is repeated for operand {i} but the sizes don't match, {n} != "
                f"{mine[name]}"
            )
        had = sizes.get(name, 1)
        if had != 1 and n not in (1, had):
            what = f"subscript {letters[name]}" if name >= 0 else "a dimension behind the ellipsis"
            raise _fail(
                f"{what} has size {n} for operand {i} which does not broadcast with previously seen size "
                f"{had}"
            )
        if n != 1:
            sizes[name] = n


@composite(
    samples=lambda: [
        sample("bij,bjk->bik", grid(2, 2, 3), grid(2, 3, 2)),
        sample("ij,...j", grid(2, 3), grid(2, 2, 3)),
        sample("ii", grid(3, 3)),
        sample(grid(2, 3), [0, 1], grid(3), [1], [0]),
    ],
    errors=lambda: [
        error(
            RuntimeError,
            "subscript j has size 4 for operand 1 which does not",
            "ij,jk",
            grid(2, 3),
            grid(4, 2),
        ),
        error(RuntimeError, "fewer operands were provided", "ij,jk", grid(2, 3)),
        error(RuntimeError, "output subscript k does not appear", "ij->ik", grid(2, 3)),
    ],
    places="torch",
)
def einsum(equation: Array, *operands: Any) -> Any:
    """Sum products of operands over named dimensions, e.g. `einsum("bij,bjk->bik", x, y)`.

    Also `einsum(x, [0, 1], y, [1, 2], [0, 2])`, with labels 0 to 51.

    Raises:
        RuntimeError: the equation does not fit the operands.
    """
    if not isinstance(equation, str):
        equation, operands = _from_lists((equation, *operands))
    elif not operands:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, or at least one operand "
            "and its subscripts list"
        )
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    parts, output = _parse(equation)
    inputs, result = _label_dims(parts, output, [x.shape for x in operands])
    return contract(list(operands), inputs, result)


def _from_lists(args: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    def text(labels: Any) -> str:
        return "".join("..." if n is Ellipsis else _letter(int(n)) for n in labels)

    count = len(args) // 2
    equation = ",".join(text(labels) for labels in args[1 : 2 * count : 2])
    if len(args) % 2:
        equation += "->" + text(args[-1])
    return equation, args[: 2 * count : 2]


def _letter(n: int) -> str:
    if not 0 <= n < 52:
        raise ValueError(f"einsum(): expected subscripts to be within the range [0, 52), but got {n}")
    return chr(ord("A") + n) if n < 26 else chr(ord("a") + n - 26)


@composite(
    samples=lambda: [
        sample(grid(2, 3), grid(2, 4), grid(5, 3, 4)),
        sample(grid(2, 2, 3), grid(2, 2, 4), grid(5, 3, 4), grid(5)),
    ],
    errors=lambda: [
        error(
            RuntimeError,
            "bilinear(): input2 size does not match weight size: got 5 but expected 4",
            grid(2, 3), grid(2, 5), grid(5, 3, 4),
        )
    ],
    out=False,
    places="nn.functional torch",
)  # fmt: skip
def bilinear(input1: Array, input2: Array, weight: Array, bias: Array | None = None) -> Array:
    """Apply a bilinear map: (..., i), (..., j), (o, i, j) -> (..., o)."""
    if input1.ndim != input2.ndim:
        raise RuntimeError(f"bilinear(): input dimensions do not match: got {input1.ndim} and {input2.ndim}")
    for d, (n, m) in enumerate(zip(input1.shape[:-1], input2.shape[:-1], strict=True)):
        if n != m:
            raise RuntimeError(f"bilinear(): input batch dimensions do not match at dim {d}: got {n} and {m}")
    for name, x, dim in (("input1", input1, 1), ("input2", input2, 2)):
        if x.shape[-1] != weight.shape[dim]:
            raise RuntimeError(
                f"bilinear(): {name} size does not match weight size: got {x.shape[-1]} but expected "
                f"{weight.shape[dim]}"
            )
    lead = tuple(range(3, 3 + input1.ndim - 1))
    made = contract([input1, weight, input2], ((*lead, 0), (2, 0, 1), (*lead, 1)), (*lead, 2))
    return made if bias is None else made + bias
