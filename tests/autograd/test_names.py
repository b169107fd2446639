"""The nodes of results have the names that torch gives them."""

from __future__ import annotations

import pytest

import retrograd

CALLS = {
    "t_": lambda m, x: (x * 1).t_(),
    "unsqueeze_": lambda m, x: (x * 1).unsqueeze_(0),
    "transpose_": lambda m, x: (x * 1).transpose_(0, 1),
    "swapaxes_": lambda m, x: (x * 1).swapaxes_(0, 1),
    "squeeze_": lambda m, x: (x * 1).squeeze_(),
    "squeeze_ one": lambda m, x: (x * 1).squeeze_(0),
    "squeeze_ some": lambda m, x: (x * 1).squeeze_((0, 1)),
    "as_strided_": lambda m, x: (x * 1).as_strided_((2,), (1,)),
    "t": lambda m, x: x.t(),
    "quantile": lambda m, x: x.quantile(0.5),
    "quantile along": lambda m, x: x.quantile(0.5, 0),
    "quantile kept": lambda m, x: x.quantile(0.5, 1, True),
    "quantiles": lambda m, x: x.quantile(m.tensor([0.5, 0.2]), 0),
    "kron": lambda m, x: m.kron(x, x),
    "real": lambda m, x: m.fft.fft(x).real,
    "imag": lambda m, x: m.fft.fft(x).imag,
    "igamma": lambda m, x: m.igamma(x.detach(), x),
    "gather": lambda m, x: x.gather(0, m.tensor([[0]])),
}


@pytest.mark.parametrize("call", CALLS)
def test_names(call, torch_or_skip):
    theirs, ours = (
        CALLS[call](m, m.ones(2, 3, requires_grad=True)).grad_fn.name() for m in (torch_or_skip, retrograd)
    )
    assert ours == theirs


def test_a_tensor_that_became_a_view_still_has_its_gradient():
    x = retrograd.arange(6.0).reshape(2, 3).requires_grad_()
    y = (x * 2).t_()
    (y * retrograd.arange(6.0).reshape(3, 2)).sum().backward()
    assert x.grad.tolist() == [[0, 4, 8], [2, 6, 10]]
