"""mean(3 (x + 2)^2), forward and backward: dispatch is all at 10 elements, memory at 10^7."""

from __future__ import annotations

from functools import partial
from typing import Any

from workloads import Compile, Step, Workload

TARGETS = {  # elements: of eager times to torch's, of compiled ones
    10: (0.5, 0.12),
    10**3: (None, None),
    10**5: (None, 0.15),
    10**6: (0.6, 0.1),
    10**7: (0.1, 0.04),
}
SMALL = 10**4  # up to this size a step repeats the work
REPEAT = 100


def torch_step(size: int, torch: Any, compile: Compile) -> Step:
    x = torch.linspace(0, 1, size).requires_grad_()

    def once() -> None:
        x.grad = None
        y = x + 2
        (y * y * 3).mean().backward()

    made = compile(once)

    def step() -> None:
        for _ in range(REPEAT if size <= SMALL else 1):
            made()

    return step


def jax_step(size: int) -> Step:
    import jax
    import jax.numpy as jnp

    x = jnp.linspace(0, 1, size)
    both = jax.jit(jax.value_and_grad(lambda x: (3 * (x + 2) ** 2).mean()))

    def step() -> None:
        for _ in range(REPEAT if size <= SMALL else 1):
            jax.block_until_ready(both(x))

    return step


WORKLOADS = [
    Workload(
        f"mean(3(x+2)^2), {size:,} elements, forward + backward",
        partial(torch_step, size),
        repeat=REPEAT if size <= SMALL else 1,
        target=eager,
        compiled_target=compiled,
        jax_target=None if compiled is None else 0.5,
        jax=partial(jax_step, size),
    )
    for size, (eager, compiled) in TARGETS.items()
]
