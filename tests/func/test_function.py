"""Custom Functions inside transforms."""

from __future__ import annotations

import pytest

import retrograd as torch
from retrograd.func import grad, hessian, jacfwd, jacrev, jvp, vmap

X = torch.tensor([1.0, 2.0, 3.0])


class Cube(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x**3

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, ct):
        (x,) = ctx.saved_tensors
        return 3 * x * x * ct

    @staticmethod
    def jvp(ctx, t):
        (x,) = ctx.saved_tensors
        return 3 * x * x * t


class Scale(torch.autograd.Function):
    """x * w, with a rule for batches of its own."""

    seen: list = []  # noqa: RUF012 - the test looks at it

    @staticmethod
    def forward(x, w):
        return x * w

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, ct):
        x, w = ctx.saved_tensors
        return ct * w, (ct * x).sum()

    @staticmethod
    def vmap(info, in_dims, x, w):
        Scale.seen.append((info.batch_size, in_dims))
        return Scale.apply(x.movedim(in_dims[0], 0), w), 0


def test_reverse_mode_of_any_order():
    assert torch.allclose(grad(lambda x: Cube.apply(x).sum())(X), 3 * X**2)
    assert torch.allclose(grad(lambda x: grad(lambda x: Cube.apply(x).sum())(x).sum())(X), 6 * X)
    assert torch.allclose(hessian(lambda x: Cube.apply(x).sum())(X), torch.diag(6 * X))


def test_forward_mode_takes_its_jvp():
    y, t = jvp(Cube.apply, (X,), (torch.ones(3),))
    assert torch.allclose(y, X**3)
    assert torch.allclose(t, 3 * X**2)
    for jacobian in (jacfwd, jacrev):
        assert torch.allclose(jacobian(Cube.apply)(X), torch.diag(3 * X**2))


def test_the_made_batch_rule():
    x = torch.stack([X, 2 * X])
    assert torch.allclose(vmap(Cube.apply, in_dims=1, out_dims=1)(x), x**3)
    assert torch.allclose(vmap(grad(lambda x: Cube.apply(x).sum()))(x), 3 * x**2)
    assert torch.allclose(grad(lambda x: vmap(Cube.apply)(x).sum())(x), 3 * x**2)


def test_its_own_batch_rule():
    Scale.seen.clear()
    x, w = torch.stack([X, 2 * X]), torch.tensor(2.0)
    assert torch.allclose(vmap(Scale.apply, in_dims=(0, None))(x, w), 2 * x)
    assert Scale.seen == [(2, (0, None))]


def test_what_is_missing_is_said():
    class Bare(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

    class NoRule(Cube):
        generate_vmap_rule = False

    class NoJvp(torch.autograd.Function):
        forward, setup_context, backward = Cube.forward, Cube.setup_context, Cube.backward

    with pytest.raises(RuntimeError, match="it must override the setup_context staticmethod"):
        grad(lambda x: Bare.apply(x).sum())(X)
    with pytest.raises(
        RuntimeError, match="You tried to vmap over NoRule, but it does not have vmap support"
    ):
        vmap(NoRule.apply)(X)
    with pytest.raises(NotImplementedError, match="You must implement the jvp function"):
        jvp(NoJvp.apply, (X,), (X,))
