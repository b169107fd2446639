"""Pictures of containers: what was in a list, a dictionary, a variable; is it still; and putting it back."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from types import CellType
from typing import Any

_ABSENT = object()


def same(a: Any, b: Any) -> bool:
    """Whether two values are one object, or equal constants of one type."""
    if a is b:
        return True
    if type(a) is not type(b) or not isinstance(a, (int, float, complex, str, bytes)):
        return False
    return bool(a == b) and (a != 0 or repr(a) == repr(b)) or (a != a and b != b)  # noqa: RUF021 - nan


class RandomPicture:
    """Where one of NumPy's generators of random numbers was."""

    __slots__ = ("holder", "is_exempt", "is_fixed", "path", "state")

    def __init__(self, holder: Any) -> None:
        self.holder = holder  # a bit generator
        self.path = "the state of NumPy's random numbers"
        self.is_exempt, self.is_fixed = False, True
        self.state = holder.state

    def holds(self) -> bool:
        """Whether nothing has been drawn since."""
        return bool(_key(self.holder.state) == _key(self.state))

    def restore(self) -> None:
        """Go back there."""
        self.holder.state = self.state


def _key(state: Any) -> Any:
    """Return nested dictionaries with bytes in place of arrays."""
    if isinstance(state, dict):
        return {k: _key(v) for k, v in state.items()}
    return state.tobytes() if hasattr(state, "tobytes") else state


class Picture:
    """What was in a container, by identity of the items; of a dictionary, if so given, under `names`."""

    __slots__ = ("holder", "is_exempt", "is_fixed", "items", "names", "path")

    def __init__(
        self, holder: Any, path: str, names: Iterable[str] | None = None, *, is_exempt: bool = False
    ) -> None:
        self.holder = holder
        self.path = path
        self.names = None if names is None else tuple(names)
        self.is_exempt = is_exempt  # the tracer itself changes it
        self.is_fixed = isinstance(holder, (tuple, frozenset))
        self.items = self._look()

    def _look(self) -> Any:
        holder = self.holder
        if self.names is not None:
            return tuple(holder.get(n, _ABSENT) for n in self.names)
        if isinstance(holder, dict):
            return (*holder, *holder.values())
        if isinstance(holder, CellType):
            try:
                return (holder.cell_contents,)
            except ValueError:
                return (_ABSENT,)
        if isinstance(holder, bytearray):
            return bytes(holder)
        return () if self.is_fixed else tuple(holder)

    @property
    def is_there(self) -> bool:
        """Whether a variable has a value."""
        return len(self.items) != 1 or self.items[0] is not _ABSENT

    def holds(self) -> bool:
        """Whether the same is in the container now."""
        now = self._look()
        return len(now) == len(self.items) and all(map(same, now, self.items))

    def restore(self) -> None:
        """Put back what was in the container."""
        holder, items = self.holder, self.items
        if self.names is not None:
            for name, value in zip(self.names, items, strict=True):
                if value is _ABSENT:
                    holder.pop(name, None)
                else:
                    holder[name] = value
        elif isinstance(holder, dict):
            half = len(items) // 2
            holder.clear()
            holder.update(zip(items[:half], items[half:], strict=True))
        elif isinstance(holder, CellType):
            if items[0] is not _ABSENT:
                holder.cell_contents = items[0]
        elif isinstance(holder, (set, deque)):
            holder.clear()
            holder.update(items) if isinstance(holder, set) else holder.extend(items)
        elif not self.is_fixed:
            holder[:] = items
