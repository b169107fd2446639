"""Whole training steps: forward, backward and, where an optimizer is named, the update."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from workloads import Step, Workload

ONE_LAYER_REPEAT = 100


def one_layer(torch: Any) -> Step:
    """Build the network of one layer with which tutorials on autograd begin."""
    torch.manual_seed(0)
    x, y = torch.ones(5), torch.zeros(3)
    w = torch.randn(5, 3, requires_grad=True)
    b = torch.randn(3, requires_grad=True)
    loss = torch.nn.functional.binary_cross_entropy_with_logits

    def step() -> None:
        for _ in range(ONE_LAYER_REPEAT):
            w.grad = b.grad = None
            z = x @ w + b
            loss(z, y).backward()

    return step


def training(model: Any, optimizer: Any, loss: Callable[..., Any], x: Any, y: Any) -> Step:
    def step() -> None:
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()

    return step


def tiny(torch: Any) -> Step:
    torch.manual_seed(0)
    nn = torch.nn
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))
    x = torch.randn(32, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    return training(model, optimizer, nn.functional.mse_loss, x, x.prod(1, keepdim=True))


def mlp(name: str, torch: Any) -> Step:
    torch.manual_seed(0)
    nn = torch.nn
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=1e-3)
    x, y = torch.randn(128, 784), torch.randint(10, (128,))
    return training(model, optimizer, nn.functional.cross_entropy, x, y)


def digits(torch: Any) -> Step:
    """Build the network of examples/digits.py."""
    torch.manual_seed(0)
    nn = torch.nn
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(512, 10),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    x, y = torch.rand(64, 1, 8, 8), torch.randint(10, (64,))
    return training(model, optimizer, nn.functional.cross_entropy, x, y)


def jax_mlp() -> Step:
    """Build the 784-256-10 network with plain gradient descent."""
    import jax
    import jax.numpy as jnp

    keys = jax.random.split(jax.random.key(0), 4)
    weights = [
        jax.random.normal(keys[0], (784, 256)) / 28,
        jnp.zeros(256),
        jax.random.normal(keys[1], (256, 10)) / 16,
    ]
    state = [*weights, jnp.zeros(10)]
    x, y = jax.random.normal(keys[2], (128, 784)), jax.random.randint(keys[3], (128,), 0, 10)

    def loss(state: Any) -> Any:
        w1, b1, w2, b2 = state
        logits = jax.nn.relu(x @ w1 + b1) @ w2 + b2
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()

    update = jax.jit(lambda state: [p - 1e-3 * g for p, g in zip(state, jax.grad(loss)(state), strict=True)])

    def step() -> None:
        nonlocal state
        state = jax.block_until_ready(update(state))

    return step


WORKLOADS = [
    Workload("one layer and BCE, forward + backward", one_layer, repeat=ONE_LAYER_REPEAT, target=0.5),
    Workload("2-16-16-1 tanh MLP, batch 32, Adam step", tiny, target=0.5),
    Workload("784-256-10 MLP, batch 128, SGD step", partial(mlp, "SGD"), target=0.7, jax=jax_mlp),
    Workload("784-256-10 MLP, batch 128, Adam step", partial(mlp, "Adam"), target=0.6),
    Workload("digit CNN, batch 64, Adam step", digits),
]
