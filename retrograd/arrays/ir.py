"""The array program: what a function does to its arrays, as a flat list of typed instructions.

    program(%0: f64[2,3], %1: f64[3]):
        %2: f64[2,3] = multiply(%0, %1)
        %3: f64[2] = sum(%2, axis=1)
        return %3

An instruction calls one function (see vocabulary.py) on operands: values, Python numbers (which, as in NumPy,
take the dtype of the arrays they meet), other constants of Python such as slices, and tuples of those.
`params` are its keyword
arguments: mostly static, but an op may take arrays by keyword. Every value is made once, and none is ever
written to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Tree: TypeAlias = Any
"""A Value, a constant of Python, or a tuple (or slice) of Trees."""


class ProgramError(RuntimeError):
    """An array program contradicts itself; the message has the line."""


@dataclass(frozen=True, slots=True)
class Value:
    """One array of a program: a number to call it by, its shape and its NumPy dtype."""

    id: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __str__(self) -> str:
        return f"%{self.id}"

    @property
    def type(self) -> str:
        """The value's type as text, e.g. `f32[4,5]`."""
        return f"{short(self.dtype)}[{','.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One call: `outputs = name(*inputs, **params)`."""

    name: str
    inputs: tuple[Tree, ...]
    params: tuple[tuple[str, Any], ...]
    outputs: tuple[Value, ...]

    @property
    def operands(self) -> tuple[Value, ...]:
        """The values among the inputs and params, in order."""
        return (*values(self.inputs), *values([v for _, v in self.params]))

    def __str__(self) -> str:
        given = [text(x) for x in self.inputs] + [f"{k}={text(v)}" for k, v in self.params]
        made = ", ".join(f"{v}: {v.type}" for v in self.outputs)
        return f"{made} = {self.name}({', '.join(given)})"


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """Inputs, constants with their arrays, instructions in order, and the tree of values that comes out."""

    inputs: tuple[Value, ...]
    constants: tuple[tuple[Value, np.ndarray[Any, Any]], ...]
    instructions: tuple[Instruction, ...]
    outputs: Tree

    def __str__(self) -> str:
        given = ", ".join(f"{v}: {v.type}" for v in self.inputs)
        lines = [f"{v}: {v.type} = constant {_data(array)}" for v, array in self.constants]
        lines += [str(i) for i in self.instructions]
        lines.append(f"return {text(self.outputs)}")
        return "\n".join([f"program({given}):", *[f"    {line}" for line in lines]])


_SHORT = {"f": "f", "c": "c", "i": "i", "u": "u"}


def short(dtype: np.dtype[Any]) -> str:
    """Return a dtype's short name: f32, c64, i64, u8, bool, bf16."""
    if dtype.name == "bfloat16":
        return "bf16"
    return f"{_SHORT[dtype.kind]}{8 * dtype.itemsize}" if dtype.kind in _SHORT else dtype.name


def text(tree: Tree) -> str:
    """Return a tree as it stands in a program's text."""
    if isinstance(tree, (tuple, list)):
        inner = ", ".join(text(x) for x in tree)
        return f"({inner},)" if len(tree) == 1 else f"({inner})"
    if isinstance(tree, slice):
        parts = ["" if x is None else text(x) for x in (tree.start, tree.stop, tree.step)]
        return ":".join(parts if parts[2] else parts[:2])
    if isinstance(tree, np.dtype):
        return short(tree)
    if isinstance(tree, type) and issubclass(tree, np.generic):
        return short(np.dtype(tree))
    if isinstance(tree, np.ndarray):
        return f"array {short(tree.dtype)}{list(tree.shape)}"
    if callable(tree):
        return getattr(tree, "__name__", type(tree).__name__)
    return "..." if tree is Ellipsis else str(tree) if isinstance(tree, Value) else repr(tree)


def _data(array: np.ndarray[Any, Any]) -> str:
    """Return a small array's elements; a large one is only named by its type."""
    few = 8  # as many as a line holds
    return repr(array.tolist()) if array.size <= few else "..."


def values(tree: Tree) -> Iterator[Value]:
    """Give the values in a tree, in order."""
    if isinstance(tree, Value):
        yield tree
    elif isinstance(tree, (tuple, list)):
        for item in tree:
            yield from values(item)


def replace(tree: Tree, change: Callable[[Value], Any]) -> Any:
    """Return a tree with every value changed."""
    if isinstance(tree, Value):
        return change(tree)
    if isinstance(tree, (tuple, list)):
        return type(tree)(replace(x, change) for x in tree)
    return tree


def verify(program: Program) -> None:
    """Check that values are defined once, before they are used, and have the types that the calls give.

    Raises:
        ProgramError: they do not; the message names the line.
    """
    from retrograd.arrays.vocabulary import infer  # noqa: PLC0415 - it needs this file

    defined: set[Value] = set()
    ids: set[int] = set()

    def define(value: Value, line: object) -> None:
        if value.id in ids:
            raise ProgramError(f"{value} is defined twice, the second time in: {line}")
        ids.add(value.id)
        defined.add(value)

    def use(tree: Tree, line: object) -> None:
        for value in values(tree):
            if value not in defined:
                what = (
                    "with another type than it is defined with" if value.id in ids else "before it is defined"
                )
                raise ProgramError(f"{value}: {value.type} is used {what} in: {line}")

    for value in program.inputs:
        define(value, "the inputs")
    known: dict[int, Any] = {}
    for value, array in program.constants:
        line = f"{value}: {value.type} = constant"
        define(value, line)
        if (array.shape, array.dtype) != (value.shape, value.dtype):
            raise ProgramError(f"a constant of shape {array.shape} and dtype {array.dtype} in: {line}")
        known[value.id] = array
    for instruction in program.instructions:
        use(instruction.operands, instruction)
        _check_types(
            instruction, infer(instruction.name, instruction.inputs, dict(instruction.params), known)
        )
        for value in instruction.outputs:
            define(value, instruction)
    use(program.outputs, f"return {text(program.outputs)}")


def _check_types(instruction: Instruction, found: Any) -> None:
    wanted = found if isinstance(found, list) else [found]
    have = [(v.shape, v.dtype) for v in instruction.outputs]
    if have != wanted:
        expected = ", ".join(Value(0, *w).type for w in wanted)
        raise ProgramError(f"the call gives {expected}, the line says otherwise: {instruction}")


def tidy(program: Program) -> Program:
    """Return the program without what its outputs do not need, its values numbered in order of appearance."""
    needed = {v.id for v in values(program.outputs)}
    kept: list[Instruction] = []
    for instruction in reversed(program.instructions):
        if any(v.id in needed for v in instruction.outputs):
            kept.append(instruction)
            needed.update(v.id for v in instruction.operands)
    numbers: dict[int, Value] = {}

    def number(value: Value) -> Value:
        found = numbers.get(value.id)
        if found is None:
            found = numbers[value.id] = Value(len(numbers), value.shape, value.dtype)
        return found

    inputs = tuple(number(v) for v in program.inputs)
    constants = tuple((number(v), array) for v, array in program.constants if v.id in needed)
    instructions = tuple(
        Instruction(
            i.name,
            replace(i.inputs, number),
            tuple((k, replace(v, number)) for k, v in i.params),
            tuple(number(v) for v in i.outputs),
        )
        for i in reversed(kept)
    )
    return Program(inputs, constants, instructions, replace(program.outputs, number))
