"""What the notes of why_no_grad cost the calls that make them, and the modes for debugging backward.

Run: python benchmarks/debugging_costs.py

Prints microseconds: the smallest of nine runs of each call.
"""

from __future__ import annotations

import timeit
import warnings

import retrograd as torch
from retrograd.autograd import views
from retrograd.autograd.graph import break_on, nan_safe

w = torch.ones(4, requires_grad=True)
cut = w.detach()
plain = torch.ones(4)
loss_value = w.sum()


def no_grad_block():
    with torch.no_grad():
        pass


def backward():
    y = w
    for _ in range(20):
        y = y * plain
    y.sum().backward()


def under(context):
    def run():
        with context():
            backward()

    return run


CALLS = {
    "plain * plain": lambda: plain * plain,
    "cut off * plain (hands the note on)": lambda: cut * plain,
    "w.detach(), w requires grad": w.detach,
    "plain.detach() (nothing to note)": plain.detach,
    "item() of a tensor that requires grad": loss_value.item,
    "entering and leaving no_grad": no_grad_block,
    "the note itself": lambda: views.cut_here("detach", "", w._node),
    "recording and backward of 20 products": backward,
    "the same within nan_safe": under(nan_safe),
    "the same within break_on": under(lambda: break_on("no such node")),
    "the same within detect_anomaly": under(torch.autograd.detect_anomaly),
    "the same with check_forward": under(lambda: torch.autograd.detect_anomaly(check_forward=True)),
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for name, call in CALLS.items():
        number = 50 if "20 products" in name or "the same" in name else 20_000
        print(f"{min(timeit.repeat(call, number=number, repeat=9)) / number * 1e6:9.2f}  {name}")
