"""Arrays that are put together from pieces, which the loops that make them write where they belong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from retrograd.arrays import Program, Value
from retrograd.arrays.ir import values
from retrograd.native.affine import Affine, offset
from retrograd.native.kernels import Store, canonical_index
from retrograd.native.passes.pieces import is_joined


class Joins:
    """The joined arrays of a program, and their pieces.

    A joined array that is itself nothing but one piece of another is never made: its pieces belong there.
    """

    def __init__(self, program: Program) -> None:
        calls = {i.outputs[0]: i for i in program.instructions if is_joined(i)}
        used = Counter(v for i in program.instructions for v in i.operands)
        used.update(values(program.outputs))
        inner = {p for call in calls.values() for p in call.operands if p in calls and used[p] == 1}
        self.inner = inner
        self.pieces: dict[Value, list[Store]] = {}
        for made in calls:
            if made not in inner:
                self.pieces[made] = [
                    Store(part, made, offset(index, made.shape))
                    for part, index in self._flat(calls, made, (Affine(),) * len(made.shape))
                ]

    def _flat(
        self, calls: dict[Value, Any], made: Value, corner: tuple[Affine, ...]
    ) -> Iterator[tuple[Value, tuple[Affine, ...]]]:
        """Give the pieces of an array that lies at a corner of a larger one, with their elements' indices."""
        call = calls[made]
        axis = dict(call.params).get("axis", 0) % len(made.shape)
        at = 0
        for part in call.inputs[0]:
            own = tuple(c.plus(at) if i == axis else c for i, c in enumerate(corner))
            if part in self.inner:
                yield from self._flat(calls, part, own)
            else:
                yield part, tuple(c + i for c, i in zip(own, canonical_index(part.shape), strict=True))
            at += part.shape[axis]
