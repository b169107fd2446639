"""memory_report: the bytes a graph holds, once each, by line, module and op; and what leaves are called."""

from __future__ import annotations

import gc
import inspect

import numpy as np
import pytest

import retrograd as torch
from retrograd import nn
from retrograd.autograd import graph
from retrograd.autograd.graph import memory_report, module_paths

KIB = 1024


def line():
    frame = inspect.currentframe().f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"


def test_each_storage_counts_once():
    x = torch.ones(256, requires_grad=True)
    y, place = x.exp(), line()
    z = (y * y[:10].sum() + y.reshape(16, 16).sum()) * 2
    report = memory_report(z.sum())
    assert report.by("op") == {"exp": KIB, "mul": 4}
    assert report.by("place")[place] == KIB
    assert report.total == KIB + 4
    assert report.leaves == 0
    assert (x * x).sum().grad_fn is not None
    assert memory_report((x * x).sum()).leaves == KIB
    assert memory_report((x * x).sum()).total == 0


def test_a_view_holds_all_of_its_memory():
    big = torch.ones(1000, requires_grad=True).exp()
    small = big[:2] * torch.ones(2, requires_grad=True)
    (held,) = [h for h in memory_report(small.sum()).holdings if h.shape != (2,) or not h.of_leaf]
    assert held.bytes == 4000


def test_it_counts_what_was_allocated():
    """Against the arrays themselves: all that die with the graph."""
    x = torch.randn(64, 64, requires_grad=True)
    y = torch.nn.functional.gelu((x @ x).tanh() * torch.sigmoid(x)).softmax(1)
    arrays = {}
    stack, seen = [y.grad_fn], set()
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        stack += [n for n, _ in node.next_functions]
        for name in dir(type(node)):
            value = getattr(node, name, None) if name.startswith("saved_") else None
            if isinstance(value, np.ndarray):
                while value.base is not None:
                    value = value.base
                arrays[id(value)] = value
    expected = sum(a.nbytes for a in arrays.values()) - x._array.nbytes
    assert memory_report(y).total == expected > 0


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        return self.b(torch.relu(self.a(x))) * 2


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks, self.head = nn.Sequential(Block(), Block()), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.blocks(x)).exp()


def test_modules():
    net, x = Net(), torch.ones(4, 8)
    with module_paths(net):
        y = net(x).sin().sum()
    inside = memory_report(y).by("module")
    assert inside == {
        "blocks.0.a": 128, "blocks.0": 128, "blocks.1.a": 128, "blocks.1": 128, "head": 128, "Net": 32,
    }  # fmt: skip
    outside = memory_report(net(x).sin().sum()).by("module")
    assert outside == {"": 288, "blocks.0.a": 128, "blocks.1.a": 128, "head": 128}
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    with pytest.raises(RuntimeError), module_paths(net):
        net(torch.ones(4, 3))
    with module_paths(net):
        assert set(memory_report(net(x)).by("module")) == set(inside)
    with pytest.raises(TypeError, match=r"module_paths: expected an nn\.Module; got Tensor"), module_paths(x):
        pass


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        ctx.extra = torch.ones(16)
        return x**3

    @staticmethod
    def backward(ctx, ct):
        return ct


def test_functions_freed_graphs_and_hooks():
    x = torch.ones(256, requires_grad=True) * 1
    y = Cube.apply(x)
    report = memory_report(y)
    assert report.by("op") == {"CubeBackward": KIB + 64}
    z = x.exp().sum()
    z.backward()
    report = memory_report(z)
    assert (report.total, report.freed) == (0, 2)
    assert "2 of them freed" in str(report)
    with graph.saved_tensors_hooks(lambda t: t.detach().clone(), lambda t: t):
        assert memory_report(x.exp()).total == KIB
    with graph.saved_tensors_hooks(lambda t: t.tolist(), torch.tensor):
        report = memory_report(x.exp())
    assert (report.total, report.not_counted) == (0, 1)
    assert "1 saved values could not be counted" in str(report)


def test_compiled_functions():
    pytest.importorskip("llvmlite")
    f = torch.compile(lambda x: x.exp().sin() * 2)
    x = torch.ones(1000, requires_grad=True) * 1
    y = f(x)
    (held,) = {h.op for h in memory_report(y).holdings}
    assert held == "CompiledBackward"
    assert memory_report(y).total >= 4000
    y.sum().backward()
    assert memory_report(y).total == 0


def test_tables_and_bad_input():
    x = torch.ones(1024, 1024, requires_grad=True)
    text = str(memory_report((x.exp() + x.sin()).sum()))
    assert text.splitlines()[0].startswith("4.0 MiB held by")
    assert "besides, 4.0 MiB of leaves" in text
    assert text.splitlines()[1].split() == ["bytes", "line", "module", "op"]
    for t in (
        torch.eye(2).to_sparse(),
        torch.ones(2),
        torch.ones(2, requires_grad=True),
        torch.ones(0, requires_grad=True).exp(),
    ):
        report = memory_report(t)
        assert report.total == 0
        assert "0 B held by" in str(report)
        assert report.by("op") == {} or report.by("op") == {"exp": 0}
    with pytest.raises(ValueError, match="expected 'place', 'module' or 'op'; got 'line'"):
        report.by("line")
    for value in (None, 3, np.ones(2)):
        with pytest.raises(TypeError, match="memory_report: expected a Tensor; got"):
            memory_report(value)


def test_it_keeps_nothing_alive():
    gc.collect()
    before = len(gc.get_objects())
    net, x = Net(), torch.ones(4, 8)
    for _ in range(50):
        with module_paths(net):
            memory_report(net(x))
    del net, x
    gc.collect()
    assert len(gc.get_objects()) - before < 100


# ---- names of what was not used ----


def unused(result, *inputs):
    with pytest.raises(RuntimeError) as e:
        torch.autograd.grad(result, inputs)
    first, last = str(e.value).split("\n")
    assert first.startswith("The differentiated Tensor at index ")
    assert first.endswith(
        "appears to not have been used in the graph. Set allow_unused=True if this is the desired behavior."
    )
    return last


def test_unused_parameters_are_named():
    net, x = Net(), torch.ones(4, 8)
    y = net.blocks(x).sum()
    assert unused(y, net.blocks[0].a.weight, net.head.weight, net.head.bias) == (
        "[not used: 1: parameter 'head.weight' of shape (2, 8); 2: parameter 'head.bias' of shape (2,)]"
    )


def test_other_tensors_are_named_by_the_users_variables():
    w = torch.ones(3, requires_grad=True)
    left_out = torch.ones(2, requires_grad=True)
    y = (w * 2).sum()
    name = "test_other_tensors_are_named_by_the_users_variables"
    assert unused(y, w, left_out) == f"[not used: 1: variable 'left_out' of {name} of shape (2,)]"
    assert unused(y, torch.ones((), requires_grad=True)) == "[not used: 0: a tensor of shape ()]"
    edge = graph.get_gradient_edge(left_out * 2)
    assert unused(y, edge) == "[not used: 0: the result 0 of MulBackward0]"
    hidden = left_out * 2
    assert unused(y, hidden) == f"[not used: 0: variable 'hidden' of {name} of shape (2,)]"
    assert torch.autograd.grad((w * 2).sum(), [w, left_out], allow_unused=True)[1] is None
