"""Rprop: resilient backpropagation."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from retrograd.optim.checks import check_lr
from retrograd.optim.flat import FlatOptimizer
from retrograd.optim.optimizer import ParamsT


class _Numbers(NamedTuple):
    shrink: float
    grow: float
    smallest: float
    largest: float
    sign: float


class Rprop(FlatOptimizer):
    """Steps that grow while the gradient keeps its sign and shrink when it turns, whatever its size.

    Source: M. Riedmiller, H. Braun (1993), the variant that does not take steps back.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        super().__init__(params, {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "capturable": capturable,
        })  # fmt: skip

    def layout(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("step", "prev", "step_size")

    def initial(self, group: dict[str, Any], name: str) -> float:
        return float(group["lr"]) if name == "step_size" else super().initial(group, name)

    def prepare(self, group: dict[str, Any], scalars: dict[str, Any], fresh: bool) -> _Numbers:
        scalars["step"] += 1
        (shrink, grow), (smallest, largest) = group["etas"], group["step_sizes"]
        return _Numbers(shrink, grow, smallest, largest, -1.0 if group["maximize"] else 1.0)

    def update(self, n: _Numbers, p: Any, g: Any, previous: Any, size: Any) -> tuple[Any, ...]:
        g = n.sign * g
        agreement = np.sign(g * previous)
        factor = np.where(agreement > 0, n.grow, np.where(agreement < 0, n.shrink, 1.0))
        size = np.clip(size * factor, n.smallest, n.largest)
        g = np.where(agreement < 0, 0.0, g)
        return p - np.sign(g) * size, g, size
