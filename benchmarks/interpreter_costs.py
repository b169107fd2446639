"""What the pieces of a call cost in CPython and NumPy: the figures behind docs/decisions.

Run: python benchmarks/interpreter_costs.py
"""

from __future__ import annotations

import sys
import threading
import timeit
import weakref
from contextvars import ContextVar

import numpy as np


class Slots:
    __slots__ = ("__weakref__", "a", "b")


class Cell:
    __slots__ = ("a", "b", "c", "d")

    def __init__(self) -> None:
        self.a = self.b = self.c = self.d = None


local = threading.local()
local.grad = True
x, y = np.ones(4, np.float32), np.ones(4, np.float32)
two = np.array(2, np.float32)
variable: ContextVar[int] = ContextVar("variable", default=1)
held = Slots()
stack: dict[object, int] = {}


def errstate() -> None:
    with np.errstate(all="ignore"):
        pass


def place() -> None:
    frame = sys._getframe(1)
    code = frame.f_code
    _ = code.co_filename, frame.f_lasti


def count_edge() -> None:
    if held in stack:
        stack[held] += 1
    else:
        stack[held] = 1


PIECES = {
    "np.add of two arrays of 4 elements": lambda: np.add(x, y),
    "the same with a Python number": lambda: np.add(x, 2.0),
    "the same with a 0-dim array": lambda: np.add(x, two),
    "threading.local attribute": lambda: local.grad,
    "an object with a constructor of 4 attributes": Cell,
    "a weak reference": lambda: weakref.ref(held),
    "the caller's code object, file and offset": place,
    "comparing two shapes": lambda: x.shape == y.shape,
    "np.errstate entered and left": errstate,
    "a context variable set and reset": lambda: variable.reset(variable.set(2)),
    "counting one edge of a graph": count_edge,
}

if __name__ == "__main__":
    empty = min(timeit.repeat(lambda: None, number=100_000, repeat=9))
    for name, piece in PIECES.items():
        spent = min(timeit.repeat(piece, number=100_000, repeat=9)) - empty
        print(f"{spent * 1e4:7.0f} ns  {name}")
