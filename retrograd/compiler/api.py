"""retrograd.compile: functions, methods and modules that run as one program."""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self

from retrograd import devices
from retrograd.autograd.modes import local, modes
from retrograd.compiler.capture import Call, UsersError, capture
from retrograd.compiler.entry import MISS, Entry, current_key, log
from retrograd.compiler.numbers import SpecialiseError
from retrograd.compiler.pictures import same
from retrograd.compiler.progress import progress
from retrograd.compiler.report import explain
from retrograd.compiler.trees import Arguments, UnguardableError
from retrograd.errors import UntraceableError
from retrograd.nn.module import Module
from retrograd.nn.module_hooks import everywhere

LIMIT = 16  # compiled forms that are kept of one function
BACKENDS = ("native", "inductor", "eager")
MODES = (None, "default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
_PLAIN = (True, False)
_tracing = threading.RLock()  # one trace at a time: its tensors have traced arrays meanwhile


def _after_fork() -> None:
    """Make locks anew in a child process: the threads that may have held them are not there."""
    global _tracing  # noqa: PLW0603 - a lock cannot be made free otherwise
    _tracing = threading.RLock()
    for state in list(_all):
        for entry in state.entries:
            entry.unlock()


@contextmanager
def _alone() -> Iterator[None]:
    """Let no compiled function change a tensor meanwhile: its arrays are exchanged, and put back."""
    with ExitStack() as stack:
        for state in list(_all):
            for entry in state.entries:
                stack.enter_context(entry.lock)
        yield


_all: weakref.WeakSet[Compiled] = weakref.WeakSet()


class Switch:
    """Whether compiled functions run as they are, everywhere."""

    off = os.environ.get("RETROGRAD_COMPILE", "1") == "0"
    strict = False  # raise instead of falling back or compiling again


switch = Switch()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Compiled:
    """The compiled forms of one function, and why there is none where there is none."""

    def __init__(self, function: Callable[..., Any], *, fullgraph: bool = False) -> None:
        self.function = function
        self.fullgraph = fullgraph
        self.name = getattr(function, "__qualname__", type(function).__name__)
        self.reset()
        _all.add(self)

    def reset(self) -> None:
        """Forget what was compiled, and what could not be."""
        self.entries: list[Entry] = []
        self.run: Callable[..., Any] | None = None  # the form that fitted last
        self.reason: str | None = None  # why it runs as it is
        self.is_full = False
        self.varying: set[str] = set()  # places of floats among the arguments that have varied
        self.fixed: set[str] = set()  # those of them whose value is needed

    def miss(self, args: tuple[Any, ...], kwargs: dict[str, Any], key: tuple[Any, ...] | None) -> Any:
        """Run a call that the form used last does not fit: by another one, a new one, or as it is."""
        if key is None or switch.off or devices.chosen.device is not None:
            return self.function(*args, **kwargs)
        result = self._existing(args, kwargs, key)
        if result is not MISS:
            return result
        if self.reason is not None or self.is_full:
            return self.function(*args, **kwargs)
        try:
            with _tracing:
                result = self._existing(args, kwargs, key)  # another thread may have been first
                if result is not MISS:
                    return result
                if len(self.entries) >= LIMIT and not switch.strict:
                    self._say_full()
                else:
                    entry = self._compile(args, kwargs, key)
                    result = entry.run(args, kwargs)
                    if result is not MISS:
                        self.entries.append(entry)
                        self.run = entry.run if key == _PLAIN else self.run
                        return result
                    self._note("tensors that it writes to share memory with others, or are read-only")
        except UsersError as error:
            return self._after(error, args, kwargs)
        except (UntraceableError, UnguardableError) as error:
            self._note(str(error))
        return self.function(*args, **kwargs)

    def _existing(self, args: tuple[Any, ...], kwargs: dict[str, Any], key: tuple[Any, ...]) -> Any:
        for entry in self.entries:
            if entry.key == key and (result := entry.run(args, kwargs)) is not MISS:
                if key == _PLAIN:
                    self.run = entry.run
                return result
        return MISS

    def _compile(self, args: tuple[Any, ...], kwargs: dict[str, Any], key: tuple[Any, ...]) -> Entry:
        if self.entries and switch.strict:
            missed = self.entries[-1].missed(args, kwargs)
            raise UntraceableError(f"{self.name} would be compiled again, for: {missed}")
        if self.entries and log.isEnabledFor(logging.DEBUG):
            log.debug("%s: does not hold: %s", self.name, self.entries[-1].missed(args, kwargs))
        start = time.perf_counter()
        with progress(self.name), _alone():
            entry = self._capture(args, kwargs, key)
        entry.number = len(self.entries) + 1
        log.info(
            "compiled %s in %.3f s: %d instructions, form %d",
            self.name, time.perf_counter() - start, len(entry.plan.program.instructions), entry.number,
        )  # fmt: skip
        return entry

    def _capture(self, args: tuple[Any, ...], kwargs: dict[str, Any], key: tuple[Any, ...]) -> Entry:
        """Trace; floats among the arguments that have been others before become inputs, if they can."""
        floats = Arguments(args, kwargs).floats
        for entry in self.entries:
            if entry.floats.keys() == floats.keys():
                self.varying |= {p for p, v in floats.items() if not same(entry.floats[p], v)}
        while True:
            call = Call(self.function, args, kwargs, self.name, key, frozenset(self.varying - self.fixed))
            try:
                return capture(call)
            except SpecialiseError as needed:
                self.fixed |= {p for p in self.varying if p in needed.text}

    def _note(self, reason: str) -> None:
        """Run as it is from now on, and say so."""
        if self.fullgraph or switch.strict:
            raise UntraceableError(f"{self.name} cannot be compiled: {reason}") from None
        self.reason = reason
        log.info("%s runs as it is: %s", self.name, reason)
        warnings.warn(
            f"{self.name} cannot be compiled and runs as it is: {reason}", UserWarning, stacklevel=4
        )

    def _say_full(self) -> None:
        self.is_full = True
        text = (
            f"{self.name} has been compiled for {LIMIT} combinations of shapes, constants and state; other "
            "ones run as they are. Pass what varies as a tensor, or keep the shapes few (docs/compile.md)"
        )
        log.info("%s", text)
        warnings.warn(text, UserWarning, stacklevel=4)

    def _after(self, failed: UsersError, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Raise the user's error; where it may come of tracing, see whether the function as it is raises."""
        if failed.is_sure:
            raise failed.error
        before = [(t, t._array, t._array.copy(), t._version) for t in failed.tensors if not t.is_inference()]
        try:
            result = self.function(*args, **kwargs)
        except BaseException:
            for tensor, array, copy, version in before:
                if tensor._version != version:
                    array[...] = copy
                    tensor._array = array
            raise
        self._note(f"{type(failed.error).__name__} while it was traced: {failed.error}")
        return result


def _wrapper(function: Callable[..., Any], *, fullgraph: bool) -> Callable[..., Any]:
    state = Compiled(function, fullgraph=fullgraph)

    @functools.wraps(function)
    def compiled(*args: Any, **kwargs: Any) -> Any:
        if modes.special:
            return state.miss(args, kwargs, current_key())
        run = state.run
        if run is not None and (result := run(args, kwargs)) is not MISS:
            return result
        return state.miss(args, kwargs, _PLAIN)

    compiled.state = state  # type: ignore[attr-defined]
    compiled.explain = functools.partial(explain, state)  # type: ignore[attr-defined]
    compiled._torchdynamo_orig_callable = function  # type: ignore[attr-defined] # torch's name
    return compiled


class OptimizedModule(Module):
    """A module whose call is compiled; all else is the module's that it was made of, `_orig_mod`.

    Attributes are read from that module, and set on it. Copies and pickles are compiled anew.
    """

    def __init__(self, module: Module, *, fullgraph: bool) -> None:
        super().__init__()
        own = self.__dict__
        del own["training"]
        self._place("module", "_orig_mod", module)
        own["_fullgraph"] = fullgraph
        own["forward"] = _wrapper(module.__call__, fullgraph=fullgraph)
        own["explain"] = own["forward"].explain

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_orig_mod"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        if "forward" in self.__dict__:
            setattr(self._orig_mod, name, value)
        else:  # Module.__init__ is still at work
            super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.__dict__["_orig_mod"], name)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _again, (self._orig_mod, self._fullgraph)

    def train(self, mode: bool = True) -> Self:
        """Set training mode for the module."""
        self._orig_mod.train(mode)
        return self


def _again(module: Module, fullgraph: bool) -> OptimizedModule:
    return OptimizedModule(module, fullgraph=fullgraph)


def compile(
    model: Any = None, *, fullgraph: bool = False, dynamic: bool | None = None, backend: Any = "native",
    mode: str | None = None, options: dict[str, Any] | None = None, disable: bool = False,
) -> Any:  # fmt: skip
    """Return a function, method or module that does the same as one native program.

    Works as a decorator, too, with and without arguments.

    Args:
        model: what to compile. It runs once with arrays that record what is done to them; then, for arguments
            and state that are alike, the recorded program runs instead.
        fullgraph: raise where the function cannot be compiled, instead of running it as it is with a warning.
        dynamic: accepted for programs written for torch; each combination of shapes has its own program.
        backend: 'native' (or torch's name 'inductor'); 'eager' leaves the function as it is.
        mode: accepted for programs written for torch.
        options: must be empty.
        disable: leave the function as it is.

    Raises:
        RuntimeError: an unknown backend, mode or option; at a call with `fullgraph`: it cannot be compiled.

    Example:
        >>> import retrograd as torch
        >>> @torch.compile
        ... def f(x):
        ...     return (x * x).sum()
        >>> f(torch.tensor([1.0, 2.0]))
        tensor(5.)
    """
    del dynamic
    if backend not in BACKENDS:
        raise RuntimeError(
            f"Invalid backend: {backend!r}, see retrograd.compiler.list_backends() for available backends."
        )
    if mode not in MODES:
        raise RuntimeError(f"Unrecognized mode={mode}, should be one of: {', '.join(map(str, MODES[1:]))}")
    if options:
        raise RuntimeError(f"Unexpected optimization option {next(iter(options))}, known options are []")
    if model is None:
        return functools.partial(
            compile, fullgraph=fullgraph, backend=backend, mode=mode, options=options, disable=disable
        )
    if not callable(model):
        raise RuntimeError(f"compile: expected a function or a Module; got {type(model).__name__}")  # noqa: TRY004 - torch's type
    if disable or backend == "eager" or (hasattr(model, "state") and isinstance(model.state, Compiled)):
        return model
    if isinstance(model, Module):
        return OptimizedModule(model, fullgraph=fullgraph)
    return _wrapper(model, fullgraph=fullgraph)


def compile_forward(module: Module, *args: Any, **kwargs: Any) -> None:
    """Compile a module's forward in place: what Module.compile does."""
    everywhere.compiled[module] = compile(_Forward(module), *args, **kwargs)
    everywhere.changes += 1
    module.__dict__["_hooked"] = True


class _Forward:
    """A module's forward, which does not hold the module."""

    def __init__(self, module: Module) -> None:
        self.module = weakref.ref(module)
        self.__qualname__ = f"{type(module).__qualname__}.forward"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.module().forward(*args, **kwargs)  # type: ignore[union-attr] # who calls holds it


def is_compiling() -> bool:
    """Return whether the current code is being traced for `compile`."""
    return local.tracer is not None


def reset() -> None:
    """Forget everything that was compiled."""
    for state in list(_all):
        state.reset()
