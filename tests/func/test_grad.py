"""grad, grad_and_value and vjp: closed forms, what is returned, what keeps a history, what is refused."""

from __future__ import annotations

import pytest

import retrograd as torch
from retrograd.func import grad, grad_and_value, vjp

X = [1.0, 2.0, 3.0]


def close(found, wanted):
    assert torch.allclose(found, torch.as_tensor(wanted, dtype=found.dtype), rtol=1e-6), found


def test_gradients_of_gradients_are_derivatives():
    x = torch.tensor(X)
    close(grad(lambda x: (x**3).sum())(x), [3.0, 12.0, 27.0])
    f = torch.sin
    for wanted in (torch.cos, lambda x: -torch.sin(x), lambda x: -torch.cos(x)):
        f = grad(f)
        close(f(torch.tensor(0.7)), wanted(torch.tensor(0.7)))


def test_levels_do_not_mix():
    one = torch.tensor(1.0)
    close(grad(lambda x: x * grad(lambda y: x + y)(one))(one), 1.0)
    close(grad(lambda x: x * grad(lambda y: x * y)(one))(torch.tensor(3.0)), 6.0)


def test_nested_arguments_keep_their_structure():
    x = torch.tensor(X)
    found = grad(lambda d: (d["a"] * d["b"][0]).sum())({"a": x, "b": [2 * x]})
    assert list(found) == ["a", "b"]
    close(found["a"], [2.0, 4.0, 6.0])
    close(found["b"][0], X)
    first, second = grad(lambda x, y: (x * x * y).sum(), argnums=(0, 1))(x, x)
    close(first, [2.0, 8.0, 18.0])
    close(second, [1.0, 4.0, 9.0])
    close(grad(lambda x, y: (x * y).sum(), argnums=-1)(x, 2 * x), X)


def test_value_and_aux_come_back_without_a_history():
    x = torch.tensor(X)
    found, (value, aux) = grad_and_value(lambda x: ((x * x).sum(), {"twice": x * 2}), has_aux=True)(x)
    close(found, [2.0, 4.0, 6.0])
    assert value.item() == 14.0
    for t in (found, value, aux["twice"]):
        assert not t.requires_grad
    assert not x.requires_grad


def test_what_depends_on_the_callers_tensors_keeps_its_history():
    x, w = torch.tensor(X), torch.ones(3, requires_grad=True)
    found, value = grad_and_value(lambda x: (x * x * w).sum())(x)
    assert found.requires_grad
    close(torch.autograd.grad(found.sum(), w, retain_graph=True)[0], [2.0, 4.0, 6.0])
    close(torch.autograd.grad(value, w)[0], [1.0, 4.0, 9.0])
    assert not grad(lambda x: (x * x).sum() + w.detach().sum())(x).requires_grad
    y = torch.tensor(X, requires_grad=True)
    close(torch.autograd.grad(grad(lambda y: (y**3).sum())(y).sum(), y)[0], [6.0, 12.0, 18.0])
    with torch.no_grad():
        assert not grad(lambda x: (x * x * w).sum())(x).requires_grad


def test_no_grad_inside_hides_from_the_derivative():
    def f(x):
        with torch.no_grad():
            y = x * 2
        return (y * x).sum()

    close(grad(f)(torch.tensor(X)), [2.0, 4.0, 6.0])


def test_an_unused_argument_has_gradient_zero():
    close(grad(lambda x: torch.ones(()))(torch.tensor(X)), [0.0, 0.0, 0.0])


def test_writes_inside_are_differentiated():
    def f(x):
        y = torch.zeros(3)
        y[1:] = x[:2] ** 2
        y.mul_(3)
        return y.sum()

    close(grad(f)(torch.tensor(X)), [6.0, 12.0, 0.0])
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place"):
        grad(lambda x: x.mul_(2).sum())(torch.tensor(X))


def test_autograd_grad_works_inside():
    inner = lambda x: torch.autograd.grad((x**3).sum(), x, create_graph=True)[0].sum()  # noqa: E731
    close(grad(inner)(torch.tensor(X)), [6.0, 12.0, 18.0])


def test_inside_a_tensor_prints_its_level(capsys):
    grad(lambda x: (print(x), print(x * 2), x.sum())[2])(torch.ones(2))
    assert capsys.readouterr().out == (
        "GradTrackingTensor(lvl=1, value=\n    tensor([1., 1.])\n)\n"
        "GradTrackingTensor(lvl=1, value=\n    tensor([2., 2.])\n)\n"
    )


def test_pullbacks_may_be_called_often():
    x = torch.tensor(X)
    y, pullback = vjp(lambda x: x**2, x)
    close(y, [1.0, 4.0, 9.0])
    for scale in (1.0, 2.0):
        (ct,) = pullback(torch.full((3,), scale))
        close(ct, [2.0 * scale, 4.0 * scale, 6.0 * scale])
        assert not ct.requires_grad
    _, pullback = vjp(lambda x, y: {"product": x * y, "first": x}, x, 2 * x)
    first, second = pullback({"product": torch.ones(3), "first": torch.ones(3)})
    close(first, [3.0, 5.0, 7.0])
    close(second, X)
    _, pullback, aux = vjp(lambda x: (x * x, x + 1), x, has_aux=True)
    close(aux, [2.0, 3.0, 4.0])


def test_a_pullback_is_differentiated_in_its_cotangent():
    x = torch.tensor(X)
    _, pullback = vjp(torch.sin, x)
    close(grad(lambda ct: (pullback(ct)[0] * x).sum())(torch.ones(3)), torch.cos(x) * x)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            grad(lambda x: x),
            RuntimeError,
            "Expected f(*args) to return a scalar Tensor, got tensor with 1",
        ),
        (
            grad(lambda x: 3),
            RuntimeError,
            "Expected f(*args) to return a Tensor, got <class 'int'>",
        ),
        (
            lambda x: grad(lambda x: x)(3.0),
            ValueError,
            "Thing passed to transform API must be Tensor, got <class 'float'>",
        ),
        (
            grad(lambda x: x.sum(), argnums=2),
            RuntimeError,
            "Got argnum=2, but only 1 positional inputs",
        ),
        (grad(lambda x: x.sum(), argnums=()), RuntimeError, "argnums must be non-empty"),
        (
            grad(lambda x: x.sum(), has_aux=True),
            RuntimeError,
            "should be a tuple: (output, aux)",
        ),
        (lambda x: grad(lambda x: x.sum())(x.long()), RuntimeError, "only Tensors of floating point dtype"),
        (lambda x: grad(lambda x: x.sum())(x.cfloat()), RuntimeError, "only for real scalar outputs"),
        (
            grad(lambda x: x.sum().backward()),
            RuntimeError,
            "backward() called inside a functorch",
        ),
        (lambda x: vjp(lambda x: 3, x), RuntimeError, "expected f(*primals) to return only tensors"),
        (lambda x: vjp(lambda x: (), x), RuntimeError, "non-empty output"),
        (lambda x: vjp(lambda x: x, x)[1]((x, x)), RuntimeError, "cotangents: (*, *), primal output: *"),
        (lambda x: vjp(lambda x: x, x)[1](torch.ones(2)), RuntimeError, "Mismatch in shape: grad_output[0]"),
    ],
)
def test_misuse_is_refused(call, error, message):
    with pytest.raises(error) as caught:
        call(torch.tensor(X))
    assert message in str(caught.value)
    assert grad(torch.sin)(torch.tensor(0.0)).item() == 1.0  # nothing of the failed call is left behind
