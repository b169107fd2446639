"""Adagrad."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from retrograd.optim.checks import check_lr, check_not_negative
from retrograd.optim.flat import FlatOptimizer, _filled
from retrograd.optim.optimizer import ParamsT


class _Numbers(NamedTuple):
    lr: Any
    eps: float
    decay: float
    sign: float


class Adagrad(FlatOptimizer):
    """Steps divided by the root of the sum of all squared gradients so far.

    Math: s <- s + g^2;  p <- p - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)
    Source: J. Duchi, E. Hazan, Y. Singer (2011).
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr, foreach, fused)
        check_not_negative(
            lr_decay=lr_decay, weight_decay=weight_decay, initial_accumulator_value=initial_accumulator_value
        )
        if not eps >= 0.0:
            raise ValueError(f"Invalid epsilon value: {eps}")
        super().__init__(params, {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "fused": fused,
        })  # fmt: skip
        for group in self.param_groups:
            for param in group["params"]:
                state = self.state[param]
                state["step"] = _filled(param, 0.0, scalar=True)
                state["sum"] = _filled(param, self.initial(group, "sum"), scalar=False)

    def layout(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("step", "sum")

    def initial(self, group: dict[str, Any], name: str) -> float:
        return float(group["initial_accumulator_value"]) if name == "sum" else super().initial(group, name)

    def prepare(self, group: dict[str, Any], scalars: dict[str, Any], fresh: bool) -> _Numbers:
        t = scalars["step"] = scalars["step"] + 1
        lr = group["lr"] / (1 + (t - 1) * group["lr_decay"])
        return _Numbers(lr, group["eps"], group["weight_decay"], -1.0 if group["maximize"] else 1.0)

    def update(self, n: _Numbers, p: Any, g: Any, s: Any) -> tuple[Any, ...]:
        g = n.sign * g
        if n.decay != 0:
            g = g + n.decay * p
        s = s + g * g
        return p - n.lr * (g / (np.sqrt(s) + n.eps)), s

    def update_(self, n: _Numbers, scratch: Any, p: Any, g: Any, s: Any) -> None:
        t, u = scratch
        if n.decay != 0:
            np.multiply(p, n.sign * n.decay, u)
            g = np.add(u, g, u)
        np.multiply(g, g, t)
        np.add(s, t, s)
        np.sqrt(s, t)
        np.add(t, n.eps, t)
        np.divide(g, t, t)
        np.multiply(t, n.sign * n.lr, t)
        np.subtract(p, t, p)
