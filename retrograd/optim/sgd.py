"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from retrograd.optim.checks import check_lr, check_not_negative
from retrograd.optim.flat import FlatOptimizer
from retrograd.optim.optimizer import ParamsT


class _Numbers(NamedTuple):
    lr: Any
    decay: Any
    momentum: Any
    weight: Any  # of the gradient in the momentum buffer
    nesterov: bool
    sign: float


class SGD(FlatOptimizer):
    """Stochastic gradient descent with momentum, Nesterov's if asked for, and weight decay.

    Math:
        g <- g + weight_decay p;  b <- momentum b + (1 - dampening) g, at the first step b <- g;
        d = g + momentum b (nesterov) or b;  p <- p - lr d
    Source: I. Sutskever et al. (2013), in the form without the learning rate in the buffer.
    """

    scalars = {}  # noqa: RUF012 - declared in the base

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: Any = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr, foreach, fused)
        check_not_negative(momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov":
            nesterov,
            "maximize": maximize, "foreach": foreach, "differentiable": differentiable, "fused": fused,
        })  # fmt: skip

    def layout(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] != 0 else ()

    def prepare(self, group: dict[str, Any], scalars: dict[str, Any], fresh: bool) -> _Numbers:
        momentum = group["momentum"]
        weight = 1.0 if fresh else 1 - group["dampening"]
        sign = -1.0 if group["maximize"] else 1.0
        return _Numbers(group["lr"], group["weight_decay"], momentum, weight, group["nesterov"], sign)

    def update(self, n: _Numbers, p: Any, g: Any, *buffers: Any) -> tuple[Any, ...]:
        g = n.sign * g
        if n.decay != 0:
            g = g + n.decay * p
        if not buffers:
            return (p - n.lr * g,)
        (b,) = buffers
        b = n.momentum * b + n.weight * g
        return p - n.lr * (g + n.momentum * b if n.nesterov else b), b

    def update_(self, n: _Numbers, scratch: Any, p: Any, g: Any, *buffers: Any) -> None:
        t, u = scratch
        if n.decay != 0:
            np.multiply(p, n.sign * n.decay, t)
            g = np.add(t, g, t)
        if not buffers:
            np.multiply(g, n.sign * n.lr, t)
            np.subtract(p, t, p)
            return
        (b,) = buffers
        np.multiply(b, n.momentum, b)
        weight = n.sign * n.weight
        np.add(b, g if weight == 1 else np.multiply(g, weight, u), b)
        if n.nesterov:
            np.multiply(b, n.momentum * n.lr, u)
            np.subtract(p, u, p)
            np.multiply(g, n.sign * n.lr, u)
        else:
            np.multiply(b, n.lr, u)
        np.subtract(p, u, p)
