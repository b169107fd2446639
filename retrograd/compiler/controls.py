"""What torch.compiler has besides `compile`: switches, and questions about what is going on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from retrograd.arrays.traced import place, refused
from retrograd.autograd.modes import local
from retrograd.compiler.api import BACKENDS, is_compiling, switch
from retrograd.errors import UntraceableError

is_dynamo_compiling = is_compiling


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """Keep a function, and what it calls, out of compiled programs: who calls it runs as it is, too.

    Args:
        fn: the function; without one, returns a decorator.
        recursive: accepted for programs written for torch.
        reason: what the warning says.
    """
    if fn is None:
        return functools.partial(disable, recursive=recursive, reason=reason)

    @functools.wraps(fn)
    def disabled(*args: Any, **kwargs: Any) -> Any:
        if local.tracer is not None:
            name = getattr(fn, "__qualname__", type(fn).__name__)
            why = f" ({reason})" if reason else ""
            raise refused(
                UntraceableError(
                    f"{name}, which is marked with compiler.disable{why}, is called, at {place()}"
                )
            )
        return fn(*args, **kwargs)

    return disabled


def allow_in_graph(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function as it is: whatever can be traced is."""
    return fn


def is_exporting() -> bool:
    """Return false: there is no export."""
    return False


def list_backends(exclude_tags: Any = ("debug", "experimental")) -> list[str]:
    """Return the names that `compile` takes as its backend."""
    return [name for name in BACKENDS if name != "eager" or not exclude_tags]


def cudagraph_mark_step_begin() -> None:
    """Do nothing: there are no CUDA graphs."""


class set_stance:  # noqa: N801 - torch's public name
    """Say what compiled functions do: compile ('default'), run as they are ('force_eager'), or raise rather.

    At once when called, until its end as a context manager, in the decorated function.

    Args:
        stance: 'default', 'force_eager', or 'fail_on_recompile': raise where a new form would be compiled.
    """

    def __init__(self, stance: str = "default") -> None:
        if stance not in ("default", "force_eager", "fail_on_recompile"):
            raise RuntimeError(f"invalid torch.compile stance '{stance}'")
        self._before = switch.off, switch.strict
        self.stance = stance
        self._set()

    def _set(self) -> None:
        switch.off = self.stance == "force_eager"
        switch.strict = self.stance == "fail_on_recompile"

    def __enter__(self) -> Self:
        self._set()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        switch.off, switch.strict = self._before

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        switch.off, switch.strict = self._before

        @functools.wraps(function)
        def stanced(*args: Any, **kwargs: Any) -> Any:
            with set_stance(self.stance):
                return function(*args, **kwargs)

        return stanced
