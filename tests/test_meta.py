"""Tensors on the device `meta` have a shape and a dtype, take part in ops, and have no numbers to give."""

from __future__ import annotations

import copy
import pickle

import pytest

import retrograd as torch


def meta(*size, **options):
    return torch.empty(*size, device="meta", **options)


MADE = {
    "empty": lambda t: t.empty(2, 3, device="meta"),
    "zeros": lambda t: t.zeros(2, device="meta"),
    "ones": lambda t: t.ones((2,), device="meta", dtype=t.float64),
    "full": lambda t: t.full((2,), 1, device="meta"),
    "rand": lambda t: t.rand(2, device="meta"),
    "randn": lambda t: t.randn(2, device=t.device("meta")),
    "tensor": lambda t: t.tensor([1.0, 2.0], device="meta"),
    "arange": lambda t: t.arange(3, device="meta"),
    "eye": lambda t: t.eye(3, device="meta"),
    "to": lambda t: t.ones(2).to("meta"),
    "zeros_like": lambda t: t.zeros_like(t.ones(2), device="meta"),
    "requires": lambda t: t.empty(2, device="meta", requires_grad=True),
    "bool": lambda t: t.empty(2, device="meta", dtype=t.bool),
    "number": lambda t: t.empty((), device="meta"),
    "linear": lambda t: t.nn.Linear(2, 3, device="meta").weight,
    "op": lambda t: t.empty(2, 3, device="meta") @ t.empty(3, 4, device="meta"),
    "broadcast": lambda t: t.empty(2, 1, device="meta") + t.empty(3, device="meta"),
    "number operand": lambda t: t.empty(2, device="meta", dtype=t.int64) / 2,
    "0-dim operand": lambda t: t.empty(2, device="meta") + t.tensor(1.0),
    "view": lambda t: t.empty(2, 3, device="meta").t().reshape(-1),
    "index": lambda t: t.empty(2, 3, device="meta")[0],
    "cat": lambda t: t.cat([t.empty(2, 3, device="meta"), t.empty(1, 3, device="meta")]),
    "sum": lambda t: t.empty(2, 3, device="meta").sum(1),
    "max": lambda t: t.empty(2, 3, device="meta").max(1).indices,
    "grad_fn": lambda t: t.empty(2, device="meta", requires_grad=True) * 2,
    "model": lambda t: t.nn.Sequential(t.nn.Conv2d(3, 4, 3), t.nn.ReLU()).to("meta")(
        t.empty(1, 3, 8, 8, device="meta")
    ),
    "add_": lambda t: t.empty(2, device="meta").add_(1),
    "clone": lambda t: t.empty(2, device="meta").clone(),
    "copy_": lambda t: t.empty(2, device="meta").copy_(t.ones(2)),
    "uniform_": lambda t: t.empty(2, device="meta").uniform_(),
    "deepcopy": lambda t: copy.deepcopy(t.nn.Parameter(t.empty(2, device="meta"))),
    "data": lambda t: t.nn.Parameter(t.empty(2, device="meta")).data + 1,
}


@pytest.mark.parametrize("case", MADE)
def test_what_is_made_prints_as_torchs(case):
    oracle = pytest.importorskip("torch")
    assert repr(MADE[case](torch)) == repr(MADE[case](oracle))


def test_facts():
    tensor = meta(2, 3)
    assert tensor.is_meta
    assert not torch.ones(1).is_meta
    assert tensor.device == torch.device("meta")
    assert (tensor + 1).device.type == "meta"
    assert tensor.detach().is_meta


READS = {
    "item": lambda t: t.empty((), device="meta").item(),
    "float": lambda t: float(t.empty((), device="meta")),
    "bool": lambda t: bool(t.empty((), device="meta")),
    "tolist": lambda t: t.empty(2, device="meta").tolist(),
    "numpy": lambda t: t.empty(2, device="meta").numpy(),
    "cpu": lambda t: t.empty(2, device="meta").cpu(),
    "to": lambda t: t.empty(2, device="meta").to("cpu"),
    "copy_": lambda t: t.ones(2).copy_(t.empty(2, device="meta")),
    "many": lambda t: bool(t.empty(2, device="meta")),
    "mixed": lambda t: t.empty(2, device="meta") + t.ones(2),
    "module": lambda t: t.nn.Linear(2, 3, device="meta").to("cpu"),
}


@pytest.mark.parametrize("case", READS)
def test_reading_numbers_is_refused_as_by_torch(case):
    oracle = pytest.importorskip("torch")
    with pytest.raises(Exception) as ours:
        READS[case](torch)
    with pytest.raises(Exception) as theirs:
        READS[case](oracle)
    assert type(ours.value) is type(theirs.value)
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize("op", [torch.nonzero, lambda x: x[x > 0], torch.unique])
def test_shapes_that_depend_on_numbers_are_refused(op):
    with pytest.raises(NotImplementedError, match="depends on numbers"):
        op(meta(2))


def test_numbers_copied_from_a_parameter_without_data_are_refused():
    with torch.no_grad(), pytest.raises(NotImplementedError, match="no data"):
        torch.ones(2).copy_(torch.nn.Parameter(meta(2)))


def test_nothing_is_allocated():
    tensor = meta(1 << 20, 1 << 20)
    assert tensor.t().shape == (1 << 20, 1 << 20)


def test_pickled_it_stays_without_data():
    for dtype in (torch.float32, torch.bfloat16):
        again = pickle.loads(pickle.dumps(meta(2, 3, dtype=dtype)))
        assert again.is_meta
        assert (again.shape, again.dtype) == ((2, 3), dtype)
        assert (again + again).is_meta
        assert (copy.deepcopy(again) * 2).is_meta


def test_a_result_cannot_go_where_numbers_are():
    with pytest.raises(RuntimeError, match="cross-device copies are not allowed"):
        torch.add(meta(2), 1, out=torch.empty(2))
    with pytest.raises(RuntimeError):
        torch.ones(2).add_(meta(2))


def test_nothing_is_drawn():
    torch.manual_seed(0)
    want = torch.rand(2)
    torch.manual_seed(0)
    torch.nn.Linear(3, 3, device="meta")
    torch.randn(4, device="meta").normal_()
    assert torch.equal(torch.rand(2), want)


def test_gradients_have_no_data_either():
    x = meta(2, requires_grad=True)
    for _ in range(2):
        (x * x).sum().backward()
    assert x.grad.is_meta
    assert x.grad.shape == (2,)


def test_a_chosen_device_is_where_tensors_are_made():
    with torch.device("meta"):
        assert torch.nn.Linear(2, 3).weight.is_meta
        assert torch.tensor([1.0]).is_meta
        assert not torch.zeros(1, device="cpu").is_meta
    assert not torch.zeros(1).is_meta


def test_a_module_gets_memory():
    module = torch.nn.Linear(2, 3, device="meta").to_empty(device="cpu")
    assert not module.weight.is_meta
    torch.nn.init.ones_(module.weight)
    torch.nn.init.zeros_(module.bias)
    out = module(torch.ones(1, 2))
    assert out.tolist() == [[2.0, 2.0, 2.0]]
    out.sum().backward()
    assert module.weight.grad.tolist() == [[1.0, 1.0]] * 3


def test_print_options_are_where_programs_look():
    assert vars(torch._tensor_str.PRINT_OPTS)["precision"] == 4


def test_a_tensor_like_one_without_data_may_have_some():
    x = torch.empty(2, 3, device="meta")
    for made in (torch.zeros_like(x, device="cpu"), torch.full_like(x, 2.0, device="cpu")):
        assert not made.is_meta and made.shape == (2, 3) and made.sum() in (0, 12)
    assert not torch.nn.Linear(2, 2, device="meta").to_empty(device="cpu").weight.is_meta
