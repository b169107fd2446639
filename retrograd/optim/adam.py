"""Adam, with decoupled weight decay if asked for."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from retrograd.optim.checks import check_betas, check_lr
from retrograd.optim.flat import FlatOptimizer
from retrograd.optim.optimizer import ParamsT
from retrograd.tensor import Tensor


class _Numbers(NamedTuple):
    beta1: Any
    beta2: Any
    step_size: Any
    correction: Any  # square root of the second moment's bias correction
    eps: float
    decay: Any
    shrink: Any  # what decoupled weight decay leaves of p
    sign: float


class Adam(FlatOptimizer):
    """Adam: steps scaled by running moments of the gradient.

    Math:
        m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;
        p <- p - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)
    Source: D. Kingma, J. Ba (2015); amsgrad: S. Reddi et al. (2018); decoupled weight decay: I. Loshchilov,
        F. Hutter (2019).
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1e-3,
        betas: tuple[Any, Any] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        if isinstance(lr, Tensor) and foreach and not capturable:
            raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
        check_lr(lr, foreach, fused)
        if not eps >= 0.0:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        if not weight_decay >= 0.0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": foreach, "capturable": capturable, "differentiable":
            differentiable,
            "fused": fused, "decoupled_weight_decay": decoupled_weight_decay,
        })  # fmt: skip

    def layout(self, group: dict[str, Any]) -> tuple[str, ...]:
        names = ("step", "exp_avg", "exp_avg_sq")
        return (*names, "max_exp_avg_sq") if group["amsgrad"] else names

    def prepare(self, group: dict[str, Any], scalars: dict[str, Any], fresh: bool) -> _Numbers:
        t = scalars["step"] = scalars["step"] + 1
        beta1, beta2 = group["betas"]
        lr, decay = group["lr"], group["weight_decay"]
        shrink = 1.0
        if decay != 0 and group["decoupled_weight_decay"]:
            shrink, decay = 1 - lr * decay, 0.0
        sign = -1.0 if group["maximize"] else 1.0
        return _Numbers(
            beta1, beta2, lr / (1 - beta1**t), (1 - beta2**t) ** 0.5, group["eps"], decay, shrink, sign
        )

    def update(self, n: _Numbers, p: Any, g: Any, m: Any, v: Any, *rest: Any) -> tuple[Any, ...]:
        g = n.sign * g
        if n.decay != 0:
            g = g + n.decay * p
        m = m + (1 - n.beta1) * (g - m)
        v = n.beta2 * v + (1 - n.beta2) * (g * g)
        largest = tuple(np.maximum(w, v) for w in rest)
        denominator = np.sqrt(largest[0] if rest else v) / n.correction + n.eps
        return n.shrink * p - n.step_size * (m / denominator), m, v, *largest

    def update_(self, n: _Numbers, scratch: Any, p: Any, g: Any, m: Any, v: Any, *rest: Any) -> None:
        t, u = scratch
        if n.shrink != 1:
            np.multiply(p, n.shrink, p)
        if n.decay != 0:
            np.multiply(p, n.sign * n.decay, u)
            g = np.add(u, g, u)
        np.multiply(g, n.sign * (1 - n.beta1), t)
        np.multiply(m, n.beta1, m)
        np.add(m, t, m)
        np.multiply(g, (1 - n.beta2) ** 0.5, t)
        np.multiply(t, t, t)
        np.multiply(v, n.beta2, v)
        np.add(v, t, v)
        np.sqrt(np.maximum(rest[0], v, out=rest[0]) if rest else v, t)
        np.divide(t, n.correction, t) if n.step_size == 0 else np.multiply(
            t, 1 / (n.correction * n.step_size), t
        )
        np.add(t, n.eps if n.step_size == 0 else n.eps / n.step_size, t)
        np.divide(m, t, t)
        if n.step_size != 0:
            np.subtract(p, t, p)
