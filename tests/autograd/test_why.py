"""why_no_grad: what cut a tensor off is named, with the line, and noting it keeps nothing alive."""

from __future__ import annotations

import gc
import inspect
import weakref

import numpy as np
import pytest

import retrograd as torch
from retrograd.autograd.graph import trace_cuts, why_no_grad
from retrograd.autograd.views import _cuts, numbers


@pytest.fixture(autouse=True)
def no_numbers_taken():
    """Forget what earlier tests took out of tensors: their numbers may be these."""
    numbers.clear()


def leaf():
    return torch.ones(3, requires_grad=True)


def line():
    """Return `FILE:LINE` of the caller."""
    frame = inspect.currentframe().f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def check(t, reason, place=None):
    """Compare the answer; return it. `place` of None means that the line is not known."""
    why = why_no_grad(t)
    assert why.reason == reason
    if place is None:
        assert why.place is None
    else:
        assert why.place.startswith(f"{place} in ")
        assert place in str(why)
    return why


def test_detach_is_named_through_what_is_computed_from_it():
    x = leaf()
    y, place = (x * 2).detach(), line()
    base = torch.zeros(2, 3)
    base += y
    for derived in (
        y, (y * 3 + 1).sum(), 1 + y, y @ y, y[0] * 2, y.reshape(3, 1), torch.cat([torch.ones(2), y]),
        torch.stack([y, y]), y.double(), y.half() * 2, torch.where(y > 0, y, 0.0), y.sort().values, base,
        torch.maximum(torch.ones(3), y), y.long() + 1,
    ):  # fmt: skip
        why = check(derived, "detach", place)
        assert why.chain[0].what == "MulBackward0"
        assert why.chain[0].place.startswith(place)


def test_every_way_of_cutting():
    x = leaf()
    y, place = x.data.exp(), line()
    check(y, "data", place)
    y = x.clone()
    place = (y.detach_(), line())[1]
    check(y * 2, "detach_", place)
    with pytest.warns(UserWarning, match="copy construct"):
        y, place = torch.tensor(x), line()
    check(y * 2, "tensor", place)
    y, place = torch.tensor((x * 5.25).sum().item()), line()
    check(y, "item", place)
    y, place = x.argmax() + 1, line()
    check(y, "op", place)
    y, place = (x > 0).float() * 2, line()
    assert check(y, "op", place).chain[0].what == "AccumulateGrad"
    y, place = x.long() * 2, line()
    check(y, "dtype", place)
    check(torch.ones(3, dtype=torch.int64), "dtype")
    check(torch.ones(3) * 2, "leaf")


def test_blocks_that_do_not_record():
    x = leaf()
    place = line().replace(str(inspect.currentframe().f_lineno), str(inspect.currentframe().f_lineno + 1))
    with torch.no_grad():
        y, view = x * 2, x[0]
        inner = torch.ones(3) * 2
    check(y.sum() + 1, "no_grad", place)
    check(view * 2, "no_grad", place)
    check(inner, "leaf")
    with torch.no_grad(), torch.enable_grad():
        assert why_no_grad(x * 2).reason == "requires_grad"
    place = line().replace(str(inspect.currentframe().f_lineno), str(inspect.currentframe().f_lineno + 1))
    with torch.inference_mode():
        y = x * 2
    check(y, "inference_mode", place)
    mode, place = torch.set_grad_enabled(False), line()
    y = x * 2
    mode.__exit__()
    check(y, "set_grad_enabled", place)
    check(x * 2, "requires_grad")


@torch.no_grad()
def evaluate(x):
    return x * 2


def test_a_decorated_function_is_named():
    why = check(evaluate(leaf()) + 1, "no_grad", f"{__file__}:{evaluate.__wrapped__.__code__.co_firstlineno}")
    assert why.chain[0].what == "@no_grad"
    assert why.place.endswith(" in evaluate")


def test_nested_blocks_name_the_inner_one_and_come_back():
    x = leaf()
    with torch.no_grad():
        with torch.no_grad():
            inner = x * 2
        outer = x * 2
    lines = [int(why_no_grad(t).place.rsplit(":", 1)[1].split()[0]) for t in (inner, outer)]
    assert lines[0] == lines[1] + 1
    assert (x * 2).requires_grad


def test_traced_ops_are_listed_with_their_lines():
    x = leaf()
    with trace_cuts():
        mask, place = x > 0, line()
        y = (mask.float() * 2).sum()
    why = check(y, "op", place)
    assert [s.what for s in why.chain[1:-1]] == ["gt, which has no derivative,", "to_copy", "mul", "sum"]
    assert all(s.place for s in why.chain[1:-1])
    with pytest.raises(ZeroDivisionError), trace_cuts():
        raise ZeroDivisionError
    mask, place = x > 0, line()
    assert len(check(mask.float(), "op", place).chain) == 3


class Parts(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        whole, rest = x.floor(), x - x.floor()
        ctx.mark_non_differentiable(whole)
        return whole, rest

    @staticmethod
    def backward(ctx, *cts):
        return cts[1]


def test_outputs_of_functions_without_a_derivative():
    x = leaf() * 1.5
    (whole, rest), place = Parts.apply(x), line()
    assert rest.requires_grad
    why = check(whole * 2, "function", place)
    assert "Parts, which gives this output no derivative," in str(why)
    assert why.chain[0].what == "MulBackward0"
    check(Parts.apply(torch.ones(3))[0], "leaf")


def test_notes_do_not_pile_up():
    x = leaf()
    known = len(_cuts)
    for _ in range(1000):
        y = x.detach() * 2
        with torch.no_grad():
            y += (x * 2).sum().item()
    assert len(_cuts) - known <= 4


def test_a_path_that_is_there():
    x = leaf()
    assert why_no_grad(x).chain[0].what == "a leaf that requires grad"
    assert why_no_grad(x * 2).chain[0].what == "MulBackward0"
    assert torch.vmap(lambda a: a * (why_no_grad(a).reason == "requires_grad"))(x).tolist() == [1.0] * 3
    y = x.detach().requires_grad_()
    assert why_no_grad(y * 2).reason == "requires_grad"


def test_no_tensor():
    x = leaf()
    number, place = (x * 7.5).sum().item(), line()
    with pytest.raises(TypeError, match="expected a Tensor; got float") as e:
        why_no_grad(number)
    assert place in str(e.value)
    for value in (None, "x", np.ones(2), True):
        with pytest.raises(TypeError, match="expected a Tensor; got"):
            why_no_grad(value)
    check(torch.ones(2, device="meta", requires_grad=True).detach(), "detach", line())
    check(torch.eye(2).to_sparse(), "leaf")
    check(torch.ones(0), "leaf")
    check(torch.ones(()), "leaf")


def test_the_note_keeps_nothing_alive_and_is_not_shared():
    x = leaf()
    source = x * 2
    gone = weakref.ref(source.grad_fn)
    y, place = source.detach(), line()
    del source
    gc.collect()
    assert gone() is None
    check(y, "detach", place)
    z = y * 2
    z.grad = torch.ones(3)
    assert y.grad is None
    assert (y * 2).grad is None
    check(z, "detach", place)


def test_integers_asked_for_are_not_recorded():
    x = leaf()
    for y in (
        x.long(),
        x.to(torch.int32),
        x.bool(),
        x.sum(dtype=torch.int64),
        x.cumsum(0, dtype=torch.int64),
    ):
        assert not y.requires_grad
        assert y.grad_fn is None
