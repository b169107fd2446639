"""Custom Functions: what ctx offers, what apply returns, and the errors of misuse."""

from __future__ import annotations

import pytest

import retrograd as torch
from retrograd.autograd import Function
from retrograd.autograd.function import once_differentiable


class Cube(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, ct):
        (x,) = ctx.saved_tensors
        return 3 * x * x * ct


class SavesItsResult(Function):
    @staticmethod
    def forward(ctx, x):
        result = x.exp()
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx, ct):
        (result,) = ctx.saved_tensors
        return ct * result


def ones(*shape):
    return torch.ones(*shape, requires_grad=True)


@pytest.mark.parametrize(("function", "plain"), [(Cube, lambda x: x**3), (SavesItsResult, torch.exp)])
def test_any_order_of_derivative(function, plain):
    x = torch.tensor([0.5, -1.0], dtype=torch.float64, requires_grad=True)
    mine, want = function.apply(x), plain(x)
    for _ in range(3):
        (mine,) = torch.autograd.grad(mine.sum(), x, create_graph=True)
        (want,) = torch.autograd.grad(want.sum(), x, create_graph=True)
        assert torch.allclose(mine, want)


def test_setup_context_and_what_ctx_knows():
    seen = {}

    class Scale(Function):
        @staticmethod
        def forward(x, factor, note=None):
            return x * factor

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.factor = inputs[1]
            seen["needs"] = ctx.needs_input_grad
            seen["out"] = output

        @staticmethod
        def backward(ctx, ct):
            return ct * ctx.factor, None, None

    x = ones(3)
    y = Scale.apply(x, 4.0, "note")
    y.sum().backward()
    assert seen["needs"] == (True, False, False)
    assert seen["out"] is y
    assert x.grad.tolist() == [4.0] * 3
    assert y.grad_fn.name() == "ScaleBackward"
    assert y.grad_fn.next_functions[0][0].variable is x


def test_several_outputs_and_materialized_grads():
    class Two(Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.set_materialize_grads(False)
            return a * 1, b * 1

        @staticmethod
        def backward(ctx, ga, gb):
            assert gb is None
            return ga, gb

    a, b = ones(2), ones(2)
    x, y = Two.apply(a, b)
    x.sum().backward()
    assert a.grad.tolist() == [1.0, 1.0]
    assert b.grad is None
    assert (x.output_nr, y.output_nr) == (0, 1)


def test_non_differentiable_outputs_get_zeros():
    got = []

    class MaxAndPlace(Function):
        @staticmethod
        def forward(ctx, a):
            i = a.argmax()
            ctx.mark_non_differentiable(i)
            return a.max(), i

        @staticmethod
        def backward(ctx, g, gi):
            got.append(gi)
            return g * torch.ones(2)

    a = ones(2)
    m, i = MaxAndPlace.apply(a)
    m.backward()
    assert not i.requires_grad
    assert got[0].tolist() == 0
    assert a.grad.tolist() == [1.0, 1.0]


def test_returning_the_input_gives_a_view_of_it():
    class Same(Function):
        @staticmethod
        def forward(ctx, a):
            return a

        @staticmethod
        def backward(ctx, g):
            return g * 2

    a = ones(2)
    y = Same.apply(a)
    y.sum().backward()
    assert y is not a
    assert y._is_view()
    assert a.grad.tolist() == [2.0, 2.0]
    with pytest.raises(RuntimeError, match="Output 0 of Same is a view and is being modified inplace"):
        y.add_(1)


def test_marked_dirty_input_is_returned_with_the_new_history():
    class Double(Function):
        @staticmethod
        def forward(ctx, a):
            a.mul_(2)
            ctx.mark_dirty(a)
            return a

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = ones(2)
    z = x * 1
    assert Double.apply(z) is z
    assert z.grad_fn.name() == "DoubleBackward"
    z.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_once_differentiable_refuses_a_second_derivative():
    class Once(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @once_differentiable
        def backward(ctx, ct):
            (x,) = ctx.saved_tensors
            return 2 * x * ct

    x = ones(2)
    (g,) = torch.autograd.grad(Once.apply(x).sum(), x, create_graph=True)
    assert g.tolist() == [2.0, 2.0]
    with pytest.raises(RuntimeError):
        torch.autograd.grad(g.sum(), x)


def _bad(backward):
    class Bad(Function):
        @staticmethod
        def forward(ctx, a, b=None):
            return a * 1

    Bad.backward = staticmethod(backward)
    return Bad


@pytest.mark.parametrize(
    ("args", "backward", "error", "message"),
    [
        ((ones(3), 2), lambda ctx, g: g, RuntimeError, "incorrect number of gradients .expected 2, got 1."),
        ((ones(3),), lambda ctx, g: (g, g), RuntimeError, "number of gradients .expected 1, got 2."),
        ((ones(3),), lambda ctx, g: g[:2], RuntimeError, r"gradient at index 0 - got \[2\] but expected"),
        ((ones(3),), lambda ctx, g: 3.0, RuntimeError, "expected Variable or None .got float."),
        ((ones(3), 2), lambda ctx, g: (g, g), RuntimeError, "different than None at position 2"),
    ],
)
def test_bad_backwards(args, backward, error, message):
    with pytest.raises(error, match=message):
        _bad(backward).apply(*args).sum().backward()


def test_misuse_of_the_class():
    x = ones(3)
    with pytest.warns(DeprecationWarning), pytest.raises(RuntimeError, match="Legacy autograd function"):
        Cube()(x)
    with pytest.raises(NotImplementedError, match="must implement the forward function"):
        type("Empty", (Function,), {}).apply(x)
    with pytest.raises(NotImplementedError, match="either the backward or vjp method"):
        _bad(Function.backward).apply(x).sum().backward()

    class Saves(Function):
        @staticmethod
        def forward(ctx, a):
            ctx.save_for_backward(a, 2)
            return a

    with pytest.raises(TypeError, match="can only save variables, but argument 1 is of type int"):
        Saves.apply(x)


def test_two_hundred_thousand_nodes_of_custom_functions():
    class Same(Function):
        @staticmethod
        def forward(ctx, a):
            return a * 1

        @staticmethod
        def backward(ctx, g):
            return g

    x = ones(1)
    y = x
    for _ in range(50_000):
        y = Same.apply(y)
    y.backward()
    del y
    assert x.grad.tolist() == [1.0]


def test_no_cycle_is_left():
    import gc
    import weakref

    gc.collect()
    gc.disable()
    try:
        x = ones(2)
        y = SavesItsResult.apply(Cube.apply(x))
        dead = weakref.ref(y._node)
        y.sum().backward()
        del y
        assert dead() is None
    finally:
        gc.enable()
