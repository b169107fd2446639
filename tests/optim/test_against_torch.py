"""Every optimizer against torch's over 100 steps: parameters, state and its format, in all options."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from retrograd import nn, optim
from retrograd.tensor import wrap

torch = pytest.importorskip("torch")

SHAPES = [(3, 4), (4,), (), (70, 150), (2, 1, 3)]  # one above the size from which parameters are not gathered
DECAYING = {
    "Adam": [{}, {"amsgrad": True}, {"betas": (0.5, 0.9)}, {"decoupled_weight_decay": True}],
    "AdamW": [{}],
    "RMSprop": [{}, {"centered": True}, {"momentum": 0.9}, {"momentum": 0.9, "centered": True}],
    "Adagrad": [{}, {"lr_decay": 0.1, "initial_accumulator_value": 0.3}],
    "Adadelta": [{}],
    "Adamax": [{}],
    "NAdam": [{}, {"decoupled_weight_decay": True}],
    "RAdam": [{}, {"decoupled_weight_decay": True}],
    "ASGD": [{}, {"t0": 10, "lambd": 0.01}],
    "SGD": [{}, {"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.3}, {"momentum": 0.9, "nesterov": True}],
}
CASES = [
    (name, {**options, "weight_decay": decay, "maximize": maximize})
    for name, variants in DECAYING.items()
    for options, decay, maximize in itertools.product(variants, (0, 0.1), (False, True))
]
CASES += [
    ("Rprop", {}),
    ("Rprop", {"maximize": True}),
    ("Adam", {"lr": 0.0}),
    ("SGD", {"lr": 0.0, "momentum": 0.9}),
]


class Pair:
    """The same parameters here and there, and the same optimizer."""

    def __init__(self, name, options, dtype="float32", shapes=SHAPES):
        self.random = np.random.RandomState(0)
        self.dtype, self.name, self.options = dtype, name, options
        values = [self.draw(shape) for shape in shapes]
        self.theirs = [torch.nn.Parameter(torch.tensor(v)) for v in values]
        self.ours = [nn.Parameter(wrap(v.copy())) for v in values]
        self.their_optimizer = getattr(torch.optim, name)(self.theirs, **options)
        self.our_optimizer = getattr(optim, name)(self.ours, **options)

    def draw(self, shape):
        values = self.random.randn(*shape)
        if self.dtype.startswith("complex"):
            values = values + 1j * self.random.randn(*shape)
        return np.asarray(values, self.dtype)

    def step(self, i, skip=None):
        for j, (t, o) in enumerate(zip(self.theirs, self.ours, strict=True)):
            if skip is not None and skip(i, j):
                t.grad = o.grad = None
                continue
            grad = self.draw(t.shape) * (1 + i % 3)
            t.grad, o.grad = torch.tensor(grad), wrap(np.asarray(grad, self.dtype))
        self.their_optimizer.step()
        self.our_optimizer.step()

    def reload(self):
        """Go on with a new optimizer that has loaded the old one's state."""
        state = self.our_optimizer.state_dict()
        self.our_optimizer = getattr(optim, self.name)(self.ours, **self.options)
        self.our_optimizer.load_state_dict(state)

    def compare(self, tolerance):
        for t, o in zip(self.theirs, self.ours, strict=True):
            close(o.detach().numpy(), t.detach().numpy(), tolerance)
        theirs, ours = self.their_optimizer.state_dict(), self.our_optimizer.state_dict()
        assert ours["param_groups"] == theirs["param_groups"]
        assert [list(g) for g in ours["param_groups"]] == [list(g) for g in theirs["param_groups"]]
        assert ours["state"].keys() == theirs["state"].keys()
        for number, state in theirs["state"].items():
            assert list(ours["state"][number]) == list(state)
            for name, value in state.items():
                found = ours["state"][number][name].numpy()
                assert (found.shape, found.dtype) == (tuple(value.shape), value.numpy().dtype)
                # torch keeps numbers of a whole parameter, such as the step, in float32 whatever its type
                close(found, value.numpy(), max(tolerance, 1e-6) if found.dtype == np.float32 else tolerance)


def close(found, wanted, tolerance):
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * max(scale, 1e-30))


@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_hundred_steps(name, options):
    pair = Pair(name, options)
    for i in range(100):
        pair.step(i)
        if i == 30:
            pair.reload()
        if i == 50:
            for optimizer in (pair.their_optimizer, pair.our_optimizer):
                optimizer.param_groups[0]["lr"] *= 0.5
    pair.compare(5e-6)


NAMES = ["SGD", "Adam", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "ASGD", "Rprop"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-8), ("complex64", 5e-6)])
def test_other_dtypes(name, dtype, tolerance):
    pair = Pair(name, {"momentum": 0.9} if name == "SGD" else {}, dtype)
    for i in range(30):
        pair.step(i)
    pair.compare(tolerance)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "skip", [lambda i, j: (i + j) % 3 == 0, lambda i, j: i < 5 and j == 1, lambda i, j: j == i % 2]
)
def test_missing_gradients(name, skip):
    pair = Pair(name, {"momentum": 0.9} if name == "SGD" else {})
    for i in range(12):
        pair.step(i, skip)
    pair.compare(5e-6)


def test_torchs_state_goes_on_here():
    pair = Pair("Adam", {"amsgrad": True})
    for i in range(5):
        pair.step(i)
    saved = pair.their_optimizer.state_dict()
    convert = {n: {k: wrap(v.numpy().copy()) for k, v in s.items()} for n, s in saved["state"].items()}
    pair.our_optimizer = optim.Adam(pair.ours)
    pair.our_optimizer.load_state_dict({"state": convert, "param_groups": saved["param_groups"]})
    for i in range(5):
        pair.step(i)
    pair.compare(5e-6)


@pytest.mark.parametrize(
    "options", [{}, {"lr": 0.5}, {"line_search_fn": "strong_wolfe"}, {"history_size": 2, "max_iter": 7}]
)
def test_lbfgs(options):
    start = np.random.RandomState(1).randn(6) * 1.5
    t, o = torch.nn.Parameter(torch.tensor(start)), nn.Parameter(wrap(start.copy()))
    theirs, ours = torch.optim.LBFGS([t], **options), optim.LBFGS([o], **options)

    def closure(optimizer, x):
        def evaluate():
            optimizer.zero_grad()
            loss = ((1 - x[:-1]) ** 2 + 10 * (x[1:] - x[:-1] ** 2) ** 2).sum()
            loss.backward()
            return loss

        return evaluate

    for i in range(4):
        wanted, found = theirs.step(closure(theirs, t)).item(), ours.step(closure(ours, o)).item()
        assert found == pytest.approx(wanted, rel=1e-6, abs=1e-12)
        if i == 1:
            state = ours.state_dict()
            ours = optim.LBFGS([o], **options)
            ours.load_state_dict(state)
    np.testing.assert_allclose(o.detach().numpy(), t.detach().numpy(), rtol=1e-9, atol=1e-12)
    wanted, found = theirs.state_dict()["state"][0], ours.state_dict()["state"][0]
    assert list(found) == list(wanted)
    assert (found["func_evals"], found["n_iter"]) == (wanted["func_evals"], wanted["n_iter"])
