"""Adadelta."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from retrograd.optim.checks import check_lr
from retrograd.optim.flat import FlatOptimizer
from retrograd.optim.optimizer import ParamsT


class _Numbers(NamedTuple):
    lr: Any
    rho: float
    eps: float
    decay: float
    sign: float


class Adadelta(FlatOptimizer):
    """Steps in units of the steps taken before: the ratio of two running root mean squares.

    Math:
        v <- rho v + (1 - rho) g^2;  d = sqrt(a + eps) / sqrt(v + eps) g;  a <- rho a + (1 - rho) d^2;  p <- p
        - lr d
    Source: M. Zeiler (2012).
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        if not eps >= 0.0:
            raise ValueError(f"Invalid epsilon value: {eps}")
        if not weight_decay >= 0.0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        super().__init__(params, {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "capturable": capturable, "foreach": foreach, "differentiable": differentiable,
        })  # fmt: skip

    def layout(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("step", "square_avg", "acc_delta")

    def prepare(self, group: dict[str, Any], scalars: dict[str, Any], fresh: bool) -> _Numbers:
        scalars["step"] += 1
        sign = -1.0 if group["maximize"] else 1.0
        return _Numbers(group["lr"], group["rho"], group["eps"], group["weight_decay"], sign)

    def update(self, n: _Numbers, p: Any, g: Any, v: Any, a: Any) -> tuple[Any, ...]:
        g = n.sign * g
        if n.decay != 0:
            g = g + n.decay * p
        v = n.rho * v + (1 - n.rho) * (g * g)
        d = np.sqrt(a + n.eps) / np.sqrt(v + n.eps) * g
        return p - n.lr * d, v, n.rho * a + (1 - n.rho) * (d * d)
