"""What is raced: each workload is one source for every contender, with its module passed in as `torch`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Step = Callable[[], Any]
Compile = Callable[[Step], Step]


@dataclass(frozen=True)
class Workload:
    """One row of the table.

    `build` makes a step out of a module that is, or stands for, torch, and of what compiles the part that is
    repeated (for eager contenders it returns that as it is). A step does its work `repeat` times, to be well
    above the noise of the timer; times are reported per repetition. `jax` makes the same step for JAX, whose
    programs read differently. The targets are the ratios that the project aims at: of eager times to torch's,
    of compiled times to torch's and to JAX's. Without a target for it a workload is not raced compiled.
    """

    name: str
    build: Callable[[Any, Compile], Step]
    repeat: int = 1
    target: float | None = None
    compiled_target: float | None = None
    jax_target: float | None = None
    jax: Callable[[], Step] | None = None


def collect_all() -> dict[str, Workload]:
    """Return the workloads of the table and those of the other races."""
    from workloads import jacobians

    others = (*jacobians.WORKLOADS, *jacobians.LOOPS.values())
    return {**collect(), **{workload.name: workload for workload in others}}


def collect() -> dict[str, Workload]:
    """Return all workloads by name, in the order of the table."""
    from workloads import composites, elementwise, matmul, networks, ops

    groups = (ops, elementwise, networks, composites, matmul)
    return {workload.name: workload for group in groups for workload in group.WORKLOADS}
