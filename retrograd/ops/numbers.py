"""Python numbers as kept 0-dim arrays: converting a number at every call costs NumPy as much as computing."""

from __future__ import annotations

from typing import Any

import numpy as np

_MOST = 1000  # numbers kept; programs that compute with ever new ones must not fill the memory


class Numbers(dict[Any, Any]):
    """A read-only array of one dtype for each number, made when it is first asked for.

    A key finds 0.0 for -0.0, so zeros are kept only where nobody asks for the negative one.
    """

    def __init__(self, dtype: type[np.floating[Any]], keeps_zero: bool = False) -> None:
        super().__init__()
        self.dtype = dtype
        self.keeps_zero = keeps_zero

    def __missing__(self, number: Any) -> Any:
        made = np.array(number, self.dtype)
        made.flags.writeable = False
        if number == number and (number != 0 or self.keeps_zero):  # a key never finds NaN
            if len(self) >= _MOST:
                self.clear()
            self[number] = made
        return made


single, double = Numbers(np.float32), Numbers(np.float64)
_singles, _doubles = Numbers(np.float32, keeps_zero=True), Numbers(np.float64, keeps_zero=True)
_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def number(value: float, like: Any) -> Any:
    """Return a number for arithmetic with `like`: as a 0-dim array beside an array of NumPy's, else as it is.

    For the constants of rules and definitions, -0.0 excepted: `number(1, x) - x` is `1 - x`.
    """
    if like.__class__ is np.ndarray:
        if like.dtype is _FLOAT32:
            return _singles[value]
        if like.dtype is _FLOAT64:
            return _doubles[value]
    return value
