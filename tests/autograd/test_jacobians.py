"""The names and Jacobians of torch.autograd.gradcheck, its verdicts beside torch's, Variable and switches."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest

import retrograd as torch
from retrograd.autograd.gradcheck import (
    GradcheckError,
    get_analytical_jacobian,
    get_numerical_jacobian,
    get_numerical_jacobian_wrt_specific_input,
)


def real(*values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


x = real(0.3, -1.2, 2.0)
z = torch.tensor([1 + 2j, -0.5 + 0.25j], dtype=torch.complex128, requires_grad=True)


# ---- names ----


def test_the_module_is_called_like_the_function():
    assert torch.autograd.gradcheck(torch.sin, (x,)) is True
    assert torch.autograd.gradcheck.GradcheckError is GradcheckError
    assert torch.autograd.gradcheck.gradcheck(torch.sin, (x,)) is True
    assert torch.autograd.gradgradcheck(torch.sin, (x,)) is True
    assert list(inspect.signature(torch.autograd.gradcheck).parameters)[:3] == ["func", "inputs", "eps"]


def test_variable_and_switches():
    shared = torch.ones(2)
    made = torch.autograd.Variable(shared, requires_grad=True)
    assert made.requires_grad
    assert made.data_ptr() == shared.data_ptr()
    assert isinstance(shared, torch.autograd.Variable)
    assert not isinstance(3, torch.autograd.Variable)
    with pytest.raises(TypeError, match="Variable data has to be a tensor, but got list"):
        torch.autograd.Variable([1.0])
    with pytest.raises(RuntimeError, match=r"use torch\.tensor"):
        torch.autograd.variable(shared)
    with torch.autograd.set_multithreading_enabled(False):
        assert not torch.autograd.is_multithreading_enabled()
    assert torch.autograd.is_multithreading_enabled()
    with torch.autograd.enforce_grad_layout_policy(False):
        pass


# ---- Jacobians by themselves ----


def test_jacobians():
    a, b = real(1.0, 2.0), real(3.0, 4.0)
    with pytest.warns(FutureWarning, match="private API"):
        numerical = get_numerical_jacobian(lambda i: i[0] * i[1], (a, b), eps=1e-6)
    with pytest.warns(FutureWarning, match="private API"):
        analytical, *right = get_analytical_jacobian((a, b), a * b)
    assert right == [True, True, True]
    for found in (numerical, analytical):
        assert np.allclose(found[0].tolist(), [[3, 0], [0, 4]])
        assert np.allclose(found[1].tolist(), [[1, 0], [0, 2]])
    (one,) = get_numerical_jacobian_wrt_specific_input(lambda p, q: p * q, 1, (a, b), None, 1e-6)
    assert np.allclose(one.tolist(), [[1, 0], [0, 2]])
    (one,) = get_numerical_jacobian_wrt_specific_input(lambda p: p.abs() ** 2, 0, (z,), None, 1e-6)
    assert np.allclose(one.tolist(), np.diag([2 + 4j, -1 + 0.5j]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match="no longer supports values of grad_out"):
            get_numerical_jacobian(lambda i: i[0], (a,), grad_out=2.0)
        with pytest.raises(ValueError, match="Expected output to be non-complex"):
            get_analytical_jacobian((z,), z * z)


def test_verdicts_and_first_lines_are_torchs(torch_or_skip):
    """The same faults planted in torch give the same first lines, up to where fast mode's numbers come."""
    t = torch_or_skip

    def found_in(package, name):
        values = {"real": [0.3, -1.2, 2.0], "complex": [1 + 2j, -0.5 + 0.25j]}
        kind, forward, backward = {
            "scaled": ("real", lambda a: a * 2, lambda ct: ct * 3),
            "wrong sign": ("real", lambda a: a * 2, lambda ct: ct * -2),
            "without conj": ("complex", lambda a: a * 2j, lambda ct: ct * 2j),
            "imaginary part": (
                "complex",
                lambda a: package.complex(a.real * 2, a.imag * 3),
                lambda ct: ct * 2,
            ),
            "right": ("real", lambda a: a * 2, lambda ct: ct * 2),
        }[name]
        dtype = package.float64 if kind == "real" else package.complex128
        given = package.tensor(values[kind], dtype=dtype, requires_grad=True)

        class Planted(package.autograd.Function):
            @staticmethod
            def forward(ctx, a):
                return forward(a)

            @staticmethod
            def backward(ctx, ct):
                return backward(ct)

        try:
            return package.autograd.gradcheck(Planted.apply, (given,))
        except RuntimeError as error:
            return str(error).partition("\n\n")[0].rstrip()

    for name in ("scaled", "wrong sign", "without conj", "imaginary part", "right"):
        assert found_in(torch, name) == found_in(t, name), name
