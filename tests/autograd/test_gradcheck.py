"""gradcheck finds planted faults, and only those; its texts."""

from __future__ import annotations

import itertools

import pytest

import retrograd as torch
from retrograd.autograd import Function, gradcheck, gradgradcheck
from retrograd.autograd.gradcheck import (
    GradcheckError,
)


def real(*values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def complex_(*values):
    return torch.tensor(values, dtype=torch.complex128, requires_grad=True)


def custom(forward, backward, jvp=None):
    """Make an op of a forward and a hand-written backward: backward(cotangent, *inputs)."""

    class Custom(Function):
        @staticmethod
        def forward(ctx, *inputs):
            ctx.save_for_backward(*inputs)
            return forward(*inputs)

        @staticmethod
        def backward(ctx, ct):
            return backward(ct, *ctx.saved_tensors)

    return Custom.apply


# ---- what is right passes ----

x, y, z = real(0.3, -1.2, 2.0), real(1.5, 0.4, -0.7), complex_(1 + 2j, -0.5 + 0.25j)
matrix = real([1.0, 2.0, 0.5], [0.0, -1.0, 3.0])
RIGHT = {
    "elementwise": (torch.sin, (x,)),
    "two inputs": (lambda a, b: a * b.exp(), (x, y)),
    "matrix product": (torch.matmul, (matrix, x)),
    "a tensor that needs no gradient": (lambda a, b: a * b, (x, y.detach())),
    "no tensor at all": (lambda a, n: a * n, (x, 3)),
    "one input, not in a tuple": (lambda a: a * 2, x),
    "a list": (lambda a, b: a - b, [x, y]),
    "an input twice": (lambda a, b: a * b, (x, x)),
    "not a leaf": (lambda a: a * a, (x * 2,)),
    "several outputs": (lambda a: (a * 2, a.exp().sum()), (x,)),
    "an integer output": (lambda a: (a.argmax(), a * 2), (x,)),
    "an output that is the input": (lambda a: a, (x,)),
    "a view, in place": (lambda a: a.clone()[:2].mul_(3), (x,)),
    "no dimensions": (torch.exp, (torch.tensor(0.5, dtype=torch.float64, requires_grad=True),)),
    "no elements": (lambda a: a * 2, (torch.ones(0, dtype=torch.float64, requires_grad=True),)),
    "complex, holomorphic": (lambda a: a * a, (z,)),
    "complex, not holomorphic": (lambda a: a.conj() * a.real, (z,)),
    "complex to real": (lambda a: a.abs(), (z,)),
    "real to complex": (lambda a: torch.complex(a * 2, a * a), (x,)),
    "real and complex": (lambda a, b: a[:2] * b, (x, z)),
}
MODES = {
    "slow": {},
    "fast": {"fast_mode": True},
    "forward": {"check_forward_ad": True},
    "forward alone": {"check_forward_ad": True, "check_backward_ad": False},
    "fast forward": {"check_forward_ad": True, "fast_mode": True},
    "batched": {"check_batched_grad": True},
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", RIGHT)
def test_right_gradients_pass(name, mode):
    function, inputs = RIGHT[name]
    before = [
        t.tolist() for t in ([inputs] if isinstance(inputs, torch.Tensor) else inputs) if hasattr(t, "tolist")
    ]
    assert gradcheck(function, inputs, **MODES[mode]) is True
    after = [
        t.tolist() for t in ([inputs] if isinstance(inputs, torch.Tensor) else inputs) if hasattr(t, "tolist")
    ]
    assert after == before  # restored exactly


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("name", RIGHT)
def test_right_second_gradients_pass(name, fast):
    function, inputs = RIGHT[name]
    assert gradgradcheck(function, inputs, fast_mode=fast) is True


# ---- what is wrong does not ----


def at_one_element(ct, a):
    wrong = ct * 2
    wrong[1] = wrong[1] * 1.01
    return wrong


def twice(a):
    return a * 2


square = torch.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0], [2.0, 1.0, 0.0]], dtype=torch.float64)


def rotated(a):
    return a * (2 + 1j)


PLANTED = {
    "scaled": (twice, lambda ct, a: ct * 3, (x,), "1.5 times"),
    "wrong sign": (twice, lambda ct, a: -2 * ct, (x,), "wrong sign"),
    "one element": (twice, at_one_element, (x,), "1 of 9 elements"),
    "dropped": (lambda a, b: a * b, lambda ct, a, b: (ct * b, None), (x, y), "no gradient comes back"),
    "transposed": (lambda a: square @ a, lambda ct, a: square @ ct, (x,), "ones transposed"),
    "without conj": (rotated, lambda ct, a: ct * (2 + 1j), (z,), "a complex conjugation is missing"),
    "conj where there is none": (twice, lambda ct, a: 2 * ct.conj(), (z,), ""),
    "real part only": (twice, lambda ct, a: (2 * ct.real).to(torch.complex128), (z,), ""),
    "real to complex": (lambda a: torch.complex(a * 2, a * 3), lambda ct, a: ct.real * 2, (x,), ""),
    "complex to real": (lambda a: a.real * 2, lambda ct, a: ct * (3 + 0j), (z,), "1.5 times"),
    "nan": (twice, lambda ct, a: ct * float("nan"), (x,), ""),
}


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("name", PLANTED)
def test_planted_faults_are_found(name, fast):
    forward, backward, inputs, hint = PLANTED[name]
    function = custom(forward, backward)
    with pytest.raises(
        GradcheckError, match="Jacobian mismatch for output 0 with respect to input"
    ) as caught:
        gradcheck(function, inputs, fast_mode=fast)
    assert hint in str(caught.value)
    assert gradcheck(function, inputs, fast_mode=fast, raise_exception=False) is False


@pytest.mark.parametrize("size", [0.98, 1.02])
def test_the_tolerance_counts(size):
    function = custom(twice, lambda ct, a: 2 * size * ct)
    assert gradcheck(function, (x,), rtol=0.03)
    assert gradcheck(function, (x,), rtol=0, atol=0.05)
    with pytest.raises(GradcheckError):
        gradcheck(function, (x,), rtol=0.01)


def test_a_wrong_second_gradient_is_found():
    cube = custom(lambda a: a**3, lambda ct, a: 3 * a.detach() ** 2 * ct)
    assert gradcheck(cube, (x,))
    with pytest.raises(GradcheckError, match="Jacobian mismatch for output 0 with respect to input 0"):
        gradgradcheck(cube, (x,))
    assert gradgradcheck(cube, (x,), raise_exception=False) is False


def test_a_wrong_forward_mode_is_found(monkeypatch):
    """Whatever forward mode makes of a Function: its tangents are compared, so tripled ones do not pass."""
    from retrograd.autograd import forward_ad

    unpack = forward_ad.unpack_dual

    def tripled(tensor, **options):
        primal, tangent = unpack(tensor, **options)
        return forward_ad.UnpackedDualTensor(primal, None if tangent is None else 3 * tangent)

    monkeypatch.setattr(forward_ad, "unpack_dual", tripled)
    for fast in (False, True):
        with pytest.raises(GradcheckError, match="Jacobian computed with forward mode mismatch for output 0"):
            gradcheck(twice, (x,), check_forward_ad=True, fast_mode=fast)
    with pytest.raises(
        GradcheckError, match="While considering the imaginary part of complex inputs only, Jacobian"
    ):
        gradcheck(twice, (z,), check_forward_ad=True)


def test_a_backward_that_changes_is_found():
    count = itertools.count()
    function = custom(twice, lambda ct, a: ct * (2 + 1e-7 * next(count)))
    with pytest.raises(GradcheckError, match="Backward is not reentrant"):
        gradcheck(function, (x,))
    assert gradcheck(custom(twice, lambda ct, a: ct * 2), (x,))
    assert gradcheck(function, (x,), nondet_tol=1e-4)


def test_an_output_without_history_that_moves_is_found():
    with pytest.raises(GradcheckError, match="Numerical gradient for function expected to be zero"):
        gradcheck(lambda a: a.detach() * 2, (x,))
    assert gradcheck(lambda a: torch.ones(2, dtype=torch.float64), (x,))


# ---- texts ----


def test_the_report_has_the_numbers():
    with pytest.raises(GradcheckError) as caught:
        gradcheck(custom(twice, lambda ct, a: ct * 3), (real(1.0, 2.0),))
    text = str(caught.value)
    assert text.startswith(
        "Jacobian mismatch for output 0 with respect to input 0,\n"
        "numerical:tensor([[2.0000, 0.0000],\n        [0.0000, 2.0000]], dtype=torch.float64)\n"
        "analytical:tensor([[3., 0.],\n        [0., 3.]], dtype=torch.float64)\n\n"
    )
    assert "[worst element: input (0,), output (0,): numerical 1.99999" in text
    assert "analytical 3.0" in text
    assert "atol 1e-05 + rtol 0.001 * |numerical|; step eps 1e-06" in text
    assert "inputs: [1.0, 2.0] (torch.float64)" in text


def test_the_worst_element_is_found():
    with pytest.raises(GradcheckError, match=r"worst element: input \(1,\), output \(1,\): numerical 1\.99"):
        gradcheck(custom(twice, at_one_element), (x,))


def test_refusals():
    with pytest.raises(ValueError, match="gradcheck expects at least one input tensor to require gradient"):
        gradcheck(torch.sin, (x.detach(),))
    with pytest.raises(RuntimeError, match="The 0th input has a dimension with stride 0"):
        gradcheck(torch.sin, (real(1.0).detach().expand(3).requires_grad_(),))
    with pytest.raises(AssertionError, match="at least one of check_forward_ad or check_backward_ad"):
        gradcheck(torch.sin, (x,), check_backward_ad=False)
    with pytest.raises(AssertionError, match="check_batched_grad=True requires check_backward_ad"):
        gradcheck(torch.sin, (x,), check_batched_grad=True, check_backward_ad=False, check_forward_ad=True)
    with pytest.raises(AssertionError, match="check_batched_forward_grad=True requires check_forward_ad"):
        gradcheck(torch.sin, (x,), check_batched_forward_grad=True)
    with pytest.raises(AssertionError, match="at least one of check_fwd_over_rev or check_rev_over_rev"):
        gradgradcheck(torch.sin, (x,), check_rev_over_rev=False)
    with pytest.raises(TypeError, match="must return a tensor"):
        gradcheck(lambda a: 3.0, (x,))


def test_errors_of_the_function_come_through_and_the_inputs_are_restored():
    seen = real(1.0, 2.0)

    def moody(a):
        if a[0] < 1:
            raise KeyError("too small")
        return a * 2

    with pytest.raises(KeyError):
        gradcheck(moody, (seen,))
    assert seen.tolist() == [1.0, 2.0]


def test_single_precision_warns():
    with pytest.warns(UserWarning, match="Input #0 requires gradient and is not a double precision"):
        assert gradcheck(twice, (torch.ones(2, requires_grad=True),), eps=1e-2, atol=1e-2)


def test_the_users_random_numbers_are_untouched():
    torch.manual_seed(3)
    expected = torch.rand(3).tolist()
    torch.manual_seed(3)
    gradcheck(torch.sin, (x,), fast_mode=True)
    gradgradcheck(torch.sin, (x,))
    assert torch.rand(3).tolist() == expected
