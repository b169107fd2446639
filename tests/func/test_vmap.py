"""vmap: where batches come from and go to, what is refused, writes, randomness."""

from __future__ import annotations

import pytest

import retrograd as torch
from retrograd.func import grad, vmap

X = torch.arange(6.0).reshape(2, 3)


def test_dimensions_go_where_they_are_asked_for():
    assert torch.vmap is vmap
    assert torch.equal(vmap(lambda x: x * 2)(X), X * 2)
    assert torch.equal(vmap(lambda x: x.sum(), in_dims=1)(X), X.sum(0))
    assert torch.equal(vmap(lambda x: x + 1, in_dims=-1, out_dims=-1)(X), X + 1)
    assert torch.equal(vmap(lambda x: x + 1, in_dims=1)(X), X.T + 1)
    doubled, total = vmap(lambda x: (x * 2, x.sum()), out_dims=(1, 0))(X)
    assert torch.equal(doubled, X.T * 2)
    assert torch.equal(total, X.sum(1))


def test_arguments_are_nested_or_shared():
    found = vmap(lambda d, s: d["a"] * d["b"][0] + s, in_dims=({"a": 0, "b": (None,)}, None))(
        {"a": X, "b": (torch.tensor(2.0),)}, 1.0
    )
    assert torch.equal(found, X * 2 + 1)
    assert torch.equal(vmap(lambda x, y=None: x + y)(X, y=X[0]), X + X[0])


def test_results_that_are_the_same_for_all_are_repeated():
    assert torch.equal(vmap(lambda x: torch.ones(2))(X), torch.ones(2, 2))
    assert torch.equal(vmap(lambda x: torch.ones(2), out_dims=None)(X), torch.ones(2))
    assert vmap(lambda x: 3, out_dims=None)(X) == 3


def test_batches_nest():
    a, b = torch.randn(3, 4), torch.randn(5, 4)
    products = vmap(vmap(torch.dot, in_dims=(None, 0)), in_dims=(0, None))(a, b)
    assert torch.allclose(products, a @ b.T, atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_chunks_give_the_same(size):
    x = torch.randn(5, 3)
    assert torch.equal(vmap(torch.sin, chunk_size=size)(x), torch.sin(x))


def test_each_element_shows_its_own_shape(capsys):
    def f(x):
        assert x.shape == (2,)
        assert x.dim() == x.ndim == 1
        assert x.numel() == len(x) == 2
        assert x.dtype is torch.float32
        print(x)
        return x

    vmap(f, in_dims=1)(torch.ones(2, 3))
    assert capsys.readouterr().out == (
        "BatchedTensor(lvl=1, bdim=1, value=\n    tensor([[1., 1., 1.],\n            [1., 1., 1.]])\n)\n"
    )


def test_new_tensors_made_like_a_batch_may_be_written_to():
    def shifted(make):
        def f(x):
            y = make(x)
            y[1:] = x[:-1]
            y[0] += 1
            return y

        return f

    wanted = torch.tensor([[1.0, 0.0, 1.0], [1.0, 3.0, 4.0]])
    for make in (torch.zeros_like, lambda x: x.new_zeros(3), lambda x: torch.full_like(x, 0.0)):
        assert torch.equal(vmap(shifted(make))(X), wanted)


def test_writes_through_views_reach_the_batch_and_are_differentiated():
    def f(x):
        y = x.clone()
        y[1:].mul_(x[:1])
        return y.sum()

    assert torch.equal(vmap(f)(X), X[:, 0] + X[:, 0] * X[:, 1] + X[:, 0] * X[:, 2])
    found = grad(lambda x: vmap(f)(x).sum())(X)
    wanted = torch.stack([1 + X[:, 1] + X[:, 2], X[:, 0], X[:, 0]], 1)
    assert torch.equal(found, wanted)
    assert torch.equal(vmap(grad(f))(X), wanted)


def test_elements_pick_by_their_own_index():
    at = torch.tensor([2, 0])
    assert torch.equal(vmap(lambda x, i: x[i])(X, at), torch.tensor([2.0, 3.0]))
    assert torch.equal(vmap(lambda i: X[:, i], out_dims=1)(at), X[:, at])
    assert torch.equal(vmap(lambda x, i: x.index_select(0, i[None]))(X, at), torch.tensor([[2.0], [3.0]]))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: vmap(lambda x: x.item())(X[0]),
            RuntimeError,
            "vmap: It looks like you're calling .item() on a Tensor.",
        ),
        (lambda: vmap(float)(X[0]), RuntimeError, "vmap: It looks like you're calling .item() on a Tensor."),
        (lambda: vmap(lambda x: x if x > 0 else -x)(X[0]), RuntimeError, "data-dependent control flow"),
        (lambda: vmap(torch.nonzero)(X), RuntimeError, "Attempted to vmap over aten::nonzero."),
        (lambda: vmap(lambda x: x[x > 0])(X), RuntimeError, "indexing with a boolean mask"),
        (
            lambda: vmap(lambda x: x.numpy())(X),
            RuntimeError,
            "Cannot access data pointer of Tensor that doesn't have",
        ),
        (
            lambda: vmap(lambda x: x.data)(X),
            RuntimeError,
            "accessing `data` under vmap transform is not allowed",
        ),
        (
            lambda: vmap(torch.add)(torch.ones(3), torch.ones(4)),
            ValueError,
            "got sizes [3, 4] for the mapped dimension",
        ),
        (
            lambda: vmap(torch.sin, in_dims=3)(X[0]),
            ValueError,
            "expected in_dim to satisfy -1 <= in_dim < 1.",
        ),
        (lambda: vmap(lambda x: x)(3), ValueError, "We cannot vmap over non-Tensor arguments"),
        (lambda: vmap(lambda x: 3)(X), ValueError, "must only return Tensors, got type <class 'int'>"),
        (vmap(lambda: 3), ValueError, "got no inputs."),
        (
            lambda: vmap(lambda x: x, in_dims=(0, 0))(X),
            ValueError,
            "in_dims is not compatible with the structure",
        ),
        (
            lambda: vmap(lambda x: x, out_dims=None)(X),
            ValueError,
            "can not return a BatchedTensor when out_dim is None",
        ),
        (
            lambda: vmap(lambda x: (x, x), out_dims=(0,))(X),
            ValueError,
            "out_dims is not compatible with the structure",
        ),
        (lambda: vmap(lambda x: x, out_dims=5)(X), IndexError, "Dimension out of range"),
        (
            lambda: vmap(lambda x: x, randomness="some"),
            RuntimeError,
            "Only allowed values for randomness are",
        ),
        (
            lambda: vmap(lambda x: x, chunk_size=0),
            ValueError,
            "chunk_size should be None or greater than 0. (got 0)",
        ),
        (
            lambda: vmap(lambda x: torch.zeros(3).add_(x))(X),
            RuntimeError,
            "output with shape [3] doesn't match the",
        ),
        (
            lambda: vmap(lambda x: x + torch.rand(3))(X),
            RuntimeError,
            "called random operation while in randomness error",
        ),
    ],
)
def test_misuse_is_refused(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
    assert torch.equal(vmap(torch.neg)(X), -X)  # nothing of the failed call is left behind


@pytest.mark.parametrize("draw", [lambda x: torch.rand(2), torch.randn_like, lambda x: torch.randperm(9)])
def test_randomness_is_the_same_or_different(draw):
    x = torch.ones(4, 3)
    same = vmap(draw, randomness="same")(x)
    assert all(torch.equal(row, same[0]) for row in same)
    different = vmap(draw, randomness="different")(x)
    assert not torch.equal(different[0], different[1])


def test_different_random_numbers_are_those_of_one_long_draw():
    torch.manual_seed(0)
    found = vmap(lambda x: torch.rand(2), randomness="different")(torch.ones(3))
    torch.manual_seed(0)
    assert torch.equal(found, torch.rand(3, 2))
    torch.manual_seed(0)
    dropped = vmap(lambda x: torch.nn.functional.dropout(x, 0.5), randomness="different")(torch.ones(2, 4))
    torch.manual_seed(0)
    assert torch.equal(dropped, torch.nn.functional.dropout(torch.ones(2, 4), 0.5))


def test_random_writes_need_a_batch_to_differ():
    filled = vmap(lambda x: x.clone().normal_(), randomness="different")(torch.ones(2, 4))
    assert not torch.equal(filled[0], filled[1])
    filled = vmap(lambda x: x.clone().normal_(), randomness="same")(torch.ones(2, 4))
    assert torch.equal(filled[0], filled[1])
    with pytest.raises(
        RuntimeError, match="Cannot ask for different inplace randomness on an unbatched tensor"
    ):
        vmap(lambda x: torch.ones(2).normal_(), randomness="different")(torch.ones(2, 4))


def test_promotion_looks_at_the_ranks_of_elements():
    half = torch.ones(3, dtype=torch.float64)
    assert vmap(lambda s: s + torch.ones(2))(half).dtype is torch.float32
    assert vmap(lambda s: s + torch.ones(()))(half).dtype is torch.float64
