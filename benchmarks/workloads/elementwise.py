"""mean(3 (x + 2)^2), forward and backward: dispatch is all at 10 elements, memory at 10^7."""

from __future__ import annotations

from functools import partial
from typing import Any

from workloads import Step, Workload

TARGETS = {10: 0.5, 10**3: None, 10**5: None, 10**6: 0.8, 10**7: 0.5}
SMALL = 10**4  # up to this size a step repeats the work
REPEAT = 100


def torch_step(size: int, torch: Any) -> Step:
    x = torch.linspace(0, 1, size).requires_grad_()

    def step() -> None:
        for _ in range(REPEAT if size <= SMALL else 1):
            x.grad = None
            y = x + 2
            (y * y * 3).mean().backward()

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
        target=target,
        jax=partial(jax_step, size),
    )
    for size, target in TARGETS.items()
]
