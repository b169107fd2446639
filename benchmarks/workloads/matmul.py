"""The matrix product: how well the cores' arithmetic is used."""

from __future__ import annotations

from typing import Any

from workloads import Step, Workload

SIZE = 1024


def torch_step(torch: Any) -> Step:
    torch.manual_seed(0)
    a, b = torch.randn(SIZE, SIZE), torch.randn(SIZE, SIZE)
    return lambda: a @ b


def jax_step() -> Step:
    import jax

    a, b = jax.random.normal(jax.random.key(0), (2, SIZE, SIZE))
    product = jax.jit(lambda a, b: a @ b)
    return lambda: jax.block_until_ready(product(a, b))


WORKLOADS = [Workload("matrix product 1024 x 1024 x 1024", torch_step, target=0.6, jax=jax_step)]
