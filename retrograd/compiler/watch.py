"""Watching a function while it is traced: which of the user's code runs, and what has effects."""

from __future__ import annotations

import builtins
import io
import os
import random as python_random
import sys
from datetime import date, datetime
from types import CodeType, FrameType, TracebackType
from typing import Any, Self

from retrograd.arrays.traced import refusals, refused
from retrograd.autograd.where import describe
from retrograd.compiler.code import is_own, is_users, reads
from retrograd.errors import UntraceableError

_EFFECTS = {
    builtins.print: "print()", builtins.input: "input()", builtins.open: "open()",
    builtins.exec: "exec()", builtins.eval: "eval()", builtins.globals: "globals()",
    os.urandom: "Python's os.urandom",
}  # fmt: skip
_CLOCKS = frozenset({"monotonic", "perf_counter", "perf_counter_ns", "sleep", "time", "time_ns"})
_DATES = frozenset({"now", "today", "utcnow"})
_RANDOM = frozenset({"getrandbits", "getstate", "random", "seed", "setstate"})
_FILES = frozenset(
    {"read", "read1", "readinto", "readline", "readlines", "seek", "truncate", "write", "writelines"}
)
_NAMES = frozenset({f.__name__ for f in _EFFECTS}) | _CLOCKS | _DATES | _RANDOM | _FILES
"""The names of all functions that are looked at more closely."""


class Watch:
    """Watches this thread, as a profiler does."""

    def __init__(self) -> None:
        self.codes: dict[int, CodeType] = {}
        self._before: Any = None

    def __enter__(self) -> Self:
        self._before = sys.getprofile()
        codes, look, names = self.codes, self._look, _NAMES

        def see(frame: FrameType, event: str, arg: Any) -> None:  # runs at every call and return of the trace
            if event == "call":
                code = frame.f_code
                if id(code) not in codes and (code.co_filename != "<string>" or not _is_ours(frame)):
                    codes[id(code)] = code
            elif event == "c_call" and arg.__name__ in names:
                look(frame, arg)

        sys.setprofile(see)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is None or callable(self._before):
            sys.setprofile(self._before)
        else:  # a profiler in C, such as cProfile's: only it can put itself back
            sys.setprofile(None)
            self._before.enable()

    def _look(self, frame: FrameType, function: Any) -> None:
        """Refuse a call of a builtin function that has effects, if it is the user's code that makes it."""
        what = _effect(function)
        if what is None:
            return
        caller = _caller(frame)
        if is_users(caller.f_code.co_filename):
            place = describe(caller.f_code, caller.f_lasti)
            raise refused(
                UntraceableError(f"{what} is called, which a compiled program would not repeat, at {place}")
            )

    def check(self) -> None:
        """Raise if something was refused, or the user's code made a generator of NumPy's."""
        if refusals.last is not None:
            raise UntraceableError(str(refusals.last))
        named = reads(self.users)
        made = {"default_rng", "RandomState"} & (named.attributes | named.methods | named.globals)
        if made:
            raise UntraceableError(
                f"numpy.random.{made.pop()} is called, which a compiled program would not repeat"
            )

    @property
    def users(self) -> list[CodeType]:
        """The user's code objects that ran."""
        return [code for code in self.codes.values() if is_users(code.co_filename)]


def _is_ours(frame: FrameType) -> bool:
    """Whether code without a file, as dataclasses write it, is for a class of this package's or NumPy's."""
    return str(frame.f_globals.get("__name__")).partition(".")[0] in ("retrograd", "numpy")


def _caller(frame: FrameType) -> FrameType:
    """Return the nearest frame outwards that is the user's or this package's, not the standard library's."""
    while frame.f_back is not None and not (
        is_users(frame.f_code.co_filename) or is_own(frame.f_code.co_filename)
    ):
        frame = frame.f_back
    return frame


def _effect(function: Any) -> str | None:
    """Return what a builtin function is called if it has effects or its result differs from call to call."""
    try:
        if function in _EFFECTS:
            return _EFFECTS[function]
    except TypeError:
        return None
    owner, name = getattr(function, "__self__", None), function.__name__
    if owner is datetime or owner is date:
        return f"{owner.__name__}.{name}()" if name in _DATES else None
    if isinstance(owner, python_random.Random):
        return "Python's random"
    if isinstance(owner, io.IOBase):
        return f"{name}() of a file"
    if getattr(function, "__module__", None) == "time" and name in _CLOCKS:
        return f"time.{name}()"
    return None
