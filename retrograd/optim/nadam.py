"""NAdam: Adam with Nesterov's momentum."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np

from retrograd.optim.checks import check_betas, check_lr, check_not_negative
from retrograd.optim.flat import FlatOptimizer
from retrograd.optim.optimizer import ParamsT


class _Numbers(NamedTuple):
    beta1: float
    beta2: float
    of_grad: Any
    of_momentum: Any
    correction: Any
    eps: float
    decay: float
    shrink: Any
    sign: float


class NAdam(FlatOptimizer):
    """Adam whose step looks ahead along the momentum, on a schedule of its own.

    Math:
        mu_t = beta1 (1 - 0.96^(t psi) / 2);  m, v as in Adam;
        p <- p - lr ((1 - mu_t) / (1 - prod mu) g + mu_{t+1} / (1 - mu_{t+1} prod mu) m) / (sqrt(v / (1 -
        beta2^t)) + eps)
    Source: T. Dozat (2016).
    """

    scalars: ClassVar[dict[str, float]] = {"step": 0.0, "mu_product": 1.0}

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
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
        check_not_negative(weight_decay=weight_decay, momentum_decay=momentum_decay)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay":
            momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize, "foreach": foreach,
            "capturable": capturable, "differentiable": differentiable,
        })  # fmt: skip

    def layout(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("step", "mu_product", "exp_avg", "exp_avg_sq")

    def prepare(self, group: dict[str, Any], scalars: dict[str, Any], fresh: bool) -> _Numbers:
        t = scalars["step"] = scalars["step"] + 1
        beta1, beta2 = group["betas"]
        lr, decay = group["lr"], group["weight_decay"]
        now, following = (beta1 * (1.0 - 0.5 * 0.96 ** (k * group["momentum_decay"])) for k in (t, t + 1))
        product = scalars["mu_product"] = scalars["mu_product"] * now
        shrink = 1.0
        if decay != 0 and group["decoupled_weight_decay"]:
            shrink, decay = 1 - lr * decay, 0.0
        return _Numbers(
            beta1, beta2, lr * (1 - now) / (1 - product), lr * following / (1 - product * following), 1 -
            beta2**t,
            group["eps"], decay, shrink, -1.0 if group["maximize"] else 1.0,
        )  # fmt: skip

    def update(self, n: _Numbers, p: Any, g: Any, m: Any, v: Any) -> tuple[Any, ...]:
        g = n.sign * g
        if n.decay != 0:
            g = g + n.decay * p
        m = m + (1 - n.beta1) * (g - m)
        v = n.beta2 * v + (1 - n.beta2) * (g * g)
        denominator = np.sqrt(v / n.correction) + n.eps
        return n.shrink * p - (n.of_grad * g + n.of_momentum * m) / denominator, m, v
