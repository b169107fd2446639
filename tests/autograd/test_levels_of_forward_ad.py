"""Levels of forward mode inside each other and around reverse mode, against derivatives known by heart."""

from __future__ import annotations

import pytest

import retrograd as torch
from retrograd.autograd import forward_ad as fw

X = torch.tensor([0.5, 1.5], dtype=torch.float64)
ONE = torch.ones(2, dtype=torch.float64)


def close(a, b):
    return torch.allclose(a, b, rtol=1e-12)


def test_levels_have_numbers_and_end_in_order():
    assert fw.enter_dual_level() == 0
    assert fw.enter_dual_level() == 1
    with pytest.raises(RuntimeError, match="not the last one that was created"):
        fw.exit_dual_level(level=0)
    fw.exit_dual_level(level=1)
    fw.exit_dual_level(level=0)
    with pytest.raises(RuntimeError, match="Dual level must be a positive number"):
        fw.exit_dual_level()


def test_a_tangent_of_a_tangent_is_a_second_derivative():
    with fw.dual_level():
        outer = fw.make_dual(X, ONE)
        with fw.dual_level():
            y = fw.make_dual(outer, ONE).sin()
            first = fw.unpack_dual(y)
        value, slope = fw.unpack_dual(first.primal), fw.unpack_dual(first.tangent)
    assert close(value.primal, X.sin())
    assert close(value.tangent, X.cos())
    assert close(slope.primal, X.cos())
    assert close(slope.tangent, -X.sin())


def test_three_levels():
    with fw.dual_level():
        a = fw.make_dual(X, ONE)
        with fw.dual_level():
            b = fw.make_dual(a, ONE)
            with fw.dual_level():
                y = fw.unpack_dual(fw.make_dual(b, ONE) ** 5).tangent
            y = fw.unpack_dual(y).tangent
        y = fw.unpack_dual(y).tangent
    assert close(y, 60 * X**2)


def test_levels_by_number():
    with fw.dual_level() as outer, fw.dual_level() as inner:
        x = fw.make_dual(fw.make_dual(X, ONE, level=inner), 2 * ONE, level=outer)
        y = x * x
        at_inner, at_outer = fw.unpack_dual(y, level=inner), fw.unpack_dual(y, level=outer)
        assert close(fw.unpack_dual(at_inner.tangent, level=outer).primal, 2 * X)
        assert close(fw.unpack_dual(at_inner.tangent, level=outer).tangent, 4 * ONE)
        assert close(fw.unpack_dual(at_outer.tangent, level=inner).primal, 4 * X)
        assert close(fw.unpack_dual(at_outer.tangent, level=inner).tangent, 4 * ONE)
        with pytest.raises(RuntimeError, match="already has a forward gradient"):
            fw.make_dual(x, ONE, level=outer)


def test_levels_do_not_mix():
    """The inner derivative of x * (what the outer level moves) sees that as constant."""
    with fw.dual_level():
        w = fw.make_dual(torch.tensor(3.0), torch.tensor(1.0))
        with fw.dual_level():
            y = fw.make_dual(torch.tensor(2.0), torch.tensor(1.0)) * w
            slope = fw.unpack_dual(y).tangent
        assert fw.unpack_dual(slope).primal.item() == 3.0
        assert fw.unpack_dual(slope).tangent.item() == 1.0


def test_writes_at_two_levels():
    with fw.dual_level():
        a = fw.make_dual(X, ONE)
        with fw.dual_level():
            y = fw.make_dual(a.clone(), ONE.clone())  # writes go on in the tangent itself
            y.mul_(y)
            y[0] = a[1]
            first = fw.unpack_dual(y)
        assert close(fw.unpack_dual(first.primal).primal, torch.stack([X[1], X[1] ** 2]))
        assert close(fw.unpack_dual(first.tangent).tangent, torch.tensor([0.0, 2.0], dtype=torch.float64))


@pytest.mark.parametrize("order", ["forward over reverse", "reverse over forward"])
def test_with_reverse_mode(order):
    x = X.clone().requires_grad_()
    with fw.dual_level():
        d = fw.make_dual(x, ONE)
        if order == "forward over reverse":
            (g,) = torch.autograd.grad((d**4).sum(), x, create_graph=True)
            second = fw.unpack_dual(g).tangent
        else:
            slope = fw.unpack_dual((d**4).sum()).tangent
            (second,) = torch.autograd.grad(slope, x, create_graph=True)
        (third,) = torch.autograd.grad(second.sum(), x)
    assert close(second.detach(), 12 * X**2)
    assert close(third, 24 * X)


def test_two_forward_levels_over_reverse():
    x = X.clone().requires_grad_()
    with fw.dual_level():
        a = fw.make_dual(x, ONE)
        with fw.dual_level():
            b = fw.make_dual(a, ONE)
            (g,) = torch.autograd.grad((b**5).sum(), x, create_graph=True)
            first = fw.unpack_dual(g).tangent
        third = fw.unpack_dual(first).tangent
    assert close(third.detach(), 60 * X**2)


def test_with_transforms():
    with fw.dual_level():
        d = fw.make_dual(X, ONE)
        g = torch.func.grad(lambda x: (x**3).sum())(d)
        j = torch.func.jvp(lambda x: x**3, (d,), (ONE,))[1]
        v = torch.vmap(lambda x: x**3)(d)
        h = torch.func.hessian(lambda x: (x**4).sum())(d)
        found = [fw.unpack_dual(t).tangent for t in (g, j, v, h)]
    for t, want in zip(found, (6 * X, 6 * X, 3 * X**2, torch.diag(24 * X)), strict=True):
        assert close(t, want)
