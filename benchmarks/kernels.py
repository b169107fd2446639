"""From which size on kernels beat NumPy: what `large=` stands on (ops/families.py, optim/kernels.py).

For each kind of op: the time of a definition, or of a node's rules, as a kernel, over NumPy's time for the
same; processor time of one thread, alternating, median of the ratios. With --small instead: what having
kernels costs the recorded addition of four numbers, in processes of their own with kernels off and on.

    python benchmarks/kernels.py [--small]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import retrograd
from retrograd import optim
from retrograd.autograd import large
from retrograd.autograd.dispatch import keywords, positional
from retrograd.autograd.pull import pull
from retrograd.native import ondemand, threads
from retrograd.ops.declare import TABLE
from retrograd.optim import kernels as optim_kernels

SIZES = (2**10, 2**12, 2**13, 2**14, 2**15, 2**16, 2**18, 2**20, 2**22)
ROUNDS = 7
WORK = 2**19  # elements per round: small arrays are used again and again

Pair = tuple[Callable[[], Any], Callable[[], Any]]


def ratio(kernel: Callable[[], Any], numpy: Callable[[], Any], size: int) -> float:
    """Return the median of the ratios of two functions' processor times."""
    repeat = max(1, WORK // size)
    found = []
    for _ in range(ROUNDS):
        taken = []
        for function in (kernel, numpy):
            start = time.process_time()
            for _ in range(repeat):
                function()
            taken.append(time.process_time() - start)
        found.append(taken[0] / taken[1])
    return statistics.median(found)


def definition(name: str, *values: Any) -> Pair:
    forward = large.Forward(TABLE[name])
    first = values[forward.first]
    assert forward.kernels(values, first.size) is not None, name
    op = forward.op
    given, named = positional(op, values), keywords(op, values)
    return lambda: forward.kernels(values, first.size), lambda: op.definition(*given, **named)


def rules(name: str, *values: Any) -> Pair:
    op = TABLE[name]
    tensors = [
        retrograd.tensor(v, requires_grad=v.dtype.kind == "f" and p.name in op.rules)
        if isinstance(v, np.ndarray)
        else v
        for p, v in zip(op.parameters, values, strict=True)
    ]
    given = {p.name: t for p, t in zip(op.parameters, tensors, strict=True)}
    node = op.function(**given).grad_fn
    ct = np.ones(op.function(**given).shape, np.float32)
    backward = large.Backward(op)
    assert backward(node, ct, True) is not None, name
    return lambda: backward(node, ct, True), lambda: pull(node, ct, keep=True, recorded=False)


def update(name: str, size: int, **options: Any) -> Pair:
    """Return an optimizer's step on one parameter with kernels, and one without."""

    def step(mode: str) -> Callable[[], Any]:
        parameter = retrograd.nn.Parameter(retrograd.ones(size))
        parameter.grad = retrograd.ones(size)
        optimizer = getattr(optim, name)([parameter], **options)

        def run() -> None:
            optim_kernels.kernels = lambda: mode
            optimizer.step()

        for _ in range(3):
            run()
        return run

    return step("all"), step("0")


def cases(size: int) -> dict[str, Callable[[], Pair]]:
    rng = np.random.default_rng(0)
    width = 2 ** (size.bit_length() // 2)
    x = rng.standard_normal((size // width, width)).astype(np.float32)
    y = np.abs(rng.standard_normal(x.shape)).astype(np.float32)
    classes = rng.integers(0, width, len(x))
    row = np.ones(width, np.float32)
    return {
        "one call: add": lambda: definition("add", x, y, 1),
        "one call: exp": lambda: definition("exp", x),
        "one call: tanh": lambda: definition("tanh", x),
        "one call: mul, rules": lambda: rules("mul", x, y),
        "one call: tanh, rules": lambda: rules("tanh", x),
        "several: relu": lambda: definition("relu", x),
        "several: sigmoid": lambda: definition("sigmoid", x),
        "several: silu, rules": lambda: rules("silu", x),
        "several: gelu": lambda: definition("gelu", x, "none"),
        "several: gelu, rules": lambda: rules("gelu", x, "none"),
        "reduction: sum": lambda: definition("sum", x, None, False, None),
        "reduction: sum over rows": lambda: definition("sum", x, 0, False, None),
        "reduction: var": lambda: definition("var", x, 1, False, 1),
        "rows: softmax": lambda: definition("softmax", x, 1, None),
        "rows: softmax, rules": lambda: rules("softmax", x, 1, None),
        "rows: layer_norm": lambda: definition("layer_norm", x, (width,), row, row, 1e-5),
        "rows: layer_norm, rules": lambda: rules("layer_norm", x, (width,), row, row, 1e-5),
        "rows: cross_entropy": lambda: definition("cross_entropy", x, classes, None, -100, "mean"),
        "rows: mse_loss": lambda: definition("mse_loss", x, y, "mean"),
        "optimizer: SGD, momentum": lambda: update("SGD", size, lr=1e-3, momentum=0.9),
        "optimizer: Adam": lambda: update("Adam", size, lr=1e-3),
    }


SMALL = """
import time, retrograd as torch
a, b = torch.ones(4, requires_grad=True), torch.ones(4)
best = 1.0
for _ in range(15):
    start = time.process_time()
    for _ in range(20000):
        a + b
    best = min(best, time.process_time() - start)
print(best / 20000 * 1e9)
"""


def small() -> None:
    """Print what the recorded addition of four numbers takes without kernels and with them."""
    taken: dict[str, list[float]] = {"0": [], "1": []}
    for _ in range(ROUNDS):
        for mode, times in taken.items():
            environment = {**os.environ, "RETROGRAD_KERNELS": mode}
            command = [sys.executable, "-c", SMALL]
            answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            times.append(float(answer.stdout))
    both = statistics.median(on / off for off, on in zip(taken["0"], taken["1"], strict=True))
    print(
        f"recorded addition of 4 numbers: {min(taken['0']):.0f} ns without kernels, {both:.3f} of that with"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="measure the addition of four numbers")
    if parser.parse_args().small:
        small()
        return
    threads.set_num_threads(1)
    ondemand.kernels = lambda: "all"
    print("elements".ljust(28), *(f"{f'2^{s.bit_length() - 1}':>6}" for s in SIZES))
    for name in cases(SIZES[0]):
        found = []
        for size in SIZES:
            ondemand.clear()
            retrograd.manual_seed(0)
            pair = cases(size)[name]()
            found.append(ratio(*pair, size))
        print(name.ljust(28), *(f"{r:6.2f}" for r in found), flush=True)


if __name__ == "__main__":
    main()
