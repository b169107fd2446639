"""Writes to what nodes have saved: which of them matter, told by the bytes that they share.

While a Watch is on, what nodes save of tensors becomes Snapshots, and every write is announced before it is
made. A snapshot whose bytes the write would touch is copied first (`allow_mutation_on_saved_tensors`), or
marked as spoiled, so that backward refuses it (`set_exact_mutation_check`). All other snapshots take note
that the write was harmless to them. Nothing is copied when it is saved.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import numpy as np

from retrograd import dtypes
from retrograd.autograd.graph import Version, Witness, raise_modified
from retrograd.autograd.modes import local, set_saved_hooks
from retrograd.tensor import Tensor, wrap

_WORK = 1_000_000
"""Steps that the exact test of overlap may take (about 0.1 s); beyond them it answers yes."""

_OUTSIDE = (
    "Trying to backward outside of the 'allow_mutation_on_saved_tensors' contextin which the graph was "
    "originally recorded."
)


class Snapshot:
    """What a node saved of a tensor: its memory, and the version up to which it is as it was."""

    __slots__ = ("__weakref__", "array", "cell", "spoiled", "version")

    def __init__(self, tensor: Tensor) -> None:
        self.array: Any = tensor._array
        self.cell: Version | None = tensor._version_cell()
        self.version = self.cell.count
        self.spoiled = False

    def move(self) -> None:
        """Take a copy, which nobody can write to."""
        self.array, self.cell = self.array.copy(), None


def overlap(a: Any, b: Any) -> bool:
    """Return whether two arrays have a byte in common; exact, but for arrays as strange as _WORK allows."""
    if not np.may_share_memory(a, b):
        return False
    try:
        return bool(np.shares_memory(a, b, max_work=_WORK))  # type: ignore[arg-type]  # any number will do
    except np.exceptions.TooHardError:
        return True


def _memory(array: Any) -> int:
    """Return what tells apart the memory that arrays lie in: the identity of whoever owns it."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    owner = array if array.base is None else array.base
    return id(owner.obj if isinstance(owner, memoryview) else owner)


class Watch:
    """Sees what nodes save and what is written, in one thread."""

    def __init__(self, *, copies: bool) -> None:
        self.copies = copies
        self.active = True
        self._snapshots: dict[int, WeakSet[Snapshot]] = {}
        self._room = 64  # memories known, at which those that are gone are forgotten

    def pack(self, tensor: Tensor) -> Snapshot:
        """Return the snapshot of a tensor that a node saves."""
        snapshot = Snapshot(tensor)
        self._snapshots.setdefault(_memory(snapshot.array), WeakSet()).add(snapshot)
        if len(self._snapshots) > self._room:
            self._snapshots = {key: alive for key, alive in self._snapshots.items() if alive}
            self._room = 2 * len(self._snapshots) + 64
        return snapshot

    def unpack(self, snapshot: Snapshot) -> Tensor:
        """Return the tensor of a snapshot.

        Raises:
            AssertionError: copies were made at writes, and the context in which they were has ended.
            RuntimeError: a write has touched its bytes.
        """
        if self.copies and not self.active:
            raise AssertionError(_OUTSIDE)
        array, cell = snapshot.array, snapshot.cell
        if cell is not None and (snapshot.spoiled or cell.count != snapshot.version):
            raise_modified(None, Witness(cell), array.shape, dtypes.of_array(array), snapshot.version)
        return wrap(array)

    def announce(self, target: Tensor) -> None:
        """Look at a write to a tensor that is about to be made, and will be counted once."""
        array, cell = target._array, target._version_cell()
        for snapshot in list(self._snapshots.get(_memory(array), ())):
            if snapshot.cell is None or snapshot.spoiled:
                continue
            if not overlap(array, snapshot.array):
                snapshot.version += snapshot.cell is cell
            elif self.copies:
                snapshot.move()
            else:
                snapshot.spoiled = True

    def clear(self) -> None:
        """Forget all snapshots."""
        self._snapshots.clear()


@contextmanager
def _watching(watch: Watch) -> Iterator[Watch]:
    from retrograd.autograd.saved_hooks import saved_tensors_hooks  # noqa: PLC0415 - it imports pull's files

    before, local.watch = local.watch, watch
    try:
        with saved_tensors_hooks(watch.pack, watch.unpack):
            yield watch
    finally:
        watch.active = False
        local.watch = before


@contextmanager
def allow_mutation_on_saved_tensors() -> Iterator[Watch]:
    """Let saved tensors be written to within: what a write would touch is copied first.

    Backward then sees what was saved. Bytes that no node saved are written to without a copy.

    Raises:
        RuntimeError: the thread is within such a context already.

    Example:
        >>> import retrograd as torch
        >>> x = torch.ones(2, requires_grad=True)
        >>> with torch.autograd.graph.allow_mutation_on_saved_tensors():
        ...     y = x * 3
        ...     z = y.square()
        ...     _ = y.zero_()
        ...     z.sum().backward()
        >>> x.grad
        tensor([18., 18.])
    """
    if local.watch is not None and local.watch.copies:
        raise RuntimeError("allow_mutation_on_saved_tensors contexts cannot be nested")
    with _watching(Watch(copies=True)) as watch:
        try:
            yield watch
        finally:
            watch.clear()


class set_exact_mutation_check:  # noqa: N801 - named as torch names its switches
    """Refuse in backward only writes that touched saved bytes: at once when called, and as a context manager.

    Without it a write to any part of some memory spoils everything saved of it, as in torch, which counts
    versions per memory. It holds for what is recorded, and what is written, in this thread while it is on.

    Example:
        >>> import retrograd as torch
        >>> x = torch.ones(4, requires_grad=True)
        >>> with torch.autograd.graph.set_exact_mutation_check(True):
        ...     y = x * 1
        ...     z = y[:2].square()
        ...     y[2:] = 0
        >>> z.sum().backward()
        >>> x.grad
        tensor([2., 2., 0., 0.])
    """

    def __init__(self, mode: bool) -> None:
        self._before = local.watch, local.saved_hooks
        if not mode:
            if local.watch is not None and not local.watch.copies:
                kept = tuple(h for h in local.saved_hooks if h[0] != local.watch.pack)
                set_saved_hooks(kept)
                local.watch = None
        elif local.watch is None:
            local.watch = watch = Watch(copies=False)
            set_saved_hooks((*local.saved_hooks, (watch.pack, watch.unpack)))

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        local.watch, hooks = self._before
        set_saved_hooks(hooks)
