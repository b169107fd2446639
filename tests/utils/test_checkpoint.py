"""Checkpointing: the same gradients and random numbers, fewer saved values, errors when runs differ."""

from __future__ import annotations

import functools
import gc

import pytest

import retrograd as torch
from retrograd.utils.checkpoint import (
    CheckpointError,
    checkpoint,
    checkpoint_sequential,
    create_selective_checkpoint_contexts,
    set_checkpoint_early_stop,
)


def network(x, w):
    return ((x @ w).tanh() @ w).sigmoid()


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return torch.randn(3, 4, requires_grad=True), torch.randn(4, 4, requires_grad=True)


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradients_are_those_of_the_plain_call(pair, reentrant):
    x, w = pair
    network(x, w).sum().backward()
    want = x.grad.clone(), w.grad.clone()
    x.grad = w.grad = None
    y = checkpoint(network, x, w, use_reentrant=reentrant)
    assert torch.equal(y, network(x, w))
    y.sum().backward()
    assert torch.equal(x.grad, want[0])
    assert torch.equal(w.grad, want[1])


@pytest.mark.parametrize("stop", [True, False])
def test_the_second_run_may_stop_early(pair, stop):
    x, w = pair
    runs = []

    def traced(x):
        runs.append("start")
        y = x.exp()
        z = y * w.sum()
        runs.append("end")
        return z + 1

    with set_checkpoint_early_stop(stop):
        y = checkpoint(traced, x, use_reentrant=False)
        y.sum().backward()
    assert runs.count("start") == 2
    assert runs.count("end") == (1 if stop else 2)


def test_nothing_is_kept_between_the_runs(pair):
    import weakref

    x, _ = pair
    kept = []

    def inner(t):
        y = t.exp()
        kept.append(weakref.ref(y._array))
        return y * y

    y = checkpoint(inner, x, use_reentrant=False)
    assert kept[0]() is None
    y.sum().backward()
    assert kept[1]() is None


def test_second_derivatives_nest_and_random_numbers_repeat(pair):
    x, _ = pair

    def drop(t):
        return torch.nn.functional.dropout(t * t, 0.5)

    torch.manual_seed(3)
    y = checkpoint(drop, x, use_reentrant=False)
    (g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    assert torch.equal((g != 0), (y != 0))
    (second,) = torch.autograd.grad(g.sum(), x)
    assert torch.equal(second != 0, y != 0)

    def outer(t):
        return checkpoint(lambda s: s.exp(), t, use_reentrant=False) * t

    z = checkpoint(outer, x, use_reentrant=False)
    (a,) = torch.autograd.grad(z.sum(), x)
    (b,) = torch.autograd.grad((x.exp() * x).sum(), x)
    assert torch.allclose(a, b)


def test_differing_runs_are_errors(pair):
    x, _ = pair
    calls = []

    def fewer(t):
        calls.append(1)
        return t.exp() * t if len(calls) == 1 else t.exp()

    with pytest.raises(CheckpointError, match="Number of tensors saved during forward: 3"):
        checkpoint(fewer, x, use_reentrant=False).sum().backward()

    def smaller(t):
        calls.append(1)
        return (t if len(calls) % 2 else t[:2]).exp().sum()

    calls.clear()
    with pytest.raises(CheckpointError, match="different metadata than during the forward pass"):
        checkpoint(smaller, x, use_reentrant=False).backward()


def test_misuse(pair):
    x, _ = pair
    with pytest.warns(UserWarning, match="use_reentrant parameter should be passed explicitly"):
        checkpoint(torch.exp, x)
    with pytest.warns(UserWarning, match="None of the inputs have requires_grad=True"):
        checkpoint(torch.exp, x.detach(), use_reentrant=True)
    y = checkpoint(torch.exp, x, use_reentrant=True)
    with pytest.raises(RuntimeError, match=r"incompatible with \.grad"):
        torch.autograd.grad(y.sum(), x)


@pytest.mark.parametrize("reentrant", [True, False])
def test_sequential(pair, reentrant):
    x, w = pair
    steps = [lambda t: t @ w, torch.tanh, lambda t: t @ w, torch.sigmoid, torch.exp]
    y = x
    for step in steps:
        y = step(y)
    (want,) = torch.autograd.grad(y.sum(), x)
    checkpoint_sequential(steps, 2, x, use_reentrant=reentrant).sum().backward()
    assert torch.allclose(x.grad, want)


def test_selective_checkpoint_takes_the_kept_result_and_runs_the_rest():
    kept = []

    def f(x):
        kept.append(x.exp())
        return (kept[-1] * 1).square().sum()

    def grad(ops):
        kept.clear()
        x = torch.zeros(2, requires_grad=True)
        contexts = functools.partial(create_selective_checkpoint_contexts, ops)
        y = checkpoint(f, x, use_reentrant=False, context_fn=contexts)
        kept[0].data.fill_(3.0)  # behind autograd's back: only who takes the kept result sees it
        y.backward()
        return x.grad.tolist()

    assert grad([]) == [2.0, 2.0]
    assert grad([torch.ops.aten.exp.default]) == [18.0, 18.0]


def test_a_second_run_lets_go_of_what_has_been_used():
    sizes = []

    class Look(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            gc.collect()
            sizes.append(sum(type(o) is torch.Tensor and o.numel() == 12345 for o in gc.get_objects()))
            return g

    def f(x):
        x = Look.apply(x.exp())
        for _ in range(5):
            x = x.exp()
        return Look.apply(x)

    x = torch.zeros(12345, requires_grad=True)
    checkpoint(f, x, use_reentrant=False).sum().backward()
    assert sizes[1] < sizes[0] + 5
