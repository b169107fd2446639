"""Backward: orders, depths, sharing, freeing, threads, and the errors of misuse."""

from __future__ import annotations

import gc
import operator
import threading
import warnings
import weakref

import numpy as np
import pytest

import retrograd as torch
from retrograd.autograd.graph import AccumulateGrad


def leaf(*values: float) -> torch.Tensor:
    return torch.tensor(list(values), requires_grad=True)


def naive(node, ct, found):
    """Sum over all paths from a node to the leaves, one path at a time: slow, and too simple to be wrong."""
    if isinstance(node, AccumulateGrad):
        found[node] = found.get(node, 0) + ct
        return
    for edge, part in zip(node.edges, node.pullback(ct, True), strict=True):
        if edge is not None and part is not None:
            naive(edge, part, found)


@pytest.mark.parametrize("seed", range(30))
def test_random_graphs_equal_the_naive_engine(seed):
    rng = np.random.default_rng(seed)
    leaves = [torch.tensor(rng.normal(size=3), requires_grad=True) for _ in range(3)]
    pool = list(leaves)
    ops = [operator.mul, operator.add, operator.sub, lambda a, b: a.sin()]
    for _ in range(9):
        a, b = (pool[i] for i in rng.integers(len(pool), size=2))
        pool.append(ops[rng.integers(4)](a, b))
    root = pool[-1] * pool[-2] + pool[-3]
    ct = rng.normal(size=3)
    if root.grad_fn is None:
        pytest.skip("the graph has no recorded op")
    found: dict = {}
    naive(root._node, ct, found)
    root.backward(torch.tensor(ct))
    for x in leaves:
        want = found.get(x._node)
        if want is None:
            assert x.grad is None
        else:
            np.testing.assert_allclose(x.grad.numpy(), want, rtol=1e-12)


def test_gradients_accumulate_in_place_into_the_same_tensor():
    x = leaf(1.0, 2.0)
    (x * 3).backward(torch.ones(2))
    first = x.grad
    (x * 3).backward(torch.ones(2))
    assert x.grad is first
    assert first._version == 1
    assert first.tolist() == [6.0, 6.0]


def test_a_leaf_never_shares_its_gradient_with_anybody():
    one = torch.ones(2)
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (x + y).backward(one)
    x.grad.mul_(10)
    assert y.grad.tolist() == [1.0, 1.0]
    assert one.tolist() == [1.0, 1.0]
    kept = []
    x.grad = None
    x.register_hook(kept.append)
    (x * y).backward(one)
    x.grad.mul_(10)
    assert kept[0].tolist() == [3.0, 4.0]
    z = leaf(5.0, 6.0)
    z.backward(one)
    z.grad.mul_(10)
    assert one.tolist() == [1.0, 1.0]
    w = leaf(1.0, 1.0)
    big = w * y
    big.retain_grad()
    (big * y).backward(one)
    w.grad.mul_(10)
    assert big.grad.tolist() == [3.0, 4.0]


def test_a_fresh_gradient_is_kept_without_a_copy(monkeypatch):
    from retrograd.autograd import engine

    copies = []
    real = engine._copy_like
    monkeypatch.setattr(engine, "_copy_like", lambda ct, like: copies.append(1) or real(ct, like))
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (x * y).backward(torch.ones(2))
    (y * y + y * x).backward(torch.ones(2))
    assert not copies


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_derivatives_of_any_order(order):
    x = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    y = x.exp() * x
    for _ in range(order):
        (y,) = torch.autograd.grad(y, x, create_graph=True)
    assert y.item() == pytest.approx(np.exp(0.7) * (0.7 + order), rel=1e-12)


def test_a_million_nodes_build_run_and_are_freed():
    x = leaf(1.0)
    y = x
    for _ in range(1_000_000):
        y = y + 1
    y.backward()
    del y
    assert x.grad.tolist() == [1.0]


def test_second_backward_raises_and_says_where():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time") as caught:
        y.backward()
    assert "test_engine.py" in str(caught.value)
    z = (x + 1).sum()
    z.backward()
    z.backward()


def test_retain_graph_keeps_saved_values():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4.0, 8.0]


def test_saved_values_are_freed_by_backward():
    x = leaf(1.0, 2.0)
    y = x.exp()
    array = weakref.ref(y._array)
    z = y.sum()
    del y
    z.backward()
    assert array() is None
    assert z.grad_fn is not None


def test_graphs_and_leaves_are_freed_without_the_collector():
    gc.collect()
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        y = (x * x).exp()
        dead = [weakref.ref(x), weakref.ref(y), weakref.ref(y._node)]
        y.backward(torch.ones(2))
        del x, y
        assert [ref() for ref in dead] == [None, None, None]
    finally:
        gc.enable()


def test_a_dropped_leaf_is_still_reached_through_the_graph():
    x = leaf(1.0, 2.0)
    y = x * 2
    del x
    again = y.grad_fn.next_functions[0][0].variable
    y.backward(torch.ones(2))
    assert again.grad.tolist() == [2.0, 2.0]
    assert again.is_leaf
    assert again.requires_grad


def test_modified_saved_value_names_both_lines():
    x = leaf(1.0, 2.0)
    y = x.exp()
    y.add_(1)
    with pytest.raises(RuntimeError, match=r"output 0 of Exp, is at version 1; expected version 0") as caught:
        y.sum().backward()
    assert str(caught.value).count("test_engine.py") == 2


def test_grad_leaves_dot_grad_alone_and_checks_its_inputs():
    x, z = leaf(1.0, 2.0), leaf(1.0)
    y = (x * x).sum()
    (g,) = torch.autograd.grad(y, x, retain_graph=True)
    assert g.tolist() == [2.0, 4.0]
    assert x.grad is None
    with pytest.raises(RuntimeError, match="index 0 appears to not have been used"):
        torch.autograd.grad(y, z, retain_graph=True)
    assert torch.autograd.grad(y, [x, z], retain_graph=True, allow_unused=True)[1] is None
    zeros = torch.autograd.grad(y, [x, z], retain_graph=True, materialize_grads=True)[1]
    assert zeros.tolist() == [0.0]
    with pytest.raises(RuntimeError, match="One of the differentiated Tensors does not require grad"):
        torch.autograd.grad(y, torch.ones(2), retain_graph=True)
    with pytest.raises(ValueError, match="allow_unused=False"):
        torch.autograd.grad(y, x, allow_unused=False, materialize_grads=True)
    assert torch.autograd.grad(y, {"x": x})["x"].tolist() == [2.0, 4.0]


def test_grad_with_respect_to_an_inner_tensor():
    x = leaf(1.0, 2.0)
    y = x * 3
    z = (y * y).sum()
    gy, gx = torch.autograd.grad(z, [y, x])
    assert gy.tolist() == [6.0, 12.0]
    assert gx.tolist() == [18.0, 36.0]


def test_backward_inputs_gathers_there_only():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = x * w
    y.sum().backward(inputs=[y])
    assert y.grad.tolist() == [1.0, 1.0]
    assert x.grad is None
    (x * w).sum().backward(inputs=[w])
    assert w.grad.tolist() == [1.0, 2.0]
    assert x.grad is None
    with pytest.raises(RuntimeError, match="cannot be empty"):
        (x * w).sum().backward(inputs=[])


def test_root_errors():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
        (x * 2).backward()
    with pytest.raises(RuntimeError, match="element 0 of tensors does not require grad"):
        torch.ones(1).backward()
    with pytest.raises(RuntimeError, match=r"grad_output\[0\] has a shape of torch.Size\(\[3\]\)"):
        (x * 2).backward(torch.ones(3))
    with pytest.raises(RuntimeError, match="got 2 tensors and 1 gradients"):
        torch.autograd.backward([x * 1, x * 1], [torch.ones(2)])
    with pytest.raises(TypeError, match="gradients can be either Tensors or None, but got float"):
        torch.autograd.backward([x * 1], [1.0])


def test_create_graph_warns_of_the_cycle_and_records():
    x = leaf(2.0)
    with pytest.warns(UserWarning, match="reference cycle"):
        (x * x * x).backward(create_graph=True)
    assert x.grad.requires_grad
    first = x.grad
    x.grad = None
    first.backward()
    assert x.grad.tolist() == [12.0]


def test_threads_run_backward_at_once():
    w = torch.tensor(np.ones(64), requires_grad=True)
    results, errors = [], []

    def work(k: int) -> None:
        try:
            for _ in range(50):
                y = w * k
                for _ in range(20):
                    y = y.sin() + y
                results.append((k, torch.autograd.grad(y.sum(), w)[0].numpy().copy()))
        except BaseException as error:  # noqa: BLE001 - whatever a thread raises fails the test
            errors.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors
    by_k = {}
    for k, g in results:
        np.testing.assert_array_equal(by_k.setdefault(k, g), g)
    assert len(results) == 200


def test_grad_of_a_non_leaf_warns():
    x = leaf(1.0)
    y = x * 2
    with pytest.warns(UserWarning, match="not a leaf Tensor is being accessed"):
        assert y.grad is None
    y.retain_grad()
    y.backward()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert y.grad.tolist() == [1.0]


def test_errors_in_a_rule_name_the_node_and_the_line():
    x = leaf(1.0, 2.0)
    y = x.exp()
    y._node.saved_result = np.ones(7)
    with pytest.raises(ValueError, match="broadcast") as caught:
        y.backward(torch.ones(2))
    assert any("ExpBackward0" in note and "test_engine.py" in note for note in caught.value.__notes__)


def test_a_sum_is_made_in_a_contribution_that_nobody_else_has():
    from retrograd.autograd.engine import _sum

    def address(array):
        return array.__array_interface__["data"][0]

    one = np.ones(3)
    held, owned = {"edge": np.ones(3)}, set()
    before = address(held["edge"])
    found = _sum(held.pop("edge"), one, "edge", owned)
    assert address(found) == before
    assert owned == {"edge"}
    read_only = np.ones(3)
    read_only.flags.writeable = False
    for kept in (
        np.ones(3),
        np.ones((1, 3))[0],
        np.float64(1),
        read_only,
        np.ones(3, np.float32),
        np.ones((1, 3)),
    ):
        held = {"edge": kept}
        found = _sum(held.pop("edge"), one, "edge", set())
        assert found is not kept
        assert np.all(kept == 1)
        assert np.all(found == 2)
    held = {"edge": np.ones(3)}
    view = held["edge"][:2]
    assert np.all(_sum(held.pop("edge"), one, "edge", set()) == 2)
    assert np.all(view == 1)
    for lonely in (np.ones(3, np.float32), np.ones((1, 1))):  # the sum has another dtype, or another shape
        held = {"edge": lonely}
        del lonely
        assert _sum(held.pop("edge"), one, "edge", set()).tolist() in ([2.0] * 3, [[2.0] * 3])


def test_contributions_that_others_see_are_not_added_to():
    x = leaf(1.0, 2.0)
    y, kept = x * 1, []
    first, second = y * 2, y * 3
    for tensor in (first, second):
        tensor.register_hook(kept.append)
    y.register_hook(kept.append)
    view = y.reshape(1, 2)
    (first + second + y + view.reshape(2)).backward(torch.ones(2))
    assert [k.tolist() for k in kept] == [[1.0, 1.0]] * 2 + [[7.0, 7.0]]


def test_backward_silences_numpy_and_leaves_its_state_as_it_was():
    seen = []
    x = leaf(1.0, 2.0)
    y = x * 2
    y.register_hook(lambda ct: seen.append(np.geterr()))
    with np.errstate(all="raise", over="warn"):
        before = np.geterr()
        y.sum().backward()
        assert np.geterr() == before
        z = x.exp()
        z._node.saved_result = np.ones(7)
        with pytest.raises(ValueError, match="broadcast"):
            z.backward(torch.ones(2))
        assert np.geterr() == before
    assert set(seen[0].values()) == {"ignore"}


def test_a_second_cotangent_that_is_none_changes_nothing():
    class Half(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            return a + b

        @staticmethod
        def backward(ctx, ct):
            return ct, None

    x = leaf(1.0, 2.0)
    y = x * 1
    kept = []
    y.register_hook(kept.append)
    Half.apply(y, y).sum().backward()
    assert kept[0].tolist() == [1.0, 1.0]
    x.grad.mul_(10)
    assert kept[0].tolist() == [1.0, 1.0]


def test_of_complete_nodes_the_youngest_runs_first():
    order = []
    x, y = leaf(1.0), leaf(1.0)
    a, b, c = x * 2, y * 3, x * 5
    for name, tensor in (("a", a), ("b", b), ("c", c)):
        tensor.grad_fn.register_prehook(lambda cts, name=name: order.append(name))
    torch.stack([b, c, a]).sum().backward()
    assert order == ["c", "b", "a"]
