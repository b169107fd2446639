"""torch.autograd.graph: edges, hooks on several tensors and on saved ones; and anomaly mode."""

from __future__ import annotations

import warnings

import pytest

import retrograd as torch
from retrograd.autograd import graph


def ones(*shape):
    return torch.ones(*shape, requires_grad=True)


def test_gradient_edges():
    x = ones(3)
    y = x * x
    edge = graph.get_gradient_edge(y)
    z = (y * 3).sum()
    assert torch.autograd.grad(z, edge)[0].tolist() == [3.0] * 3
    assert edge.output_nr == 0
    with pytest.raises(RuntimeError, match="gradient edge for a Tensor that does not require gradients"):
        graph.get_gradient_edge(torch.ones(3))


def test_multi_grad_hooks():
    log, first = [], []
    a, b, c = ones(2), ones(2), ones(2)
    graph.register_multi_grad_hook((a, b, c), lambda gs: log.append([g is not None for g in gs]))
    handle = graph.register_multi_grad_hook((a, b), first.append, mode="any")
    (a * b).sum().backward()
    (a * b * c).sum().backward()
    assert log == [[True, True, False], [True, True, True]]
    assert len(first) == 2
    handle.remove()
    (a * b).sum().backward()
    assert len(first) == 2
    with pytest.raises(ValueError, match="Expects mode to be one of"):
        graph.register_multi_grad_hook((a,), print, mode="foo")


def test_saved_tensor_hooks_see_each_saved_tensor_once():
    packs, unpacks = [], []

    def pack(t):
        packs.append(t)
        return t.detach().numpy().copy()

    def unpack(a):
        unpacks.append(a)
        return torch.from_numpy(a)

    with graph.saved_tensors_hooks(pack, unpack):
        x = ones(3)
        y = (x.exp() * x).sum()
    y.backward()
    assert len(packs) == 3
    assert len(unpacks) == 3
    assert torch.allclose(x.grad, 2 * torch.ones(3).exp())


def test_saved_tensor_hook_errors():
    x = ones(3)
    with graph.saved_tensors_hooks(lambda t: t, lambda t: 3):
        y = x.exp().sum()
    with pytest.raises(TypeError, match="unpack_hook expected to be a Tensor but got result of type int"):
        y.backward()
    with (
        graph.saved_tensors_hooks(lambda t: t.detach().add_(1), lambda t: t),
        pytest.raises(RuntimeError, match="pack hook is modifying its input in place"),
    ):
        x.exp()
    with (
        graph.disable_saved_tensors_hooks("no hooks here"),
        pytest.raises(RuntimeError, match="no hooks here"),
        graph.saved_tensors_hooks(lambda t: t, lambda t: t),
    ):
        pass


def test_second_derivatives_pass_through_hooks():
    x = torch.tensor([0.3, -0.7], dtype=torch.float64, requires_grad=True)
    with graph.saved_tensors_hooks(lambda t: t.detach().clone(), lambda t: t):
        y = (x.sin() * x).exp().sum()
        (g,) = torch.autograd.grad(y, x, create_graph=True)
        (h,) = torch.autograd.grad(g.sum(), x)
    z = (x.sin() * x).exp().sum()
    (g2,) = torch.autograd.grad(z, x, create_graph=True)
    assert torch.allclose(h, torch.autograd.grad(g2.sum(), x)[0])


def test_mutation_of_saved_tensors_can_be_allowed():
    with graph.allow_mutation_on_saved_tensors():
        a = ones(2, 3)
        b = a.clone()
        out = (b**2).sum()
        b.sin_()
        out.backward()
    assert a.grad.tolist() == [[2.0] * 3] * 2


def test_saved_values_of_a_node():
    x, w = ones(3), ones(3)
    y = x * w
    assert y.grad_fn._saved_self.tolist() == [1.0] * 3
    assert y.grad_fn._saved_other is not None
    y.sum().backward()
    with pytest.raises(RuntimeError, match=r"second time \(or directly access saved tensors"):
        _ = y.grad_fn._saved_self
    with pytest.raises(AttributeError):
        _ = y.grad_fn._saved_nothing


def test_anomaly_mode_names_the_node_and_shows_the_stack():
    def risky(x):
        return torch.sqrt(x) * 0

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with torch.autograd.detect_anomaly():
            y = risky(torch.zeros(3, requires_grad=True))
            expected = "Function 'SqrtBackward0' returned nan values in its 0th output"
            with pytest.raises(RuntimeError, match=expected) as e:
                y.sum().backward()
    texts = [str(w.message) for w in seen]
    assert texts[0].startswith("Anomaly Detection has been enabled")
    assert "Error detected in SqrtBackward0. Traceback of forward call" in texts[1]
    assert "in risky" in texts[1]
    assert "test_graph_tools.py" in str(e.value)
    assert "first at index (0,)" in str(e.value)
    y = risky(torch.zeros(3, requires_grad=True))
    y.sum().backward()


def test_modified_values_in_anomaly_mode():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with torch.autograd.set_detect_anomaly(True):
            x = ones(3)
            y = x.exp()
            y.add_(1)
            with pytest.raises(RuntimeError, match="Good luck!"):
                y.sum().backward()
    assert any("Error detected in ExpBackward0" in str(w.message) for w in seen)
