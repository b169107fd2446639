"""What a tensor handle knows beyond its array: whose view it is, its mode, the gradient it keeps, its cut."""

from __future__ import annotations

import sys
from collections import deque
from types import CodeType, FrameType
from typing import Any

from retrograd.autograd.where import library, outside, seen


class Meta:
    """The rare facts of a tensor; most tensors have none.

    base: the tensor whose memory this one views, always the root, never a view itself.
    cut: where the way to a gradient was cut, if the tensor comes from such a place.
    epoch: the number of rebasings of the base that this view's history has taken in.
    origin: why in-place writes to this view are refused: it was made under 'no_grad' or in 'inference' mode,
        it is one of several views ('multi'), or a custom Function made it ('function').

    The first three are always set. There is no __init__, which would cost a view more than all the rest.
    """

    __slots__ = ("__dict__", "base", "cut", "epoch")

    base: Any
    cut: Cut | None
    epoch: int
    origin: str | None = None
    grad: Any = None
    retains: bool = False
    inference: bool = False


def new_meta(cut: Cut | None = None) -> Meta:
    """Return the Meta of a tensor that is no view."""
    meta = Meta()
    meta.base, meta.cut, meta.epoch = None, cut, 0
    return meta


class Cut(Meta):
    """A place in the program where results stop having a history: a detach, a no_grad block, ...

    It is the Meta, never written to, of all tensors that come from there and have no other rare facts:
    handing it on costs dispatch one comparison. There is one Cut per place, and its `cut` is itself.

    kind: what cut it (see why.py); 'derived' for what came of a tensor already cut off.
    code, lasti: the user's place; the first line of `code` if `lasti` is negative.
    what: for an op, its name.
    source: the node, by name and place, whose history is lost.
    before: of what was derived, the Cut of the operand.
    """

    __slots__ = ("before", "code", "kind", "lasti", "source", "what")

    before: Cut | None

    code: CodeType | None
    lasti: int
    kind: str
    what: str
    source: tuple[str, CodeType | None, int] | None

    def __init__(
        self, kind: str, code: CodeType | None, lasti: int, what: str = "", source: Any = None
    ) -> None:
        self.base, self.cut, self.epoch = None, self, 0
        self.kind, self.code, self.lasti, self.what, self.source = kind, code, lasti, what, source
        self.before = None


def is_plain(meta: Meta | None) -> bool:
    """Return whether a tensor with this Meta has no rare facts, but where it lost its history."""
    return meta is None or meta.cut is meta


numbers: deque[tuple[Any, Cut]] = deque(maxlen=64)
"""The last numbers that item() took out of tensors with a history, and where."""

_MOST = 10_000
"""How many places are remembered; a program that makes code as it runs has ever new ones."""

_cuts: dict[tuple[int, int], Cut] = {}
"""The last Cut made at each place: by the identity of its code, which the Cut keeps, and the offset."""


def cut_here(kind: str, what: str = "", node: Any = None) -> Cut:
    """Return the Cut of the user's place, at which the history `node` is lost."""
    return cut_in(sys._getframe(1), kind, what, node)


def cut_in(frame: FrameType, kind: str, what: str = "", node: Any = None) -> Cut:
    """Return the Cut of the place where a frame is, or the user's frame outside of it."""
    code = frame.f_code
    if code is not seen.code:
        if library[code.co_filename]:
            frame = outside(frame)
            code = frame.f_code
        seen.code = code
    return cut_at(code, frame.f_lasti, kind, what, node)


def cut_at(code: CodeType | None, lasti: int, kind: str, what: str = "", node: Any = None) -> Cut:
    """Return the Cut of a place, at which the history `node` is lost; `lasti` of -1 is all of `code`."""
    found = _cuts.get((id(code), lasti))
    if found is not None and found.kind == kind and found.what == what:
        source = found.source
        if source is None:
            if node is None:
                return found
        elif node is not None and source[1] is node.code and source[2] == node.lasti:
            return found
    if len(_cuts) >= _MOST:
        _cuts.clear()
    source = None if node is None else (type(node).__name__, node.code, node.lasti)
    found = _cuts[id(code), lasti] = Cut(kind, code, lasti, what, source)
    return found
