"""From an array program to a callable: what every way of running a program has in common."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from retrograd.arrays import Program, ProgramError, evaluate

Array = np.ndarray[Any, Any]


class Executable(Protocol):
    """A program that can be run: arrays in, one per input, and a tuple of arrays out, one per output.

    An output that updates an input is written into that input's memory, after every read of its old value,
    and the tuple holds the input array in its place. The other outputs are arrays that nobody else holds.
    """

    program: Program

    def __call__(self, *arrays: Array) -> tuple[Array, ...]:
        """Run the program.

        Raises:
            TypeError: the arrays are not of the number, shapes and dtypes of the program's inputs.
        """


class Evaluated:
    """Runs a program in NumPy, one instruction after the other: all there is without LLVM."""

    def __init__(self, program: Program, updates: Mapping[int, int]) -> None:
        self.program = program
        self.updates = dict(updates)

    def __call__(self, *arrays: Array) -> tuple[Array, ...]:
        given = {id(array) for array in (*arrays, *(a for _, a in self.program.constants))}
        results = [
            np.array(r) if id(r) in given or r.base is not None else r
            for r in evaluate(self.program, *arrays)
        ]
        for output, target in self.updates.items():
            arrays[target][...] = results[output]
            results[output] = arrays[target]
        return tuple(results)


def build(
    program: Program, updates: Mapping[int, int] = MappingProxyType({}), *, name: str = "program"
) -> Executable:
    """Make a program callable.

    Args:
        program: its outputs are a flat tuple of values.
        updates: which outputs are written into the memory of which inputs, by position.
        name: what listings and logs call it.

    Raises:
        ProgramError: an output is not of the type of the input that it updates.
    """
    for output, target in updates.items():
        new, old = program.outputs[output], program.inputs[target]
        if (new.shape, new.dtype) != (old.shape, old.dtype):
            raise ProgramError(f"{name}: {new}: {new.type} updates {old}: {old.type}")
    if not _has_llvm():
        return Evaluated(program, updates)
    from retrograd.native.machine import Machine  # noqa: PLC0415 - what it needs is loaded when a program is built

    return Machine(program, updates, name)


@cache
def _has_llvm() -> bool:
    return importlib.util.find_spec("llvmlite") is not None
