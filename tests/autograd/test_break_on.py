"""Backward can be stepped through in pdb, and break_on stops just before the rule of a node runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import retrograd as torch
from retrograd.autograd.graph import break_on

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def stops(monkeypatch):
    """Collect the names of the nodes at which breakpoint() is called."""
    found = []
    monkeypatch.setattr(sys, "breakpointhook", lambda: found.append(sys._getframe(1).f_locals["node"].name()))
    return found


def loss_of(x):
    return (x * x).log().sum()


def leaf():
    return torch.tensor([2.0, 3.0], requires_grad=True)


@pytest.mark.parametrize("target", ["LogBackward0", "LogBackward", "log"])
def test_by_name(stops, target):
    x = leaf()
    with break_on(target):
        loss_of(x).backward()
    assert stops == ["LogBackward0"]
    assert x.grad.tolist() == [1.0, pytest.approx(2 / 3)]
    loss_of(x).backward()
    assert stops == ["LogBackward0"]


def test_by_line(stops):
    line = loss_of.__code__.co_firstlineno + 1
    for file in (Path(__file__).name, f"autograd/{Path(__file__).name}", __file__):
        stops.clear()
        with break_on(f"{file}:{line}"):
            loss_of(leaf()).backward()
        assert stops == ["SumBackward0", "LogBackward0", "MulBackward0"]
    with pytest.warns(UserWarning, match="no node matched"), break_on(f"{file}:{line + 1}"):
        loss_of(leaf()).backward()


def test_recorded_backward_nesting_and_errors(stops):
    x = leaf()
    with break_on("log"), break_on("mul"):
        (g,) = torch.autograd.grad(loss_of(x), x, create_graph=True)
    assert stops == ["LogBackward0", "MulBackward0"]
    with pytest.raises(ZeroDivisionError), break_on("log"):
        raise ZeroDivisionError
    stops.clear()
    g.sum().backward()
    assert stops == []


def test_bad_targets_and_targets_that_do_not_occur():
    for target in (None, 3, b"log"):
        with pytest.raises(TypeError, match="break_on: expected a name or"), break_on(target):
            pass
    for target in ("train.py:x", "train.py:", "", "AccumulateGrad"):
        with pytest.raises(ValueError, match="break_on: expected"), break_on(target):
            pass
    text = "no node matched 'exp'; those that ran: SumBackward0, LogBackward0"
    with pytest.warns(UserWarning, match=text), break_on("exp"):
        loss_of(leaf()).backward()
    with pytest.warns(UserWarning, match="those that ran: none"), break_on("exp"):
        pass


def pdb(tmp_path, program, commands):
    script = tmp_path / "train.py"
    script.write_text(program, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)],
        input=commands,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONBREAKPOINT": ""},
        cwd=tmp_path,
    )
    return done.stdout


# A rule of one expression stands in the pullback that is written for the node.
RULE = "-> input_ct = ct / input"
PROGRAM = """
import retrograd as torch
x = torch.tensor([2.0, 3.0], requires_grad=True)
"""


def test_pdb_stops_before_the_rule_and_steps_into_it(tmp_path):
    program = PROGRAM + (
        "loss = x.log().sum()\nwith torch.autograd.graph.break_on('log'):\n    loss.backward()\n"
        "print(x.grad)\n"
    )
    steps = "p node.name()\np ct\ns\n" + "s\n" * 12 + "p input\nc\n"
    out = pdb(tmp_path, program, steps)
    assert "-> cts = node.pullback_recorded(ct, keep) if recorded else node.pullback(ct, keep)" in out
    assert "(Pdb) 'LogBackward0'" in out
    assert "(Pdb) array([1., 1.], dtype=float32)" in out
    assert "<retrograd LogBackward0.pullback>(" in out
    assert RULE in out
    assert out.rstrip().endswith("tensor([0.5000, 0.3333])")


def test_pdb_steps_from_backward_into_the_rule(tmp_path):
    program = PROGRAM + (
        "x.log().sum().backward()\nx.grad = None\nloss = x.log().sum()\nimport pdb; pdb.set_trace()\n"
        "loss.backward()\nprint(x.grad)\n"
    )
    out = pdb(tmp_path, program, "s\n" * 200 + "c\n")
    assert "-> loss.backward()" in out
    assert "engine.py" in out
    assert out.index("-> loss.backward()") < out.index("engine.py") < out.index(RULE)
    assert out.rstrip().endswith("tensor([0.5000, 0.3333])")
