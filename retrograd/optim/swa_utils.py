"""Averages of a model's parameters over training, and the schedule and batch statistics that go with them.

Source: P. Izmailov et al., Averaging Weights Leads to Wider Optima and Better Generalization (2018).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

from retrograd import dtypes
from retrograd.autograd.modes import no_grad
from retrograd.functions.creation import tensor
from retrograd.nn.module import Module
from retrograd.nn.modules.batchnorm import _NormBase
from retrograd.optim.lr_scheduler import LRScheduler

Average = Callable[[Any, Any, Any], Any]


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def _move(averages: Any, now: Any, part: float) -> None:
    """Move averages a part of the way to what is now; whole numbers are copied."""
    with no_grad():
        for mine, current in zip(averages, now, strict=True):
            if mine.is_floating_point():
                mine.lerp_(current, part)
            else:
                mine.copy_(current)


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """Return the exponential average of one parameter: decay * average + (1 - decay) * now."""
    _check_decay(decay)

    def averaged(ema_param: Any, current_param: Any, num_averaged: Any) -> Any:
        del num_averaged
        with no_grad():
            return decay * ema_param + (1 - decay) * current_param

    return averaged


def get_swa_avg_fn() -> Average:
    """Return the equal average of one parameter."""

    def averaged(averaged_param: Any, current_param: Any, num_averaged: Any) -> Any:
        with no_grad():
            return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return averaged


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[[Any, Any, Any], None]:
    """Return the exponential average of a list of parameters, in place."""
    _check_decay(decay)

    def average(ema_param_list: Any, current_param_list: Any, num_averaged: Any) -> None:
        del num_averaged
        _move(ema_param_list, current_param_list, 1 - decay)

    return average


def get_swa_multi_avg_fn() -> Callable[[Any, Any, Any], None]:
    """Return the equal average of a list of parameters, in place."""

    def average(averaged_param_list: Any, current_param_list: Any, num_averaged: Any) -> None:
        _move(averaged_param_list, current_param_list, 1 / (float(num_averaged) + 1))

    return average


class AveragedModel(Module):
    """A copy of a model whose parameters are the average of those that `update_parameters` was given.

    Args:
        model: what is copied.
        device: the copy's; None leaves it.
        avg_fn: computes a new average from (average, parameter, count); the mean of all by default.
        multi_avg_fn: does so for lists, in place.
        use_buffers: average buffers too; otherwise they are copied.
    """

    n_averaged: Any

    def __init__(
        self, model: Any, device: Any = None, avg_fn: Any = None, multi_avg_fn: Any = None,
        use_buffers: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, dtype=dtypes.int64))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Any) -> None:
        """Take a model's parameters into the average."""
        mine, now = (
            list(itertools.chain(m.parameters(), m.buffers() if self.use_buffers else ()))
            for m in (self.module, model)
        )
        with no_grad():
            if int(self.n_averaged) == 0:
                for average, parameter in zip(mine, now, strict=True):
                    average.detach().copy_(parameter.detach())
            elif self.avg_fn is not None:
                for average, parameter in zip(mine, now, strict=True):
                    made = self.avg_fn(average.detach(), parameter.detach(), self.n_averaged)
                    average.detach().copy_(made)
            else:
                together = self.multi_avg_fn or get_swa_multi_avg_fn()
                together([a.detach() for a in mine], [p.detach() for p in now], self.n_averaged)
            if not self.use_buffers:
                for buffer, current in zip(self.module.buffers(), model.buffers(), strict=True):
                    buffer.detach().copy_(current.detach())
            self.n_averaged += 1


def update_bn(loader: Iterable[Any], model: Any, device: Any = None) -> None:
    """Set the statistics of a model's batch normalisations to those of all that `loader` yields."""
    momenta = {}
    for module in model.modules():
        if isinstance(module, _NormBase) and module.running_mean is not None:
            module.reset_running_stats()
            momenta[module] = module.momentum
    if not momenta:
        return
    was_training = model.training
    model.train()
    for module in momenta:
        module.momentum = None  # the mean of all batches
    with no_grad():
        for given in loader:
            batch = given[0] if isinstance(given, (list, tuple)) else given
            model(batch if device is None else batch.to(device))
    for module, momentum in momenta.items():
        module.momentum = momentum
    model.train(was_training)


def _cosine(t: float) -> float:
    return (1 - math.cos(math.pi * t)) / 2


class SWALR(LRScheduler):
    """Lead each group's rate to `swa_lr` within `anneal_epochs` steps, by a cosine or a straight line.

    Raises:
        ValueError: another strategy, or a negative number of steps.
    """

    def __init__(
        self, optimizer: Any, swa_lr: Any, anneal_epochs: int = 10, anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        groups = optimizer.param_groups
        rates = list(swa_lr) if isinstance(swa_lr, (list, tuple)) else [swa_lr] * len(groups)
        if len(rates) != len(groups):
            raise ValueError(
                f"swa_lr must have the same length as optimizer.param_groups: swa_lr has {len(rates)}, "
                f"optimizer.param_groups has {len(groups)}"
            )
        for group, rate in zip(groups, rates, strict=True):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self._anneal_strategy, self.anneal_epochs = anneal_strategy, anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _part(self, step: int) -> float:
        """Return how far the way to the last rate is done at a step."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return _cosine(t) if self._anneal_strategy == "cos" else t

    def get_lr(self) -> list[Any]:
        """Return the rates of this step: what the first rates were follows from those of the last."""
        self._warn_outside_step()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._part(step - 1), self._part(step)
        found = []
        for group in self.optimizer.param_groups:
            last, goal = group["lr"], group["swa_lr"]
            first = last if before == 1 else (last - goal * before) / (1 - before)
            found.append(goal * now + first * (1 - now))
        return found


__all__ = [
    "SWALR", "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn",
    "get_swa_multi_avg_fn", "update_bn",
]  # fmt: skip
