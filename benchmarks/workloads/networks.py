"""Whole training steps: forward, backward and, where an optimizer is named, the update."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from workloads import Compile, Step, Workload

ONE_LAYER_REPEAT = 100


def one_layer(torch: Any, compile: Compile) -> Step:
    """Build the network of one layer with which tutorials on autograd begin."""
    torch.manual_seed(0)
    x, y = torch.ones(5), torch.zeros(3)
    w = torch.randn(5, 3, requires_grad=True)
    b = torch.randn(3, requires_grad=True)
    loss = torch.nn.functional.binary_cross_entropy_with_logits

    def once() -> None:
        w.grad = b.grad = None
        z = x @ w + b
        loss(z, y).backward()

    made = compile(once)

    def step() -> None:
        for _ in range(ONE_LAYER_REPEAT):
            made()

    return step


def training(compile: Compile, model: Any, optimizer: Any, loss: Callable[..., Any], x: Any, y: Any) -> Step:
    def step() -> None:
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()

    return compile(step)


def tiny(torch: Any, compile: Compile) -> Step:
    torch.manual_seed(0)
    nn = torch.nn
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))
    x = torch.randn(32, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    return training(compile, model, optimizer, nn.functional.mse_loss, x, x.prod(1, keepdim=True))


def mlp(name: str, torch: Any, compile: Compile) -> Step:
    torch.manual_seed(0)
    nn = torch.nn
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=1e-3)
    x, y = torch.randn(128, 784), torch.randint(10, (128,))
    return training(compile, model, optimizer, nn.functional.cross_entropy, x, y)


def digits(torch: Any, compile: Compile) -> Step:
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
    return training(compile, model, optimizer, nn.functional.cross_entropy, x, y)


def jax_one_layer() -> Step:
    import jax
    import jax.numpy as jnp

    x, y = jnp.ones(5), jnp.zeros(3)
    w, b = jax.random.normal(jax.random.key(0), (5, 3)), jax.random.normal(jax.random.key(1), (3,))

    def loss(w: Any, b: Any) -> Any:
        z = x @ w + b
        return (jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-jnp.abs(z)))).mean()

    both = jax.jit(jax.value_and_grad(loss, (0, 1)))

    def step() -> None:
        for _ in range(ONE_LAYER_REPEAT):
            jax.block_until_ready(both(w, b))

    return step


def jax_layers(*sizes: int) -> list[Any]:
    import jax
    import jax.numpy as jnp

    keys = jax.random.split(jax.random.key(0), len(sizes))
    weights = [
        jax.random.normal(k, (m, n)) / m**0.5 for k, m, n in zip(keys, sizes[:-1], sizes[1:], strict=False)
    ]
    return [p for w in weights for p in (w, jnp.zeros(w.shape[1]))]


def jax_training(loss: Any, params: list[Any], optimizer: str) -> Step:
    """Build a step that updates the parameters in place of the old ones, as one jitted function."""
    import jax
    import jax.numpy as jnp

    def descend(state: Any) -> Any:
        return [p - 1e-3 * g for p, g in zip(state, jax.grad(loss)(state), strict=True)]

    def adam(state: Any) -> Any:
        t, params, m, v = state
        grads = jax.grad(loss)(params)
        m = [0.9 * a + 0.1 * g for a, g in zip(m, grads, strict=True)]
        v = [0.999 * a + 0.001 * g * g for a, g in zip(v, grads, strict=True)]
        rate, scale = 1e-3 / (1 - 0.9**t), jnp.sqrt(1 - 0.999**t)
        new = [p - rate * a / (jnp.sqrt(b) / scale + 1e-8) for p, a, b in zip(params, m, v, strict=True)]
        return t + 1, new, m, v

    zeros = [jnp.zeros_like(p) for p in params]
    state: Any = params if optimizer == "SGD" else (jnp.ones(()), params, zeros, list(map(jnp.copy, zeros)))
    update = jax.jit(descend if optimizer == "SGD" else adam, donate_argnums=0)

    def step() -> None:
        nonlocal state
        state = jax.block_until_ready(update(state))

    return step


def jax_tiny() -> Step:
    import jax
    import jax.numpy as jnp

    x = jax.random.normal(jax.random.key(1), (32, 2))
    y = x.prod(1, keepdims=True)

    def loss(params: Any) -> Any:
        w1, b1, w2, b2, w3, b3 = params
        return ((jnp.tanh(jnp.tanh(x @ w1 + b1) @ w2 + b2) @ w3 + b3 - y) ** 2).mean()

    return jax_training(loss, jax_layers(2, 16, 16, 1), "Adam")


def jax_mlp(optimizer: str) -> Step:
    """Build the 784-256-10 network."""
    import jax
    import jax.numpy as jnp

    x, y = (
        jax.random.normal(jax.random.key(1), (128, 784)),
        jax.random.randint(jax.random.key(2), (128,), 0, 10),
    )

    def loss(params: Any) -> Any:
        w1, b1, w2, b2 = params
        logits = jax.nn.relu(x @ w1 + b1) @ w2 + b2
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()

    return jax_training(loss, jax_layers(784, 256, 10), optimizer)


WORKLOADS = [
    Workload(
        "one layer and BCE, forward + backward", one_layer, repeat=ONE_LAYER_REPEAT,
        target=0.5, compiled_target=0.12, jax_target=0.5, jax=jax_one_layer,
    ),
    Workload(
        "2-16-16-1 tanh MLP, batch 32, Adam step", tiny,
        target=0.5, compiled_target=0.1, jax_target=0.4, jax=jax_tiny,
    ),
    Workload(
        "784-256-10 MLP, batch 128, SGD step", partial(mlp, "SGD"),
        target=0.7, compiled_target=0.5, jax_target=0.6, jax=partial(jax_mlp, "SGD"),
    ),
    Workload(
        "784-256-10 MLP, batch 128, Adam step", partial(mlp, "Adam"),
        target=0.6, compiled_target=0.4, jax_target=0.6, jax=partial(jax_mlp, "Adam"),
    ),
    Workload("digit CNN, batch 64, Adam step", digits),
]  # fmt: skip
