"""The same program in torch: results, and the texts of errors."""

from __future__ import annotations

import numpy as np
import pytest

import retrograd

X = np.linspace(-1.0, 2.0, 6).reshape(2, 3)
W = np.linspace(0.5, 1.5, 3)


def _loss(t):
    return lambda w, x: (t.tanh(x @ w) - 0.3) ** 2


PROGRAMS = {
    "grad": lambda t, x, w: t.func.grad(lambda w: _loss(t)(w, x).sum())(w),
    "vmap of grad": lambda t, x, w: t.func.vmap(t.func.grad(_loss(t)), in_dims=(None, 0))(w, x),
    "grad of vmap": lambda t, x, w: t.func.grad(lambda w: t.vmap(_loss(t), (None, 0))(w, x).prod())(w),
    "vmap of jacrev": lambda t, x, w: t.vmap(t.func.jacrev(lambda v: t.outer(v, w).cumsum(0)))(x),
    "vmap of jacfwd": lambda t, x, w: t.vmap(t.func.jacfwd(lambda v: t.outer(v, w).cumsum(0)))(x),
    "hessian": lambda t, x, w: t.func.hessian(lambda w: _loss(t)(w, x).sum())(w),
    "vmap of hessian": lambda t, x, w: t.vmap(t.func.hessian(_loss(t)), (None, 0))(w, x),
    "third": lambda t, x, w: t.func.jacfwd(t.func.jacrev(t.func.grad(lambda w: _loss(t)(w, x).sum())))(w),
    "jvp of grad": lambda t, x, w: t.func.jvp(t.func.grad(lambda w: _loss(t)(w, x).sum()), (w,), (w * 2,)),
    "vjp of jvp": lambda t, x, w: t.func.vjp(
        lambda w: t.func.jvp(lambda w: t.exp(x * w), (w,), (w,))[1], w
    )[1](x * 0.1),
    "softmax": lambda t, x, w: t.func.jacrev(lambda x: t.softmax(x * w, -1))(x),
    "norm": lambda t, x, w: t.func.hessian(lambda w: w.norm())(w),
    "sort": lambda t, x, w: t.vmap(t.func.jacrev(lambda v: t.sort(v * w).values))(x),
    "solve": lambda t, x, w: t.func.jacrev(lambda x: t.linalg.solve(x.T @ x + t.eye(3, dtype=x.dtype), w))(x),
    "layer norm": lambda t, x, w: t.vmap(t.func.grad(lambda v: t.nn.functional.layer_norm(v, (3,), w)[0]))(x),
    "attention": lambda t, x, w: t.func.jacfwd(
        lambda x: t.nn.functional.scaled_dot_product_attention(x[None], x[None] * w, x[None])
    )(x),
    "cross entropy": lambda t, x, w: t.vmap(
        t.func.grad(lambda v, i: t.nn.functional.cross_entropy(v[None], i[None]))
    )(x, t.tensor([2, 0])),
    "where": lambda t, x, w: t.func.jacrev(lambda x: t.where(x > 0, x * w, x.exp()))(x),
    "gather": lambda t, x, w: t.vmap(t.func.grad(lambda v, i: v.gather(0, i[None]).prod() ** 3))(
        x, t.tensor([1, 2])
    ),
    "functional jacobian": lambda t, x, w: t.autograd.functional.jacobian(
        lambda x, w: (x * w, (x @ w).exp()), (x, w)
    ),
    "functional hessian": lambda t, x, w: t.autograd.functional.hessian(
        lambda x, w: (x @ w).sin().sum(), (x, w), vectorize=True
    ),
    "functional hvp": lambda t, x, w: t.autograd.functional.hvp(lambda x: (x * w).exp().sum(), x, x),
    "functional jvp": lambda t, x, w: t.autograd.functional.jvp(lambda x: (x * w).exp(), x, x),
}  # fmt: skip


def numbers(value):
    if isinstance(value, (tuple, list)):
        return [n for v in value for n in numbers(v)]
    return [value.detach().numpy()]


@pytest.mark.parametrize("name", PROGRAMS)
def test_results_equal_torchs(name, torch_or_skip):
    found = numbers(PROGRAMS[name](retrograd, retrograd.tensor(X), retrograd.tensor(W)))
    wanted = numbers(PROGRAMS[name](torch_or_skip, torch_or_skip.tensor(X), torch_or_skip.tensor(W)))
    assert len(found) == len(wanted)
    for f, w in zip(found, wanted, strict=True):
        np.testing.assert_allclose(f, w, rtol=1e-9, atol=1e-11)


MISTAKES = [
    lambda t, x: t.func.grad(lambda x: x)(x),
    lambda t, x: t.func.grad(lambda x: 3)(x),
    lambda t, x: t.func.grad(lambda x: x.sum(), argnums="a")(x),
    lambda t, x: t.func.vjp(lambda x: (x, 3), x),
    lambda t, x: t.func.vjp(lambda x: (x, x), x)[1](x),
    lambda t, x: t.func.jvp(lambda x: x, (x, x), (x,)),
    lambda t, x: t.func.jacrev(lambda x: x)(x * 1j),
    lambda t, x: t.func.linearize(lambda x: x, x)[1](x, x),
    lambda t, x: t.vmap(lambda x: x, in_dims=0.5)(x),
    lambda t, x: t.vmap(lambda x: x, in_dims=(0, 0))(x),
    lambda t, x: t.vmap(lambda x: x, in_dims=7)(x),
    lambda t, x: t.vmap(lambda x: x, out_dims="a")(x),
    lambda t, x: t.vmap(lambda x: x.sum().item())(x),
    lambda t, x: t.vmap(lambda x: bool(x.sum()))(x),
    lambda t, x: t.vmap(t.nonzero)(x),
    lambda t, x: t.vmap(lambda x: t.randn(3))(x),
    lambda t, x: t.autograd.functional.jacobian(lambda x: 3, x),
    lambda t, x: t.autograd.functional.jacobian(lambda x: x, 3),
    lambda t, x: t.autograd.functional.hessian(lambda x: x, x),
    lambda t, x: t.autograd.functional.vjp(lambda x: x, x),
    lambda t, x: t.autograd.functional.jvp(lambda x: x, x, (x, x)),
]


@pytest.mark.parametrize("program", MISTAKES)
def test_errors_equal_torchs(program, torch_or_skip):
    with pytest.raises(Exception) as wanted:
        program(torch_or_skip, torch_or_skip.tensor(X))
    with pytest.raises(type(wanted.value)) as found:
        program(retrograd, retrograd.tensor(X))
    assert str(found.value) == str(wanted.value)
