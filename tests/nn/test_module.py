"""Module: registration, walking, state, hooks and text. The messages and texts are those of torch 2.13."""

from __future__ import annotations

import copy
import pickle
import re

import pytest

import retrograd as torch
from retrograd import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(2, 2)
        self.b = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        self.register_buffer("buf", torch.ones(2))
        self.register_buffer("hidden", torch.ones(2), persistent=False)

    def forward(self, x):
        return self.b(self.a(x))


def test_what_is_assigned_is_registered():
    net = Net()
    assert [n for n, _ in net.named_parameters()] == ["a.weight", "a.bias", "b.0.weight", "b.0.bias"]
    assert [n for n, _ in net.named_buffers()] == ["buf", "hidden"]
    assert [n for n, _ in net.named_modules()] == ["", "a", "b", "b.0", "b.1"]
    assert list(net._modules) == ["a", "b"]
    net.a = None
    assert list(net._modules) == ["a", "b"]
    assert [n for n, _ in net.named_children()] == ["b"]
    del net.b
    assert not hasattr(net, "b")
    assert list(net.parameters()) == []


def test_a_parameter_under_two_names_comes_once():
    net = Net()
    net.a.weight = net.a.bias = nn.Parameter(torch.ones(2, 2))
    assert [n for n, _ in net.a.named_parameters()] == ["weight"]
    assert len(list(net.a.named_parameters(remove_duplicate=False))) == 2
    assert list(net.state_dict())[1:3] == ["a.weight", "a.bias"]


def test_views_of_the_registries_write_through():
    net = Net()
    net._parameters["p"] = nn.Parameter(torch.ones(1))
    assert net.p is net._parameters["p"]
    del net._parameters["p"]
    assert "p" not in net._parameters
    assert not hasattr(net, "p")


ERRORS = [
    (lambda m: m.register_parameter("x.y", None), KeyError, 'parameter name can\'t contain "."'),
    (lambda m: m.register_parameter("", None), KeyError, 'parameter name can\'t be empty string ""'),
    (lambda m: m.register_parameter(3, None), TypeError, "parameter name should be a string. Got int"),
    (lambda m: m.register_parameter("a", None), KeyError, "attribute 'a' already exists"),
    (
        lambda m: m.register_parameter("z", torch.ones(1)),
        TypeError,
        "cannot assign 'torch.FloatTensor' object to parameter 'z' (torch.nn.Parameter or None required)",
    ),
    (lambda m: m.register_buffer("a", None), KeyError, "attribute 'a' already exists"),
    (
        lambda m: m.register_buffer("z", 3),
        TypeError,
        "cannot assign 'int' object to buffer 'z' (torch Tensor or None required)",
    ),
    (lambda m: m.add_module("x.y", m.a), KeyError, 'module name can\'t contain ".", got: x.y'),
    (lambda m: m.add_module("z", 3), TypeError, "int is not a Module subclass"),
    (
        lambda m: setattr(m, "a", 3),
        TypeError,
        "cannot assign 'int' as child module 'a' (torch.nn.Module or None expected)",
    ),
    (
        lambda m: setattr(m, "buf", 3),
        TypeError,
        "cannot assign 'int' as buffer 'buf' (torch.nn.Buffer, torch.Tensor or None expected)",
    ),
    (
        lambda m: setattr(m.a, "weight", torch.ones(1)),
        TypeError,
        "cannot assign 'torch.FloatTensor' as parameter 'weight' (torch.nn.Parameter or None expected)",
    ),
    (lambda m: m.foo, AttributeError, "'Net' object has no attribute 'foo'"),
    (lambda m: m.get_parameter("a.foo"), AttributeError, "Linear has no attribute `foo`"),
    (lambda m: m.get_parameter("buf"), AttributeError, "`buf` is not an nn.Parameter"),
    (lambda m: m.get_buffer("a"), AttributeError, "`a` is not a buffer"),
    (lambda m: m.get_submodule("buf"), AttributeError, "`buf` is not an nn.Module"),
    (lambda m: m.cuda(), AssertionError, "Torch not compiled with CUDA enabled"),
    (
        lambda m: m.to(torch.int32),
        TypeError,
        "nn.Module.to only accepts floating point or complex dtypes, but got desired dtype=torch.int32",
    ),
    (lambda m: m.train("x"), ValueError, "training mode is expected to be boolean"),
    (
        lambda m: nn.Module()(1),
        NotImplementedError,
        'Module [Module] is missing the required "forward" function',
    ),
    (lambda m: m.load_state_dict(3), TypeError, "Expected state_dict to be dict-like, got <class 'int'>."),
]


@pytest.mark.parametrize(("act", "kind", "message"), ERRORS)
def test_errors(act, kind, message):
    with pytest.raises(kind) as caught:
        act(Net())
    assert caught.value.args[0] == message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda: nn.Parameter(torch.ones(1)), "cannot assign parameters before Module.__init__() call"),
        (lambda: nn.Linear(1, 1), "cannot assign module before Module.__init__() call"),
    ],
)
def test_assignment_before_init(value, message):
    class Early(nn.Module):
        def __init__(self):
            self.p = value()

    with pytest.raises(AttributeError, match=re.escape(message)):
        Early()


def test_state_dict_and_its_metadata():
    state = Net().state_dict()
    assert list(state) == ["buf", "a.weight", "a.bias", "b.0.weight", "b.0.bias"]
    assert state._metadata["b.0"] == {"version": 1}
    assert not state["a.weight"].requires_grad


def test_load_state_dict_lists_all_that_is_wrong():
    net = Net()
    state = net.state_dict()
    state["a.weight"] = torch.ones(3, 3)
    state["a.bias"] = 4
    state["q"] = 1
    state["a.x.y"] = 2
    del state["buf"]
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    assert str(caught.value) == (
        "Error(s) in loading state_dict for Net:\n"
        '\tMissing key(s) in state_dict: "buf". \n'
        '\tUnexpected key(s) in state_dict: "q", "a.x.y". \n'
        "\tsize mismatch for a.weight: copying a param with shape torch.Size([3, 3]) from checkpoint, the "
        "shape in "
        "current model is torch.Size([2, 2]).\n"
        '\tWhile copying the parameter named "a.bias", expected torch.Tensor or Tensor-like object from '
        "checkpoint but received <class 'int'>"
    )


def test_load_state_dict_copies_and_counts_the_write():
    net, other = Net(), Net()
    before, version = net.a.weight, net.a.weight._version
    keys = net.load_state_dict(other.state_dict())
    assert repr(keys) == "<All keys matched successfully>"
    assert net.a.weight is before
    assert before._version == version + 1
    assert torch.equal(before, other.a.weight)
    assert before.data_ptr() != other.a.weight.data_ptr()
    keys = net.load_state_dict({"q": torch.ones(1)}, strict=False)
    assert keys.unexpected_keys == ["q"]
    assert len(keys.missing_keys) == 5


def test_load_state_dict_assign():
    net = Net()
    given = torch.zeros(2, 2)
    net.load_state_dict({**net.state_dict(), "a.weight": given}, assign=True)
    assert isinstance(net.a.weight, nn.Parameter)
    assert net.a.weight.data_ptr() == given.data_ptr()


def test_extra_state():
    class Extra(nn.Module):
        seen = None

        def get_extra_state(self):
            return {"n": 3}

        def set_extra_state(self, state):
            self.seen = state

    module = Extra()
    assert dict(module.state_dict()) == {"_extra_state": {"n": 3}}
    module.load_state_dict(module.state_dict())
    assert module.seen == {"n": 3}
    with pytest.raises(RuntimeError, match="Missing key"):
        module.load_state_dict({})


def test_state_dict_hooks():
    net = Net()
    net.register_state_dict_pre_hook(lambda m, prefix, keep: seen.append("pre"))
    net.register_state_dict_post_hook(lambda m, state, prefix, meta: state.__delitem__("buf"))
    net.register_load_state_dict_pre_hook(lambda m, state, *rest: state.__setitem__("buf", torch.zeros(2)))
    net.register_load_state_dict_post_hook(lambda m, keys: seen.append(keys.missing_keys))
    seen = []
    state = net.state_dict()
    assert "buf" not in state
    net.load_state_dict(state)
    assert seen == ["pre", []]
    assert net.buf.tolist() == [0.0, 0.0]


def test_forward_hooks_in_their_order():
    net = nn.Linear(2, 2)
    seen = []
    net.register_forward_pre_hook(lambda m, args: seen.append("pre"))
    net.register_forward_pre_hook(lambda m, args, kwargs: seen.append(kwargs), with_kwargs=True, prepend=True)
    net.register_forward_hook(lambda m, args, out: seen.append("post"))
    handle = net.register_forward_hook(lambda m, args, out: out * 0)
    result = net(input=torch.ones(1, 2))
    assert [type(s) for s in seen] == [dict, str, str]
    assert result.tolist() == [[0.0, 0.0]]
    handle.remove()
    assert net(torch.ones(1, 2)).abs().sum().item() > 0


def test_pre_hooks_replace_arguments():
    net = nn.Identity()
    net.register_forward_pre_hook(lambda m, args: args[0] + 1)
    assert net(torch.zeros(1)).item() == 1


def test_always_called_hook_sees_a_failure():
    net = nn.Linear(2, 2)
    seen = []
    net.register_forward_hook(lambda m, args, out: seen.append(out), always_call=True)
    with pytest.raises(RuntimeError):
        net(torch.ones(1, 3))
    assert seen == [None]


def test_hooks_of_all_modules():
    seen = []
    handle = nn.modules.module.register_module_forward_hook(
        lambda m, args, out: seen.append(type(m).__name__)
    )
    try:
        Net()(torch.ones(1, 2))
    finally:
        handle.remove()
    assert seen == ["Linear", "Linear", "ReLU", "Sequential", "Net"]


def test_full_backward_hooks_see_and_replace():
    net = nn.Linear(2, 2, bias=False)
    seen = []
    net.register_full_backward_pre_hook(lambda m, out: seen.append(("pre", out[0].tolist())))
    net.register_full_backward_hook(lambda m, grad_in, out: (seen.append("post"), (grad_in[0] * 0,))[1])
    x = torch.ones(1, 2, requires_grad=True)
    net(x).sum().backward()
    assert seen == [("pre", [[1.0, 1.0]]), "post"]
    assert x.grad.tolist() == [[0.0, 0.0]]
    assert net.weight.grad is not None


def test_full_backward_hook_without_input_gradients_warns():
    net = nn.Linear(2, 2)
    seen = []
    net.register_full_backward_hook(lambda m, grad_in, out: seen.append(grad_in))
    with pytest.warns(UserWarning, match="no inputs require gradients"):
        net(torch.ones(1, 2)).sum().backward()
    assert seen == [(None,)]


def test_conversion_keeps_the_objects():
    net = Net()
    weight = net.a.weight
    net(torch.ones(1, 2)).sum().backward()
    net.double()
    assert net.a.weight is weight
    assert weight.dtype is torch.float64
    assert weight.grad.dtype is torch.float64
    assert net.buf.dtype is torch.float64
    assert weight.requires_grad


def test_zero_grad():
    net = Net()
    net(torch.ones(1, 2)).sum().backward()
    grad = net.a.weight.grad
    net.zero_grad(set_to_none=False)
    assert net.a.weight.grad is grad
    assert grad.abs().sum().item() == 0
    net.zero_grad()
    assert net.a.weight.grad is None


def test_copies_and_pickles_are_apart():
    net = Net()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert [n for n, _ in other.named_parameters()] == [n for n, _ in net.named_parameters()]
        other.a.weight.data.zero_()
        assert net.a.weight.abs().sum().item() > 0


def test_apply_and_modes():
    names = []
    net = Net()
    assert net.apply(lambda m: names.append(type(m).__name__)) is net
    assert names == ["Linear", "Linear", "ReLU", "Sequential", "Net"]
    assert not any(m.training for m in net.eval().modules())


def test_text():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2), nn.ReLU()])
            self.p = nn.ParameterList([nn.Parameter(torch.ones(2)), 3])
            self.q = nn.ParameterDict({"u": torch.ones(2, 3), "v": "s"})

        def extra_repr(self):
            return "x=1\ny=2"

    assert repr(Outer()) == (
        "Outer(\n  x=1\n  y=2\n"
        "  (a): ModuleList(\n    (0-1): 2 x Linear(in_features=2, out_features=2, bias=True)\n    (2): "
        "ReLU()\n  )\n"
        "  (p): ParameterList(\n      (0): Parameter containing: [torch.float32 of size 2]\n"
        "      (1): Object of type: int\n  )\n"
        "  (q): ParameterDict(\n      (u): Parameter containing: [torch.FloatTensor of size 2x3]\n"
        "      (v): Object of type: str\n  )\n)"
    )


def test_containers():
    seq = nn.Sequential(nn.ReLU(), nn.Tanh(), nn.Sigmoid())
    assert [type(m).__name__ for m in seq[1:]] == ["Tanh", "Sigmoid"]
    assert isinstance(seq.pop(0), nn.ReLU)
    seq.insert(0, nn.GELU()).append(nn.ELU())
    assert [type(m).__name__ for m in seq] == ["GELU", "Tanh", "Sigmoid", "ELU"]
    del seq[1]
    assert list(seq._modules) == ["0", "1", "2"]
    many = [*nn.ModuleList([nn.ReLU()]), nn.Tanh()]
    many.extend([nn.ELU()])
    assert [type(m).__name__ for m in many] == ["ReLU", "Tanh", "ELU"]
    named = nn.ModuleDict({"x": nn.ReLU()})
    named.update([("y", nn.Tanh())])
    assert list(named) == ["x", "y"]
    assert isinstance(named.pop("x"), nn.ReLU)
    params = nn.ParameterDict({"values": torch.ones(1)})
    assert isinstance(params["values"], nn.Parameter)
    assert len(list(params.parameters())) == 1


def test_parameter_and_buffer():
    data = torch.ones(2)
    p = nn.Parameter(data)
    with torch.no_grad():
        p.add_(1)
    assert (data._version, data.tolist()) == (1, [2.0, 2.0])
    with pytest.raises(
        RuntimeError,
        match="^Only Tensors of floating point and complex dtype can require gradients$",  # noqa: RUF043
    ):
        nn.Parameter(torch.ones(2, dtype=torch.int64))
    buffer = nn.Buffer(torch.ones(2), persistent=False)
    assert isinstance(buffer, nn.Buffer)
    assert not isinstance(data, nn.Buffer)
    net = nn.Module()
    net.b = buffer
    assert next(iter(net.named_buffers()))[0] == "b"
    assert list(net.state_dict()) == []
