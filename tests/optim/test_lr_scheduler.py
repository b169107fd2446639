"""Schedules: the rates, momenta and saved states are torch's, to the last bit."""

from __future__ import annotations

import math
import warnings

import pytest

import retrograd
from retrograd import nn, optim

SCHEDULES = {
    "StepLR": lambda L, o: L.StepLR(o,3),  # noqa: N803 - torch's name
    "Multi": lambda L, o: L.MultiStepLR(o,[2,2,7]),  # noqa: N803 - torch's name
    "Const": lambda L, o: L.ConstantLR(o),  # noqa: N803 - torch's name
    "Lin": lambda L, o: L.LinearLR(o,.1,.9,7),  # noqa: N803 - torch's name
    "Exp": lambda L, o: L.ExponentialLR(o,.9),  # noqa: N803 - torch's name
    "Cos": lambda L, o: L.CosineAnnealingLR(o,5,.001),  # noqa: N803 - torch's name
    "Lam": lambda L, o: L.LambdaLR(o,[lambda e:.9**e,lambda e:1/(1+e)]),  # noqa: N803 - torch's name
    "Mul": lambda L, o: L.MultiplicativeLR(o,lambda e:.97),  # noqa: N803 - torch's name
    "Poly": lambda L, o: L.PolynomialLR(o,7,2.),  # noqa: N803 - torch's name
    "WR": lambda L, o: L.CosineAnnealingWarmRestarts(o,3,2,.001),  # noqa: N803 - torch's name
    "WR1": lambda L, o: L.CosineAnnealingWarmRestarts(o,4),  # noqa: N803 - torch's name
    "Cyc": lambda L, o: L.CyclicLR(o,.01,[.1,.2],3,5),  # noqa: N803 - torch's name
    "Cyc2": lambda L, o: L.CyclicLR(o,.01,.1,3,mode="triangular2"),  # noqa: N803 - torch's name
    "Cyc3": lambda L, o: L.CyclicLR(o,.01,.1,3,mode="exp_range",gamma=.9),  # noqa: N803 - torch's name
    "One": lambda L, o: L.OneCycleLR(o,.1,25),  # noqa: N803 - torch's name
    "One3": lambda L, o:  # noqa: N803 - torch's name
    L.OneCycleLR(o,[.1,.2],epochs=5,steps_per_epoch=5,three_phase=True,anneal_strategy="linear"),
    "Seq": lambda L, o: L.SequentialLR(o,[L.ConstantLR(o,.1,2),L.ExponentialLR(o,.9),L.StepLR(o,2)],[3,8]),  # noqa: N803
    "Seq2": lambda L, o: L.SequentialLR(o,[L.LinearLR(o,.1,1.,5),L.CosineAnnealingLR(o,10)],[5]),  # noqa: N803
    "Chain": lambda L, o: L.ChainedScheduler([L.ConstantLR(o,.1,2),L.ExponentialLR(o,.9)]),  # noqa: N803
    "SeqWR": lambda L, o: L.SequentialLR(o,[L.LinearLR(o,.1,1.,4),L.CosineAnnealingWarmRestarts(o,3)],[4]),  # noqa: N803
    "SeqChain": lambda L, o:  # noqa: N803 - torch's name
    L.SequentialLR(o,[L.ChainedScheduler([L.ConstantLR(o,.1,2),L.ExponentialLR(o,.9)]),L.StepLR(o,2)],[4]),
    "SeqSeq": lambda L, o:  # noqa: N803 - torch's name
    L.SequentialLR(o,[L.SequentialLR(o,[L.ConstantLR(o,.1,2),L.ExponentialLR(o,.9)],[2]),L.StepLR(o,2)],[4]),
}  # fmt: skip


def _optimizer(package, adam):
    make = lambda **kw: {"params": [package.nn.Parameter(package.ones(1))], **kw}  # noqa: E731
    groups = [make(), make(lr=0.03)]
    return package.optim.Adam(groups, lr=0.1) if adam else package.optim.SGD(groups, lr=0.1, momentum=0.9)


def _options(optimizer):
    return [(g["lr"], g.get("momentum"), g.get("betas")) for g in optimizer.param_groups]


@pytest.mark.parametrize("adam", [False, True])
@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_are_torchs(name, adam):
    torch = pytest.importorskip("torch")
    theirs, ours = _optimizer(torch, adam), _optimizer(retrograd, adam)
    wanted, found = (
        SCHEDULES[name](torch.optim.lr_scheduler, theirs),
        SCHEDULES[name](optim.lr_scheduler, ours),
    )
    nested = name in ("SeqChain", "SeqSeq")  # torch keeps marks of its own on composed parts
    for step in range(25):
        assert _options(ours) == _options(theirs), step
        assert list(found.get_last_lr()) == list(wanted.get_last_lr())
        if not nested:
            assert found.state_dict() == wanted.state_dict()
        for stepped in (theirs, ours, wanted, found):
            stepped.step()


@pytest.mark.parametrize("name", ["StepLR", "Exp", "Cos", "Poly", "Lin", "Multi", "WR"])
def test_a_loaded_schedule_goes_on(name):
    first, second = _optimizer(retrograd, False), _optimizer(retrograd, False)
    schedule = SCHEDULES[name](optim.lr_scheduler, first)
    for _ in range(4):
        first.step()
        schedule.step()
    other = SCHEDULES[name](optim.lr_scheduler, second)
    other.load_state_dict(schedule.state_dict())
    second.load_state_dict(first.state_dict())
    for _ in range(6):
        for stepped in (first, second, schedule, other):
            stepped.step()
        assert _options(first) == _options(second)


@pytest.mark.parametrize("epoch", [3, 7, 0])
@pytest.mark.parametrize("name", ["StepLR", "Exp", "Cos", "Poly", "Lin", "Const", "Multi", "WR"])
def test_jumps_use_the_closed_form(name, epoch):
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = SCHEDULES[name](torch.optim.lr_scheduler, _optimizer(torch, False))
        found = SCHEDULES[name](optim.lr_scheduler, _optimizer(retrograd, False))
        wanted.step(epoch)
        found.step(epoch)
    assert found.get_last_lr() == wanted.get_last_lr()


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
def test_plateau(mode, threshold_mode):
    torch = pytest.importorskip("torch")
    made = []
    for package in (torch, retrograd):
        schedule = package.optim.lr_scheduler.ReduceLROnPlateau(
            _optimizer(package, False),
            mode,
            patience=1,
            cooldown=1,
            factor=0.5,
            threshold_mode=threshold_mode,
        )
        made.append(schedule)
    for metric in [5, 4, 4, 4, 4, 4, 4, 3, 3, 3, 3.0, math.nan, 2, 2, 2, 2]:
        for schedule in made:
            schedule.step(metric)
        assert made[1].get_last_lr() == made[0].get_last_lr()
        assert made[1].state_dict() == made[0].state_dict()


def test_steps_of_exponential():
    optimizer = _optimizer(retrograd, False)
    schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    for _ in range(3):
        optimizer.step()
        schedule.step()
    assert schedule.get_last_lr() == [0.0125, 0.00375]


def test_a_tensor_rate_stays_the_tensor():
    p = nn.Parameter(retrograd.ones(1))
    lr = retrograd.tensor(0.1)
    optimizer = optim.SGD([p], lr=lr)
    schedule = optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    optimizer.step()
    schedule.step()
    assert optimizer.param_groups[0]["lr"] is lr
    assert lr.item() == pytest.approx(0.05)


def test_order_of_steps_is_watched():
    schedule = optim.lr_scheduler.StepLR(_optimizer(retrograd, False), 2)
    with pytest.warns(
        UserWarning, match=r"^Detected call of `lr_scheduler.step\(\)` before `optimizer.step\(\)`"
    ):
        schedule.step()
    optimizer = _optimizer(retrograd, False)
    schedule = optim.lr_scheduler.StepLR(optimizer, 2)
    optimizer.step = lambda: None
    with pytest.warns(UserWarning, match=r"^Seems like `optimizer.step\(\)` has been overridden"):
        schedule.step()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda L, o: L.StepLR(3, 2), "int is not an Optimizer"),  # noqa: N803 - torch's name
        (lambda L, o: L.ReduceLROnPlateau(o, factor=1.0), "Factor should be < 1.0."),  # noqa: N803
        (
            lambda L, o: L.ConstantLR(o, factor=2),  # noqa: N803 - torch's name
            "Constant multiplicative factor expected to be between 0 and 1.",
        ),
        (lambda L, o: L.LambdaLR(o, [None]), "Expected 2 lr_lambdas, but got 1"),  # noqa: N803 - torch's name
        (
            lambda L, o: L.OneCycleLR(o, 0.1),  # noqa: N803 - torch's name
            "You must define either total_steps OR (epochs AND steps_per_epoch)",
        ),
        (lambda L, o: L.CosineAnnealingWarmRestarts(o, 0), "Expected positive integer T_0, but got 0"),  # noqa: N803
        (
            lambda L, o: L.SequentialLR(o, [], []),  # noqa: N803 - torch's name
            "SequentialLR expects at least one scheduler, but got no scheduler.",
        ),
    ],
)
def test_errors(make, message):
    with pytest.raises((TypeError, ValueError)) as caught:
        make(optim.lr_scheduler, _optimizer(retrograd, False))
    assert str(caught.value) == message
