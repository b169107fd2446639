"""The checkpoint without re-entrance: numbers in place of what nodes save, and the run that fills them in."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, Self

from retrograd import random
from retrograd.autograd import where
from retrograd.autograd.engine import running
from retrograd.autograd.modes import enable_grad
from retrograd.autograd.saved_hooks import saved_tensors_hooks
from retrograd.tensor import Tensor, wrap

_TIP = (
    "Tip: To see a more detailed error message, either pass `debug=True` to\n"
    "`torch.utils.checkpoint.checkpoint(...)` or wrap the code block\n"
    "with `with torch.utils.checkpoint.set_checkpoint_debug_enabled(True):` to list\n"
    "what either run saved."
)


class CheckpointError(RuntimeError):
    """The second run of a checkpointed function did something else than the first."""

    __module__ = "torch.utils.checkpoint"  # so a traceback reads as torch's


class _Settings:
    early_stop = True
    debug: bool | None = None


_settings = _Settings()


@contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """Let second runs stop when they have saved all that the first saved (the default), or finish.

    It holds for the checkpoints that are made within.
    """
    before, _settings.early_stop = _settings.early_stop, enable
    try:
        yield
    finally:
        _settings.early_stop = before


@contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Iterator[None]:
    """Have errors list what either run saved; None leaves it to each checkpoint's `debug`."""
    before, _settings.debug = _settings.debug, enabled
    try:
        yield
    finally:
        _settings.debug = before


class _Group(threading.local):
    group: GraphExecGroup | None = None


class GraphExecGroup:
    """A context in which several backwards share second runs, for graphs that are gone through in parts."""

    __module__ = "torch.utils.checkpoint"  # its public path
    _current = _Group()

    def __enter__(self) -> Self:
        if GraphExecGroup._current.group is not None:
            raise RuntimeError(
                "GraphExecGroup contexts cannot be nested. Already inside group "
                f"{GraphExecGroup._current.group}"
            )
        GraphExecGroup._current.group = self
        return self

    def __exit__(self, *exc: object) -> None:
        GraphExecGroup._current.group = None


class _StopRecomputation(Exception):  # noqa: N818 - a signal, not an error
    pass


class _Facts:
    """What is kept of a saved tensor to compare with: its metadata, and the user's line."""

    __slots__ = ("code", "lasti", "metadata")

    def __init__(self, tensor: Tensor) -> None:
        self.metadata = {"shape": tensor.shape, "dtype": tensor.dtype, "device": tensor.device}
        self.code, self.lasti = where.here()

    def __str__(self) -> str:
        return f"{self.metadata} at {where.describe(self.code, self.lasti)}"


def _alone(tensor: Tensor) -> Tensor:
    """Return a tensor on the same memory and version, without history: a detach that nobody is told of."""
    made = wrap(tensor._array)
    made._cell = tensor._version_cell()
    return made


class Frame:
    """One checkpointed call.

    It knows what its nodes wanted to save, and the second runs that give it, one per backward.
    """

    def __init__(
        self,
        function: Any,
        args: Any,
        kwargs: Any,
        context_fn: Any,
        preserve: bool,
        check: str,
        debug: bool,
        stop: bool,
    ) -> None:
        if check not in ("default", "none"):
            raise ValueError(f"determinism_check should be one of ['default', 'none'], but got {check}")
        self.function, self.args, self.kwargs = function, args, kwargs
        self.first, self.second = context_fn()
        self.state = random.default_generator.get_state() if preserve else None
        self.check, self.stop = check, stop and _settings.early_stop
        self.debug = debug if _settings.debug is None else _settings.debug
        self.saved: list[_Facts] = []
        self.again: weakref.WeakKeyDictionary[Any, list[Any]] = weakref.WeakKeyDictionary()

    def pack(self, tensor: Tensor) -> int:
        self.saved.append(_Facts(tensor))
        return len(self.saved) - 1

    def unpack(self, number: int) -> Tensor:
        """Return what the second run saved under a number, and let go of it.

        Where it is asked for again while somebody still holds it, it is the same; else the function runs
        once more.
        """
        key = GraphExecGroup._current.group or (running.stack[-1] if running.stack else self)
        found = self.again.get(key)
        tensor = None if found is None else found[number]
        if isinstance(tensor, weakref.ref):
            array = tensor()
            tensor = None if array is None else wrap(array)
        if tensor is None:
            found = self.again[key] = self.recompute()
            tensor = found[number]
        assert found is not None
        found[number] = weakref.ref(tensor._array)
        return tensor

    def recompute(self) -> list[Any]:
        """Run the function again and return what it saves."""
        found: list[Any] = []

        def pack(tensor: Tensor) -> Tensor:
            if len(found) == len(self.saved):
                self._fail(
                    "trying to save more tensors during recomputation than during the original forward pass.",
                    found,
                )
            found.append(_alone(tensor))
            if self.stop and len(found) == len(self.saved):
                raise _StopRecomputation
            return found[-1]  # type: ignore[no-any-return]

        before = random.default_generator.get_state()
        if self.state is not None:
            random.default_generator.set_state(self.state)
        try:
            with enable_grad(), self.second, saved_tensors_hooks(pack, lambda t: t):
                self.function(*self.args, **self.kwargs)
        except _StopRecomputation:
            pass
        finally:
            if self.state is not None:
                random.default_generator.set_state(before)
        self._compare(found)
        return found

    def _compare(self, found: list[Any]) -> None:
        if len(found) != len(self.saved):
            self._fail(
                "A different number of tensors was saved during the original forward and recomputation.\n"
                f"Number of tensors saved during forward: {len(self.saved)}\nNumber of tensors saved during "
                f"recomputation: {len(found)}.",
                found,
            )
        if self.check == "none":
            return
        pairs = enumerate(zip(self.saved, map(_Facts, found), strict=True))
        wrong = [(i, a, b) for i, (a, b) in pairs if a.metadata != b.metadata]
        if wrong:
            lines = [
                f"tensor at position {i}:\nsaved metadata: {a.metadata}\nrecomputed metadata: {b.metadata}"
                for i, a, b in wrong
            ]
            self._fail(
                "Recomputed values for the following tensors have different metadata than during the forward "
                "pass.\n" + "\n".join(lines) + "\n.",
                found,
            )

    def _fail(self, problem: str, found: list[Any]) -> NoReturn:
        text = f"torch.utils.checkpoint: {problem}\n\n"
        if not self.debug:
            raise CheckpointError(text + _TIP)
        first = "\n".join(f"  {facts}" for facts in self.saved)
        second = "\n".join(f"  {_Facts(tensor).metadata}" for tensor in found)
        raise CheckpointError(f"{text}Saved in the first run:\n{first}\nSaved in the second run:\n{second}")
