"""What goes with compile: explanations, switches, the progress line, modules compiled in place."""

from __future__ import annotations

import copy
import pickle
import time

import numpy as np
import pytest
from compiler.both import close

import retrograd as torch
from retrograd import nn
from retrograd.compiler import progress
from retrograd.compiler.progress import progress as showing


def test_explanations():
    w = torch.ones(3, requires_grad=True)
    scale = 2.0
    f = torch.compile(lambda x: (x * w * scale).sum())
    assert "not been called" in f.explain()
    f(torch.ones(3))
    text = f.explain()
    assert text == repr(text)
    for part in ("1 compiled form", "variable 'scale' is 2.0", "multiply", "backward:", "inputs:", "f32[3]"):
        assert part in text, part
    g = torch.compile(lambda x: x.sum().item())
    with pytest.warns(UserWarning, match="item"):
        g(torch.ones(2))
    assert "runs as it is" in g.explain()


def test_explanations_of_steps():
    model = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(model.parameters())

    @torch.compile
    def step(x):
        optimizer.zero_grad()
        nn.functional.dropout(model(x), 0.5).sum().backward()
        optimizer.step()

    step(torch.ones(3, 2))
    text = step.explain()
    for part in ("drawn by bernoulli", "a number of an optimizer's step", "written in place: output"):
        assert part in text, part


def test_a_compilation_that_takes_long_is_shown(capsys, monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", 0.05)
    with showing("something"):
        time.sleep(0.3)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "retrograd: compiling something ..."
    assert lines[1].startswith("retrograd: compiled something in 0.")
    with showing("quick"):
        pass
    time.sleep(0.1)
    assert capsys.readouterr().err == ""


def test_modules_compiled_in_place():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    x = torch.randn(4, 2)
    wanted = model(x)
    other = copy.deepcopy(model)
    model.compile(fullgraph=True)
    close(model(x), wanted)
    close(model(x), wanted)
    seen = []
    model.register_forward_hook(lambda module, args, result: seen.append(1))
    model(x).sum().backward()
    assert seen == [1]
    again = copy.deepcopy(model)
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias.fill_(1.0)
    assert model(x).tolist() == [[1.0] * 3] * 4
    close(again(x), other(x))


def test_copies_and_pickles_of_compiled_modules():
    model = torch.compile(nn.Linear(2, 1), fullgraph=True)
    x = torch.ones(1, 2)
    wanted = model(x).item()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        with torch.no_grad():
            other.weight.zero_()
            other.bias.fill_(3.0)
        assert other(x).item() == 3.0
        assert model(x).item() == wanted


def test_attributes_and_hooks_of_compiled_modules():
    inner = nn.Dropout(0.5)
    model = torch.compile(inner, fullgraph=True)
    x = torch.ones(100)
    assert model.training
    model.p = 0.0
    assert inner.p == 0.0
    assert model(x).tolist() == [1.0] * 100
    inner.eval()
    assert not model.training
    model.train()
    assert inner.training
    handle = model.register_forward_hook(lambda module, args, result: result + 1)
    assert model(x).tolist() == [2.0] * 100
    handle.remove()
    assert model(x).tolist() == [1.0] * 100


def test_is_compiling():
    seen = []
    f = torch.compile(lambda x: x * (2 if torch.compiler.is_compiling() else 3), fullgraph=True)
    assert f(torch.ones(1)).item() == 2.0
    assert not torch.compiler.is_compiling()
    assert torch.compiler.list_backends() == ["native", "inductor"]
    assert torch.compiler.allow_in_graph(f) is f
    assert not torch.compiler.is_exporting()
    assert seen == []


def test_disabled_functions_outside_run():
    @torch.compiler.disable
    def f(x):
        return x * 2

    assert f(torch.ones(1)).item() == 2.0


@pytest.mark.parametrize(
    "draw",
    [
        lambda x: nn.functional.dropout(x, 0.3),
        lambda x: x + torch.rand(3, 4),
        lambda x: x * torch.randn_like(x) + torch.randint(0, 9, (4,)),
        lambda x: torch.bernoulli(torch.full((3, 4), 0.5)) + x,
        lambda x: x[torch.randperm(3)],
        lambda x: torch.empty(3, 4).uniform_(-1, 1) + x,
        lambda x: torch.normal(x, 2.0),
        lambda x: nn.functional.gumbel_softmax(x, dim=1),
    ],
)
def test_random_numbers_are_those_of_the_function(draw):
    x = torch.randn(3, 4)
    f = torch.compile(draw, fullgraph=True)
    for function in (draw, f):
        torch.manual_seed(7)
        results = [function(x) for _ in range(3)]
        results.append(torch.rand(2))
        if function is draw:
            wanted = results
    close(results, wanted, rtol=1e-5)
    assert not np.array_equal(results[0].numpy(), results[1].numpy())


def test_a_generator_of_the_users():
    generator = torch.Generator().manual_seed(3)
    f = torch.compile(lambda: torch.rand(3, generator=generator), fullgraph=True)
    made = [f(), f()]
    generator.manual_seed(3)
    close(made, [torch.rand(3, generator=generator) for _ in range(2)])
