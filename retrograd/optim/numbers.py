"""The numbers of an optimizer's step, for a program that runs at every step.

What `prepare` makes of the learning rate and the count of steps differs from step to step: such a number is
an input of the program. `update` may compute with it before it meets an array (`1 - n.beta1`), so it is a
`Number`, which writes down what is done to it, to be done again, in Python's own floats, before each run.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

import numpy as np

from retrograd.arrays import Recorder, Traced
from retrograd.arrays.ir import Value
from retrograd.arrays.traced import Scalar, place, refused
from retrograd.errors import UntraceableError


class Number(Scalar):
    """A number of a step, and the expression that it is of what `prepare` returns (`n`)."""

    __slots__ = ("step", "text", "value")

    def __init__(self, step: Numbers, text: str, value: Any) -> None:
        self.step = step
        self.text = text
        self.value = value

    def of(self, recorder: Recorder) -> Traced:
        """Return the input that the number is in the program."""
        return self.step.input(recorder, self)

    def __bool__(self) -> bool:
        return bool(self.__ne__(0))

    def __neg__(self) -> Number:
        return Number(self.step, f"(-{self.text})", -self.value)

    def __float__(self) -> float:
        raise refused(UntraceableError(f"an optimizer's update makes a float of a number, at {place()}"))

    __hash__ = None  # type: ignore[assignment]


def _text(value: Any) -> str:
    return (
        value.text
        if isinstance(value, Number)
        else f"float({str(value)!r})"
        if value != value or abs(value) == float("inf")
        else repr(value)
    )


def _arithmetic(symbol: str, *, swapped: bool = False) -> Any:
    calculate: Callable[[Any, Any], Any] = eval(f"lambda a, b: a {symbol} b")  # noqa: S307 - our own text

    def method(self: Number, other: Any) -> Any:
        if not isinstance(other, (int, float, Number)):
            return NotImplemented
        a, b = (other, self) if swapped else (self, other)
        found = calculate(*(x.value if isinstance(x, Number) else x for x in (a, b)))
        return Number(self.step, f"({_text(a)} {symbol} {_text(b)})", found)

    return method


def _comparison(symbol: str) -> Any:
    compare: Callable[[Any, Any], bool] = eval(f"lambda a, b: a {symbol} b")  # noqa: S307 - our own text

    def method(self: Number, other: Any) -> Any:
        if not isinstance(other, (int, float, Number)):
            return NotImplemented
        found = compare(self.value, other.value if isinstance(other, Number) else other)
        self.step.conditions.append(f"({self.text} {symbol} {_text(other)}) is {found}")
        return found

    return method


for _name, _symbol in {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "pow": "**"}.items():
    setattr(Number, f"__{_name}__", _arithmetic(_symbol))
    setattr(Number, f"__r{_name}__", _arithmetic(_symbol, swapped=True))
for _name, _symbol in {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}.items():
    setattr(Number, f"__{_name}__", _comparison(_symbol))


class Numbers:
    """What `prepare` returned, as `update` takes it when it is traced.

    Args:
        given: what `prepare` returned for this step.
        probes: what it returns for a later step and for another learning rate: what differs is an input.
        dtype: of the arrays.
    """

    def __init__(self, given: Any, probes: list[Any], dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.conditions: list[str] = []
        self.inputs: dict[str, tuple[np.ndarray[Any, Any], Value]] = {}
        numbers: list[Any] = []
        static = []
        for i, value in enumerate(given):
            if type(value) in (int, float) and any(p[i] != value for p in probes):
                numbers.append(Number(self, f"n[{i}]", value))
            else:
                numbers.append(value)
                static.append(i)
        self._static: Callable[[Any], Any] = itemgetter(*static) if static else lambda _: None
        self._expected = self._static(given)
        self.given = type(given)(*numbers) if hasattr(given, "_fields") else tuple(numbers)
        self._fill: Any = None
        self._holds: Any = None

    def input(self, recorder: Recorder, number: Number) -> Traced:
        """Return the input of a number: one for each expression."""
        found = self.inputs.get(number.text)
        if found is None:
            array = np.array(number.value, self.dtype)
            found = self.inputs[number.text] = array, recorder.input(array)._value
        return recorder.input(found[0])

    def close(self) -> None:
        """Write the code that computes the numbers, once all of them are known."""
        names: dict[str, Any] = {f"a{k}": array for k, (array, _) in enumerate(self.inputs.values())}
        lines = [f"    a{k}[()] = {text}" for k, text in enumerate(self.inputs)]
        source = "\n".join(["def fill(n):", *lines, "    return True", ""])
        source += f"def holds(n):\n    return {' and '.join(self.conditions) or True}\n"
        exec(compile(source, "<retrograd step>", "exec"), names)  # noqa: S102 - our own text, written above
        self._fill, self._holds = names["fill"], names["holds"]

    def fill(self, given: Any) -> bool:
        """Put the numbers of another step into the inputs; False if the program is not the one for them."""
        if self._static(given) != self._expected or not self._holds(given):
            return False
        self._fill(given)
        return True

    @property
    def arrays(self) -> tuple[np.ndarray[Any, Any], ...]:
        """The arrays of the inputs, in the order in which `update` asked for them."""
        return tuple(array for array, _ in self.inputs.values())
