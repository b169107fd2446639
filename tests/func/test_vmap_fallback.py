"""vmap over programs that need values: a loop, told of once; chunks whose size follows memory."""

from __future__ import annotations

import warnings

import pytest

import retrograd as torch
from retrograd.func import one_by_one, vectorize, vmap

X = torch.tensor([[1.0, -2.0], [3.0, 4.0], [-5.0, 6.0]])


def branching(x):
    if x.sum() > 0:
        return x * 2
    return x - 1


@pytest.fixture(autouse=True)
def untold(monkeypatch):
    monkeypatch.setattr(one_by_one, "_told", set())


def loop(f, x):
    return torch.stack([f(row) for row in x])


@pytest.mark.parametrize(
    "f",
    [
        branching,
        lambda x: x * x[0].item(),
        lambda x: x + float(x[1]),
        lambda x: x[x > x.min()].sum(),
        lambda x: x.nonzero().sum(),
        lambda x: torch.tensor(x.numpy() * 2),
        lambda x: torch.stack(list(x.tolist() and x)),
    ],
)
def test_the_loop_gives_what_a_loop_gives(f):
    with pytest.raises(RuntimeError):
        vmap(f)(X)
    with pytest.warns(UserWarning, match="needs the values"):
        assert torch.equal(vmap(f, fallback="loop")(X), loop(f, X))


def test_the_warning_names_the_line_once():
    f = vmap(branching, fallback="loop")
    with pytest.warns(UserWarning) as told:
        f(X)
        f(X)
        vmap(branching, fallback="loop", chunk_size=1)(X)
    (text,) = [str(w.message) for w in told]
    assert f"{__file__}:" in text
    assert "in branching needs the values of one: if x.sum() > 0:" in text


def test_no_fallback_where_none_is_needed():
    calls = []

    def f(x):
        calls.append(x.shape)
        return x.sum()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(vmap(f, fallback="loop")(X), X.sum(1))
    assert len(calls) == 1


def test_other_errors_are_errors():
    with pytest.raises(RuntimeError, match="must match the size"):
        vmap(lambda x: x + torch.ones(5), fallback="loop")(X)
    with pytest.raises(ValueError, match="fallback should be None or 'loop'"):
        vmap(branching, fallback="yes")


@pytest.mark.filterwarnings("ignore:vmap")
def test_dimensions_trees_and_chunks():
    def f(d, w):
        if d["a"].sum() > 0:
            return {"s": d["a"] * w}, d["a"].sum()
        return {"s": d["a"]}, d["a"].sum()

    made, total = vmap(f, in_dims=({"a": 1}, None), out_dims=({"s": 1}, 0), fallback="loop")(
        {"a": X.T}, torch.tensor(3.0)
    )
    want = torch.stack([f({"a": row}, 3.0)[0]["s"] for row in X], 1)
    assert torch.equal(made["s"], want)
    assert torch.equal(total, X.sum(1))
    assert torch.equal(vmap(branching, fallback="loop", chunk_size=2)(X), loop(branching, X))
    assert torch.equal(
        vmap(lambda x, n: branching(x) * n, in_dims=(0, None), fallback="loop")(X, 2), 2 * loop(branching, X)
    )


@pytest.mark.filterwarnings("ignore:vmap")
def test_gradients_through_the_loop_and_of_it():
    x = X.clone().requires_grad_()
    vmap(branching, fallback="loop")(x).sum().backward()
    assert x.grad.tolist() == [[1.0, 1.0], [2.0, 2.0], [2.0, 2.0]]
    per_sample = vmap(torch.func.grad(lambda x: branching(x).sum()), fallback="loop")(X)
    assert torch.equal(per_sample, x.grad)
    inside = torch.func.grad(lambda x: vmap(branching, fallback="loop")(x).sum())(X)
    assert torch.equal(inside, x.grad)


@pytest.mark.filterwarnings("ignore:vmap")
def test_random_numbers_in_the_loop():
    def f(x):
        return x.item() * 0 + torch.rand(())

    ones = torch.ones(3)
    with pytest.raises(RuntimeError, match="randomness error mode"):
        vmap(f, fallback="loop")(ones)
    assert len(set(vmap(f, fallback="loop", randomness="same")(ones).tolist())) == 1
    assert len(set(vmap(f, fallback="loop", randomness="different")(ones).tolist())) == 3


def test_a_function_without_a_rule_runs_in_the_loop():
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return x * 2

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, g):
            return g * 2

    with pytest.warns(UserWarning, match="does not have vmap support|needs the values"):
        assert torch.equal(vmap(Double.apply, fallback="loop")(X), X * 2)


def test_chunks_follow_memory(monkeypatch):
    sizes = []

    def f(x):
        sizes.append(torch.func.debug_unwrap(x).shape[0])
        return (x * 2).exp().sum()

    x = torch.ones(10, 100)
    want = (x * 2).exp().sum(1)
    monkeypatch.setattr(vectorize, "AUTO_BYTES", 5000)  # one element makes 400 bytes three times, and 4
    assert torch.equal(vmap(f, chunk_size="auto")(x), want)
    assert sizes == [1, 4, 4, 1]
    sizes.clear()
    monkeypatch.setattr(vectorize, "AUTO_BYTES", 10)
    assert torch.equal(vmap(f, chunk_size="auto")(x), want)
    assert sizes == [1] * 10
    sizes.clear()
    monkeypatch.setattr(vectorize, "AUTO_BYTES", 1 << 20)
    assert torch.equal(vmap(f, chunk_size="auto")(x), want)
    assert sizes == [1, 9]
