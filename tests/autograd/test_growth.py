"""Graphs and transforms let go of memory: at once, without the garbage collector, step after step."""

from __future__ import annotations

import gc
import sys
import weakref
from contextlib import contextmanager

import pytest

import retrograd as torch
from retrograd.autograd import forward_ad as fw
from retrograd.func import grad, hessian, jacfwd, jacrev, jvp, linearize, vjp, vmap
from retrograd.utils.checkpoint import checkpoint

STEPS = 10_000
WARM = 300  # steps after which caches are full


@contextmanager
def no_collector():
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def weight():
    return torch.full((4, 4), 0.1, requires_grad=True)


def first_order(w):
    loss = torch.tanh(torch.ones(3, 4) @ w).square().mean()
    loss.backward()
    w.grad = None


def second_order(w):
    loss = torch.tanh(torch.ones(3, 4) @ w).square().mean()
    (g,) = torch.autograd.grad(loss, w, create_graph=True)
    torch.autograd.grad(g.square().sum(), w)


def written_in_place(w):
    y = w * 2
    y[0].mul_(3)
    y.add_(1)
    y.exp().sum().backward()
    w.grad = None


def hooked(w):
    y = w * 2
    y.register_hook(lambda g: g * 2)
    y.retain_grad()
    y.grad_fn.register_prehook(lambda g: None)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        y.exp().sum().backward()
    w.grad = None


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x * x
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx, g):
        x, _ = ctx.saved_tensors
        return 2 * x * g


def custom(w):
    (g,) = torch.autograd.grad(Square.apply(w).sum(), w, create_graph=True)
    g.sum().backward()
    w.grad = None


def checkpointed(w):
    checkpoint(lambda w: (w @ w).tanh(), w, use_reentrant=False).sum().backward()
    w.grad = None


def mutated(w):
    with torch.autograd.graph.allow_mutation_on_saved_tensors():
        y = w * 2
        z = y.sin()
        y.zero_()
        z.sum().backward()
    w.grad = None


def forward_mode(w):
    with fw.dual_level():
        fw.unpack_dual(fw.make_dual(w.detach(), torch.ones(4, 4)).exp().sum())


def transformed(w):
    x = w.detach()[0]
    f = lambda x: torch.tanh(x).square().sum()  # noqa: E731 - as users write it
    grad(grad(f))(x[0])
    vmap(grad(f))(w.detach())
    jvp(f, (x,), (x,))
    vjp(f, x)[1](torch.ones(()))


def matrices(w):
    x = w.detach()[0]
    jacrev(torch.tanh)(x)
    jacfwd(torch.tanh)(x)
    hessian(lambda x: torch.tanh(x).sum())(x)
    linearize(torch.tanh, x)[1](x)


PROGRAMS = [
    first_order, second_order, written_in_place, hooked, custom, checkpointed, mutated, forward_mode,
    transformed, matrices,
]  # fmt: skip


def blocks_after(program, steps):
    """Return how many more blocks of memory Python holds after `steps` runs of a program."""
    w = weight()
    for _ in range(WARM):
        program(w)
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(steps):
        program(w)
    gc.collect()
    return sys.getallocatedblocks() - before


@pytest.mark.parametrize("program", [first_order, second_order])
def test_ten_thousand_steps_do_not_grow(program):
    assert blocks_after(program, STEPS) < STEPS // 50


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_do_not_grow(program):
    assert blocks_after(program, 1000) < 300  # one block a step would be 1000


def test_growth_is_seen():
    kept = []
    assert blocks_after(lambda w: kept.append(w * 2), 1000) > 1000


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_cycles_are_left_for_the_collector(program):
    w = weight()
    for _ in range(3):
        program(w)
    with no_collector():
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(5):
                program(w)
            gc.collect()
            found = [type(o).__name__ for o in gc.garbage]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
    assert found == []


def test_a_graph_dies_with_its_last_tensor():
    with no_collector():
        x = torch.ones(3, requires_grad=True)
        y = (x * 2).exp()
        node, middle = weakref.ref(y.grad_fn), weakref.ref(y.grad_fn.next_functions[0][0])
        z = y.sum()
        del y
        assert node() is not None
        del z
        assert node() is None
        assert middle() is None


def test_backward_frees_what_was_saved_and_retain_graph_keeps_it():
    with no_collector():
        x = torch.ones(3, requires_grad=True)
        y = x * 2
        kept = weakref.ref(y._array)
        z = y.square().sum()
        del y
        z.backward(retain_graph=True)
        assert kept() is not None
        z.backward()
        assert kept() is None


def test_intermediate_cotangents_die_during_backward():
    seen = []

    class Look(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            seen.append(weakref.ref(g._array))
            return g * 1

    with no_collector():
        x = torch.ones(1000, requires_grad=True)
        y = x
        alive = []
        for _ in range(5):
            y = Look.apply(y)
            y.register_hook(lambda g: alive.append(sum(r() is not None for r in seen)))
        y.sum().backward()
    assert max(alive) <= 2


@pytest.mark.parametrize(
    "transform",
    [
        lambda f, x: grad(f)(x), lambda f, x: vjp(f, x)[1](torch.ones(())), lambda f, x: jvp(f, (x,), (x,)),
        lambda f, x: vmap(f)(x[None]), lambda f, x: jacrev(f)(x), lambda f, x: jacfwd(f)(x),
        lambda f, x: hessian(f)(x), lambda f, x: vmap(grad(f))(x[None]),
    ],
)  # fmt: skip
def test_a_transform_keeps_nothing_of_its_function(transform):
    held = []

    def f(x):
        y = torch.tanh(x)
        held.append(weakref.ref(y))
        return (y * y).sum()

    with no_collector():
        result = transform(f, torch.ones(3))
        assert held
        assert all(r() is None for r in held)
        del result


def test_a_pullback_holds_the_graph_until_it_is_dropped():
    held = []

    def f(x):
        y = torch.tanh(x)
        held.append(weakref.ref(y._array))
        return y * y

    with no_collector():
        _, pull = vjp(f, torch.ones(3))
        pull(torch.ones(3))
        assert held[0]() is not None
        del pull
        assert held[0]() is None


def test_leaves_and_their_gradients_die_with_the_user():
    with no_collector():
        x = torch.ones(3, requires_grad=True)
        y = (x * 2).sum()
        y.backward()
        leaf, gradient = weakref.ref(x), weakref.ref(x.grad)
        del x, y
        assert leaf() is None
        assert gradient() is None
