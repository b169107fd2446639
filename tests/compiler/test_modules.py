"""Every module of nn, compiled, gives the results, gradients and buffers that it gives as it is."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from compiler.both import close

import retrograd as torch

oracle = pytest.importorskip("nn.test_modules_oracle", exc_type=ImportError)

DEPENDS_ON_ELEMENTS = {"AdaptiveMaxPool2d", "RReLU", "GaussianNLLLoss"}


def flat(tree):
    if isinstance(tree, (tuple, list)):
        for item in tree:
            yield from flat(item)
    elif tree is not None:
        yield tree


def outcome(compiled, name, args, kwargs, inputs):
    """Return results, gradients and buffers of two calls of a module."""
    oracle._seeds(5)
    module = getattr(torch.nn, name)(*args, **kwargs)
    xs = [oracle._ours(oracle._input(kind)) for kind in inputs]
    function = torch.compile(module, fullgraph=True) if compiled else module
    torch.manual_seed(3)
    found = []
    for _ in range(2):
        results = list(flat(function(*xs)))
        live = [r.sin().sum() for r in results if r.requires_grad]
        if live:
            sum(live[1:], live[0]).backward()
        found += [r.detach() for r in results]
    grads = [x.grad for x in (*xs, *module.parameters()) if x.requires_grad and x.grad is not None]
    return found + grads + [b.clone() for b in module.buffers()]


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "inputs"),
    oracle.CASES,
    ids=[f"{c[0]}-{i}" for i, c in enumerate(oracle.CASES)],
)
def test_module(name, args, kwargs, inputs):
    if name in DEPENDS_ON_ELEMENTS or kwargs.get("momentum", 0) is None:
        pytest.skip("what it does depends on elements")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.random.seed(0)  # noqa: NPY002 - what the other test's inputs are drawn with
        wanted = outcome(False, name, args, kwargs, inputs)
        np.random.seed(0)  # noqa: NPY002
        found = outcome(True, name, args, kwargs, inputs)
    close(found, wanted, rtol=1e-3, atol=1e-4)
