"""Where in the user's program something happened: the innermost frame that is not retrograd's own."""

from __future__ import annotations

import os
import sys
from types import CodeType, FrameType

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class _Library(dict[str, bool]):
    """Whether a file is one of retrograd's; asked once per file, then a dictionary look-up."""

    def __missing__(self, filename: str) -> bool:
        found = self[filename] = filename.startswith((_ROOT, "<retrograd"))
        return found


library = _Library()


class _Seen:
    """The code object that the last recorded call came from.

    Usually the next call comes from it too, and it is known to be the user's.
    """

    __slots__ = ("code",)
    code: CodeType | None


seen = _Seen()
seen.code = None


def outside(frame: FrameType) -> FrameType:
    """Return the nearest frame, from `frame` outwards, that is not retrograd's; the outermost if all are."""
    while library[frame.f_code.co_filename] and frame.f_back is not None:
        frame = frame.f_back
    return frame


def here() -> tuple[CodeType, int]:
    """Return the user's current place: a code object and an instruction offset."""
    frame = outside(sys._getframe(1))
    return frame.f_code, frame.f_lasti


def describe(code: CodeType | None, lasti: int) -> str:
    """Return `file:line in function` of a place."""
    if code is None:
        return "backward's accumulation into .grad"
    return f"{code.co_filename}:{line_of(code, lasti)} in {code.co_name}"


def line_of(code: CodeType, lasti: int) -> int:
    """Return the line of an instruction; the first of the code if there is no such instruction."""
    line = next((p[0] for i, p in enumerate(code.co_positions()) if 2 * i == lasti), None)
    return code.co_firstlineno if line is None else line
