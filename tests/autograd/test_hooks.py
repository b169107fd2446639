"""Hooks on tensors and nodes: order, replacement, removal, errors."""

from __future__ import annotations

import pytest

import retrograd as torch


def test_order_at_a_leaf():
    x = torch.ones(3, requires_grad=True)
    order = []
    x.register_hook(lambda g: order.append("tensor"))
    x.register_post_accumulate_grad_hook(lambda t: order.append("post"))
    node = (x * 1).grad_fn.next_functions[0][0]
    node.register_prehook(lambda g: order.append("prehook"))
    node.register_hook(lambda gi, go: order.append("posthook"))
    (x * 2).sum().backward()
    assert order == ["tensor", "prehook", "post", "posthook"]


def test_tensor_hook_replaces_and_retain_grad_comes_after_it():
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 10)
    y.sum().backward()
    assert y.grad.tolist() == [10.0] * 3
    assert x.grad.tolist() == [20.0] * 3


def test_node_hooks_see_inputs_and_outputs():
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    seen = []
    y.grad_fn.register_hook(lambda gi, go: seen.append((gi, go)))
    y.grad_fn.register_prehook(seen.append)
    y.sum().backward()
    (first,), (inputs, outputs) = seen
    assert first.tolist() == [1.0] * 3
    assert [None if g is None else g.tolist() for g in inputs] == [[2.0] * 3, None]
    assert outputs[0].tolist() == [1.0] * 3


def test_removed_hooks_do_not_run():
    x = torch.ones(3, requires_grad=True)
    seen = []
    handle = x.register_hook(seen.append)
    handle.remove()
    handle.remove()
    with x.register_hook(seen.append):
        pass
    (x * 2).sum().backward()
    assert seen == []


def test_hooks_run_without_recording_unless_the_graph_is_wanted():
    x = torch.ones(3, requires_grad=True)
    modes = []
    x.register_hook(lambda g: modes.append((torch.is_grad_enabled(), g.requires_grad)))
    (x * x).sum().backward()
    torch.autograd.grad((x * x).sum(), x, create_graph=True)
    assert modes == [(False, False), (True, True)]


def test_hook_errors():
    x = torch.ones(3, requires_grad=True)
    with pytest.raises(
        RuntimeError, match="cannot register a hook on a tensor that doesn't require gradient"
    ):
        torch.ones(3).register_hook(print)
    with pytest.raises(
        RuntimeError, match="post accumulate grad hooks cannot be registered on non-leaf tensors"
    ):
        (x * 2).register_post_accumulate_grad_hook(print)
    with pytest.raises(RuntimeError, match="can't retain_grad on Tensor that has requires_grad=False"):
        torch.ones(3).retain_grad()
    handle = x.register_hook(lambda g: 3)
    with pytest.raises(TypeError, match="expected Variable, but hook returned 'int'"):
        (x * 2).sum().backward()
    handle.remove()
    x.register_hook(lambda g: g[:2])
    with pytest.raises(RuntimeError, match="has changed the size of value"):
        (x * 2).sum().backward()


def test_a_hook_may_run_backward_itself():
    x = torch.ones(2, requires_grad=True)
    w = torch.ones(2, requires_grad=True)
    x.register_hook(
        lambda g: torch.autograd.grad((w * w).sum() if torch.is_grad_enabled() else _square(w), w)[0]
    )
    (x * 3).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def _square(w):
    with torch.enable_grad():
        return (w * w).sum()
