"""Optimizer steps of a traced function: the formula is traced, its numbers are computed before each run.

What `prepare` makes of the learning rate and the count of steps differs from call to call: such a number is
an input of the program, a `Number` (numbers.py): `update` may compute with it before it meets an array, as in
`1 - n.beta1`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from retrograd import dtypes
from retrograd.arrays import Recorder
from retrograd.arrays.handles import write
from retrograd.arrays.traced import place, refused
from retrograd.autograd.where import here
from retrograd.errors import UntraceableError
from retrograd.optim.flat import Cohort, FlatOptimizer, plain_numbers
from retrograd.optim.numbers import Numbers
from retrograd.tensor import Tensor

if TYPE_CHECKING:
    from retrograd.compiler.tracer import Tracer

_NARROW = (dtypes.float16.np, dtypes.bfloat16.np)


class Site:
    """One step of one cohort of parameters: what is done on the host before and after each run."""

    def __init__(
        self, recorder: Recorder, optimizer: FlatOptimizer, index: int, cohort: Cohort, given: Any,
        probes: list[Any],
    ) -> None:  # fmt: skip
        self.optimizer, self.index, self.cohort = optimizer, index, cohort
        self.hooks = _hooks(optimizer)
        self.layout = optimizer.layout(optimizer.param_groups[index])
        kind = cohort.arrays[0].dtype
        self.dtype = np.dtype(np.float32) if kind in _NARROW else kind
        self.numbers = Numbers(recorder, given, probes)
        self._before: Any = None

    def is_current(self) -> bool:
        """Whether the optimizer still has this cohort, with this state."""
        optimizer, cohort = self.optimizer, self.cohort
        cohorts = optimizer._cohorts
        if cohorts is None or len(cohorts) != len(optimizer.param_groups):
            return False
        group = optimizer.param_groups[self.index]
        return (
            cohort in cohorts[self.index]
            and sum(len(c.params) for c in cohorts[self.index]) == len(group["params"])
            and optimizer.layout(group) == self.layout
            and cohort.has_state(optimizer)
            and _hooks(optimizer) == self.hooks
        )

    def advance(self) -> bool:
        """Advance the count of steps and compute the numbers; False, and nothing done, if they do not fit."""
        optimizer, cohort = self.optimizer, self.cohort
        self._before = dict(cohort.scalars), cohort.fresh
        numbers = optimizer.prepare(
            plain_numbers(optimizer.param_groups[self.index]), cohort.scalars, cohort.fresh
        )
        if not self.numbers.fill(numbers):
            self.undo()
            return False
        cohort.fresh = False
        cohort.store()
        return True

    def undo(self) -> None:
        """Take `advance` back."""
        self.cohort.scalars, self.cohort.fresh = self._before
        self.cohort.store()

    def finish(self) -> None:
        """Count the write to every parameter."""
        self.optimizer.__dict__["_opt_called"] = True
        self.cohort.count_write(here())


def _tensors(group: dict[str, Any]) -> list[Any]:
    """Return the options of a group that are tensors."""
    options = [v for k, v in group.items() if k != "params"]
    return [t for v in options for t in (v if isinstance(v, tuple) else (v,)) if isinstance(t, Tensor)]


def _hooks(optimizer: FlatOptimizer) -> list[int]:
    """Return the ids of what is called around a step."""
    before, after = optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks
    return [*map(id, before.values()), *map(id, after.values())] if before or after else []


class Steps:
    """The optimizer steps of one trace."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self.sites: list[Site] = []
        self.known: set[int] = set()  # ids of the tensors that the optimizers hold
        self._reached: dict[int, tuple[dict[str, Any], bool]] = {}  # by id of a cohort: scalars, fresh

    def take(self, optimizer: FlatOptimizer) -> None:
        """Trace one step of an optimizer."""
        if optimizer._cohorts is None or len(optimizer._cohorts) != len(optimizer.param_groups):
            optimizer._cohorts = [[] for _ in optimizer.param_groups]
        for i, group in enumerate(optimizer.param_groups):
            if group.get("differentiable"):
                raise refused(UntraceableError(f"a step with differentiable=True, at {place()}"))
            for option in _tensors(group):
                if self.tracer.is_written(option):
                    raise refused(UntraceableError(f"an option of an optimizer is written to, at {place()}"))
            with self._own_memory():
                ready = optimizer._ready(i, group)
                options = plain_numbers(group)
            for cohort, grads in ready:
                if cohort.arrays[0].dtype.kind != "f" and cohort.arrays[0].dtype not in _NARROW:
                    raise refused(UntraceableError(f"a step of complex parameters, at {place()}"))
                assert len(grads) == len(cohort.params)
                self._update(self._site(optimizer, i, options, cohort))

    @contextmanager
    def _own_memory(self) -> Iterator[None]:
        """Let the tensors have their own arrays for a while; an optimizer may lay out its state anew."""
        swapped = [c for c in self.tracer.captured.values() if c.tensor._array is c.handle]
        for captured in swapped:
            captured.tensor._array = captured.array
        try:
            yield
        finally:
            for captured in swapped:
                captured.array = captured.tensor._array
                captured.tensor._array = captured.handle

    def _site(self, optimizer: FlatOptimizer, i: int, group: dict[str, Any], cohort: Cohort) -> Site:
        scalars, fresh = self._reached.get(id(cohort), (dict(cohort.scalars), cohort.fresh))
        later = dict(scalars)
        optimizer.prepare(group, later, fresh)
        probes = optimizer.probe(group, later)
        given = optimizer.prepare(group, scalars, fresh)
        self._reached[id(cohort)] = {n: float(np.float32(v)) for n, v in scalars.items()}, False
        site = Site(self.tracer.recorder, optimizer, i, cohort, given, probes)
        self.sites.append(site)
        return site

    def _update(self, site: Site) -> None:
        optimizer, cohort = site.optimizer, site.cohort
        adopt = self.tracer.adopt
        buffers = [n for n in site.layout if n not in optimizer.scalars]
        for param in cohort.params:
            state = optimizer.state[param] if site.layout else {}
            held = [param, *(state[n] for n in buffers)]
            self.known |= set(map(id, held))
            targets = [adopt(t) for t in held]
            p, g, *rest = [h._cast(site.dtype) for h in (targets[0], adopt(param.grad), *targets[1:])]
            made = optimizer.update(site.numbers.given, p, g, *rest)
            for target, value in zip(targets, made, strict=True):
                write(target, value._cast(target.dtype)._value)
