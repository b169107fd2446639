"""The matrix product: how well the cores' arithmetic is used."""

from __future__ import annotations

from typing import Any

from workloads import Compile, Step, Workload

SIZE = 1024


def torch_step(torch: Any, compile: Compile) -> Step:
    torch.manual_seed(0)
    a, b = torch.randn(SIZE, SIZE), torch.randn(SIZE, SIZE)
    return compile(lambda: a @ b)


def jax_step() -> Step:
    import jax

    a, b = jax.random.normal(jax.random.key(0), (2, SIZE, SIZE))
    product = jax.jit(lambda a, b: a @ b)
    return lambda: jax.block_until_ready(product(a, b))


WORKLOADS = [
    Workload(
        "matrix product 1024 x 1024 x 1024", torch_step,
        target=0.6, compiled_target=0.5, jax_target=1.0, jax=jax_step,
    )
]  # fmt: skip
