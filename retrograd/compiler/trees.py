"""Arguments and results: nested containers, their tensors, and the code that checks them and builds them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.tensor import Tensor


def leaves(tree: Any) -> Iterator[Tensor]:
    """Give the tensors in nested tuples, lists and dictionaries, in order."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, dict):
        for value in tree.values():
            yield from leaves(value)
    elif isinstance(tree, (tuple, list)):
        for value in tree:
            yield from leaves(value)


class UnguardableError(TypeError):
    """An argument cannot be told from another one by a guard."""


_SMALL = 4096  # bytes of a NumPy array that a guard compares at each call
_CONSTANTS = (bool, int, float, complex, str, bytes, slice, range, frozenset)


class Arguments:
    """The guards on a call's arguments, as lines of code, and the expression of each tensor in them."""

    def __init__(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], varying: frozenset[str] = frozenset()
    ) -> None:
        """Read a call's arguments; the floats at the places in `varying` are not guarded."""
        self.floats: dict[str, float] = {}  # by place
        self.varying = varying
        self.lines: list[str] = []
        self.names: dict[str, Any] = {}
        self.tensors: list[tuple[str, Tensor]] = []
        self.objects: list[Any] = []  # what the guards compare by identity, to be looked into
        self._seen: dict[int, str] = {}
        self._sequence("args", args)
        if kwargs:
            self._mapping("kwargs", kwargs)
        else:
            self._demand("not kwargs")

    def _demand(self, condition: str) -> None:
        self.lines.append(f"if not ({condition}): return MISS")

    def name(self, value: Any) -> str:
        """Return a name for an object in the guards' code."""
        name = f"k{len(self.names)}"
        self.names[name] = value
        return name

    def _sequence(self, place: str, values: Any) -> None:
        self._demand(f"len({place}) == {len(values)}")
        if values:
            parts = [f"{place}_{i}" for i in range(len(values))]
            self.lines.append(f"{', '.join(parts)}, = {place}")
            for part, value in zip(parts, values, strict=True):
                self._visit(part, value)

    def _mapping(self, place: str, values: dict[Any, Any]) -> None:
        keys = self.name(list(values))
        self._demand(f"list({place}) == {keys}")
        self.lines.append(f"{place}_v = tuple({place}.values())")
        self._sequence(f"{place}_v", tuple(values.values()))

    def _visit(self, place: str, value: Any) -> None:
        kind = type(value)
        if isinstance(value, Tensor):
            self._tensor(place, value)
        elif value is None or kind is bool or value is Ellipsis or value is NotImplemented:
            self._demand(f"{place} is {value!r}")
        elif kind is float and place in self.varying:
            self.floats[place] = value
            self._demand(f"{place}.__class__ is float")
        elif kind in _CONSTANTS:
            if kind is float:
                self.floats[place] = value
            self._constant(place, value)
        elif isinstance(value, (tuple, list)):
            self._demand(f"{place}.__class__ is {self.name(kind)}")
            self._sequence(place, value)
        elif kind is dict:
            self._demand(f"{place}.__class__ is dict")
            self._mapping(place, value)
        elif isinstance(value, np.generic):
            self._demand(
                f"{place}.__class__ is {self.name(kind)} and {place}.tobytes() == {value.tobytes()!r}"
            )
        elif isinstance(value, np.ndarray):
            if value.nbytes > _SMALL or value.dtype.hasobject:
                raise UnguardableError(
                    f"an argument is a NumPy array of shape {value.shape}, whose elements a guard would have "
                    "to compare; pass a tensor"
                )
            self._demand(
                f"{place}.__class__ is {self.name(np.ndarray)} and {place}.dtype == {self.name(value.dtype)} "
                f"and {place}.shape == {value.shape} and {place}.tobytes() == {self.name(value.tobytes())}"
            )
        else:
            self._demand(f"{place} is {self.name(value)}")
            self.objects.append(value)

    def replaced(self, place: str, value: Any, numbers: dict[str, Any]) -> Any:
        """Return an argument with numbers in place of the floats at their places."""
        if type(value) is float:
            return numbers.get(place, value)
        if type(value) is dict:
            parts = [self.replaced(f"{place}_v_{i}", v, numbers) for i, v in enumerate(value.values())]
            return dict(zip(value, parts, strict=True))
        if isinstance(value, (tuple, list)):
            parts = [self.replaced(f"{place}_{i}", v, numbers) for i, v in enumerate(value)]
            return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
        return value

    def _constant(self, place: str, value: Any) -> None:
        kind = self.name(type(value)) if type(value) not in (int, float, str) else type(value).__name__
        name = self.name(value)
        if value != value:
            self._demand(f"{place}.__class__ is {kind} and {place} != {place}")
        elif value == 0 and type(value) in (float, complex):  # 0.0 == -0.0
            self._demand(f"{place}.__class__ is {kind} and repr({place}) == {repr(value)!r}")
        else:
            self._demand(f"{place} is {name} or ({place}.__class__ is {kind} and {place} == {name})")

    def _tensor(self, place: str, tensor: Tensor) -> None:
        first = self._seen.get(id(tensor))
        if first is not None:
            self._demand(f"{place} is {first}")
            return
        self._seen[id(tensor)] = place
        self._demand(
            f"{place}.__class__ is {'Tensor' if type(tensor) is Tensor else self.name(type(tensor))}"
        )
        self.tensors.append((place, tensor))
