"""What a piece of the user's code reads: global variables and attributes, by name, from its bytecode."""

from __future__ import annotations

import dis
import functools
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

import numpy as np

_PACKAGE = f"{Path(__file__).resolve().parents[1]}/"
_STANDARD = f"{sysconfig.get_path('stdlib')}/"
_NUMPY = f"{Path(np.__file__).resolve().parent}/"
_SITE = tuple(f"{sysconfig.get_path(kind)}/" for kind in ("purelib", "platlib"))

_ANY_ATTRIBUTE = {"getattr", "vars", "hasattr", "__dict__", "attrgetter", "__getattribute__"}
"""Names whose use means that attributes may be read which the code does not name."""


@functools.cache
def is_users(filename: str) -> bool:
    """Whether a file is the user's: not of this package, the standard library or NumPy."""
    if filename.startswith((_PACKAGE, _NUMPY, "<frozen", "<retrograd", "<__array_function__")):
        return False
    return not filename.startswith(_STANDARD) or filename.startswith(_SITE)


@functools.cache
def is_own(filename: str) -> bool:
    """Whether a file is this package's."""
    return filename.startswith((_PACKAGE, "<retrograd"))


@dataclass(frozen=True, slots=True)
class Reads:
    """The names that code reads: `attributes` for their value, `methods` to be called."""

    globals: frozenset[str]
    attributes: frozenset[str]
    methods: frozenset[str]

    @property
    def is_wild(self) -> bool:
        """Whether attributes may be read that are not named."""
        return bool(_ANY_ATTRIBUTE & (self.globals | self.attributes | self.methods))


@functools.lru_cache(maxsize=1024)
def _reads(code: CodeType) -> Reads:
    globals_: set[str] = set()
    attributes: set[str] = set()
    methods: set[str] = set()
    for instruction in dis.get_instructions(code):
        name = instruction.argval
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL"):
            globals_.add(name)
        elif instruction.opname in ("LOAD_METHOD", "LOAD_SUPER_ATTR"):
            methods.add(name)
        elif instruction.opname == "LOAD_ATTR":
            is_method = sys.version_info >= (3, 12) and bool((instruction.arg or 0) & 1)
            (methods if is_method else attributes).add(name)
        elif instruction.opname == "IMPORT_FROM":
            attributes.add(name)
    return Reads(frozenset(globals_), frozenset(attributes), frozenset(methods))


def nested(code: CodeType) -> Iterator[CodeType]:
    """Give a code object and those of the functions, lambdas and comprehensions in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from nested(constant)


def reads(codes: list[CodeType]) -> Reads:
    """Return what several pieces of code read."""
    found = [_reads(code) for code in codes]
    return Reads(
        frozenset().union(*(f.globals for f in found)),
        frozenset().union(*(f.attributes for f in found)),
        frozenset().union(*(f.methods for f in found)),
    )
