"""RMSprop."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from retrograd.optim.checks import check_lr, check_not_negative
from retrograd.optim.flat import FlatOptimizer
from retrograd.optim.optimizer import ParamsT


class _Numbers(NamedTuple):
    lr: Any
    alpha: float
    eps: float
    decay: float
    momentum: float
    centered: bool
    sign: float


class RMSprop(FlatOptimizer):
    """Steps divided by a running root mean square of the gradient, about its mean if centered.

    Math: v <- alpha v + (1 - alpha) g^2;  d = g / (sqrt(v - mean^2) + eps);  b <- momentum b + d;  p <- p -
        lr b
    Source: T. Hinton, lecture notes (2012); centered: A. Graves (2013).
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        if not eps >= 0.0:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_not_negative(momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable,
        })  # fmt: skip

    def layout(self, group: dict[str, Any]) -> tuple[str, ...]:
        names = ["step", "square_avg"]
        if group["momentum"] > 0:
            names.append("momentum_buffer")
        if group["centered"]:
            names.append("grad_avg")
        return tuple(names)

    def prepare(self, group: dict[str, Any], scalars: dict[str, Any], fresh: bool) -> _Numbers:
        scalars["step"] += 1
        sign = -1.0 if group["maximize"] else 1.0
        return _Numbers(
            group["lr"],
            group["alpha"],
            group["eps"],
            group["weight_decay"],
            group["momentum"],
            group["centered"],
            sign,
        )

    def update(self, n: _Numbers, p: Any, g: Any, v: Any, *rest: Any) -> tuple[Any, ...]:
        g = n.sign * g
        if n.decay != 0:
            g = g + n.decay * p
        v = n.alpha * v + (1 - n.alpha) * (g * g)
        extra = []
        square = v
        if n.centered:
            mean = rest[-1]
            mean = mean + (1 - n.alpha) * (g - mean)
            square = v - mean * mean
            extra = [mean]
        d = g / (np.sqrt(square) + n.eps)
        if n.momentum > 0:
            d = n.momentum * rest[0] + d
            extra.insert(0, d)
        return p - n.lr * d, v, *extra

    def update_(self, n: _Numbers, scratch: Any, p: Any, g: Any, v: Any, *rest: Any) -> None:
        t, u = scratch
        if n.decay != 0:
            np.multiply(p, n.sign * n.decay, u)
            g = np.add(u, g, u)
        np.multiply(g, (1 - n.alpha) ** 0.5, t)
        np.multiply(t, t, t)
        np.multiply(v, n.alpha, v)
        np.add(v, t, v)
        if n.centered:
            mean = rest[-1]
            np.multiply(g, n.sign * (1 - n.alpha), t)
            np.multiply(mean, n.alpha, mean)
            np.add(mean, t, mean)
            np.multiply(mean, mean, t)
            np.subtract(v, t, t)
            np.sqrt(t, t)
        else:
            np.sqrt(v, t)
        np.add(t, n.eps, t)
        np.divide(g, t, t)
        if n.momentum > 0:
            np.multiply(rest[0], n.momentum, rest[0])
            np.add(rest[0], np.multiply(t, n.sign, t) if n.sign != 1 else t, rest[0])
            np.multiply(rest[0], n.lr, t)
        else:
            np.multiply(t, n.sign * n.lr, t)
        np.subtract(p, t, p)
