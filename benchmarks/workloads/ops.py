"""The price of one small operation: no arithmetic to speak of, all of it dispatch and recording."""

from __future__ import annotations

from typing import Any

from workloads import Compile, Step, Workload

ADDITIONS = 2000
OPS = 1000  # in the chain


def recorded_add(torch: Any, compile: Compile) -> Step:
    del compile
    a = torch.ones(4, requires_grad=True)
    b = torch.ones(4, requires_grad=True)

    def step() -> None:
        for _ in range(ADDITIONS):
            a + b

    return step


def plain_add(torch: Any, compile: Compile) -> Step:
    del compile
    a, b = torch.ones(4), torch.ones(4)

    def step() -> None:
        for _ in range(ADDITIONS):
            a + b

    return step


def chain(torch: Any, compile: Compile) -> Step:
    del compile
    x = torch.linspace(-1, 1, 10).requires_grad_()
    b = torch.full((10,), 0.1)

    def step() -> None:
        x.grad = None
        h = x
        for _ in range(OPS // 2):
            h = (h + b).tanh()
        h.sum().backward()

    return step


WORKLOADS = [
    Workload("add, recorded, 4 elements", recorded_add, repeat=ADDITIONS, target=0.6),
    Workload("add, not recorded, 4 elements", plain_add, repeat=ADDITIONS),
    Workload("chain of 1,000 ops, forward + backward", chain, target=0.7),
]
