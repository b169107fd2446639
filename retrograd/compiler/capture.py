"""From a function and one call's arguments to an entry: trace, take apart, build."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from retrograd.arrays.numbers import Number
from retrograd.arrays.traced import refusals
from retrograd.compiler.code import is_users
from retrograd.compiler.entry import Entry
from retrograd.compiler.guards import Guards
from retrograd.compiler.numbers import Given, SpecialiseError
from retrograd.compiler.plan import Planner, TrueGradsError
from retrograd.compiler.state import Reach
from retrograd.compiler.tracer import Tracer
from retrograd.compiler.trees import Arguments
from retrograd.compiler.watch import Watch
from retrograd.errors import UntraceableError


class UsersError(Exception):
    """The traced function raised, and not for being traced; everything is as it was. Holds the error."""

    def __init__(self, error: BaseException, tensors: list[Any], *, is_sure: bool) -> None:
        super().__init__(error)
        self.error = error
        self.tensors = tensors
        self.is_sure = is_sure


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a function that is to be compiled."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    name: str
    key: tuple[Any, ...] = (True, False)  # whether it records, and is in inference mode
    varying: frozenset[str] = frozenset()  # the places of floats that differ from call to call


def capture(call: Call) -> Entry:
    """Return the compiled form of a function for arguments like a call's.

    Nothing is computed: every tensor and all Python state is left as it was.

    Raises:
        UntraceableError: it cannot be compiled.
        UsersError: the function raised.
        SpecialiseError: a varying float is needed as a constant.
    """
    arguments = Arguments(call.args, call.kwargs, call.varying)
    is_collecting = gc.isenabled()
    gc.disable()  # thousands of small objects are made that live to the end
    try:
        return _traced(call, arguments, assumed=True)
    except TrueGradsError:
        return _traced(call, arguments, assumed=False)
    finally:
        if is_collecting:
            gc.enable()


def _traced(call: Call, arguments: Arguments, *, assumed: bool) -> Entry:
    reach = Reach(call.function, arguments.objects)
    given = [t for _, t in arguments.tensors]
    tracer = Tracer(assumed_grads=assumed)
    planner = Planner(tracer, known := {id(t) for t in (*given, *reach.tensors)}, reach.has)
    watch = Watch()
    is_done = False
    try:
        tracer.start([*given, *reach.tensors])
        args, kwargs = _with_numbers(call, arguments, tracer.given)
        with watch:
            result = call.function(*args, **kwargs)
        watch.check()
        tracer.given.check()
        known |= tracer.steps.known
        planner.results_of(result)
        planner.changes()
        planner.histories()
        is_done = True
    except (TrueGradsError, SpecialiseError):
        raise
    except BaseException as error:
        tracer.given.check()
        if refusals.last is not None and isinstance(error, Exception):
            raise UntraceableError(str(refusals.last)) from None
        if isinstance(error, UntraceableError):
            raise
        raise UsersError(error, [*given, *reach.tensors], is_sure=_is_users(error)) from None
    finally:
        tracer.restore()
        changed = reach.changed() if is_done else None
        if changed is not None or not is_done:
            reach.restore()
        result = args = kwargs = None
    if changed is not None:
        raise UntraceableError(
            f"{changed} is changed inside the function, which a compiled program would not repeat"
        )
    try:
        plan = planner.close()
        tracer.check_kept(known)
        for site in plan.sites:
            site.numbers.close()
        taken = {id(s.what) for s in plan.sources if s.kind == "array"}
        return Entry(plan, arguments, Guards(reach, watch.users, taken), call.name, call.key)
    except BaseException:
        reach.restore()
        raise


def _with_numbers(call: Call, arguments: Arguments, given: Given) -> tuple[Any, Any]:
    """Return the call's arguments with numbers in place of the floats that vary."""
    numbers = {p: Number(given, p, v) for p, v in arguments.floats.items() if p in call.varying}
    if not numbers:
        return call.args, call.kwargs
    return arguments.replaced("args", call.args, numbers), arguments.replaced("kwargs", call.kwargs, numbers)


def _is_users(error: BaseException) -> bool:
    """Whether an error was raised by the user's own code, not by ours, which may not know traces."""
    if not isinstance(error, Exception):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and is_users(frames[-1].filename)
