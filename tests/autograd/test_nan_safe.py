"""nan_safe: masked cotangents stay zero, at every order; all else is as before, NaN by value too."""

from __future__ import annotations

import gc
import weakref
from contextlib import nullcontext

import numpy as np
import pytest

import retrograd as torch
from retrograd.autograd.graph import nan_safe
from retrograd.autograd.modes import local, modes
from retrograd.ops.declare import TABLE

MASK = torch.tensor([False, True])
ROWS = torch.tensor([[False], [True]])
X, MATRIX = [0.0, 0.25], [[0.0, 0.0], [3.0, 4.0]]

MASKED = {
    "where log": (lambda x: torch.where(MASK, x.log(), 0.0), X),
    "where log, other way": (lambda x: torch.where(~MASK, torch.zeros(2).double(), x.log()), X),
    "where sqrt": (lambda x: torch.where(x > 0, x.sqrt(), x * 0), X),
    "where 1/x": (lambda x: torch.where(x > 0, 1 / x, 0.0), X),
    "where pow": (lambda x: torch.where(x > 0, x**0.5, 0.0), X),
    "where x/y": (lambda x: torch.where(MASK, x / x, 0.0), X),
    "where rsqrt, reciprocal": (lambda x: torch.where(MASK, x.rsqrt() + x.reciprocal(), 0.0), X),
    "where xlogy": (lambda x: torch.where(MASK, torch.xlogy(x, x), 0.0), X),
    "where logit": (lambda x: torch.where(MASK, torch.logit(x), 0.0), [-1.0, 0.25]),
    "where acos": (lambda x: torch.where(MASK, torch.acos(x), 0.0), [1.0, 0.25]),
    "where exp overflows": (lambda x: torch.where(MASK, x.exp(), 0.0), [1e4, 0.25]),
    "masked_fill": (lambda x: x.log().masked_fill(~MASK, 0.0), X),
    "relu": (lambda x: torch.relu(1 + x.log() / 9), X),
    "hardtanh": (lambda x: torch.nn.functional.hardtanh(x.log(), -2, 2), X),
    "clamp": (lambda x: x.log().clamp(min=-5), X),
    "maximum": (lambda x: torch.maximum(x.log(), torch.full((2,), -3.0).double()), X),
    "max": (lambda x: x.log().max(), X),
    "slice": (lambda x: x.log()[1:], X),
    "select": (lambda x: x.sqrt()[1], X),
    "mask index": (lambda x: x.log()[MASK], X),
    "integer index": (lambda x: x.log()[torch.tensor([1, 1])], X),
    "gather": (lambda x: x.log().gather(0, torch.tensor([1, 1])), X),
    "index_select": (lambda x: x.log().index_select(0, torch.tensor([1])), X),
    "max with indices": (lambda x: x.log().max(0).values, X),
    "sort": (lambda x: x.log().sort().values[1:], X),
    "norm by hand": (lambda x: torch.where(ROWS[:, 0], (x * x).sum(1).sqrt(), 0.0), MATRIX),
    "norm": (lambda x: torch.where(ROWS[:, 0], x.norm(dim=1), 0.0), MATRIX),
    "through matmul": (lambda x: torch.where(ROWS, x.log() @ torch.ones(2, 2).double(), 0.0), MATRIX),
    "through sum": (lambda x: torch.where(ROWS[:, 0], x.log().sum(1), 0.0), MATRIX),
    "through mean, reshape, t": (lambda x: torch.where(ROWS.t(), x.log().t().view(2, 2), 0.0).mean(), MATRIX),
    "through expand": (lambda x: torch.where(MASK, x.log().expand(3, 2), 0.0), X),
    "through padding": (lambda x: torch.nn.functional.pad(torch.where(MASK, x.log(), 0.0), (1, 1)), X),
    "through add": (lambda x: torch.where(MASK, x.log() + x.sqrt(), 0.0), X),
    "in place": (lambda x: x.log().masked_fill_(~MASK, 0.0), X),
    "setitem": (lambda x: _overwritten(x.log()), X),
}  # fmt: skip


def _overwritten(y):
    y[0] = 0.0
    return y


def gradient(f, x, order, context):
    """Return the gradient of the sum of f(x), of the sum of that, ... up to an order."""
    x = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    y = f(x).sum()
    with context:
        for k in range(order):
            (g,) = torch.autograd.grad(y, x, create_graph=k < order - 1, materialize_grads=True)
            y = g.sum()
    return g.numpy()


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("name", MASKED)
def test_masked_elements_are_zero_and_others_as_before(name, order):
    f, x = MASKED[name]
    plain = gradient(f, x, order, nullcontext())
    safe = gradient(f, x, order, nan_safe())
    assert np.isfinite(safe).all()
    assert order > 1 or name in _FINE or np.isnan(plain).any()
    np.testing.assert_allclose(safe[~np.isnan(plain)], plain[~np.isnan(plain)], rtol=1e-14)
    np.testing.assert_array_equal(safe[np.isnan(plain)], 0)


_FINE = {"norm", "where exp overflows"}


def test_what_is_given_where_the_mask_is_another():
    """The masked branch has no influence, so the gradient is that of the function without it."""
    f = torch.where
    x = [[0.0, 2.0], [3.0, 0.0]]
    got = gradient(lambda x: f(x > 0, x.log() * x.sqrt() / x, x**2), x, 1, nan_safe())
    v = torch.tensor(x, dtype=torch.float64)
    safe = v.clone().fill_diagonal_(1.0).requires_grad_()
    want = torch.autograd.grad((safe.log() * safe.sqrt() / safe).sum(), safe)[0].fill_diagonal_(0.0)
    np.testing.assert_allclose(got, want.numpy(), rtol=1e-14)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: 0.0 * x.log(),
        lambda x: x.sqrt() * 0,
        lambda x: x.log() * torch.zeros(2).double(),
        lambda x: torch.where(~MASK, x.log() * 0, x),
        lambda x: torch.where(~MASK, (x.log() - x.log()), x),
    ],
)
def test_zero_by_value_is_not_hidden(f):
    for context in (nullcontext(), nan_safe()):
        assert np.isnan(gradient(f, X, 1, context)).tolist() == [True, False]


def _samples():
    for op in TABLE.values():
        if op.rules and op.samples is not None and op.family != "composite" and op.name != "drawn":
            yield pytest.param(op, id=op.name)


@pytest.mark.parametrize("op", list(_samples()))
def test_ordinary_gradients_are_the_same(op):
    """Every op's first two samples: with masks followed, the gradients are the very same numbers."""
    for sample in list(op.samples())[:2]:
        kinds = {p.name: p for p in op.parameters}
        args = [_tensor(op, p, a) for p, a in zip(op.parameters, sample.args, strict=False)]
        kwargs = {k: _tensor(op, kinds[k], a) for k, a in sample.kwargs.items()}
        leaves = [x for a in [*args, *kwargs.values()] for x in (a if isinstance(a, list) else [a])]
        leaves = [x for x in leaves if isinstance(x, torch.Tensor) and x.requires_grad]
        result = op.function(*args, **kwargs)
        results = [r for r in (result if isinstance(result, tuple) else (result,)) if r.requires_grad]
        if not results or not leaves:
            continue
        cts = [torch.ones_like(r) for r in results]
        try:
            want = torch.autograd.grad(results, leaves, cts, retain_graph=True, allow_unused=True)
        except (RuntimeError, NotImplementedError):
            continue  # an op without a derivative, or without one here
        with nan_safe():
            got = torch.autograd.grad(results, leaves, cts, allow_unused=True)
        for g, w in zip(got, want, strict=True):
            assert (g is None) == (w is None)
            if g is not None:
                assert g.dtype is w.dtype
                assert not g.requires_grad
                np.testing.assert_allclose(g.numpy(), w.numpy(), rtol=1e-12, atol=1e-12)


def _tensor(op, parameter, value):
    if parameter.is_static:
        return value
    if isinstance(value, (list, tuple)):
        return [_tensor(op, parameter, v) for v in value]
    if not isinstance(value, np.ndarray):
        return value
    made = torch.from_numpy(value.copy())
    return made.requires_grad_() if parameter.name in op.rules and value.dtype.kind in "fc" else made


def test_accumulates_like_any_backward():
    x = torch.tensor(X, requires_grad=True)
    loss = lambda: torch.where(MASK, x.log(), 0.0).sum()  # noqa: E731
    with nan_safe():
        loss().backward()
        first = x.grad
        loss().backward()
    assert x.grad is first
    assert x.grad.tolist() == [0.0, 8.0]
    assert first.__dict__ == {}
    assert not first.requires_grad
    loss().backward()
    assert x.grad.isnan().tolist() == [True, False]
    with nan_safe(), pytest.warns(UserWarning, match="create_graph"):
        x.grad = None
        loss().backward(create_graph=True)
    assert x.grad.requires_grad
    x.grad = None


def test_hooks_see_tensors_and_may_replace_them():
    x = torch.tensor(X, requires_grad=True)
    seen = []
    y = x.log()
    y.retain_grad()
    y.register_hook(lambda g: seen.append((type(g), torch.is_grad_enabled(), g.tolist())))
    y.grad_fn.register_prehook(lambda gs: (gs[0] * 2,))
    x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.tolist()))
    with nan_safe():
        torch.where(MASK, y, 0.0).sum().backward()
    assert seen == [(torch.Tensor, False, [0.0, 1.0]), [0.0, 8.0]]
    assert y.grad.tolist() == [0.0, 1.0]
    y = x.log()
    y.register_hook(lambda g: torch.zeros(2))
    with nan_safe():
        (g,) = torch.autograd.grad(torch.where(MASK, y, 0.0).sum(), x)
    assert g.isnan().tolist() == [True, False]


def test_custom_functions_transforms_and_other_dtypes():
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, ct):
            return ct * 2

    plain = lambda x: torch.where(MASK, x.log(), 0.0).sum()  # noqa: E731
    f = lambda x: torch.where(MASK, Twice.apply(x.log()), 0.0).sum()  # noqa: E731
    x = torch.tensor(X, requires_grad=True)
    with nan_safe():
        assert torch.autograd.grad(f(x), x)[0].tolist() == [0.0, 8.0]
        assert torch.func.grad(plain)(torch.tensor(X)).tolist() == [0.0, 4.0]
        assert torch.autograd.functional.hessian(f, torch.tensor(X)).tolist() == [[0.0, 0.0], [0.0, -32.0]]
        for dtype in (torch.float16, torch.bfloat16, torch.complex64):
            v = torch.tensor(X, dtype=dtype, requires_grad=True)
            (g,) = torch.autograd.grad(torch.where(MASK, v.log(), 0.0).sum().real, v)
            assert g.dtype is dtype
            assert g.tolist() == [0.0, 4.0]
        batch = torch.vmap(torch.func.grad(lambda x: (x * x).sum()))(torch.ones(3, 2))
        assert batch.tolist() == [[2.0, 2.0]] * 3
    empty, scalar = torch.ones(0, requires_grad=True), torch.zeros((), requires_grad=True)
    with nan_safe():
        torch.where(empty > 0, empty.log(), 0.0).sum().backward()
        torch.where(scalar > 0, scalar.log(), 0.0).backward()
    assert empty.grad.tolist() == []
    assert scalar.grad.item() == 0.0


@nan_safe()
def _train(x):
    torch.where(MASK, x.log(), 0.0).sum().backward()
    return x.grad.tolist()


def test_nesting_decoration_errors_and_nothing_left_behind():
    assert _train(torch.tensor(X, requires_grad=True)) == [0.0, 4.0]
    x = torch.tensor(X, requires_grad=True)
    y = torch.where(MASK, x.log(), 0.0).sum()
    special = modes.special
    with nan_safe(), nan_safe():
        pass
    with nan_safe():
        y.backward()
        with pytest.raises(RuntimeError, match="second time"):
            y.backward()
    assert (local.nan_safe, local.masking, local.intercepts, modes.special) == (0, None, [], special)
    gone = weakref.ref(y.grad_fn)
    del y
    gc.collect()
    assert gone() is None


def test_a_backward_started_by_a_hook():
    x, z = torch.tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    y = x.log()

    def hook(g):
        with torch.enable_grad():
            torch.where(MASK, z.log(), 0.0).sum().backward()

    y.register_hook(hook)
    with nan_safe():
        torch.where(MASK, y, 0.0).sum().backward()
    assert x.grad.tolist() == z.grad.tolist() == [0.0, 4.0]


def test_what_is_added_to_a_masked_part_stays():
    x = torch.tensor(X, requires_grad=True)
    with nan_safe():
        (torch.where(MASK, x.log(), 0.0) + torch.cat([x.log(), x])[2:] * 3).sum().backward()
    assert x.grad.tolist() == [3.0, 7.0]
