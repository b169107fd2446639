"""Whole Jacobians and Hessians of small functions: nearly all of it is the cost of asking, row by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workloads import Compile, Step, Workload

SIZE = 64  # of the Jacobian, R^64 -> R^64
VARIABLES = 32  # of the Hessian


def layer(torch: Any) -> tuple[Callable[[Any], Any], Any]:
    torch.manual_seed(0)
    weight, x = torch.randn(SIZE, SIZE) / SIZE**0.5, torch.randn(SIZE)
    return lambda x: torch.tanh(weight @ x), x


def energy(torch: Any) -> tuple[Callable[[Any], Any], Any]:
    torch.manual_seed(0)
    weight, x = torch.randn(VARIABLES, VARIABLES) / VARIABLES**0.5, torch.randn(VARIABLES)
    return lambda x: (torch.tanh(weight @ x) ** 2).sum() + (x**4).sum(), x


def of_layer(way: Callable[[Any, Any, Any], Any]) -> Callable[[Any, Compile], Step]:
    """Return what builds the step `way(torch, function, x)` for the layer."""

    def build(torch: Any, compile: Compile) -> Step:
        del compile
        function, x = layer(torch)
        return lambda: way(torch, function, x)

    return build


def of_energy(way: Callable[[Any, Any, Any], Any]) -> Callable[[Any, Compile], Step]:
    def build(torch: Any, compile: Compile) -> Step:
        del compile
        function, x = energy(torch)
        return lambda: way(torch, function, x)

    return build


def rows_in_a_loop(torch: Any, function: Any, x: Any) -> Any:
    """Ask for one row after the other, as a program without a vectorised Jacobian does."""
    x = x.detach().requires_grad_()
    y = function(x)
    return torch.stack([torch.autograd.grad(y, x, row, retain_graph=True)[0] for row in torch.eye(SIZE)])


def hessian_in_a_loop(torch: Any, function: Any, x: Any) -> Any:
    x = x.detach().requires_grad_()
    (g,) = torch.autograd.grad(function(x), x, create_graph=True)
    return torch.stack([torch.autograd.grad(g, x, row, retain_graph=True)[0] for row in torch.eye(VARIABLES)])


WORKLOADS = [
    Workload(
        "autograd.functional.jacobian, R^64 -> R^64",
        of_layer(lambda t, f, x: t.autograd.functional.jacobian(f, x)),
        target=0.6,
    ),
    Workload(
        "autograd.functional.jacobian, vectorized",
        of_layer(lambda t, f, x: t.autograd.functional.jacobian(f, x, vectorize=True)),
        target=0.6,
    ),
    Workload("func.jacrev, R^64 -> R^64", of_layer(lambda t, f, x: t.func.jacrev(f)(x)), target=0.6),
    Workload("func.jacfwd, R^64 -> R^64", of_layer(lambda t, f, x: t.func.jacfwd(f)(x))),
    Workload(
        "autograd.functional.hessian, 32 variables",
        of_energy(lambda t, f, x: t.autograd.functional.hessian(f, x)),
        target=0.6,
    ),
    Workload("func.hessian, 32 variables", of_energy(lambda t, f, x: t.func.hessian(f)(x)), target=0.6),
]
LOOPS = {
    "autograd.functional.jacobian, vectorized": Workload("rows in a loop", of_layer(rows_in_a_loop)),
    "func.jacrev, R^64 -> R^64": Workload("rows in a loop", of_layer(rows_in_a_loop)),
    "func.jacfwd, R^64 -> R^64": Workload("rows in a loop", of_layer(rows_in_a_loop)),
    "func.hessian, 32 variables": Workload("Hessian in a loop", of_energy(hessian_in_a_loop)),
}
"""What the vectorised ways are compared with inside one library: the same by one gradient after the other."""
