"""Averaged stochastic gradient descent."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np

from retrograd.optim.checks import check_lr, check_not_negative
from retrograd.optim.flat import FlatOptimizer
from retrograd.optim.optimizer import ParamsT


class _Numbers(NamedTuple):
    eta: Any
    mu: Any
    lambd: float
    decay: float
    sign: float


class ASGD(FlatOptimizer):
    """Stochastic gradient descent that also keeps the average of the parameters, in the state `ax`.

    Math:
        p <- (1 - lambd eta) p - eta g;  ax <- ax + mu (p - ax);
        eta = lr / (1 + lambd lr t)^alpha;  mu = 1 / max(1, t - t0)
    Source: B. Polyak, A. Juditsky (1992).
    """

    scalars: ClassVar[dict[str, float]] = {"step": 0.0, "eta": 0.0, "mu": 1.0}

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr(lr)
        check_not_negative(weight_decay=weight_decay)
        super().__init__(params, {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "foreach":
            foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        })  # fmt: skip

    def layout(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("step", "eta", "mu", "ax")

    def initial(self, group: dict[str, Any], name: str) -> float:
        return float(group["lr"]) if name == "eta" else super().initial(group, name)

    def prepare(self, group: dict[str, Any], scalars: dict[str, Any], fresh: bool) -> _Numbers:
        eta, mu = scalars["eta"], scalars["mu"]
        t = scalars["step"] = scalars["step"] + 1
        lr = float(group["lr"])
        scalars["eta"] = float(np.float32(lr / (1 + group["lambd"] * lr * t) ** group["alpha"]))
        scalars["mu"] = float(np.float32(1 / max(1, t - group["t0"])))
        return _Numbers(eta, mu, group["lambd"], group["weight_decay"], -1.0 if group["maximize"] else 1.0)

    def update(self, n: _Numbers, p: Any, g: Any, ax: Any) -> tuple[Any, ...]:
        g = n.sign * g
        if n.decay != 0:
            g = g + n.decay * p
        p = (1 - n.lambd * n.eta) * p - n.eta * g
        return p, p + 0 if n.mu == 1 else ax + n.mu * (p - ax)
