"""Recording: what is done to traced arrays, gathered into an array program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from threading import get_ident
from typing import Any

import numpy as np

from retrograd.arrays.handles import Move, link, now
from retrograd.arrays.ir import Instruction, Program, Tree, Value, tidy
from retrograd.arrays.traced import Scalar, Traced, has_arrays, place, refused, value_dependent
from retrograd.arrays.vocabulary import ValueDependentError, infer

ndarray = np.ndarray


def has_numbers(tree: Iterable[Any]) -> bool:
    return any(isinstance(x, Scalar) for x in tree)


class Recorder:
    """The program as it grows: gives out values and keeps each array that the function brings along."""

    def __init__(self) -> None:
        self.thread = get_ident()
        self._weak: Any = np.dtype(np.float64)  # what a Python number is in the instruction being made
        self.count = 0
        self.seen: set[int] = set()  # values whose shape or dtype somebody asked for
        self.laid: set[int] = set()  # values of which it was asked how they lie in memory
        self.inputs: list[Value] = []
        self.arrays: dict[int, ndarray[Any, Any]] = {}  # of the inputs, by value
        self.handles: dict[int, tuple[ndarray[Any, Any], Traced]] = {}
        self.constants: dict[int, tuple[Value, ndarray[Any, Any]]] = {}
        self.known: dict[int, ndarray[Any, Any]] = {}
        self.instructions: list[Instruction] = []

    def value(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Value:
        """Return a new value."""
        self.count += 1
        return Value(self.count - 1, shape, dtype)

    def input(self, array: ndarray[Any, Any]) -> Traced:
        """Return the handle of an input; one and the same for one and the same array."""
        found = self.handles.get(id(array))
        if found is None:
            value = self.value(array.shape, array.dtype)
            self.inputs.append(value)
            self.arrays[value.id] = array
            found = self.handles[id(array)] = array, Traced(self, value)
        return found[1]

    def constant(self, array: ndarray[Any, Any]) -> Value:
        """Return the value of an array that the function brought along; it is held, not copied."""
        if id(array) in self.handles:
            return now(self.handles[id(array)][1])
        found = self.constants.get(id(array))
        if found is None:
            found = self.constants[id(array)] = self.value(array.shape, array.dtype), array
            self.known[found[0].id] = array
        return found[0]

    def operand(self, given: Any) -> Tree:
        """Return an argument as an instruction has it."""
        if isinstance(given, Traced):
            if given._recorder is not self:
                raise TypeError(f"a traced array of another trace is used, at {place()}")
            return now(given)
        if isinstance(given, Scalar):
            return now(given.of(self._weak))
        if isinstance(given, (ndarray, np.generic)):
            return self.constant(np.asarray(given))
        if hasattr(type(given), "__array_ufunc__"):
            raise TypeError(
                f"a {type(given).__name__} cannot be used together with a traced array, at {place()}; "
                "give it to the traced function as an argument"
            )
        if isinstance(given, (tuple, list)):
            return tuple(self.operand(x) for x in given)
        if isinstance(given, slice) and any(
            isinstance(x, Traced) for x in (given.start, given.stop, given.step)
        ):
            raise value_dependent("a slice", "use fixed bounds, or np.where with a mask")
        return given

    def emit(self, name: str, inputs: Sequence[Any], params: dict[str, Any]) -> Any:
        """Record a call and return the handle (a tuple of handles) of what it returns."""
        if get_ident() != self.thread:
            raise RuntimeError(
                "a tensor is used in one thread while a function that uses it is being compiled in "
                f"another, at {place()}; let the first call of the compiled function return before"
            )
        if has_numbers(inputs) or has_numbers(params.values()):
            kinds = [x.dtype for x in (*inputs, *params.values()) if isinstance(x, (Traced, ndarray))]
            self._weak = np.result_type(*kinds, 1.0)  # as NumPy promotes Python's floats
        operands = tuple(self.operand(x) for x in inputs)
        static = {k: self.operand(v) if has_arrays(v) else v for k, v in params.items()}
        try:
            found = infer(name, operands, static, self.known)
        except ValueDependentError as error:
            raise refused(ValueDependentError(f"{error}, at {place()}")) from None
        made = tuple(self.value(*t) for t in (found if isinstance(found, list) else [found]))
        self.instructions.append(Instruction(name, operands, tuple(static.items()), made))
        handles = tuple(Traced(self, v) for v in made)
        return handles if isinstance(found, list) else handles[0]

    def move(self, name: str, x: Traced, rest: Sequence[Any], params: dict[str, Any]) -> Any:
        """Record a call that moves elements; where NumPy would return a view, so are the handles."""
        made = self.emit(name, (x, *rest), params)
        return link(x, made, Move(name, tuple(rest), dict(params)))


def trace(function: Callable[..., Any], *examples: Any) -> Program:
    """Run a function on traced arrays in place of example arrays, and return what it did as a program.

    Arrays that the function brings along are constants of the program. They are held, not copied: nobody may
    write to them afterwards.

    Args:
        function: takes and returns arrays, or tuples and lists of them.
        examples: arrays (each distinct one becomes one input of the program, in order of appearance), tuples
            and lists of arrays, and anything else, which is passed on and so is a constant of the program.

    Example:
        >>> print(trace(lambda x, y: 2.0 * x + y, np.ones((2, 3)), np.ones(3)))
        program(%0: f64[2,3], %1: f64[3]):
            %2: f64[2,3] = multiply(2.0, %0)
            %3: f64[2,3] = add(%2, %1)
            return %3
    """
    recorder = Recorder()

    def handle(x: Any) -> Any:
        if isinstance(x, (tuple, list)):
            return type(x)(handle(item) for item in x)
        return recorder.input(x) if isinstance(x, ndarray) else x

    outputs = recorder.operand(function(*[handle(x) for x in examples]))
    constants = tuple(recorder.constants.values())
    program = Program(tuple(recorder.inputs), constants, tuple(recorder.instructions), outputs)
    return tidy(program)
