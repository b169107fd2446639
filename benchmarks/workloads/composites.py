"""Composite functions of large arrays: what a fused loop saves in passes over memory."""

from __future__ import annotations

from functools import partial
from typing import Any

from workloads import Compile, Step, Workload

ROWS, FEATURES, CLASSES = 4096, 768, 1000
UPDATED = 4  # parameters of a million elements


def norm_and_gelu(torch: Any, compile: Compile) -> Step:
    torch.manual_seed(0)
    norm = torch.nn.LayerNorm(FEATURES)
    x = torch.randn(ROWS, FEATURES, requires_grad=True)
    ct = torch.randn(ROWS, FEATURES)

    def step() -> None:
        x.grad = norm.weight.grad = norm.bias.grad = None
        torch.nn.functional.gelu(norm(x)).backward(ct)

    return compile(step)


def cross_entropy(torch: Any, compile: Compile) -> Step:
    torch.manual_seed(0)
    x, y = torch.randn(ROWS, CLASSES, requires_grad=True), torch.randint(CLASSES, (ROWS,))

    def step() -> None:
        x.grad = None
        torch.nn.functional.cross_entropy(x, y).backward()

    return compile(step)


def update(name: str, options: dict[str, Any], torch: Any, compile: Compile) -> Step:
    torch.manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(1000, 1000)) for _ in range(UPDATED)]
    for parameter in parameters:
        parameter.grad = torch.randn(1000, 1000)
    optimizer = getattr(torch.optim, name)(parameters, lr=1e-3, **options)

    def step() -> None:
        optimizer.step()

    return compile(step)


def jax_norm_and_gelu() -> Step:
    import jax
    import jax.numpy as jnp

    x, ct = jax.random.normal(jax.random.key(0), (2, ROWS, FEATURES))
    weight, bias = jnp.ones(FEATURES), jnp.zeros(FEATURES)

    def run(x: Any, weight: Any, bias: Any) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        unit = centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return jax.nn.gelu(unit * weight + bias, approximate=False)

    @jax.jit
    def both(x: Any, weight: Any, bias: Any, ct: Any) -> Any:
        y, pull = jax.vjp(run, x, weight, bias)
        return y, pull(ct)

    return lambda: jax.block_until_ready(both(x, weight, bias, ct))


def jax_cross_entropy() -> Step:
    import jax
    import jax.numpy as jnp

    x = jax.random.normal(jax.random.key(0), (ROWS, CLASSES))
    y = jax.random.randint(jax.random.key(1), (ROWS,), 0, CLASSES)
    loss = jax.jit(
        jax.value_and_grad(lambda x: -jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], 1).mean())
    )
    return lambda: jax.block_until_ready(loss(x))


WORKLOADS = [
    Workload(
        f"layer_norm and gelu, {ROWS} x {FEATURES}, forward + backward", norm_and_gelu,
        target=0.6, compiled_target=0.4, jax_target=0.8, jax=jax_norm_and_gelu,
    ),
    Workload(
        f"cross-entropy, {ROWS} x {CLASSES}, forward + backward", cross_entropy,
        target=0.6, compiled_target=0.4, jax_target=0.8, jax=jax_cross_entropy,
    ),
    Workload(
        f"SGD with momentum, {UPDATED} x 1000 x 1000", partial(update, "SGD", {"momentum": 0.9}), target=0.6
    ),
    Workload(f"Adam, {UPDATED} x 1000 x 1000", partial(update, "Adam", {}), target=0.4),
]  # fmt: skip
