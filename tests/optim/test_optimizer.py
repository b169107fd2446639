"""What optimizers share: groups, state, hooks, the flat update, text and errors (torch 2.13's)."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest

import retrograd as torch
from retrograd import nn, optim
from retrograd.optim.flat import BLOCK, DIRECT

FLAT = [
    (optim.SGD, {"momentum": 0.9, "weight_decay": 0.1, "nesterov": True}),
    (optim.SGD, {"momentum": 0.9, "dampening": 0.5, "maximize": True}),
    (optim.SGD, {"weight_decay": 0.1, "maximize": True}),
    (optim.Adam, {"weight_decay": 0.1, "amsgrad": True, "maximize": True}),
    (optim.AdamW, {}),
    (optim.Adam, {"lr": 0.0}),
    (optim.RMSprop, {"momentum": 0.9, "centered": True, "weight_decay": 0.1, "maximize": True}),
    (optim.RMSprop, {"maximize": True}),
    (optim.Adagrad, {"weight_decay": 0.1, "maximize": True, "lr_decay": 0.1}),
]


def _made(sizes=((3, 4), (5,)), seed=0):
    torch.manual_seed(seed)
    params = [nn.Parameter(torch.randn(*size)) for size in sizes]
    for p in params:
        p.grad = torch.randn(*p.shape)
    return params


@pytest.mark.parametrize(("kind", "options"), FLAT)
def test_the_update_in_place_is_the_definition(kind, options):
    fast, slow = _made(), _made()
    optimizer, reference = kind(fast, **options), kind(slow, **options)
    reference.update_ = None
    for _ in range(10):
        optimizer.step()
        reference.step()
    for p, q in zip(fast, slow, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize(("kind", "options"), FLAT)
def test_a_planted_fault_in_the_update_is_seen(kind, options):
    fast, slow = _made(), _made()
    optimizer, reference = kind(fast, **options), kind(slow, **options)
    reference.update_ = None
    inner = optimizer.update_

    def faulty(numbers, scratch, p, *rest):
        inner(numbers, scratch, p, *rest)
        p *= 1.0001

    optimizer.update_ = faulty
    optimizer.step()
    reference.step()
    assert any(
        not np.allclose(p.detach().numpy(), q.detach().numpy(), rtol=2e-6, atol=1e-7)
        for p, q in zip(fast, slow, strict=True)
    )


@pytest.mark.parametrize("size", [DIRECT - 1, DIRECT, BLOCK + 1, 3 * BLOCK])
def test_gradients_are_left_alone_and_blocks_do_not_show(size):
    params = _made(((size,), (3,)))
    before = [p.grad.clone() for p in params]
    optimizer = optim.Adam(params, weight_decay=0.1)
    optimizer.step()
    assert all(torch.equal(p.grad, b) for p, b in zip(params, before, strict=True))
    single = _made(((size,), (3,)))
    for p, q in zip(params, single, strict=True):
        optim.Adam([q], weight_decay=0.1).step()
        assert torch.equal(p, q)


def test_state_tensors_are_what_the_next_step_uses():
    (p,) = _made(((4,),))
    optimizer = optim.Adam([p])
    optimizer.step()
    average = optimizer.state[p]["exp_avg"]
    optimizer.step()
    assert optimizer.state[p]["exp_avg"] is average
    average.zero_()
    optimizer.state[p]["exp_avg_sq"] = torch.zeros(4)
    optimizer.state[p]["step"] = torch.tensor(0.0)
    fresh = nn.Parameter(p.detach().clone())
    fresh.grad = p.grad
    optim.Adam([fresh]).step()
    optimizer.step()
    assert torch.equal(p, fresh)


def test_replaced_data_is_what_is_updated():
    (p,) = _made(((4,),))
    optimizer = optim.SGD([p], lr=1.0)
    optimizer.step()
    p.data = torch.zeros(4)
    optimizer.step()
    assert torch.equal(p, -p.grad)


def test_writes_are_counted_and_a_graph_that_saved_the_parameter_notices():
    p = nn.Parameter(torch.ones(2))
    y = (p * p).sum()
    y.backward(retain_graph=True)
    optim.SGD([p], lr=0.1).step()
    assert p._version == 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_floats(dtype):
    p = nn.Parameter(torch.ones(4, dtype=getattr(torch, dtype)))
    p.grad = torch.full((4,), 0.5, dtype=p.dtype)
    optimizer = optim.Adam([p], lr=0.1)
    optimizer.step()
    assert optimizer.state[p]["exp_avg"].dtype is p.dtype
    np.testing.assert_allclose(p.detach().float().numpy(), 0.9, atol=4e-3)


def test_differentiable_step():
    lr = torch.tensor(0.1, requires_grad=True)
    leaf = torch.ones(3, requires_grad=True)
    p = leaf.clone()
    p.grad = torch.tensor([1.0, 2.0, 3.0])
    optim.SGD([p], lr=lr, differentiable=True).step()
    p.sum().backward()
    assert lr.grad.item() == pytest.approx(-6.0)
    assert leaf.grad.tolist() == [1.0, 1.0, 1.0]


def test_groups():
    a, b = _made()
    optimizer = optim.SGD([{"params": a, "lr": 0.5}, {"params": [b]}], lr=0.1, momentum=0.9)
    assert [g["lr"] for g in optimizer.param_groups] == [0.5, 0.1]
    c = nn.Parameter(torch.ones(1))
    c.grad = torch.ones(1)
    optimizer.step()
    optimizer.add_param_group({"params": [c], "lr": 2.0})
    optimizer.step()
    assert c.item() == -1.0
    assert [g["params"] for g in optimizer.state_dict()["param_groups"]] == [[0], [1], [2]]


def test_closure_and_hooks():
    (p,) = _made(((2,),))
    optimizer = optim.SGD([p], lr=0.1)
    seen = []
    handle = optimizer.register_step_pre_hook(lambda o, args, kwargs: seen.append("pre"))
    optimizer.register_step_post_hook(lambda o, args, kwargs: seen.append("post"))
    with torch.no_grad():
        loss = optimizer.step(lambda: (seen.append(torch.is_grad_enabled()), torch.tensor(3.0))[1])
    assert loss.item() == 3.0
    handle.remove()
    optimizer.step()
    assert seen == ["pre", True, "post", "post"]


def test_a_users_optimizer():
    class Sign(optim.Optimizer):
        def __init__(self, params, lr=0.1):
            super().__init__(params, {"lr": lr})

        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    self.state[p]["n"] = self.state[p].get("n", 0) + 1
                    p.add_(p.grad.sign(), alpha=-group["lr"])

    p = nn.Parameter(torch.zeros(2))
    p.grad = torch.tensor([3.0, -2.0])
    optimizer = Sign([p])
    optimizer.step()
    np.testing.assert_allclose(p.detach().numpy(), [-0.1, 0.1], rtol=1e-6)
    assert optimizer.state_dict()["state"] == {0: {"n": 1}}


def test_zero_grad():
    (p,) = _made(((2,),))
    optimizer = optim.SGD([p])
    grad = p.grad
    optimizer.zero_grad(set_to_none=False)
    assert p.grad is grad
    assert grad.tolist() == [0.0, 0.0]
    optimizer.zero_grad()
    assert p.grad is None


def test_copies_go_their_own_way():
    (p,) = _made(((2,),))
    optimizer = optim.Adam([p])
    optimizer.step()
    for other in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        (q,) = other.param_groups[0]["params"]
        q.grad = p.grad.clone()
        other.step()
        assert not torch.equal(p, q)
        assert other.state[q]["step"].item() == 2
        assert optimizer.state[p]["step"].item() == 1


def test_a_loaded_state_is_a_copy():
    (p,) = _made(((2,),))
    (q,) = _made(((2,),))
    first, second = optim.Adam([p]), optim.Adam([q])
    first.step()
    second.load_state_dict(first.state_dict())
    kept = first.state[p]["exp_avg"].clone()
    second.step()
    assert torch.equal(first.state[p]["exp_avg"], kept)


def test_text():
    (p,) = _made(((2,),))
    assert repr(optim.SGD([p], lr=0.1)) == (
        "SGD (\nParameter Group 0\n    dampening: 0\n    differentiable: False\n    foreach: None\n    "
        "fused: None\n"
        "    lr: 0.1\n    maximize: False\n    momentum: 0\n    nesterov: False\n    weight_decay: 0\n)"
    )


P = nn.Parameter(torch.ones(2))
ERRORS = [
    (lambda: optim.SGD([]), ValueError, "optimizer got an empty parameter list"),
    (
        lambda: optim.SGD(P),
        TypeError,
        (
            "params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
            "torch.FloatTensor"
        ),
    ),
    (lambda: optim.SGD([P * 2]), ValueError, "can't optimize a non-leaf Tensor"),
    (lambda: optim.SGD([3]), TypeError, "optimizer can only optimize Tensors, but one of the params is int"),
    (
        lambda: optim.SGD([{"params": [P]}, {"params": [P]}]),
        ValueError,
        "some parameters appear in more than one parameter group",
    ),
    (
        lambda: optim.SGD([P]).add_param_group(3),
        TypeError,
        "param_group must be a dict, but got <class 'int'>",
    ),
    (lambda: optim.SGD([P], lr=-1), ValueError, "Invalid learning rate: -1"),
    (
        lambda: optim.SGD([P], nesterov=True),
        ValueError,
        "Nesterov momentum requires a momentum and zero dampening",
    ),
    (lambda: optim.Adam([P], betas=(1.0, 0)), ValueError, "Invalid beta parameter at index 0: 1.0"),
    (lambda: optim.Adam([P], eps=-1), ValueError, "Invalid epsilon value: -1"),
    (lambda: optim.Adadelta([P], rho=2), ValueError, "Invalid rho value: 2"),
    (lambda: optim.Rprop([P], etas=(2, 3)), ValueError, "Invalid eta values: 2, 3"),
    (
        lambda: optim.SGD([P]).load_state_dict({"state": {}, "param_groups": []}),
        ValueError,
        "loaded state dict has a different number of parameter groups",
    ),
    (
        lambda: optim.SGD([P]).load_state_dict({"state": {}, "param_groups": [{"params": [0, 1]}]}),
        ValueError,
        "loaded state dict contains a parameter group that doesn't match the size of optimizer's group",
    ),
    (
        lambda: optim.LBFGS([{"params": [P]}, {"params": [nn.Parameter(torch.ones(1))]}]),
        ValueError,
        "LBFGS doesn't support per-parameter options (parameter groups)",
    ),
]


@pytest.mark.parametrize(("act", "kind", "message"), ERRORS)
def test_errors(act, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        act()
