"""Handles on traced values that share memory: what a write through one of them means for the others.

A handle with a `_base` is a view: `_move` says how it was made, `_seen` how often its base had been written
to when its value was last made. `now` brings a handle's value up to date; `write` carries a new value down to
the root.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from retrograd.arrays.vocabulary import function_of

if TYPE_CHECKING:
    from retrograd.arrays.ir import Value
    from retrograd.arrays.traced import Traced

VIEWS = frozenset({
    "array_split", "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_to", "diagonal", "expand_dims",
    "flip", "getitem", "imag", "moveaxis", "ravel", "real", "reshape", "rollaxis", "split", "squeeze",
    "swapaxes", "transpose",
})  # fmt: skip
"""The functions whose results may be views in NumPy."""

_RESHAPES = frozenset({"reshape", "ravel", "squeeze", "expand_dims"})
_PERMUTATIONS = frozenset({"transpose", "moveaxis", "swapaxes"})


@dataclass(frozen=True, slots=True)
class Move:
    """How a view was made: a call on its base, and which of the call's results it is."""

    name: str
    rest: tuple[Any, ...]
    params: dict[str, Any]
    index: int | None = None

    def forward(self, base: Traced) -> Any:
        """Make the view's value from its base again."""
        made = base._recorder.emit(self.name, (base, *self.rest), self.params)
        return (made if self.index is None else made[self.index])._value

    def back(self, base: Traced, value: Value) -> Any:
        """Return the base's value when the view's is `value`.

        Raises:
            ValueError: the view is read-only in NumPy, too.
            TypeError: writing through this kind of view is not supported.
        """
        recorder = base._recorder
        view = type(base)(recorder, value)
        if self.name == "getitem":
            return recorder.emit("setitem", (base, *self.rest, view), {})._value
        if self.name in _RESHAPES:
            return recorder.emit("reshape", (view,), {"shape": base._value.shape})._value
        if self.name in _PERMUTATIONS:
            return recorder.emit("transpose", (view,), {"axes": self._inverse(len(base._value.shape))})._value
        if self.name == "flip":
            return recorder.emit("flip", (view,), self.params)._value
        if self.name in ("broadcast_to", "diagonal"):
            raise ValueError("assignment destination is read-only")
        raise TypeError(
            f"a write through np.{self.name} of a traced array cannot be recorded; write to the array itself"
        )

    def _inverse(self, rank: int) -> tuple[int, ...]:
        """Return the permutation that undoes the move: sizes tell which dimension went where."""
        sizes = tuple(range(2, rank + 2))
        moved = function_of(self.name)(np.broadcast_to(0, sizes), *self.rest, **self.params).shape
        return tuple(moved.index(n) for n in sizes)


def phantom(handle: Traced) -> Any:
    """Return an array that lies in memory as the handle's would; its memory is not touched."""
    found = handle._phantom
    handle._recorder.laid.add(handle._value.id)
    if found is None:
        value = handle._value
        try:
            found = np.empty(value.shape, value.dtype)
        except MemoryError:  # one element everywhere: views are told from copies, but for some reshapes
            found = np.broadcast_to(np.empty((), value.dtype), value.shape)
        handle._phantom = found
    return found


def link(base: Traced, made: Any, move: Move) -> Any:
    """Make the results of a movement views of `base` where NumPy's are."""
    arrays = function_of(move.name)(phantom(base), *move.rest, **move.params)
    several = isinstance(made, tuple)
    for i, (handle, array) in enumerate(zip(made, arrays, strict=True) if several else [(made, arrays)]):
        if isinstance(array, np.ndarray) and np.may_share_memory(array, phantom(base)):
            handle._base = base
            handle._seen = base._writes
            handle._move = Move(move.name, move.rest, move.params, i if several else None)
            handle._phantom = array
    return made


def now(handle: Traced) -> Value:
    """Return a handle's value, made anew if memory that it shares has been written to."""
    if handle._base is None:
        return handle._value
    chain = [handle]
    while chain[-1]._base is not None:
        chain.append(chain[-1]._base)
    for base, view in zip(chain[:0:-1], chain[-2::-1], strict=True):
        if view._seen != base._writes:
            assert view._move is not None
            view._value = view._move.forward(base)
            view._seen = base._writes
            view._writes += 1
    return handle._value


def write(handle: Traced, value: Value) -> None:
    """Let a handle, and the memory that it shares, have a new value."""
    now(handle)
    while True:
        base, move = handle._base, handle._move
        below = None if base is None or move is None else move.back(base, value)
        handle._value = value
        handle._writes += 1
        if base is None or below is None:
            return
        handle._seen = base._writes + 1
        handle, value = base, below
