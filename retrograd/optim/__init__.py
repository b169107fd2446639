"""Optimizers: algorithms that update parameters from their gradients, and schedules of learning rates."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from retrograd.optim import lr_scheduler
from retrograd.optim.adadelta import Adadelta
from retrograd.optim.adafactor import Adafactor
from retrograd.optim.adagrad import Adagrad
from retrograd.optim.adam import Adam
from retrograd.optim.adamax import Adamax
from retrograd.optim.adamw import AdamW
from retrograd.optim.asgd import ASGD
from retrograd.optim.lbfgs import LBFGS
from retrograd.optim.nadam import NAdam
from retrograd.optim.optimizer import Optimizer
from retrograd.optim.radam import RAdam
from retrograd.optim.rmsprop import RMSprop
from retrograd.optim.rprop import Rprop
from retrograd.optim.sgd import SGD


def __getattr__(name: str) -> Any:
    if name == "swa_utils":  # it needs modules, which optimizers do not
        return import_module("retrograd.optim.swa_utils")
    raise AttributeError(f"module 'torch.optim' has no attribute '{name}'")


__all__ = [
    "ASGD", "LBFGS", "SGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam",
    "Optimizer", "RAdam", "RMSprop", "Rprop", "lr_scheduler",
]  # fmt: skip
