"""Updates of large parameters as kernels: the same steps, in the same memory, and only when they fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd import startup
from retrograd.native import ondemand
from retrograd.optim import kernels
from retrograd.tensor import wrap

pytest.importorskip("llvmlite")

CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.02}),
    ("Adagrad", {"lr_decay": 0.01}),
    ("Adadelta", {}),
    ("Adamax", {}),
    ("ASGD", {"t0": 3}),
    ("NAdam", {}),
    ("RAdam", {}),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
    ("Rprop", {}),
]
SHAPES = ((100, 100), (3, 5), (7,), (100, 100), (200, 60))


def run(name: str, options: dict[str, Any], dtype: Any, steps: int = 12) -> tuple[list[np.ndarray], Any]:
    """Take steps, change the rate on the way, and return parameters and state."""
    rng = np.random.default_rng(0)
    params = [torch.nn.Parameter(wrap(rng.standard_normal(s).astype(dtype))) for s in SHAPES]
    memory = [p._array for p in params]
    optimizer = getattr(torch.optim, name)(params, **options)
    for i in range(steps):
        for p in params:
            p.grad = wrap(rng.standard_normal(p.shape).astype(dtype))
        optimizer.step()
        if i == 6:
            optimizer.param_groups[0]["lr"] *= 0.5
    assert all(p._array is m for p, m in zip(params, memory, strict=True))
    state = [np.asarray(s._array) for p in params for s in optimizer.state[p].values()]
    return [p._array for p in params] + state, optimizer


def made(optimizer: Any) -> int:
    return sum(len(c.kernels.made) for cohorts in optimizer._cohorts for c in cohorts)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_steps_are_the_same(name: str, options: Any, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "kernel_mode", lambda: "0")
    wanted, optimizer = run(name, options, dtype)
    assert made(optimizer) == 0
    monkeypatch.setattr(startup, "kernel_mode", lambda: "all")
    found, optimizer = run(name, options, dtype)
    assert made(optimizer) == 3  # two sizes, and the small ones together
    tolerance = 2e-5 if dtype == np.float32 else 1e-12
    for f, w in zip(found, wanted, strict=True):
        np.testing.assert_allclose(f, w, rtol=tolerance, atol=tolerance)


def test_a_kernel_writes_nothing_but_what_it_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "kernel_mode", lambda: "all")
    edge = 64
    for name in ("Rprop", "Adam", "SGD"):
        whole = np.full(1001 + 2 * edge, 7, np.float32)
        param = torch.nn.Parameter(wrap(np.zeros(1001, np.float32)))
        param._array = whole[edge:-edge]
        param.grad = torch.ones(1001)
        optimizer = getattr(torch.optim, name)([param])
        for _ in range(3):
            optimizer.step()
        assert made(optimizer) == 1
        assert (whole[:edge] == 7).all()
        assert (whole[-edge:] == 7).all()


def test_numbers_that_change_at_every_step_end_in_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "kernel_mode", lambda: "all")
    monkeypatch.setattr(kernels, "_MOST", 3)
    param = torch.nn.Parameter(torch.zeros(50))
    optimizer = torch.optim.SGD([param], lr=0.1)
    expected = np.zeros(50, np.float32)
    for i in range(8):
        decay = optimizer.param_groups[0]["weight_decay"] = 0.01 * (i + 1)
        param.grad = torch.ones(50)
        expected = expected - np.float32(0.1) * (1 + np.float32(decay) * expected)
        optimizer.step()
    np.testing.assert_allclose(param.detach().numpy(), expected, rtol=1e-5)
    ((cohort,),) = optimizer._cohorts
    assert cohort.kernels.left == 0


def test_elements_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "kernel_mode", lambda: "1")
    monkeypatch.setattr(ondemand, "ENOUGH", 5 * kernels.LARGE)
    param = torch.nn.Parameter(torch.zeros(kernels.LARGE))
    small = torch.nn.Parameter(torch.zeros(10))
    optimizer = torch.optim.SGD([param, small], lr=0.1)
    counts = []
    for _ in range(7):
        param.grad, small.grad = torch.ones(kernels.LARGE), torch.ones(10)
        optimizer.step()
        counts.append(made(optimizer))
    assert counts == [0, 0, 0, 0, 1, 1, 1]
