"""forward_ad: dual tensors, their printing and unpacking, forward over and under reverse mode, misuse."""

from __future__ import annotations

import pytest

import retrograd as torch
import retrograd.autograd.forward_ad as fwAD
from retrograd.autograd.modes import local

X = torch.tensor([1.0, 2.0, 3.0])


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    assert not local.levels
    assert not local.intercepts


def test_a_dual_carries_its_tangent():
    assert torch.autograd.forward_ad is fwAD
    with fwAD.dual_level() as level:
        assert level == 0
        x = fwAD.make_dual(X, 2 * X)
        y = x * x
        primal, tangent = fwAD.unpack_dual(y)
        assert torch.equal(primal, X * X)
        assert torch.equal(tangent, 4 * X * X)
        assert fwAD.unpack_dual(X) == (X, None)
        assert repr(x) == "tensor([1., 2., 3.], tangent=tensor([2., 4., 6.]))"
        assert repr(fwAD.unpack_dual(x)) == (
            "UnpackedDualTensor(primal=tensor([1., 2., 3.]), tangent=tensor([2., 4., 6.]))"
        )
        assert fwAD.unpack_dual((x > 1) + 0).tangent is None
    assert repr(x) == "tensor([1., 2., 3.])"
    assert fwAD.unpack_dual(x).tangent is None
    assert torch.equal(x + 1, X + 1)


def test_several_results_and_writes():
    with fwAD.dual_level():
        x = fwAD.make_dual(X, torch.tensor([1.0, 10.0, 100.0]))
        values, at = torch.max(x, 0)
        assert fwAD.unpack_dual(values).tangent.item() == 100.0
        assert fwAD.unpack_dual(at).tangent is None
        y = torch.zeros(3)
        y[1] = x[2]
        assert torch.equal(fwAD.unpack_dual(y).tangent, torch.tensor([0.0, 100.0, 0.0]))
        z = torch.zeros(3).copy_(x)
        z.mul_(z)
        assert torch.equal(fwAD.unpack_dual(z).tangent, 2 * X * torch.tensor([1.0, 10.0, 100.0]))
        assert fwAD.unpack_dual(x.detach()).tangent is None


def test_reverse_mode_over_and_under_forward_mode():
    x = X.clone().requires_grad_()
    with fwAD.dual_level():
        dual = fwAD.make_dual(x, 2 * X)
        y = (dual**3).sum()
        primal, tangent = fwAD.unpack_dual(y)
        assert primal.requires_grad
        assert torch.equal(torch.autograd.grad(tangent, x, retain_graph=True)[0], 12 * X**2)
        (first,) = torch.autograd.grad(y, dual, create_graph=True)
        assert torch.equal(fwAD.unpack_dual(first).primal, 3 * X**2)
        assert torch.equal(fwAD.unpack_dual(first).tangent, 12 * X**2)
        y.backward()
    assert torch.equal(x.grad, 3 * X**2)


def test_a_module_with_dual_parameters():
    model = torch.nn.Linear(3, 2)
    with fwAD.dual_level():
        for name, p in list(model.named_parameters()):
            delattr(model, name)
            setattr(model, name, fwAD.make_dual(p, torch.ones_like(p)))
        y = model(X)
        assert torch.allclose(fwAD.unpack_dual(y).tangent, (X.sum() + 1) * torch.ones(2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: fwAD.make_dual(X.long(), X),
            ValueError,
            "Expected primal to be floating point or complex, but got: torch",
        ),
        (
            lambda: fwAD.make_dual(X, X.long()),
            ValueError,
            "Expected tangent to be floating point or complex, but got: ",
        ),
        (
            lambda: fwAD.make_dual(X, X[:2]),
            RuntimeError,
            "Tensor is of size [3] while the given forward gradient is of",
        ),
        (
            lambda: fwAD.make_dual(fwAD.make_dual(X, X), X),
            RuntimeError,
            "that already has a forward gradient at the same",
        ),
        (lambda: fwAD.unpack_dual(3), TypeError, "argument 'dual' (position 1) must be Tensor, not int"),
    ],
)
def test_misuse_is_refused(call, error, message):
    with fwAD.dual_level(), pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)


def test_without_a_level():
    with pytest.raises(RuntimeError, match="no level exists, make sure to enter_dual_level"):
        fwAD.make_dual(X, X)
    with pytest.raises(RuntimeError, match="Dual level must be a positive number"):
        fwAD.exit_dual_level()
    assert fwAD.enter_dual_level() == 0
    fwAD.exit_dual_level()


def test_an_error_inside_ends_the_level():
    with pytest.raises(ZeroDivisionError), fwAD.dual_level():
        raise ZeroDivisionError
