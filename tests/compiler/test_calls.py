"""Functions, methods and modules, compiled: what they return and write to, and their backward outside."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import pytest
from compiler.both import alike, close, grads

import retrograd as torch
from retrograd import nn
from retrograd.nn import functional as F


class Pair(NamedTuple):
    first: object
    second: object


def same(function, *args, **kwargs):
    """Compare a function with itself, compiled; twice, so that the compiled form is used again."""
    wanted = function(*args, **kwargs)
    made = torch.compile(function, fullgraph=True)
    close(made(*args, **kwargs), wanted)
    close(made(*args, **kwargs), wanted)
    assert len(made.state.entries) == 1
    return made


# ---- results ----


def test_nested_results():
    x = torch.randn(2, 3)
    same(lambda x: {"a": x + 1, "b": [x * 2, (x.sum(), None, 3, "word")], "c": ()}, x)
    same(lambda x: Pair(x + 1, [x - 1]), x)
    same(lambda x: None, x)
    same(lambda x: 7, x)


def test_nested_arguments():
    x, y = torch.randn(3), torch.randn(3)
    same(lambda a, b=None, *rest, c: a["x"] + b[0] * c + rest[0], {"x": x, "n": 1}, (y, 2), y, c=2.5)
    same(lambda p: p.first * p.second, Pair(x, y))


def test_a_named_tuple_of_an_op():
    made = torch.compile(lambda x: torch.max(x, dim=1), fullgraph=True)
    found = made(torch.tensor([[1.0, 3.0], [5.0, 2.0]]))
    assert found.values.tolist() == [3.0, 5.0]
    assert found.indices.tolist() == [1, 0]


def test_a_result_that_is_an_argument_is_that_tensor():
    x = torch.randn(3)
    f = torch.compile(lambda x: (x, x + 1), fullgraph=True)
    assert f(x)[0] is x
    assert f(x)[0] is x


def test_one_tensor_returned_twice_is_one_tensor():
    def f(x):
        y = x + 1
        return y, [y]

    made = torch.compile(f, fullgraph=True)(torch.ones(2))
    assert made[0] is made[1][0]


def test_results_that_share_memory_do():
    def f(x):
        y = x + 1
        return y, y[0], y.detach()

    y, first, alias = torch.compile(f, fullgraph=True)(torch.zeros(3))
    first.fill_(9.0)
    assert y.tolist() == [9.0, 1.0, 1.0]
    assert alias.tolist() == [9.0, 1.0, 1.0]


def test_a_view_of_an_argument_is_a_view():
    x = torch.zeros(2, 3)
    f = torch.compile(lambda x: (x.t(), x[1]), fullgraph=True)
    for _ in range(2):
        t, row = f(x)
        assert t.shape == (3, 2)
        assert row._base is x
        row.add_(1.0)
    assert x.tolist() == [[0, 0, 0], [2, 2, 2]]


def test_a_constant_made_inside_is_fresh_at_each_call():
    f = torch.compile(lambda: torch.zeros(2), fullgraph=True)
    f().add_(1.0)
    assert f().tolist() == [0.0, 0.0]


def test_a_buffer_made_inside_starts_anew_at_each_call():
    def f(x):
        made = torch.zeros(3)
        made[1:] = x
        made += 1
        return made

    same(f, torch.tensor([2.0, 3.0]))


DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtypes(dtype):
    x = torch.tensor([[0, 1, 2], [3, 4, 0]]).to(dtype)
    same(lambda x: (x + x, x * 2.5, (x > 1) | (x == 0), x.sum(), x.to(torch.float32).mean()), x)


def test_shapes_without_elements_and_without_dimensions():
    same(lambda x: (x + 1, x.sum(), x.reshape(-1)), torch.zeros(0, 3))
    same(lambda x: (x * x, x[None], x.expand(2)), torch.tensor(2.0))


def test_non_contiguous_arguments():
    x = torch.randn(4, 6)
    same(lambda x: (x.t().reshape(-1) * 2, x.contiguous(), x.sum(0)), x[::2, 1:5])
    same(lambda x: x.flatten() @ x.flatten(), x.t())


def test_not_a_number_and_infinities():
    x = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0])
    same(lambda x: (x * 2, x.maximum(torch.tensor(0.0)), torch.where(x.isnan(), 0.0, x), x.softmax(0)), x)


def test_numpy_functions_on_tensors():
    same(lambda x: np.exp(x) + np.sum(x, axis=0), torch.randn(3, 2))


# ---- writes ----


def test_writes_to_arguments_and_through_views():
    def make():
        x = torch.zeros(3, 4)

        def f(x, k):
            x[0] = k
            x.t()[1].add_(2.0)
            x.reshape(-1)[5:7].mul_(3.0)
            x[:, 2:].copy_(torch.ones(2))
            return x.sum()

        return f, lambda k: (x, torch.tensor(float(k))), lambda: (x, x._version)

    alike(make)


def test_writes_to_a_captured_tensor():
    def make():
        total, count = torch.zeros(2), torch.tensor(0)

        def f(x):
            total.add_(x)
            count.add_(1)
            return total / count

        return f, lambda k: (torch.tensor([1.0, k]),), lambda: (total, count, total._version)

    alike(make)


def test_a_write_is_seen_by_an_older_view():
    def make():
        x = torch.zeros(4)
        view = x[1:3]

        def f(y):
            x.copy_(y)
            return x * 2

        return f, lambda k: (torch.full((4,), float(k)),), lambda: (x, view)

    alike(make)


def test_the_order_of_reads_and_writes():
    def f(x):
        before = x * 1
        x.add_(1)
        between = x * 1
        x.add_(1)
        return before, between, x.sum()

    x = torch.zeros(2)
    made = torch.compile(f, fullgraph=True)
    for k in (0.0, 2.0):
        before, between, total = made(x)
        assert before.tolist() == [k, k]
        assert between.tolist() == [k + 1, k + 1]
        assert total.item() == 2 * (k + 2)


# ---- backward outside ----


def backward_alike(function, *inputs, calls=2):
    """Compare values and gradients of a function whose backward is called outside."""
    outcomes = []
    for f in (function, torch.compile(function, fullgraph=True)):
        for x in inputs:
            x.grad = None
        found = []
        for _ in range(calls):
            results = f(*inputs)
            results = [results] if isinstance(results, torch.Tensor) else list(results)
            total = sum((r * r).sum() for r in results if r.requires_grad)
            total.backward()
            found.append([r.detach().clone() for r in results])
            found.append([x.grad.clone() for x in inputs if x.requires_grad])
        outcomes.append(found)
    close(outcomes[1], outcomes[0], atol=1e-5)


def leaf(*shape):
    return torch.randn(*shape).requires_grad_()


def test_backward_of_pointwise_broadcast_and_reductions():
    backward_alike(lambda x, y: (x * y).tanh().sum(1), leaf(3, 4), leaf(4))
    backward_alike(lambda x, y: (x @ y, (x * 2).exp().mean()), leaf(3, 4), leaf(4, 2))
    backward_alike(lambda x: F.layer_norm(x, (4,)), leaf(3, 4))
    backward_alike(lambda x: F.gelu(x).softmax(-1), leaf(3, 4))
    backward_alike(lambda x: x[:, 1:].reshape(-1)[::2], leaf(3, 4))


def test_backward_with_an_argument_that_has_a_history():
    w = leaf(3)
    f = torch.compile(lambda x: (x * x).sum(), fullgraph=True)
    for _ in range(2):
        w.grad = None
        f(w * 2).backward()
        close(w.grad, (8 * w).detach())


def test_backward_of_one_of_several_results():
    x = leaf(3)
    f = torch.compile(lambda x: (x * 2, x * x), fullgraph=True)
    a, b = f(x)
    b.sum().backward()
    close(x.grad, (2 * x).detach())
    del a


def test_retained_graph_and_freed_graph():
    x = leaf(3)
    y = torch.compile(lambda x: (x * x).sum(), fullgraph=True)(x)
    y.backward(retain_graph=True)
    y.backward()
    close(x.grad, (4 * x).detach())
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_a_saved_input_that_was_written_to_is_noticed():
    x = leaf(3)
    y = torch.compile(lambda x: (x * x).sum(), fullgraph=True)(x)
    with torch.no_grad():
        x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_second_derivatives_outside():
    x, w = leaf(4, 3), leaf(3, 2)

    def f(x):
        return (x @ w).tanh().sum(1)

    def penalty(f):
        (g,) = torch.autograd.grad(f(x).sum(), x, create_graph=True)
        return torch.autograd.grad((g**2).sum(), [x, w])

    close(penalty(torch.compile(f, fullgraph=True)), penalty(f))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.softmax(-1),
        lambda x: F.layer_norm(x, (3,)),
        lambda x: F.gelu(x).mean(0),
        lambda x: x[1:].cumsum(0),
        lambda x: x.logsumexp(1),
        lambda x: torch.cat([x, x.t()[:, :3]]).sigmoid(),
    ],
)
def test_second_derivatives_of_composed_functions(f):
    x = torch.randn(4, 3, dtype=torch.float64).requires_grad_()

    def second(f):
        (g,) = torch.autograd.grad((f(x) ** 2).sum(), x, create_graph=True)
        return torch.autograd.grad((g**3).sum(), x)

    close(second(torch.compile(f, fullgraph=True)), second(f), rtol=1e-9)


def test_hooks_see_the_gradient_once():
    x = leaf(3)
    seen = []
    x.register_hook(lambda g: seen.append(g.clone()))
    torch.compile(lambda x: (x * 3).sum())(x).backward()
    assert len(seen) == 1
    assert x.grad.tolist() == [3.0, 3.0, 3.0]


def test_a_leaf_made_inside_and_returned():
    f = torch.compile(lambda: torch.ones(2, requires_grad=True), fullgraph=True)
    for _ in range(2):
        y = f()
        assert y.is_leaf
        y.sum().backward()
        assert y.grad.tolist() == [1.0, 1.0]


def test_training_a_compiled_module():
    def make_model():
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 2))

    data = [(torch.randn(6, 3), torch.randint(0, 2, (6,))) for _ in range(3)]
    outcomes = []
    for compiled in (False, True):
        model = make_model()
        f = torch.compile(model, fullgraph=True) if compiled else model
        optimizer = torch.optim.Adam(f.parameters(), lr=0.01)
        torch.manual_seed(5)
        losses = []
        for x, y in data:
            optimizer.zero_grad()
            loss = F.cross_entropy(f(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        outcomes.append((losses, [p.detach().clone() for p in model.parameters()], grads(model.parameters())))
    close(outcomes[1], outcomes[0], rtol=1e-4, atol=1e-6)


# ---- modules, methods, decorators ----


def test_a_compiled_module_is_the_module():
    model = nn.Sequential(OrderedDict(one=nn.Linear(2, 3), two=nn.Dropout(0.5)))
    made = torch.compile(model)
    assert isinstance(made, nn.Module)
    assert made._orig_mod is model
    assert made.one is model.one
    assert [id(p) for p in made.parameters()] == [id(p) for p in model.parameters()]
    assert list(made.state_dict()) == ["_orig_mod.one.weight", "_orig_mod.one.bias"]
    made.eval()
    assert not model.training
    x = torch.randn(4, 2)
    close(made(x), model(x))


def test_methods():
    class Scaled:
        def __init__(self, by):
            self.by = torch.tensor(by)

        @torch.compile(fullgraph=True)
        def times(self, x):
            return x * self.by

    a, b = Scaled(2.0), Scaled(3.0)
    x = torch.ones(2)
    for _ in range(2):
        assert a.times(x).tolist() == [2.0, 2.0]
        assert b.times(x).tolist() == [3.0, 3.0]


def test_modes_have_forms_of_their_own():
    x = leaf(3)
    f = torch.compile(lambda x: x * 2, fullgraph=True)
    assert f(x).requires_grad
    with torch.no_grad():
        assert not f(x).requires_grad
    with torch.inference_mode():
        assert f(x).is_inference()
    assert f(x).requires_grad
    assert len(f.state.entries) == 3


def test_recording_switched_off_inside():
    x = leaf(3)

    @torch.compile(fullgraph=True)
    def f(x):
        with torch.no_grad():
            y = x * 2
        return y, x * 3

    y, z = f(x)
    assert not y.requires_grad
    z.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0, 3.0]


def test_a_compiled_function_in_another_one_is_part_of_it():
    inner = torch.compile(lambda x: x * 2)
    outer = torch.compile(lambda x: inner(x) + 1, fullgraph=True)
    assert outer(torch.ones(2)).tolist() == [3.0, 3.0]
    assert not inner.state.entries


def test_a_compiled_function_in_a_transform_runs_as_it_is():
    f = torch.compile(lambda x: (x * x).sum())
    x = torch.tensor([1.0, 2.0])
    assert torch.func.grad(f)(x).tolist() == [2.0, 4.0]
    assert torch.func.vmap(f)(torch.ones(3, 2)).tolist() == [2.0, 2.0, 2.0]


def test_transforms_inside_a_compiled_function():
    x = torch.tensor([1.0, 2.0])
    same(lambda x: torch.func.grad(lambda y: (y**3).sum())(x) * 2, x)


def test_vmap_inside_a_compiled_function():
    same(lambda x: torch.func.vmap(lambda r: r.sum() * r)(x) * 2, torch.randn(3, 2))


def test_custom_functions_inside():
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, ct):
            (x,) = ctx.saved_tensors
            return ct * 3 * x * x

    backward_alike(lambda x: Cube.apply(x) + x, leaf(3))


def test_a_detached_tensor_from_outside_shares_its_memory():
    w = torch.ones(2, requires_grad=True)
    f = torch.compile(lambda x: (w.detach(), x.data, x * 2), fullgraph=True)
    x = torch.zeros(2)
    for _ in range(2):
        weight, data, _ = f(x)
        assert not weight.requires_grad
        weight.add_(1.0)
        data.add_(1.0)
    assert w.tolist() == [3.0, 3.0]
    assert x.tolist() == [2.0, 2.0]
    y = (w * w).sum()
    f(x)[0].add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_tensors_of_other_kinds_that_are_not_used():
    held = {"meta": torch.empty(2, device="meta"), "sparse": torch.eye(2).to_sparse(), "w": torch.ones(2)}
    same(lambda x: x * held["w"], torch.ones(2))
