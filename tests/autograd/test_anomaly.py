"""Anomaly mode: NaN is named with op, line, shape and index; nodes made in backward remember theirs."""

from __future__ import annotations

import inspect
import warnings

import pytest

import retrograd as torch


def here(offset=0):
    frame = inspect.currentframe().f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno + offset}"


@pytest.fixture
def anomaly():
    """Give a function that enters anomaly mode, and the warnings seen since."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        yield torch.autograd.detect_anomaly, seen
    assert not torch.is_anomaly_enabled()


def test_backward_names_op_line_shape_index_and_cotangent(anomaly):
    detect, _ = anomaly
    with detect():
        x = torch.tensor([[1.0, 4.0], [9.0, 0.0]], requires_grad=True)
        y, place = x.sqrt(), here()
        loss = (y * torch.tensor(0.0)).sum()
        with pytest.raises(
            RuntimeError, match="Function 'SqrtBackward0' returned nan values in its 0th output"
        ) as e:
            loss.backward()
    assert "shape (2, 2), first at index (1, 1); where the cotangent 0 came in" in str(e.value)
    assert f"recorded at {place}" in str(e.value)


def test_the_stack_is_shown_once(anomaly):
    detect, seen = anomaly
    with detect():
        y = (torch.zeros(2, requires_grad=True).sqrt() * 0).sum()
        with pytest.raises(RuntimeError):
            y.backward()
    assert sum("Error detected in SqrtBackward0" in str(w.message) for w in seen) == 1


def test_nodes_made_in_backward_remember_where_they_come_from(anomaly):
    detect, seen = anomaly
    with detect():
        x = torch.tensor([0.0, 1.0], requires_grad=True)
        y, first = (x**1.5).sum(), here()
        (g,), second = torch.autograd.grad(y, x, create_graph=True), here()
        assert g.grad_fn.metadata["parent_"].name() == "PowBackward0"
        assert y.grad_fn.metadata.get("parent_") is None
        (h,), third = torch.autograd.grad(g.sum(), x, create_graph=True), here()
        with pytest.raises(RuntimeError, match="'PowBackward0' returned nan values in its 0th output") as e:
            torch.autograd.grad((h * 0).sum(), x)
    text = str(e.value)
    assert text.index(third) < text.index(second) < text.index(first)
    assert text.count("in the backward of PowBackward0") == 2
    assert sum("Previous calculation was induced by PowBackward0" in str(w.message) for w in seen) == 2


def test_parents_are_not_kept_outside_of_anomaly_mode():
    x = torch.ones(2, requires_grad=True)
    (g,) = torch.autograd.grad((x**3).sum(), x, create_graph=True)
    assert "parent_" not in g.grad_fn.metadata


@pytest.mark.parametrize(
    ("run", "text"),
    [
        (lambda: torch.tensor([1.0, 0.0]).log(), "log made -inf of finite operands"),
        (lambda: torch.tensor([1.0, -2.0]).sqrt(), "index (1,), where input is -2;"),
        (lambda: torch.ones(2, 2) / torch.tensor([1.0, 0]), "index (0, 1), where input is 1, other is 0;"),
        (lambda: torch.tensor([torch.inf]) - torch.inf, "sub made nan of operands without one"),
        (lambda: torch.tensor(0.0).log(), "result of shape (), first at index (), where"),
        (lambda: torch.full((2, 2), 1e38) @ torch.full((2, 2), 1e38), "matmul made inf"),
        (lambda: torch.tensor([0.0]).log_(), "log made -inf"),
        (lambda: torch.tensor([65504.0]).half() * 2, "mul made inf"),
        (lambda: torch.vmap(torch.log)(torch.tensor([1.0, 0])), "index (1,), where input is 0"),
        (lambda: torch.tensor([0.0], requires_grad=True).log(), "log made -inf"),
    ],
)
def test_forward_names_the_op_that_makes_it(anomaly, run, text):
    detect, _ = anomaly
    run()
    with detect(), torch.autograd.set_detect_anomaly(True):
        run()
    with detect(check_forward=True), pytest.raises(RuntimeError) as e:
        run()
    assert text in str(e.value)
    assert f"at {__file__}:{run.__code__.co_firstlineno} in <lambda>" in str(e.value)


def test_forward_lets_pass_what_was_there(anomaly):
    detect, _ = anomaly
    with detect(check_forward=True):
        x = torch.tensor([1.0, torch.inf, torch.nan])
        assert (x * 2 + x).isnan().tolist() == [False, False, True]
        assert torch.ones(2).masked_fill(torch.tensor([True, False]), -torch.inf).softmax(0).tolist() == [
            0,
            1,
        ]
        assert torch.ones(0).log().numel() == 0
        assert (torch.tensor([2, 3]) * 2).tolist() == [4, 6]
    with (
        torch.autograd.set_detect_anomaly(True, check_forward=True),
        pytest.raises(RuntimeError, match="log made"),
    ):
        torch.zeros(1).log()
    torch.zeros(1).log()


def test_forward_check_leaves_backward_to_its_own(anomaly):
    detect, _ = anomaly
    with detect(check_forward=True):
        x = torch.zeros(2, requires_grad=True)
        y = x.sqrt().sum()
        with pytest.raises(RuntimeError, match="returned nan values") as e:
            torch.autograd.grad(y * 0, x, create_graph=True)
    assert "SqrtBackward0" in str(e.value)
