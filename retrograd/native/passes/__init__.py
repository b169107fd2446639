"""What is done to an array program before kernels are made of it: a flat list, read from top to bottom.

Every pass takes a program and returns one that computes the same, in the same vocabulary: the evaluator and
the verifier serve between any two of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from retrograd.arrays import Program
from retrograd.native.passes.canonical import canonical
from retrograd.native.passes.common import common
from retrograd.native.passes.narrow import narrow
from retrograd.native.passes.outputs import outputs
from retrograd.native.passes.pieces import pieces
from retrograd.native.passes.simplify import simplify

Pass: TypeAlias = Callable[[Program], Program]

PASSES: tuple[Pass, ...] = (narrow, canonical, simplify, common, outputs, pieces)


def prepare(program: Program, seen: Callable[[str, Program], None] | None = None) -> Program:
    """Run all passes; `seen` is shown the program after each."""
    for each in PASSES:
        program = each(program)
        if seen is not None:
            seen(each.__name__, program)
    return program
