"""What the current thread is doing: recording or not, and who wants to see each op before it runs.

Dispatch asks one question, `modes.special`: the number of reasons, over all threads, not to take the plain
path. At zero nothing else is looked at. Otherwise the thread's own state decides: `local.intercepts`, a stack
whose top is given each op instead (tracing, vmap, forward AD ...), `local.inference`, whether results are
marked as unusable for recording, and `local.grad`, whether to record. `local.careful` says that one of the
first two holds. `local.cut` is None while the thread records, else the place that stopped it.
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading
import warnings
from collections.abc import Callable, Generator
from types import CodeType
from typing import Any, Protocol, Self, TypeVar, cast, overload

from retrograd.autograd.views import Cut, cut_at, cut_in
from retrograd.ops.declare import Op


class Interpreter(Protocol):
    """Something that is given each op before it runs. It pops itself off the stack while it works."""

    def call(self, op: Op, args: tuple[Any, ...], out: Any) -> Any:
        """Run `op` on its positional arguments, all of them, in the declared order."""


class _Modes:
    __slots__ = ("elsewhere", "special")

    def __init__(self) -> None:
        self.special = 0
        # Functions (op, args, target) that run ops on tensors without an ordinary array, or return
        # NotImplemented: empty until such a tensor is made.
        self.elsewhere: list[Callable[..., Any]] = []


class _Local(threading.local):
    def __init__(self) -> None:
        self.grad = True
        self.cut: Cut | None = None
        self.inference = False
        self.intercepts: list[Interpreter] = []
        self.tracer: Any = None  # what records this thread's arrays into a program (compiler/tracer.py)
        self.levels: list[Any] = []  # running transforms, outermost first (see levels.py)
        self.careful = False
        self.saved_hooks: tuple[Any, ...] = ()
        self.saved_hooks_refused: str | None = None
        self.watch: Any = None  # who wants to see each write before it is made (see mutation.py)
        self.nan_safe = 0  # how many nan_safe contexts this thread is in
        self.masking: Any = None  # what such a backward, if one runs, follows masks with


class _Process:
    anomaly = False


modes = _Modes()
process = _Process()
local = _Local()
_lock = threading.Lock()


def _count(change: int) -> None:
    if change:
        with _lock:
            modes.special += change


def is_grad_enabled() -> bool:
    """Return whether this thread records."""
    return local.grad


def set_grad(mode: bool, kind: str = "no_grad", decorated: CodeType | None = None) -> None:
    """Make this thread record, or not.

    Args:
        mode: whether to record.
        kind: what the user called to stop it.
        decorated: the function that the user put it on; else the place is that of the caller's caller.
    """
    if mode:
        restore_grad(None)
    else:
        restore_grad(cut_at(decorated, -1, kind) if decorated else cut_in(sys._getframe(2), kind))


def restore_grad(cut: Cut | None) -> None:
    """Make this thread record as it did when its `local.cut` was this."""
    mode = cut is None
    _count(local.grad - mode)
    local.grad = mode
    local.cut = cut


def _look_closer() -> None:
    local.careful = local.inference or bool(local.intercepts) or bool(local.saved_hooks)


def set_saved_hooks(hooks: tuple[Any, ...]) -> None:
    """Set the stack of (pack, unpack) hooks on what this thread saves for backward."""
    _count(bool(hooks) - bool(local.saved_hooks))
    local.saved_hooks = hooks
    _look_closer()


def set_nan_safe(depth: int) -> None:
    """Set how many nan_safe contexts this thread is in (see nan_safe.py)."""
    _count(bool(depth) - bool(local.nan_safe))
    local.nan_safe = depth


def set_anomaly_reason(mode: bool) -> None:
    """Count anomaly mode, which is the whole process's, among the reasons to look closer at each op."""
    _count(mode - process.anomaly)
    process.anomaly = mode


def push(interpreter: Interpreter) -> None:
    """Give `interpreter` each op of this thread from now on."""
    local.intercepts.append(interpreter)
    local.careful = True
    _count(1)


def pop() -> Interpreter:
    """Take the top interpreter off again."""
    _count(-1)
    top = local.intercepts.pop()
    _look_closer()
    return top


def lift(interpreter: Interpreter) -> None:
    """Take the top interpreter off for one op, whose results it wants; `lay` puts it back.

    It stays counted among the reasons to look closer, which costs nothing: others may be there.
    """
    top = local.intercepts.pop()
    assert top is interpreter
    _look_closer()


def lay(interpreter: Interpreter) -> None:
    """Put an interpreter that `lift` took off back on top."""
    local.intercepts.append(interpreter)
    local.careful = True


_Function = TypeVar("_Function", bound=Callable[..., Any])


class _GradMode:
    """A context manager, also a decorator of functions and of generators (which keep it per step)."""

    decorated: CodeType | None = None

    def __enter__(self) -> Any:
        raise NotImplementedError

    def __exit__(self, *exc: object) -> None:
        raise NotImplementedError

    def clone(self) -> _GradMode:
        """Return a fresh context of the same kind; a decorated function enters one per call."""
        return self.__class__()

    def __call__(self, function: _Function) -> _Function:
        if inspect.isclass(function):
            warnings.warn(
                "Decorating classes is deprecated and will be disabled in future versions. You should only "
                "decorate functions or methods. To preserve the current behavior of class decoration, you "
                "can directly decorate the `__init__` method and nothing else.",
                FutureWarning,
                stacklevel=2,
            )
        if inspect.isgeneratorfunction(function):
            return cast(_Function, self._wrap_generator(function))

        @functools.wraps(function)
        def decorated(*args: Any, **kwargs: Any) -> Any:
            with self._around(function):
                return function(*args, **kwargs)

        return cast(_Function, decorated)

    def _around(self, function: Callable[..., Any]) -> _GradMode:
        mode = self.clone()
        mode.decorated = getattr(function, "__code__", None)
        return mode

    def _wrap_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def decorated(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            generator = function(*args, **kwargs)
            resume, value = generator.send, None
            while True:
                try:
                    with self._around(function):
                        item = resume(value)
                except StopIteration as stop:
                    return stop.value
                try:
                    value, resume = (yield item), generator.send
                except GeneratorExit:
                    with self.clone():
                        generator.close()
                    raise
                except BaseException as error:  # noqa: BLE001 - the generator decides what to do with it
                    value, resume = error, generator.throw

        return decorated


class _NoParentheses(_GradMode):
    """A mode that also decorates without parentheses: `@no_grad`."""

    @overload
    def __new__(cls, function: None = None) -> Self: ...

    @overload
    def __new__(cls, function: Callable[..., Any]) -> Any: ...

    def __new__(cls, function: Any = None) -> Any:
        if function is None:
            return super().__new__(cls)
        return cls()(function)


class no_grad(_NoParentheses):  # noqa: N801 - torch's public name
    """Stop recording in this thread: results do not require grad. Context manager and decorator.

    Example:
        >>> import retrograd as torch
        >>> x = torch.ones(2, requires_grad=True)
        >>> with torch.no_grad():
        ...     y = x * 2
        >>> y.requires_grad
        False
    """

    def __enter__(self) -> None:
        self._before = local.cut
        set_grad(False, "no_grad", self.decorated)

    def __exit__(self, *exc: object) -> None:
        restore_grad(self._before)


class enable_grad(_NoParentheses):  # noqa: N801 - torch's public name
    """Record in this thread, also within `no_grad`. Context manager and decorator."""

    def __enter__(self) -> None:
        self._before = local.cut
        set_grad(True)

    def __exit__(self, *exc: object) -> None:
        restore_grad(self._before)


class set_grad_enabled(_GradMode):  # noqa: N801 - torch's public name
    """Record or not: at once when called, until its end as a context manager, in the decorated function."""

    __module__ = "torch.autograd.grad_mode"  # its public path

    def __init__(self, mode: bool) -> None:
        self._before = local.cut
        self.mode = mode
        set_grad(mode, "set_grad_enabled")

    def __call__(self, function: _Function) -> _Function:
        restore_grad(self._before)
        return super().__call__(function)

    def __enter__(self) -> None:
        set_grad(self.mode, "set_grad_enabled", self.decorated)

    def __exit__(self, *exc: object) -> None:
        restore_grad(self._before)

    def clone(self) -> set_grad_enabled:
        return self.__class__(self.mode)

    def __repr__(self) -> str:
        return f"set_grad_enabled(mode={self.mode})"


def _set_inference(mode: bool) -> None:
    _count(mode - local.inference)
    local.inference = mode
    _look_closer()


class inference_mode(_GradMode):  # noqa: N801 - torch's public name
    """Stop recording, and mark results as unusable for recording later. Context manager and decorator.

    Args:
        mode: false makes the context do nothing but leave an enclosing inference mode.
    """

    def __new__(cls, mode: Any = True) -> Any:
        if isinstance(mode, bool):
            return super().__new__(cls)
        return cls()(mode)

    def __init__(self, mode: bool = True) -> None:
        self.mode = mode

    def __enter__(self) -> None:
        self._before = local.inference, local.cut
        _set_inference(self.mode)
        set_grad(not self.mode, "inference_mode", self.decorated)

    def __exit__(self, *exc: object) -> None:
        inference, cut = self._before
        _set_inference(inference)
        restore_grad(cut)

    def clone(self) -> inference_mode:
        return self.__class__(self.mode)


def is_inference_mode_enabled() -> bool:
    """Return whether this thread is in inference mode."""
    return local.inference
