"""explain_nan: the first op and element that made a NaN or infinity, and what could not be looked at."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import retrograd as torch
from retrograd.autograd import graph
from retrograd.autograd.graph import explain_nan


def leaf(*values, **kwargs):
    return torch.tensor(list(values), requires_grad=True, **kwargs)


def line():
    frame = inspect.currentframe().f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def check(t, op, index, operands=None, *, value="-inf", certain=True):
    """Compare the first cause; return the whole answer."""
    answer = explain_nan(t)
    assert answer
    assert (answer.first.op, answer.first.index, answer.first.value) == (op, index, value), str(answer)
    if operands is not None:
        assert answer.first.operands == operands
    assert answer.certain is certain
    assert (answer.notes == ()) is certain
    return answer


LOG = {"input": "0"}


def test_from_nan_to_the_infinity_that_made_it():
    x = leaf(2.0, 0.0)
    y, place = x.log(), line()
    answer = check((y * x).sum(), "log", (1,), LOG)
    assert answer.first.place.startswith(f"{place} in ")
    assert answer.first.shape == (2,)
    assert [s.op for s in answer.steps] == ["sum", "mul", "log"]
    assert answer.steps[1].operands == {"input": "-inf", "other": "0"}
    assert answer.steps[1].value == "nan"
    assert str(answer).splitlines()[0] == "nan at index () of a tensor of shape (), torch.float32"


@pytest.mark.parametrize(
    "f",
    [
        lambda y: y.sum(),
        lambda y: y.mean() * 2 - 1,
        lambda y: y[1],
        lambda y: y.reshape(2, 1).expand(2, 3).t()[1].sum(),
        lambda y: y.flip(0)[0].sinh(),
        lambda y: torch.stack([y, y])[1].abs(),
        lambda y: torch.cat([torch.ones(1), y]).cumsum(0)[2],
        lambda y: y.unbind()[1] * 2,
        lambda y: y.sort().values,
        lambda y: y.min(0).values + 1,
        lambda y: torch.where(torch.tensor([True, True]), y, 0.0),
        lambda y: y.clone().add_(1).sum(),
        lambda y: y.double().sum(),
        lambda y: y.unsqueeze(1) * torch.ones(3),
        lambda y: torch.nn.functional.linear(y, torch.ones(3, 2)).sum(),
        lambda y: y @ torch.ones(2, 3),
        lambda y: y[torch.tensor([1, 1])].sum(),
        lambda y: y.diag().sum(),
    ],
)
def test_through_all_kinds_of_ops(f):
    check(f(leaf(2.0, 0.0).log()), "log", (1,), LOG)


def test_the_element_is_the_one_that_matters():
    """Of two bad elements, the one that the tensor was computed from."""
    x = leaf(0.0, 2.0, -1.0, 0.0)
    y = x.log()
    for index, value in ((0, "-inf"), (2, "nan"), (3, "-inf")):
        check(y[index] * 2, "log", (index,), value=value)
        check((y.reshape(2, 2).t()[index % 2, index // 2]) + 1, "log", (index,), value=value)
    check(y[3:].sum(), "log", (3,))
    check(y[:1].sum(), "log", (0,))


def test_every_reason():
    check(leaf(4.0, -4.0).sqrt().sum(), "sqrt", (1,), {"input": "-4"}, value="nan")
    check((leaf(1.0, 0.0) / leaf(1.0, 0.0)).sum(), "div", (1,), {"input": "0", "other": "0"}, value="nan")
    check(leaf(1e30, 1.0) ** 2, "pow", (0,), {"input": "1e+30", "exponent": "2"}, value="inf")
    check(leaf(60000.0, dtype=torch.float16) * 2, "mul", (0,), value="inf")
    check(leaf(0j, 1 + 0j).log(), "log", (0,), value="(-inf+0j)")
    big = torch.full((2, 2), 1e38, requires_grad=True)
    check((big @ torch.full((2, 2), 1e38)).sum(), "matmul", (0, 0), value="inf")
    check(torch.tensor(0.0, requires_grad=True).log(), "log", (), LOG)


def test_what_came_in_bad():
    x = leaf(1.0, torch.inf)
    answer = check((x * 2).sum(), "a leaf", (1,), value="inf")
    assert answer.first.place.startswith(f"{__file__}:")
    check(x, "a leaf", (1,), value="inf")
    y = leaf(1.0, 2.0) * torch.tensor([1.0, torch.nan])
    answer = check(y, "the operand other of mul, which has no graph,", (1,), value="nan")


def test_what_cannot_be_looked_at_is_said():
    y = leaf(1.0, 2.0) + torch.tensor([1.0, torch.nan])  # add keeps neither operand
    answer = check(y * 2, "add", (1,), {"input": "2", "other": "not kept"}, value="(not kept)", certain=False)
    assert answer.steps[0].operands == {"input": "not kept", "other": "2"}
    answer = check((y * 2).sum(), "add", None, value="(not kept)", certain=False)
    assert any("AddBackward0 at" in note and "keeps no other" in note for note in answer.notes)
    y = torch.zeros(2, requires_grad=True).masked_fill(torch.tensor([True, True]), -torch.inf).softmax(0)
    answer = check(y.sum(), "masked_fill", None, value="(not kept)", certain=False)
    assert "index not known" in str(answer)


def test_values_written_to_since_are_not_taken_for_what_they_were():
    x = leaf(1.0, 0.0) * 1
    y = x.log()
    x.add_(1)
    check(y, "log", (1,), LOG)  # computed again from the leaf
    x = leaf(1.0, 0.0)
    y = x.log()
    with torch.no_grad():
        x.add_(1)
    answer = check(y, "log", (1,), {"input": "not kept"}, certain=False)
    assert "input of LogBackward0" in answer.notes[0]
    x = leaf(1.0, 0.0)
    y = x.reciprocal()  # keeps its result, not x
    with torch.no_grad():
        x.add_(1)
    answer = check(y, "reciprocal", (1,), {"input": "1"}, value="inf", certain=False)
    assert answer.notes == ("reciprocal does not make it now: what it was made of has changed since",)


class Divide(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x / x

    @staticmethod
    def backward(ctx, ct):
        return ct


def test_custom_functions_are_opaque():
    check(Divide.apply(leaf(1.0, 0.0) * 1).sum(), "DivideBackward", None, value="(not kept)", certain=False)
    check(Divide.apply(leaf(1.0, 0.0) * 1), "DivideBackward", (1,), value="nan")
    check(Divide.apply(leaf(1.0, 0.0).log()).sum(), "log", (1,), LOG)


def test_freed_graphs_in_place_writes_and_hooks():
    x = leaf(2.0, 0.0)
    y = (x.log() * 2).sum()
    y.backward()
    check(y, "log", (1,), LOG)
    z = (x.log() * x).sum()
    z.backward()
    answer = explain_nan(z)
    assert answer.first.op in ("sum", "mul", "log")
    b = torch.zeros(2) * x
    b[1] = x[1].log()
    check(b.sum(), "log", (), LOG)
    with graph.saved_tensors_hooks(lambda t: t.numpy().copy() if not t.requires_grad else t, torch.as_tensor):
        y = x.sqrt().log().sum()
    check(y, "log", (1,), LOG)


def test_nothing_to_explain_and_bad_input():
    for t in (leaf(1.0) * 2, torch.tensor([1, 2]), torch.ones(0), torch.ones(0, requires_grad=True) * 2):
        answer = explain_nan(t)
        assert not answer
        assert answer.first is None
        assert "no NaN and no infinity" in str(answer)
    answer = explain_nan(torch.tensor([1.0, torch.nan]))
    assert answer
    assert answer.first is None
    assert "it has no graph" in str(answer)
    for value in (None, 1.0, np.ones(2)):
        with pytest.raises(TypeError, match="explain_nan: expected a Tensor; got"):
            explain_nan(value)


def test_tensors_without_numbers_and_sparse_ones():
    assert not explain_nan(torch.ones(2, device="meta", requires_grad=True) * 2)
    assert not explain_nan(torch.eye(2).to_sparse())
    check((leaf(2.0, 0.0).log().to_sparse() * 2).to_dense(), "log", (1,), LOG)


def test_deep_graphs_and_transforms():
    y = leaf(2.0, 0.0)
    for _ in range(5000):
        y = y + 0.0
    check(y.log().sum() * 0, "log", (1,), LOG)
    torch.vmap(lambda a: check(a.log(), "log", (1,)) and a)(leaf(2.0, 0.0))


def test_it_leaves_the_graph_as_it_was():
    x = leaf(2.0, 0.0)
    y = (x.log() * x).sum()
    versions = x._version
    explain_nan(y)
    assert x._version == versions
    y.backward()
    assert x.grad.tolist()[0] == pytest.approx(np.log(2) + 1)


def test_an_operand_not_kept_leaves_doubt_about_the_one_that_is():
    y = Divide.apply(leaf(1.0, 0.0) * 1) * torch.tensor([1.0, torch.inf])
    answer = explain_nan(y)
    assert answer.first.op == "the operand other of mul, which has no graph,"
    assert answer.steps[0].operands == {"input": "not kept", "other": "inf"}
    assert not answer.certain
    assert any("DivideBackward" in note for note in answer.notes)
