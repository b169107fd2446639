"""gradcheck of batches of cotangents and tangents, and of cotangents that are not there."""

from __future__ import annotations

import pytest

import retrograd as torch
from retrograd.autograd import Function, gradcheck, gradgradcheck
from retrograd.autograd.gradcheck import GradcheckError

x = torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64, requires_grad=True)


def test_batches_in_forward_mode_pass():
    assert gradcheck(torch.sin, (x,), check_forward_ad=True, check_batched_forward_grad=True) is True


def test_forward_over_backward():
    options = {"check_fwd_over_rev": True, "check_rev_over_rev": False}
    assert gradgradcheck(lambda a: a**3, (x,), **options) is True
    with pytest.raises(GradcheckError, match="Jacobian computed with forward mode mismatch"):
        gradgradcheck(WrongTangent.apply, (x,), **options)


class WrongTangent(Function):
    """Cubes; its jvp is three times too large."""

    @staticmethod
    def forward(ctx, a):
        ctx.save_for_backward(a)
        ctx.save_for_forward(a)
        return a**3

    @staticmethod
    def backward(ctx, ct):
        (a,) = ctx.saved_tensors
        return Square.apply(a) * ct

    @staticmethod
    def jvp(ctx, a_t):
        (a,) = ctx.saved_tensors
        return 9 * a * a * a_t


class Square(Function):
    """The derivative of the cube, with a wrong jvp."""

    @staticmethod
    def forward(ctx, a):
        ctx.save_for_backward(a)
        ctx.save_for_forward(a)
        return 3 * a * a

    @staticmethod
    def backward(ctx, ct):
        (a,) = ctx.saved_tensors
        return 6 * a * ct

    @staticmethod
    def jvp(ctx, a_t):
        (a,) = ctx.saved_tensors
        return 5 * a * a_t


def test_a_wrong_jvp_is_found():
    assert gradcheck(WrongTangent.apply, (x,))
    assert gradgradcheck(WrongTangent.apply, (x,))
    with pytest.raises(GradcheckError, match="Jacobian computed with forward mode mismatch for output 0"):
        gradcheck(WrongTangent.apply, (x,), check_forward_ad=True)


class Undefined(Function):
    """Two results; what its backward gives when nothing comes back is set by the test."""

    when_undefined: object = None

    @staticmethod
    def forward(ctx, a):
        ctx.set_materialize_grads(False)
        return a * 2, a * 3

    @staticmethod
    def backward(ctx, first, second):
        if first is None and second is None:
            if Undefined.when_undefined is None:
                raise ValueError("nothing came back")
            return Undefined.when_undefined
        return sum(n * ct for n, ct in ((2, first), (3, second)) if ct is not None)


def test_undefined_cotangents(monkeypatch):
    with pytest.raises(GradcheckError, match="Expected backward function to handle undefined output grads"):
        gradcheck(Undefined.apply, (x,))
    assert gradcheck(Undefined.apply, (x,), check_undefined_grad=False)
    monkeypatch.setattr(Undefined, "when_undefined", torch.ones(3, dtype=torch.float64))
    with pytest.raises(
        GradcheckError, match="Expected all input grads to be undefined or zero when all output"
    ):
        gradcheck(Undefined.apply, (x,))
    monkeypatch.setattr(Undefined, "when_undefined", torch.zeros(3, dtype=torch.float64))
    assert gradcheck(Undefined.apply, (x,))


def test_wrong_batches_are_found(monkeypatch):
    from retrograd.autograd import gradcheck_more

    grad = gradcheck_more.grad
    monkeypatch.setattr(
        gradcheck_more, "grad", lambda *args, **options: tuple(g * 2 for g in grad(*args, **options))
    )
    with pytest.raises(
        GradcheckError, match="While computing batched gradients, got other values than one by one"
    ):
        gradcheck(torch.sin, (x,), check_batched_grad=True)

    def refuse(*args, **options):
        raise RuntimeError("cannot be batched")

    monkeypatch.setattr(gradcheck_more, "grad", refuse)
    with pytest.raises(GradcheckError, match="While computing batched gradients, got: cannot be batched"):
        gradcheck(torch.sin, (x,), check_batched_grad=True)
