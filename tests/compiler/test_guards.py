"""What a compiled form depends on: when it changes another one is made, and the result is always right."""

from __future__ import annotations

import logging
import math
import types
import warnings

import numpy as np
import pytest

import retrograd as torch
from retrograd import nn
from retrograd.compiler import api
from retrograd.compiler.state import Reach


@pytest.fixture(autouse=True)
def no_fallback():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def forms(f):
    return len(f.state.entries)


def test_shapes_dtypes_and_requires_grad():
    f = torch.compile(lambda x: x * 2)
    for x in (
        torch.ones(2),
        torch.ones(3),
        torch.ones(2, 1),
        torch.ones(2, dtype=torch.float64),
        torch.ones(2).int(),
    ):
        made = f(x)
        assert made.dtype is x.dtype
        assert made.tolist() == (x * 2).tolist()
    assert forms(f) == 5
    assert f(torch.ones(2, requires_grad=True)).requires_grad
    assert not f(torch.ones(2)).requires_grad
    assert forms(f) == 6


def test_memory_order_where_it_matters():
    f = torch.compile(lambda x: x.t().is_contiguous() and x * 2)
    x = torch.randn(3, 2)
    assert f(x) is False
    assert f(x.t().contiguous().t()).tolist() == (x * 2).tolist()
    assert f(x) is False


def test_python_constants_of_arguments():
    f = torch.compile(lambda x, k, flag=False: x + k if flag else x * k)
    x = torch.ones(2)
    assert f(x, 2).tolist() == [2.0, 2.0]
    assert f(x, 3).tolist() == [3.0, 3.0]
    assert f(x, 3, flag=True).tolist() == [4.0, 4.0]
    assert f(x, 3, True).tolist() == [4.0, 4.0]
    assert f(x, 3.0).dtype is torch.float32
    assert f(torch.ones(2, dtype=torch.int64), 3.0).dtype is torch.float32
    assert f(torch.ones(2, dtype=torch.int64), 3).dtype is torch.int64


def test_zeros_of_both_signs_and_nan():
    f = torch.compile(lambda x, k: x / k)
    x = torch.ones(1)
    assert f(x, 0.0).item() == float("inf")
    assert f(x, -0.0).item() == -float("inf")
    assert f(x, float("nan")).isnan().item()
    assert f(x, float("nan")).isnan().item()
    assert f(x, 0.0).item() == float("inf")


def test_structure_of_arguments():
    f = torch.compile(lambda tree: sum(tree.values() if isinstance(tree, dict) else tree))
    x = torch.ones(1)
    for tree in ([x, x], [x, x, x], (x, x), {"a": x, "b": x}, {"b": x, "a": x}):
        assert f(tree).item() == len(tree)
    assert forms(f) == 5


def test_closure_variables():
    scale = 2.0
    x = torch.ones(1)

    def f(x):
        return x * scale

    made = torch.compile(f)
    assert made(x).item() == 2.0
    scale = 3.0
    assert made(x).item() == 3.0
    scale = torch.tensor(5.0)
    assert made(x).item() == 5.0
    scale = torch.tensor(7.0)
    assert made(x).item() == 7.0


def test_global_variables_and_modules():
    module = types.ModuleType("settings")
    module.__file__ = __file__
    module.FACTOR = 2.0
    namespace = {"settings": module, "bias": 1.0, "unrelated": 0}
    exec(compile("def f(x):\n    return x * settings.FACTOR + bias\n", __file__, "exec"), namespace)
    f = torch.compile(namespace["f"])
    x = torch.ones(1)
    assert f(x).item() == 3.0
    module.FACTOR = 3.0
    assert f(x).item() == 4.0
    namespace["bias"] = 0.0
    assert f(x).item() == 3.0
    namespace["unrelated"] = 1
    assert f(x).item() == 3.0
    assert forms(f) == 3


class Config:
    width = 2.0

    def __init__(self):
        self.scale = 1.0
        self.steps = 0
        self.inner = {"shift": [0.0]}

    def step(self):
        """Shares its name with nothing that is read."""


class Slotted:
    __slots__ = ("by",)

    def __init__(self, by):
        self.by = by


def test_attributes_of_objects():
    config, slotted = Config(), Slotted(1.0)

    def f(x):
        return x * config.scale * config.width * slotted.by + config.inner["shift"][0]

    made = torch.compile(f)
    x = torch.ones(1)
    assert made(x).item() == 2.0
    config.scale = 2.0
    assert made(x).item() == 4.0
    config.inner["shift"][0] = 1.0
    assert made(x).item() == 5.0
    config.width = 3.0
    assert made(x).item() == 7.0
    count = forms(made)
    config.steps += 1  # not read
    assert made(x).item() == 7.0
    assert forms(made) == count


def test_attributes_of_a_class():
    class Local:
        factor = 2.0

    made = torch.compile(lambda x: x * Local.factor)
    assert made(torch.ones(1)).item() == 2.0
    Local.factor = 4.0
    assert made(torch.ones(1)).item() == 4.0


def test_attributes_with_slots():
    slotted = Slotted(2.0)
    made = torch.compile(lambda x: x * slotted.by)
    assert made(torch.ones(1)).item() == 2.0
    slotted.by = 3.0
    assert made(torch.ones(1)).item() == 3.0


def test_a_list_that_grows_between_calls():
    layers = [torch.tensor(1.0)]
    made = torch.compile(lambda x: sum((x * w for w in layers), torch.zeros(1)))
    assert made(torch.ones(1)).item() == 1.0
    layers.append(torch.tensor(2.0))
    assert made(torch.ones(1)).item() == 3.0
    layers[0] = torch.tensor(10.0)
    assert made(torch.ones(1)).item() == 12.0


def test_small_numpy_arrays_are_compared():
    weights = np.array([1.0, 2.0])
    made = torch.compile(lambda x: x * float(weights[0]))
    assert made(torch.ones(1)).item() == 1.0
    weights[0] = 5.0
    assert made(torch.ones(1)).item() == 5.0


def test_a_numpy_array_seen_as_a_tensor_is_read_anew():
    weights = np.array([1.0, 2.0], np.float32)
    made = torch.compile(lambda x: x * torch.from_numpy(weights) + weights)
    assert made(torch.ones(2)).tolist() == [2.0, 4.0]
    weights[0] = 5.0
    assert made(torch.ones(2)).tolist() == [10.0, 4.0]


# ---- modules ----


def test_training_mode():
    model = nn.Dropout(0.5)
    made = torch.compile(lambda x: model(x) * 1)
    x = torch.ones(100)
    assert made(x).min().item() == 0.0
    model.eval()
    assert made(x).min().item() == 1.0
    model.train()
    assert made(x).min().item() == 0.0
    assert forms(made) == 2


def test_attributes_of_modules():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = 2.0
            self.weight = nn.Parameter(torch.ones(1))
            self.calls = 0

        def forward(self, x):
            return x * self.scale * self.weight

    model = Scaled()
    made = torch.compile(model)
    x = torch.ones(1)
    assert made(x).item() == 2.0
    model.scale = 3.0
    assert made(x).item() == 3.0
    model.weight = nn.Parameter(torch.full((1,), 5.0))
    assert made(x).item() == 15.0
    count = forms(made.forward)
    model.calls += 1
    assert made(x).item() == 15.0
    assert forms(made.forward) == count


def test_modules_that_are_added_and_hooks():
    model = nn.Sequential(nn.Identity())
    made = torch.compile(model)
    x = torch.ones(1)
    assert made(x).item() == 1.0

    class Twice(nn.Module):
        def forward(self, x):
            return x * 2

    model.append(Twice())
    assert made(x).item() == 2.0
    handle = model.register_forward_hook(lambda module, args, result: result + 1)
    assert made(x).item() == 3.0
    handle.remove()
    assert made(x).item() == 2.0
    model[1] = nn.Identity()
    assert made(x).item() == 1.0


# ---- captured tensors between calls ----


def test_captured_tensors_are_read_anew():
    w = torch.ones(2)
    made = torch.compile(lambda x: x * w)
    x = torch.ones(2)
    assert made(x).tolist() == [1.0, 1.0]
    w.fill_(2.0)
    assert made(x).tolist() == [2.0, 2.0]
    w.data = torch.full((2,), 3.0)
    assert made(x).tolist() == [3.0, 3.0]
    assert forms(made) == 1
    w.data = torch.full((1,), 4.0)
    assert made(x).tolist() == [4.0, 4.0]
    w.data = torch.full((2,), 5.0, dtype=torch.float64)
    assert made(x).dtype is torch.float64
    w.requires_grad_()
    assert made(x).requires_grad
    assert forms(made) == 4


def test_frozen_parameters():
    model = nn.Linear(2, 2)
    made = torch.compile(lambda x: model(x).sum())
    x = torch.ones(1, 2)
    made(x).backward()
    assert model.weight.grad is not None
    model.weight.requires_grad_(False)
    model.weight.grad = None
    made(x).backward()
    assert model.weight.grad is None


def test_gradients_set_to_none_or_replaced_between_calls():
    w = torch.ones(2, requires_grad=True)

    @torch.compile
    def accumulate(x):
        (w * x).sum().backward()

    x = torch.tensor([1.0, 2.0])
    accumulate(x)
    accumulate(x)
    assert w.grad.tolist() == [2.0, 4.0]
    w.grad = None
    accumulate(x)
    assert w.grad.tolist() == [1.0, 2.0]
    w.grad = torch.tensor([10.0, 10.0])
    accumulate(x)
    assert w.grad.tolist() == [11.0, 12.0]
    assert forms(accumulate) == 2


def test_a_gradient_that_someone_keeps_is_not_overwritten():
    w = torch.ones(2, requires_grad=True)

    @torch.compile
    def step(x):
        w.grad = None
        (w * x).sum().backward()

    step(torch.tensor([1.0, 2.0]))
    kept = w.grad
    step(torch.tensor([5.0, 5.0]))
    assert kept.tolist() == [1.0, 2.0]
    assert w.grad.tolist() == [5.0, 5.0]


def trained(n, change=None, **options):
    """Return a parameter after n compiled steps, with a change before each."""
    torch.manual_seed(0)
    model = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    compiled = options.pop("compiled", True)

    def step(x):
        optimizer.zero_grad()
        loss = (model(x) ** 2).sum()
        loss.backward()
        optimizer.step()

    run = torch.compile(step) if compiled else step
    for k in range(n):
        if change is not None:
            change(k, model, optimizer, step)
        run(torch.ones(3, 2) * (k + 1))
    return [p.detach().clone() for p in model.parameters()]


def _save(kept):
    def change(k, model, optimizer, step):
        if k == 2:
            kept.append((
                {n: t.clone() for n, t in model.state_dict().items()}, optimizer.state_dict()["param_groups"],
                {i: {n: t.clone() for n, t in s.items()} for i, s in optimizer.state_dict()["state"].items()},
            ))  # fmt: skip
        if k == 4:
            weights, groups, state = kept[-1]
            model.load_state_dict(weights)
            optimizer.load_state_dict({"state": state, "param_groups": groups})

    return change


CHANGES = {
    "load_state_dict": _save([]),
    "another learning rate": lambda k, m, o, s: o.param_groups[0].update(lr=0.1 / (k + 1)),
    "weight decay from the third step on": lambda k, m, o, s: o.param_groups[0].update(
        weight_decay=0.1 * (k > 2)
    ),
    "steps as they are in between": lambda k, m, o, s: k == 2 and s(torch.full((3, 2), 7.0)),
    "other memory of a parameter": lambda k, m, o, s: (
        k == 2 and setattr(m.weight, "data", m.weight.data.clone() * 2)
    ),
    "other betas": lambda k, m, o, s: o.param_groups[0].update(betas=(0.5, 0.9) if k > 2 else (0.9, 0.999)),
    "the state thrown away": lambda k, m, o, s: k == 3 and o.state.clear(),
    "a group more": lambda k, m, o, s: (
        k == 2 and o.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_optimizers_changed_between_calls(name):
    eager = trained(6, CHANGES[name], compiled=False)
    compiled = trained(6, CHANGES[name])
    for a, b in zip(eager, compiled, strict=True):
        np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-4, atol=1e-6)


def test_a_scheduled_learning_rate_needs_no_second_form():
    made = torch.compile
    model = nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    @made
    def step(x):
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()

    for _ in range(5):
        step(torch.ones(3, 2))
        scheduler.step()
    assert forms(step) == 1


# ---- the cache ----


def test_too_many_forms_are_reported_once():
    f = torch.compile(lambda x, k: x * k)
    x = torch.ones(1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for k in range(api.LIMIT + 5):
            assert f(x, k).item() == k
    assert len([w for w in caught if "combinations of shapes" in str(w.message)]) == 1
    assert forms(f) == api.LIMIT


def test_compilations_and_hits_are_logged(caplog):
    with caplog.at_level(logging.DEBUG, logger="retrograd.compiler"):
        f = torch.compile(lambda x: x * 2)
        f(torch.ones(2))
        f(torch.ones(2))
        f(torch.ones(3))
    text = caplog.text
    assert text.count("compiled") == 2
    assert "form 1 of" in text
    assert "shape" in text


def test_reset_forgets():
    f = torch.compile(lambda x: x * 2)
    f(torch.ones(2))
    torch.compiler.reset()
    assert forms(f) == 0
    assert f(torch.ones(2)).tolist() == [2.0, 2.0]


# ---- floats that vary ----


def test_a_float_that_varies_becomes_an_input():
    w = torch.ones(2, requires_grad=True)

    @torch.compile(fullgraph=True)
    def step(x, scale, options):
        w.grad = None
        loss = (w * x * scale).sum() * options["weight"] + (1 - scale) ** 2
        loss.backward()
        return loss / scale

    def plain(x, scale, weight):
        return ((x * scale).sum() * weight + (1 - scale) ** 2) / scale

    x = torch.tensor([1.0, 2.0])
    for k in range(api.LIMIT + 4):
        scale, weight = 2.0**k, 0.5 + k
        assert step(x, scale, {"weight": weight}).item() == pytest.approx(plain(x, scale, weight).item())
        assert w.grad.tolist() == (x * scale * weight).tolist()
    assert forms(step) == 2


def test_a_float_that_varies_keeps_the_dtypes():
    f = torch.compile(lambda x, k: (x * k, x.sum() + k, torch.where(x > k, k, 0.0)), fullgraph=True)
    for dtype in (torch.float32, torch.float64, torch.int64, torch.bfloat16, torch.bool):
        x = torch.tensor([0, 1, 3]).to(dtype)
        for k in (1.5, 2.5, 0.5):
            for made, wanted in zip(f(x, k), (x * k, x.sum() + k, torch.where(x > k, k, 0.0)), strict=True):
                assert made.dtype is wanted.dtype
                assert made.tolist() == wanted.tolist()


def test_conditions_on_a_float_that_varies():
    f = torch.compile(
        lambda x, k: x * k if k > 1 else x - k if isinstance(k, float) else None, fullgraph=True
    )
    x = torch.ones(1)
    for k in (0.5, 0.25, 2.0, 3.0, 0.75, 4.0):
        assert f(x, k).item() == (k if k > 1 else 1 - k)
    assert forms(f) == 3


@pytest.mark.parametrize(
    "use",
    [
        lambda x, k: x * math.sqrt(k),
        lambda x, k: x * int(k),
        lambda x, k: x * float(str(k)),
        lambda x, k: x * {1.0: 2.0, 4.0: 3.0, 9.0: 5.0}[k],
        lambda x, k: x + torch.tensor(k),
        lambda x, k: x * round(k),
        lambda x, k: (x, k)[0] * k.as_integer_ratio()[0],
        lambda x, k: torch.full_like(x, k) * 1,
    ],
)
def test_a_float_whose_value_is_needed_stays_a_constant(use):
    f = torch.compile(use, fullgraph=True)
    for k in (1.0, 4.0, 9.0, 4.0):
        assert f(torch.ones(1), k).item() == use(torch.ones(1), k).item()


def test_a_float_that_varies_and_is_returned():
    f = torch.compile(lambda x, k: (x * k, k * 2), fullgraph=True)
    for k in (1.0, 4.0, 9.0):
        y, twice = f(torch.ones(1), k)
        assert type(twice) is float
        assert (y.item(), twice) == (k, 2 * k)


def test_a_probability_that_varies():
    f = torch.compile(lambda x, p: nn.functional.dropout(x, p) * 1, fullgraph=True)
    for p in (0.1, 0.5, 0.9):
        torch.manual_seed(0)
        made = f(torch.ones(50), p)
        torch.manual_seed(0)
        assert made.tolist() == nn.functional.dropout(torch.ones(50), p).tolist()


def test_attributes_of_tensors():
    w = torch.ones(1)
    w.scale = 2.0
    f = torch.compile(lambda x: x * w * w.scale)
    assert f(torch.ones(1)).item() == 2.0
    w.scale = 3.0
    assert f(torch.ones(1)).item() == 3.0


def test_what_is_not_named_is_not_looked_into():
    class Inner:
        def __init__(self):
            self.weight = torch.ones(1)

        def scaled(self, x):
            return x * self.weight

    class Trainer:
        def __init__(self):
            self.inner = Inner()
            self.data = [torch.ones(1)]
            self.log = iter([])

        def step(self, x):
            return self.inner.scaled(x)

        def fit(self):
            return self.data, self.log

    trainer = Trainer()
    reach = Reach(trainer.step, ())
    assert [t is trainer.inner.weight for t in reach.tensors] == [True]
    f = torch.compile(trainer.step, fullgraph=True)
    assert f(torch.ones(1)).item() == 1.0
    trainer.inner.weight = torch.full((1,), 2.0)
    assert f(torch.ones(1)).item() == 2.0


# ---- hooks ----


def test_hooks_of_tensors_that_come_and_go():
    w = torch.ones(2, requires_grad=True)

    @torch.compile(fullgraph=True)
    def step(x):
        w.grad = None
        (w * x).sum().backward()

    x = torch.ones(2)
    step(x)
    assert w.grad.tolist() == [1.0, 1.0]
    handle = w.register_hook(lambda g: g * 2)
    step(x)
    assert w.grad.tolist() == [2.0, 2.0]
    step(x)
    handle.remove()
    step(x)
    assert w.grad.tolist() == [1.0, 1.0]


def test_hooks_of_optimizers_that_come_and_go():
    w = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=1.0)

    @torch.compile(fullgraph=True)
    def step():
        optimizer.zero_grad()
        w.sum().backward()
        optimizer.step()

    step()
    assert w.item() == 0.0

    def double(optimizer, args, kwargs):
        w.grad.mul_(2.0)

    handle = optimizer.register_step_pre_hook(double)
    step()
    assert w.item() == -2.0
    handle.remove()
    step()
    assert w.item() == -3.0


def test_a_learning_rate_that_is_a_tensor():
    w = torch.ones(1, requires_grad=True)
    lr = torch.tensor(0.5)
    optimizer = torch.optim.Adam([w], lr=lr)
    other = torch.ones(1, requires_grad=True)
    eager = torch.optim.Adam([other], lr=lr)

    def step(w, optimizer):
        optimizer.zero_grad()
        (w * w).sum().backward()
        optimizer.step()

    made = torch.compile(step, fullgraph=True)
    for k in range(4):
        made(w, optimizer)
        step(other, eager)
        lr.fill_(0.25 * k)
        assert w.item() == pytest.approx(other.item(), rel=1e-5)
    assert forms(made) == 1


def test_functional_call_inside():
    model = nn.Linear(2, 1)
    weights = {"weight": torch.ones(1, 2), "bias": torch.zeros(1)}
    f = torch.compile(lambda x: torch.func.functional_call(model, weights, (x,)), fullgraph=True)
    x = torch.ones(3, 2)
    for _ in range(2):
        assert f(x).tolist() == [[2.0]] * 3
    weights["weight"] = torch.zeros(1, 2)
    assert f(x).tolist() == [[0.0]] * 3


def test_the_default_dtype_and_device():
    f = torch.compile(lambda: torch.ones(2) * 2, fullgraph=True)
    assert f().dtype is torch.float32
    torch.set_default_dtype(torch.float64)
    try:
        assert f().dtype is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert f().dtype is torch.float32
    with torch.device("meta"):
        assert f().is_meta
    assert f().tolist() == [2.0, 2.0]
