"""Adamax."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from retrograd.optim.checks import check_betas, check_lr, check_not_negative
from retrograd.optim.flat import FlatOptimizer
from retrograd.optim.optimizer import ParamsT


class _Numbers(NamedTuple):
    beta1: float
    beta2: float
    step_size: Any
    eps: float
    decay: float
    sign: float


class Adamax(FlatOptimizer):
    """Adam with the largest recent gradient in place of the second moment.

    Math: m <- beta1 m + (1 - beta1) g;  u <- max(beta2 u, |g| + eps);  p <- p - lr / (1 - beta1^t) m / u
    Source: D. Kingma, J. Ba (2015), section 7.1.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr(lr)
        if not eps >= 0.0:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        check_not_negative(weight_decay=weight_decay)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        })  # fmt: skip

    def layout(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("step", "exp_avg", "exp_inf")

    def prepare(self, group: dict[str, Any], scalars: dict[str, Any], fresh: bool) -> _Numbers:
        t = scalars["step"] = scalars["step"] + 1
        beta1, beta2 = group["betas"]
        sign = -1.0 if group["maximize"] else 1.0
        return _Numbers(beta1, beta2, group["lr"] / (1 - beta1**t), group["eps"], group["weight_decay"], sign)

    def update(self, n: _Numbers, p: Any, g: Any, m: Any, u: Any) -> tuple[Any, ...]:
        g = n.sign * g
        if n.decay != 0:
            g = g + n.decay * p
        m = m + (1 - n.beta1) * (g - m)
        u = np.maximum(n.beta2 * u, abs(g) + n.eps)
        return p - n.step_size * (m / u), m, u
