"""Guards on Python state: code that answers MISS where something that the function reads has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import CellType, CodeType
from typing import Any

import numpy as np

from retrograd.compiler.pictures import Picture, same
from retrograd.compiler.state import CONSTANTS, Edge, Reach
from retrograd.errors import UntraceableError
from retrograd.nn.module_hooks import everywhere

_SMALL = 4096  # bytes of a NumPy array that a guard compares at each call


class Modules:
    """The attributes of modules, which are looked at only if some module has been changed since."""

    def __init__(self, edges: list[Edge], pictures: list[Picture]) -> None:
        self.edges = edges
        self.pictures = pictures
        self.seen = everywhere.changes

    def hold(self) -> bool:
        """Whether all are as they were when the function was traced."""
        before = everywhere.changes
        if not all(same(e.holder.get(e.key), e.value) for e in self.edges):
            return False
        if not all(p.holds() for p in self.pictures):
            return False
        self.seen = before
        return True


class Guards:
    """What must hold of the state around a function for a trace to be valid."""

    def __init__(self, reach: Reach, codes: list[CodeType], taken: set[int]) -> None:
        """Gather the guards; `taken` has the ids of NumPy arrays that are inputs of the program."""
        found = reach.guarded(codes)
        self.steps, self.pictures = found.steps, found.pictures
        self.modules = Modules(found.of_modules, found.tables)
        self.arrays: list[tuple[Any, bytes]] = []
        for array in found.arrays:
            if id(array) in taken:
                continue
            if array.nbytes > _SMALL or array.dtype.hasobject:
                raise UntraceableError(
                    f"a NumPy array of shape {array.shape} is read, whose elements no guard can watch; "
                    "make it a tensor outside the function"
                )
            self.arrays.append((array, array.tobytes()))

    def lines(self, name: Callable[[str, Any], str]) -> list[str]:
        """Return the code of the guards; `name` gives names to objects."""
        found = []
        for edge in self.steps:
            holder, value = name("q", edge.holder), name("q", edge.value)
            if isinstance(edge.holder, CellType):
                now = f"{holder}.cell_contents"
            elif isinstance(edge.holder, Mapping):
                now = f"{holder}.get({edge.key!r})"
            else:
                now = f"getattr({holder}, {edge.key!r}, None)"
            if isinstance(edge.value, CONSTANTS) and not isinstance(edge.value, (bool, type(None))):
                same_ = name("q", same)
                found += [f"now = {now}", f"if now is not {value} and not {same_}(now, {value}): return MISS"]
            else:
                found.append(f"if {now} is not {value}: return MISS")
        for picture in self.pictures:
            holder = name("q", picture.holder)
            if isinstance(picture.holder, list) and not any(isinstance(v, CONSTANTS) for v in picture.items):
                found.append(
                    f"if [*map(id, {holder})] != {name('q', [*map(id, picture.items)])}: return MISS"
                )
            else:
                found.append(f"if not {name('q', picture.holds)}(): return MISS")
        for array, content in self.arrays:
            found.append(f"if {name('q', array)}.tobytes() != {name('q', content)}: return MISS")
        if self.modules.edges:
            modules, every = name("q", self.modules), name("q", everywhere)
            found.append(
                f"if {every}.hooked is not {everywhere.hooked} or "
                f"({every}.changes != {modules}.seen and not {modules}.hold()): return MISS"
            )
        return found

    def describe(self) -> list[str]:
        """Return the guards in words."""
        found = [f"{e.path} is {_short(e.value)}" for e in self.steps]
        found += [f"the items of {p.path} are the same" for p in self.pictures]
        found += [f"a NumPy array of shape {np.shape(a)} has the same elements" for a, _ in self.arrays]
        if self.modules.edges:
            found.append(f"{len(self.modules.edges)} attributes of modules are the same")
        return found


def _short(value: Any) -> str:
    if isinstance(value, CONSTANTS):
        return repr(value)
    return f"the same {type(value).__name__}"
