"""A whole training step, compiled, does what it does as it is: to results, parameters, gradients, state."""

from __future__ import annotations

import pytest
from compiler.both import alike, grads, versions

import retrograd as torch
from retrograd import nn
from retrograd.nn import functional as F


def training(model, optimizer, loss, batches, *, before=None, after=None, zero="start"):
    """Return what `alike` takes, for a step of a model."""
    parameters = list(model.parameters())

    def step(*batch):
        if zero == "start":
            optimizer.zero_grad()
        value = loss(model, *batch)
        value.backward()
        if before is not None:
            before(model)
        optimizer.step()
        if zero == "end":
            optimizer.zero_grad()
        return value

    def watched():
        if after is not None:
            after()
        state = [dict(optimizer.state[p]) for p in parameters]
        return parameters, grads(parameters), state, dict(model.named_buffers())

    return step, lambda k: batches[k % len(batches)], watched


def batches(count, *shapes, classes=None):
    return [
        tuple(
            torch.randn(s) if classes is None or i == 0 else torch.randint(0, classes, s)
            for i, s in enumerate(shapes)
        )
        for _ in range(count)
    ]  # fmt: skip


def square(model, x, y):
    return ((model(x) - y) ** 2).mean()


def test_the_one_layer_network():
    def make():
        x = torch.ones(5)
        y = torch.zeros(3)
        w = torch.randn(5, 3, requires_grad=True)
        b = torch.randn(3, requires_grad=True)

        def step():
            w.grad = b.grad = None
            z = torch.matmul(x, w) + b
            loss = F.binary_cross_entropy_with_logits(z, y)
            loss.backward()
            return loss

        return step, lambda _: (), lambda: grads([w, b])

    alike(make)


def tanh_mlp():
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))


def test_tanh_mlp_with_adam():
    def make():
        model = tanh_mlp()
        return training(
            model, torch.optim.Adam(model.parameters(), lr=0.01), square, batches(2, (8, 2), (8, 1))
        )

    alike(make)


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-2, dampening=0.1),
    "sgd nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, maximize=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=1e-2),
    "adam amsgrad": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.05, lr_decay=0.1),
    "adadelta": lambda p: torch.optim.Adadelta(p, lr=1.0),
    "adamax": lambda p: torch.optim.Adamax(p, lr=0.01),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.01),
    "rprop": lambda p: torch.optim.Rprop(p, lr=0.01),
}


@pytest.mark.parametrize("zero", ["start", "end"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name, zero):
    def make():
        model = tanh_mlp()
        return training(
            model, OPTIMIZERS[name](model.parameters()), square, batches(2, (8, 2), (8, 1)), zero=zero
        )

    alike(make, calls=5, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["radam", "asgd"])
def test_optimizers_whose_formula_changes(name):
    def make():
        model = tanh_mlp()
        cls = {"radam": torch.optim.RAdam, "asgd": torch.optim.ASGD}[name]
        return training(model, cls(model.parameters(), lr=0.01), square, batches(2, (8, 2), (8, 1)))

    alike(make, calls=9, forms=None, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["sgd momentum", "adam", "adamw"])
def test_mnist_mlp_with_a_scheduler(name):
    def make():
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))
        optimizer = OPTIMIZERS[name](model.parameters())
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)
        data = batches(2, (16, 28, 28), (16,), classes=10)
        return training(
            model, optimizer, lambda m, x, y: F.cross_entropy(m(x), y), data, after=scheduler.step
        )

    alike(make, calls=5, rtol=1e-4, atol=1e-5)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.norm = nn.LayerNorm(8)
        self.q, self.k, self.v = nn.Linear(8, 8), nn.Linear(8, 8, bias=False), nn.Linear(8, 8)
        self.drop = nn.Dropout(0.25)
        self.head = nn.Linear(8, 11)

    def forward(self, tokens):
        x = self.norm(self.embedding(tokens))
        scores = self.q(x) @ self.k(x).transpose(-1, -2) / 8**0.5
        mask = torch.ones(tokens.shape[1], tokens.shape[1]).triu(1).bool()
        weights = F.softmax(scores.masked_fill(mask, float("-inf")), -1)
        return self.head(x + self.drop(F.gelu(weights @ self.v(x))))


def test_attention_with_embedding_norm_dropout_and_cross_entropy():
    def make():
        model = Attention()
        data = [(torch.randint(0, 11, (3, 6)),) for _ in range(2)]

        def loss(model, tokens):
            made = model(tokens[:, :-1])
            return F.cross_entropy(made.reshape(-1, 11), tokens[:, 1:].reshape(-1), label_smoothing=0.1)

        return training(model, torch.optim.AdamW(model.parameters(), lr=0.01), loss, data)

    alike(make, rtol=1e-3, atol=1e-5)


def test_batch_norm_moves_its_statistics():
    def make():
        model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 1))
        return training(
            model, torch.optim.SGD(model.parameters(), lr=0.1), square, batches(2, (8, 4), (8, 1))
        )

    alike(make, rtol=1e-4, atol=1e-5)


def test_gradients_accumulate_over_calls():
    def make():
        model = tanh_mlp()
        data = batches(3, (4, 2), (4, 1))

        def accumulate(x, y):
            loss = square(model, x, y) / 3
            loss.backward()
            return loss

        return accumulate, lambda k: data[k % 3], lambda: grads(model.parameters())

    alike(make, forms=2)  # without gradients at the start, and with


def test_gradients_accumulate_inside():
    def make():
        model = tanh_mlp()
        optimizer = torch.optim.Adam(model.parameters())
        data = batches(3, (4, 2), (4, 1))

        def step():
            optimizer.zero_grad()
            total = 0
            for x, y in data:
                loss = square(model, x, y)
                loss.backward()
                total = total + loss.detach()
            optimizer.step()
            return total

        return step, lambda _: (), lambda: (list(model.parameters()), grads(model.parameters()))

    alike(make, rtol=1e-4)


@pytest.mark.parametrize("kind", [2.0, float("inf"), 1.0])
def test_clipping_of_the_norm(kind):
    def make():
        model = tanh_mlp()
        clip = lambda m: nn.utils.clip_grad_norm_(m.parameters(), 0.05, kind)  # noqa: E731
        return training(
            model,
            torch.optim.SGD(model.parameters(), lr=0.1),
            square,
            batches(2, (8, 2), (8, 1)),
            before=clip,
        )

    alike(make, rtol=1e-4)


def test_clipping_of_values():
    def make():
        model = tanh_mlp()
        clip = lambda m: nn.utils.clip_grad_value_(m.parameters(), 0.01)  # noqa: E731
        return training(
            model,
            torch.optim.SGD(model.parameters(), lr=0.1),
            square,
            batches(2, (8, 2), (8, 1)),
            before=clip,
        )

    alike(make)


def test_several_groups_and_an_unused_parameter():
    def make():
        model = tanh_mlp()
        idle = nn.Parameter(torch.ones(3))
        groups = [
            {"params": model[0].parameters(), "lr": 0.1},
            {"params": model[2].parameters(), "weight_decay": 0.1, "betas": (0.8, 0.9)},
            {"params": [*model[4].parameters(), idle]},
        ]
        return training(model, torch.optim.Adam(groups, lr=0.01), square, batches(2, (8, 2), (8, 1)))

    alike(make, rtol=1e-4, atol=1e-5)


def test_two_steps_in_one_call():
    def make():
        model = tanh_mlp()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        data = batches(2, (8, 2), (8, 1))

        def twice():
            for x, y in data:
                optimizer.zero_grad()
                loss = square(model, x, y)
                loss.backward()
                optimizer.step()
            return loss

        return (
            twice,
            lambda _: (),
            lambda: (list(model.parameters()), [dict(s) for s in optimizer.state.values()]),
        )

    alike(make, rtol=1e-4, atol=1e-5)


def test_two_optimizers_as_in_a_gan():
    def make():
        g, d = nn.Linear(3, 4), nn.Linear(4, 1)
        of_g, of_d = torch.optim.Adam(g.parameters(), lr=0.01), torch.optim.SGD(d.parameters(), lr=0.1)

        def step(noise, real):
            made = g(noise)
            of_d.zero_grad()
            loss_d = F.softplus(-d(real)).mean() + F.softplus(d(made.detach())).mean()
            loss_d.backward()
            of_d.step()
            of_g.zero_grad()
            loss_g = F.softplus(-d(made)).mean()
            loss_g.backward()
            of_g.step()
            return loss_d, loss_g

        data = batches(2, (5, 3), (5, 4))
        return (
            step,
            lambda k: data[k % 2],
            lambda: ([*g.parameters(), *d.parameters()], grads([*g.parameters(), *d.parameters()])),
        )

    alike(make, rtol=1e-4)


def test_updates_by_hand_in_no_grad():
    def make():
        w = torch.randn(3, 2, requires_grad=True)
        data = batches(2, (4, 3), (4, 2))

        def step(x, y):
            loss = ((x @ w - y) ** 2).mean()
            loss.backward()
            with torch.no_grad():
                w.sub_(0.1 * w.grad)
                w.grad.zero_()
            return loss.detach()

        return step, lambda k: data[k % 2], lambda: (w, w.grad)

    alike(make, forms=2)


def test_updates_of_data():
    def make():
        w = torch.randn(3, 2, requires_grad=True)
        data = batches(2, (4, 3), (4, 2))

        def step(x, y):
            loss = ((x @ w - y) ** 2).mean()
            (g,) = torch.autograd.grad(loss, w)
            w.data = w.data - 0.1 * g
            return loss

        return step, lambda k: data[k % 2], lambda: w

    alike(make)


def test_moving_average_of_parameters():
    def make():
        model = tanh_mlp()
        mean = [p.detach().clone() for p in model.parameters()]

        def after(model):
            with torch.no_grad():
                for m, p in zip(mean, model.parameters(), strict=True):
                    m.mul_(0.9).add_(p, alpha=0.1)

        step, arguments, watched = training(
            model,
            torch.optim.SGD(model.parameters(), lr=0.1),
            square,
            batches(2, (8, 2), (8, 1)),
            before=after,
        )
        return step, arguments, lambda: (watched(), mean)

    alike(make)


def test_versions_count_the_writes():
    def make():
        model = tanh_mlp()
        return (
            *training(model, torch.optim.SGD(model.parameters(), lr=0.1), square, batches(1, (8, 2), (8, 1)))[
                :2
            ],
            lambda: versions(model.parameters()),
        )

    alike(make)


def test_the_loss_says_that_its_graph_is_gone():
    model = tanh_mlp()

    @torch.compile
    def step(x):
        model.zero_grad()
        loss = model(x).sum()
        loss.backward()
        return loss

    loss = step(torch.randn(4, 2))
    assert loss.requires_grad
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()


def test_double_backward_inside():
    def make():
        model = tanh_mlp()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)

        def step(x):
            optimizer.zero_grad()
            x = x.detach().requires_grad_()
            (g,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
            penalty = ((g.norm(dim=1) - 1) ** 2).mean()
            penalty.backward()
            optimizer.step()
            return penalty.detach(), g.detach()

        data = batches(2, (4, 2))
        return step, lambda k: data[k % 2], lambda: grads(model.parameters())

    alike(make, rtol=1e-4)


def test_half_precision_parameters():
    def make():
        model = nn.Linear(3, 2).to(torch.bfloat16)
        data = [
            (torch.randn(4, 3).to(torch.bfloat16), torch.randn(4, 2).to(torch.bfloat16)) for _ in range(2)
        ]
        return training(model, torch.optim.SGD(model.parameters(), lr=0.1), square, data)

    alike(make, rtol=1e-2, atol=1e-2)


def test_checkpointed_closure():
    def make():
        model = tanh_mlp()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        data = batches(2, (8, 2), (8, 1))

        def step(x, y):
            def closure():
                optimizer.zero_grad()
                loss = square(model, x, y)
                loss.backward()
                return loss

            return optimizer.step(closure)

        return step, lambda k: data[k % 2], lambda: (list(model.parameters()), grads(model.parameters()))

    alike(make)
