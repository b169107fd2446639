"""autograd.functional, and gradients of batches of cotangents."""

from __future__ import annotations

import pytest

import retrograd as torch
from retrograd.autograd import functional as AF

X = torch.tensor([1.0, 2.0])


def cube(x):
    return x**3


def scalar(x):
    return (x**3).sum() + x[0] * x[1]


HESSIAN = torch.tensor([[6.0, 1.0], [1.0, 12.0]])


@pytest.mark.parametrize(
    "options", [{}, {"vectorize": True}, {"vectorize": True, "strategy": "forward-mode"}]
)
def test_jacobians(options):
    assert torch.autograd.functional is AF
    assert torch.equal(AF.jacobian(cube, X, **options), torch.diag(3 * X**2))
    found = AF.jacobian(lambda x, y: (x * y, y.sum()), (X, 2 * X), **options)
    wanted = ((torch.diag(2 * X), torch.diag(X)), (torch.zeros(2), torch.ones(2)))
    for row, wanted_row in zip(found, wanted, strict=True):
        for f, w in zip(row, wanted_row, strict=True):
            assert torch.equal(f, w)
    assert AF.jacobian(lambda x: x.sum(), X, **options).shape == (2,)
    assert not AF.jacobian(cube, X, **options).requires_grad


@pytest.mark.parametrize("vectorize", [False, True])
def test_jacobians_with_a_graph(vectorize):
    x = X.clone().requires_grad_()
    found = AF.jacobian(cube, x, create_graph=True, vectorize=vectorize)
    assert torch.equal(torch.autograd.grad(found.sum(), x)[0], 6 * X)


@pytest.mark.parametrize(
    "options", [{}, {"vectorize": True}, {"vectorize": True, "outer_jacobian_strategy": "forward-mode"}]
)
def test_hessians(options):
    assert torch.equal(AF.hessian(scalar, X, **options), HESSIAN)
    (xx, xy), (yx, yy) = AF.hessian(lambda x, y: (x * x * y).sum(), (X, 3 * X), **options)
    assert torch.equal(xx, torch.diag(6 * X))
    assert torch.equal(xy, torch.diag(2 * X))
    assert torch.equal(yx, xy)
    assert torch.equal(yy, torch.zeros(2, 2))


def test_products():
    v = torch.tensor([1.0, -2.0])
    for product in (AF.vjp, AF.jvp):
        y, found = product(cube, X, v)
        assert torch.equal(y, X**3)
        assert torch.equal(found, 3 * X**2 * v)
    for product in (AF.vhp, AF.hvp):
        y, found = product(scalar, X, v)
        assert y.item() == 11.0
        assert torch.equal(found, HESSIAN @ v)
    _, (first, second) = AF.vjp(lambda x, y: (x * y, y), (X, X), (v, v))
    assert torch.equal(first, X * v)
    assert torch.equal(second, X * v + v)
    assert AF.vjp(lambda x: x**2, torch.ones(1))[1].item() == 2.0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: AF.jacobian(cube, X, strategy="x"), AssertionError, "Expected strategy to be either"),
        (
            lambda: AF.jacobian(cube, X, strategy="forward-mode"),
            NotImplementedError,
            "implemented for `vectorize=True`.",
        ),
        (
            lambda: AF.jacobian(cube, X, strict=True, vectorize=True),
            RuntimeError,
            "are not supported together",
        ),
        (lambda: AF.jacobian(lambda x, y: x, (X, X), strict=True), RuntimeError, "independent of input 1."),
        (
            lambda: AF.jacobian(lambda x: x * 3, X, strict=True, create_graph=True),
            RuntimeError,
            "is independent of input 0.",
        ),
        (
            lambda: AF.vjp(lambda x: torch.ones(2), X, X, strict=True),
            RuntimeError,
            "does not require gradients.",
        ),
        (
            lambda: AF.hessian(lambda x: x.sum(), X, strict=True),
            RuntimeError,
            "While computing the hessian, found that",
        ),
        (lambda: AF.hessian(cube, X), RuntimeError, "should contain a single element"),
        (lambda: AF.hvp(lambda x: (x.sum(), x.sum()), X, X), RuntimeError, "should return a single Tensor"),
        (lambda: AF.jvp(cube, X), RuntimeError, "The vector v can only be None if the input"),
        (
            lambda: AF.vjp(cube, X),
            RuntimeError,
            "The vector v can only be None if the user-provided function",
        ),
        (
            lambda: AF.vjp(cube, X, torch.ones(3)),
            RuntimeError,
            "v has invalid size: should be torch.Size([2])",
        ),
    ],
)
def test_misuse_is_refused(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)


def test_batches_of_cotangents():
    x = X.clone().requires_grad_()
    y = cube(x)
    cts = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    (found,) = torch.autograd.grad(y, x, cts, is_grads_batched=True, retain_graph=True)
    assert torch.equal(found, cts * 3 * X**2)
    assert not found.requires_grad
    (found,) = torch.autograd.grad(y, x, cts, is_grads_batched=True, create_graph=True)
    assert torch.equal(torch.autograd.grad(found.sum(), x, retain_graph=True)[0], 12 * X)
    found = torch.vmap(lambda v: torch.autograd.grad(y, x, v, retain_graph=True)[0])(cts)
    assert torch.equal(found, cts * 3 * X**2)
    with pytest.raises(
        RuntimeError, match="we interpret the first dimension of each grad_output as the batch"
    ):
        torch.autograd.grad(y, x, torch.ones(3, 3), is_grads_batched=True)


def test_what_a_batch_shares_has_a_gradient_for_each_element():
    w = torch.ones(3, requires_grad=True)
    x = torch.arange(6.0).reshape(2, 3)
    found = torch.vmap(lambda v: torch.autograd.grad((v * w**2).sum(), w)[0])(x)
    assert torch.equal(found, 2 * x)
