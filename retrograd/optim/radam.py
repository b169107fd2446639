"""RAdam: rectified Adam."""

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
    rectified: Any  # None while the variance of the second moment is not bounded
    eps: float
    decay: float
    shrink: Any
    sign: float


class RAdam(FlatOptimizer):
    """Adam that scales by the second moment only once this is known well enough, and then gradually.

    Source: L. Liu et al. (2020), On the variance of the adaptive learning rate and beyond, algorithm 2.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        if not eps >= 0.0:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        check_not_negative(weight_decay=weight_decay)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "foreach": foreach, "capturable": capturable, "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        })  # fmt: skip

    def layout(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("step", "exp_avg", "exp_avg_sq")

    def prepare(self, group: dict[str, Any], scalars: dict[str, Any], fresh: bool) -> _Numbers:
        t = scalars["step"] = scalars["step"] + 1
        beta1, beta2 = group["betas"]
        lr, decay = group["lr"], group["weight_decay"]
        correction = 1 - beta2**t
        limit = 2 / (1 - beta2) - 1
        length = limit - 2 * t * beta2**t / correction  # of the moving average, in steps
        rectified = None
        if length > 5.0:  # below, the variance is unbounded
            ratio = (length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)
            rectified = (ratio * correction) ** 0.5
        shrink = 1.0
        if decay != 0 and group["decoupled_weight_decay"]:
            shrink, decay = 1 - lr * decay, 0.0
        return _Numbers(
            beta1, beta2, lr / (1 - beta1**t), rectified, group["eps"], decay, shrink,
            -1.0 if group["maximize"] else 1.0,
        )  # fmt: skip

    def update(self, n: _Numbers, p: Any, g: Any, m: Any, v: Any) -> tuple[Any, ...]:
        g = n.sign * g
        if n.decay != 0:
            g = g + n.decay * p
        m = m + (1 - n.beta1) * (g - m)
        v = n.beta2 * v + (1 - n.beta2) * (g * g)
        step = m if n.rectified is None else m * (n.rectified / (np.sqrt(v) + n.eps))
        return n.shrink * p - n.step_size * step, m, v
