"""What a program becomes: a list of steps, of which loops are the most."""

from __future__ import annotations

from dataclasses import dataclass, field

from retrograd.arrays import Instruction, Value
from retrograd.native.affine import Affine, Index, Var, of


@dataclass(eq=False, slots=True)
class Store:
    """A value that a loop writes to memory: `target` is the array, `at` the position for each iteration."""

    value: Value
    target: Value
    at: Affine


AFTER = frozenset({"column", "full", "rows", "scatter"})
"""The kinds of reductions that are there when their loop has ended, and not before."""


@dataclass(eq=False, slots=True)
class Loop:
    """One pass over a frame: pointwise calls and reductions fused.

    `frame` has the sizes of the dimensions, none of them 1. With a `split`, the dimensions before it number
    the *rows*; a row's inner dimensions are swept as often as reductions of the row, on which the rest of the
    row depends, ask for.
    """

    frame: tuple[int, ...]
    split: int | None = None
    members: dict[Value, Instruction] = field(default_factory=dict)
    reductions: dict[Value, str] = field(default_factory=dict)
    """What kind each is: `row` (over a row's inner dimensions), `column` (over the rows), `full` (over all),
    `rows` (of one number per row, over the rows), `scatter` (to positions that are read).
    """
    stores: list[Store] = field(default_factory=list)
    touched: set[Value] = field(default_factory=set)

    @property
    def is_serial(self) -> bool:
        """Whether the loop runs in one thread, from the first element to the last."""
        return "scatter" in self.reductions.values()


@dataclass(eq=False, slots=True)
class Product:
    """A product of matrices, and what is done to its elements before they are written."""

    instruction: Instruction


@dataclass(eq=False, slots=True)
class Host:
    """A call that NumPy makes: views of stored arrays, then the call itself."""

    views: tuple[Instruction, ...]
    instruction: Instruction


Step = Loop | Product | Host


def squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without its dimensions of size 1."""
    return tuple(n for n in shape if n != 1)


def canonical_index(shape: tuple[int, ...]) -> Index:
    """Return the index of a value of this shape at the frame's position: its wide dimensions in order."""
    found = []
    dim = 0
    for n in shape:
        if n == 1:
            found.append(Affine())
        else:
            found.append(of(Var(dim)))
            dim += 1
    return tuple(found)
