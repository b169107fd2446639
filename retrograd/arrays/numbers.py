"""Numbers that are known only when the program runs: computed in Python before each run, then inputs.

A `Number` stands for a Python float while a function is traced. Arithmetic with other Python numbers is
written down, to be done again before each run, in Python's own floats; where it meets an array it is an input
without dimensions, of the dtype that a Python float takes there. A comparison is answered, and the answer
becomes a condition of the trace. Whatever else would need its value asks the owner, who may refuse.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd.arrays.ir import Value
from retrograd.arrays.recorder import Recorder
from retrograd.arrays.traced import Scalar, Traced


class Owner:
    """Where numbers come from: their inputs, and what must hold of them."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.conditions: list[str] = []
        self.inputs: dict[tuple[str, Any], tuple[np.ndarray[Any, Any], Value]] = {}

    def input(self, number: Number, dtype: Any) -> Traced:
        """Return the input of a number: one for each expression and dtype."""
        key = number.text, np.dtype(dtype)
        found = self.inputs.get(key)
        if found is None:
            array = np.array(number.value, dtype)
            found = self.inputs[key] = array, self.recorder.input(array)._value
        return self.recorder.input(found[0])

    def force(self, number: Number, why: str) -> Any:
        """Answer, or raise, where Python needs the value."""
        raise NotImplementedError


class Number(Scalar):
    """A float, and the expression that it is of what its owner names."""

    __slots__ = ("owner", "text", "value")

    def __init__(self, owner: Owner, text: str, value: Any) -> None:
        self.owner = owner
        self.text = text
        self.value = value

    @property  # type: ignore[misc] # on purpose
    def __class__(self) -> Any:
        """Python's float, for who asks `isinstance`."""
        return float

    def of(self, dtype: Any) -> Traced:
        """Return the input that the number is in the program."""
        return self.owner.input(self, dtype)

    def __bool__(self) -> bool:
        return bool(self.__ne__(0))

    def __neg__(self) -> Number:
        return Number(self.owner, f"(-{self.text})", -self.value)

    def __pos__(self) -> Number:
        return self

    def __abs__(self) -> Number:
        return Number(self.owner, f"abs({self.text})", abs(self.value))

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self.owner.force(self, "an array"), dtype)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(float, name):
            raise AttributeError(f"'float' object has no attribute '{name}'")
        return getattr(self.owner.force(self, f".{name}"), name)


def _text(value: Any) -> str:
    """Return a number as it stands in code."""
    if isinstance(value, Scalar):
        return value.text  # type: ignore[attr-defined, no-any-return]
    return repr(value) if math.isfinite(value) else f"float({str(value)!r})"


def _value(value: Any) -> Any:
    return value.value if isinstance(value, Scalar) else value  # type: ignore[attr-defined]


def _is_number(value: Any) -> bool:
    return type(value) is Number or type(value) in (int, float, bool)


def _arithmetic(symbol: str, *, swapped: bool = False) -> Any:
    calculate: Callable[[Any, Any], Any] = eval(f"lambda a, b: a {symbol} b")  # noqa: S307 - our own text

    def method(self: Number, other: Any) -> Any:
        if not _is_number(other):
            return NotImplemented
        a, b = (other, self) if swapped else (self, other)
        return Number(self.owner, f"({_text(a)} {symbol} {_text(b)})", calculate(_value(a), _value(b)))

    return method


def _comparison(symbol: str) -> Any:
    compare: Callable[[Any, Any], bool] = eval(f"lambda a, b: a {symbol} b")  # noqa: S307 - our own text

    def method(self: Number, other: Any) -> Any:
        if not _is_number(other):
            return NotImplemented
        found = compare(self.value, _value(other))
        self.owner.conditions.append(f"({self.text} {symbol} {_text(other)}) is {found}")
        return found

    return method


def _forced(name: str) -> Any:
    def method(self: Number, *args: Any) -> Any:
        return getattr(self.owner.force(self, f"{name}()"), name)(*args)

    return method


_ARITHMETIC = {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "pow": "**", "floordiv": "//", "mod": "%",
}  # fmt: skip
for _name, _symbol in _ARITHMETIC.items():
    setattr(Number, f"__{_name}__", _arithmetic(_symbol))
    setattr(Number, f"__r{_name}__", _arithmetic(_symbol, swapped=True))
for _name, _symbol in {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}.items():
    setattr(Number, f"__{_name}__", _comparison(_symbol))
for _name in (
    "float", "int", "complex", "round", "trunc", "floor", "ceil", "hash", "str", "repr", "format", "divmod",
    "reduce_ex",
):  # fmt: skip
    setattr(Number, f"__{_name}__", _forced(f"__{_name}__"))
