"""Where a program's temporaries lie: one block of memory, in which those share places that never meet."""

from __future__ import annotations

from dataclasses import dataclass, field

ALIGNMENT = 64  # bytes: a line of the cache, and the widest vector


@dataclass(slots=True)
class Arena:
    """A plan of a block of memory: reservations have an offset, a size, and the steps that they live for."""

    size: int = 0
    taken: list[tuple[int, int, int, int]] = field(default_factory=list)

    def reserve(self, size: int, first: int, last: int) -> int:
        """Return the lowest offset of `size` bytes that are free from step `first` to step `last`."""
        size = -(-max(size, 1) // ALIGNMENT) * ALIGNMENT
        at = 0
        for offset, length, born, dead in sorted(self.taken):
            if born <= last and first <= dead and offset < at + size and at < offset + length:
                at = offset + length
        self.taken.append((at, size, first, last))
        self.size = max(self.size, at + size)
        return at
