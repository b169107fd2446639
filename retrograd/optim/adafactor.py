"""Adafactor."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from retrograd.autograd.modes import enable_grad
from retrograd.optim.optimizer import Optimizer, ParamsT
from retrograd.tensor import Tensor, wrap


class Adafactor(Optimizer):
    """Adam without a first moment, whose second moments of a matrix are those of its rows times its columns.

    Math:
        b = 1 - t**beta2_decay;  rows <- b rows + (1 - b) mean_columns(g^2);  columns likewise
        v = rows columns / mean(rows);  u = g / sqrt(v);  u <- u / max(1, rms(u) / d)
        p <- p - min(lr, 1 / sqrt(t)) max(eps2, rms(p)) u
    Source: N. Shazeer, M. Stern (2018).
    """

    def __init__(
        self, params: ParamsT, lr: Any = 1e-2, beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3), d: float = 1.0, weight_decay: float = 0.0, *,
        foreach: bool | None = None, maximize: bool = False,
    ) -> None:  # fmt: skip
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not lr >= 0.0:
            raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
        if not beta2_decay <= 0.0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if eps[0] is not None and not eps[0] >= 0.0:
            raise ValueError(f"epsilon1 should be >= 0 but is: {eps[0]}")
        if not eps[1] >= 0.0:
            raise ValueError(f"epsilon2 should be >= 0 but is: {eps[1]}")
        if not d >= 1.0:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not weight_decay >= 0.0:
            raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")
        super().__init__(params, {
            "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay,
            "foreach": foreach, "maximize": maximize,
        })  # fmt: skip

    def step(self, closure: Any = None) -> Any:
        """Update the parameters from their gradients; return the closure's loss, if there is one."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step_one(parameter, group)  # on arrays: nothing is recorded
        return loss

    def _step_one(self, parameter: Any, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        p, g = parameter._array, parameter.grad._array
        if g.dtype.kind == "c":
            raise RuntimeError("Adafactor does not support complex parameters")
        if not state:
            _begin(state, p)
        state["step"]._array += 1
        t = float(state["step"]._array)
        g = -g if group["maximize"] else g
        rate, real = float(group["lr"]), p.dtype.type
        eps1 = group["eps"][0] if group["eps"][0] is not None else float(np.finfo(p.dtype).eps)
        fresh = real(t ** group["beta2_decay"])
        root = math.sqrt(p.size)
        alpha = max(group["eps"][1], float(np.linalg.norm(p)) / root) * min(rate, 1 / math.sqrt(t))
        if group["weight_decay"]:
            p *= real(1 - rate * group["weight_decay"])
        update = 1 / np.sqrt(np.maximum(_second_moment(state, g, fresh, eps1), real(eps1 * eps1)))
        update *= g
        clipped = max(1.0, float(np.linalg.norm(update)) / root / group["d"])
        p -= update * real(alpha / clipped)
        parameter._version_cell().bump()


def _begin(state: dict[str, Any], p: Any) -> None:
    state["step"] = wrap(np.zeros((), np.float32))
    if p.ndim > 1:
        state["row_var"] = wrap(np.zeros((*p.shape[:-1], 1), p.dtype))
        state["col_var"] = wrap(np.zeros((*p.shape[:-2], 1, p.shape[-1]), p.dtype))
    else:
        state["variance"] = wrap(np.zeros_like(p))


def _second_moment(state: dict[str, Any], g: Any, fresh: Any, eps1: float) -> Any:
    """Bring the running second moments up to date, and return their estimate for each element."""
    squares = g * g
    if g.ndim < 2:
        variance = state["variance"]._array
        variance += fresh * (squares - variance)
        return variance
    rows, columns = state["row_var"]._array, state["col_var"]._array
    rows += fresh * (squares.mean(-1, keepdims=True) - rows)
    columns += fresh * (squares.mean(-2, keepdims=True) - columns)
    return rows @ columns / np.maximum(rows.mean(-2, keepdims=True), g.dtype.type(eps1))


__all__ = ["Adafactor"]
