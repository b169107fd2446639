"""In-place writes, views and versions, as facts recorded from torch have them."""

from __future__ import annotations

import pytest

import retrograd as torch


def ones(*shape):
    return torch.ones(*shape, requires_grad=True)


def test_a_write_to_a_view_rebases_its_base():
    x = ones(3)
    y = x * 2
    v = y[:2]
    assert (y._version, v._version, v._base is y, v._is_view()) == (0, 0, True, True)
    assert (y.grad_fn.name(), v.grad_fn.name()) == ("MulBackward0", "SliceBackward0")
    v.mul_(3)
    assert (y._version, v._version) == (1, 1)
    assert (type(y.grad_fn).__name__, v.grad_fn.name()) == ("CopySlices", "AsStridedBackward0")
    y.sum().backward()
    assert x.grad.tolist() == [6.0, 6.0, 2.0]


def test_the_base_is_the_root():
    x = ones(3)
    y = x * 2
    v = y[:2]
    w = v[:1]
    w.mul_(5)
    y.sum().backward()
    assert x.grad.tolist() == [10.0, 2.0, 2.0]
    assert w._base is y


def test_writing_to_a_view_makes_the_base_require_grad():
    y = torch.zeros(3)
    v = y[:2]
    x = ones(2)
    v.copy_(x)
    (y * 2).sum().backward()
    assert y.requires_grad
    assert x.grad.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided"])
def test_writes_through_views_of_any_layout(layout):
    x = torch.arange(12.0).reshape(3, 4).requires_grad_()
    base = {"contiguous": lambda: x * 1, "transposed": lambda: (x.t() * 1).t() * 1, "strided": lambda: x * 1}[
        layout
    ]()
    v = base[:, 1::2] if layout != "transposed" else base.t()[1]
    w = base[1]
    v.mul_(10)
    (base * base).sum().backward()
    want = 2 * x.detach()
    mask = torch.zeros(3, 4)
    (mask[:, 1::2] if layout != "transposed" else mask.t()[1]).fill_(1)
    want = want * (1 + 99 * mask)
    assert torch.equal(x.grad, want)
    assert w.grad_fn.name() == "AsStridedBackward0"


def test_gradients_flow_through_views_taken_before_the_write():
    x = ones(4)
    y = x * 1
    a, b = y[:2], y[2:]
    a.mul_(3)
    (b * b).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 2.0, 2.0]


def test_detach_shares_the_version_and_data_does_not():
    x = ones(3)
    y = x * x
    x.detach().add_(1)
    assert x._version == 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    x = ones(3)
    y = x * x
    x.data.add_(1)
    assert x._version == 0
    y.sum().backward()
    assert x.grad.tolist() == [4.0] * 3


def test_refused_writes_change_nothing():
    x = ones(3)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place"):
        x.add_(1)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place"):
        x += 1
    with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
        x[:2].add_(1)
    with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
        x[0] = 1
    y = x * 1
    with pytest.raises(RuntimeError, match="Output 0 of Unbind is a view and is being modified inplace"):
        y.unbind()[0].add_(1)
    with pytest.raises(RuntimeError, match="Output 0 of Split is a view and is being modified inplace"):
        y.split(2)[0].add_(1)
    with torch.no_grad():
        v = y[:2]
    with pytest.raises(RuntimeError, match="A view was created in no_grad mode"):
        v.mul_(2)
    one = torch.ones(1)
    with pytest.raises(
        RuntimeError, match=r"output with shape \[1\] doesn't match the broadcast shape \[3\]"
    ):
        one.add_(torch.ones(3))
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        one.expand(3).add_(1)
    a = torch.arange(3.0)
    with pytest.raises(RuntimeError, match="some elements of the input tensor and the written-to tensor"):
        a[1:].copy_(a[:-1])
    i = torch.tensor([1, 2])
    with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired output type Long"):
        i.add_(1.5)
    assert (x._version, y._version, one._version, a._version, i._version) == (0, 0, 0, 0, 0)
    assert (x.tolist(), one.tolist(), a.tolist(), i.tolist()) == ([1.0] * 3, [1.0], [0.0, 1.0, 2.0], [1, 2])


def test_writes_with_the_tensor_itself():
    x = ones(2)
    y = x * 1
    y += y
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    y = x * 1
    y *= y
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_setitem_gradients():
    x = ones(2, 2)
    y = x.clone()
    y[0] = 0
    y[:, 1] = x[:, 0]
    y.sum().backward()
    assert x.grad.tolist() == [[1.0, 0.0], [2.0, 0.0]]


def test_overwritten_values_get_no_gradient():
    x = ones(2)
    y = x + 1
    y.zero_()
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]


def test_in_place_ops_leave_no_cycle():
    import gc
    import weakref

    gc.collect()
    gc.disable()
    try:
        x = ones(3)
        y = x * 1
        y.mul_(2)
        y.exp_()
        y[:1].mul_(2)
        dead = weakref.ref(y)
        del y
        assert dead() is None
    finally:
        gc.enable()


def test_a_leaf_may_be_written_without_recording():
    x = ones(3)
    with torch.no_grad():
        x.sub_(0.5)
        x[0] = 7
    assert x.is_leaf
    assert x._version == 2
    assert x.tolist() == [7.0, 0.5, 0.5]


def test_rules_that_need_the_overwritten_value_have_it():
    x = torch.tensor([0.5, 1.0, 2.0], requires_grad=True)
    y = x.clone()
    y[1:].mul_(x[:1])
    y.sin_()
    y.sum().backward()
    z = torch.tensor([0.5, 1.0, 2.0], requires_grad=True)
    torch.cat([z[:1], z[1:] * z[:1]]).sin().sum().backward()
    assert torch.allclose(x.grad, z.grad)


@pytest.mark.parametrize(
    ("shape", "wrap", "places"), [((3, 3), False, 3), ((7, 3), False, 3), ((7, 3), True, 6)]
)
def test_fill_diagonal(shape, wrap, places):
    x = torch.ones(shape, requires_grad=True)
    y = x * 1
    assert y.fill_diagonal_(0, wrap) is y
    y.sum().backward()
    assert (x.grad == 0).sum().item() == places
    assert torch.equal(x.grad, y.detach())
    with pytest.raises(RuntimeError, match="dimensions must larger than 1"):
        torch.ones(3).fill_diagonal_(1)
