"""Running the same program as it is and compiled, from the same start."""

from __future__ import annotations

import warnings

import numpy as np

import retrograd as torch


def close(a, b, path="", rtol=2e-5, atol=2e-6):
    """Assert that two results are alike in structure, type, dtype, shape and, nearly, in their elements."""
    assert type(a) is type(b), (path, type(a), type(b))
    if isinstance(a, torch.Tensor):
        assert a.dtype is b.dtype, path
        assert a.shape == b.shape, path
        np.testing.assert_allclose(
            a.detach().to(torch.float64).numpy() if a.dtype is torch.bfloat16 else a.detach().numpy(),
            b.detach().to(torch.float64).numpy() if b.dtype is torch.bfloat16 else b.detach().numpy(),
            rtol=rtol, atol=atol, err_msg=path,
        )  # fmt: skip
        assert a.requires_grad == b.requires_grad, path
    elif isinstance(a, dict):
        assert list(a) == list(b), path
        for k in a:
            close(a[k], b[k], f"{path}[{k!r}]", rtol, atol)
    elif isinstance(a, (tuple, list)):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            close(x, y, f"{path}[{i}]", rtol, atol)
    else:
        assert a == b or (a != a and b != b), (path, a, b)


def alike(make, calls=4, forms=1, **tolerance):
    """Compare calls of a function as it is with calls of it compiled.

    `make` returns (function, arguments of call k, everything to be compared); it is called twice. The
    compiled one must not fall back, and must have `forms` compiled forms at the end.
    """
    outcomes = []
    for compiled in (False, True):
        torch.manual_seed(3)
        function, arguments, watched = make()
        if compiled:
            function = torch.compile(function, fullgraph=True)
        results = []
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            for k in range(calls):
                results.append(snapshot(function(*arguments(k))))
                results.append(snapshot(watched()))
        outcomes.append(results)
    for k, (eager, made) in enumerate(zip(*outcomes, strict=True)):
        close(made, eager, f"call {k // 2} {'state' if k % 2 else 'result'}: ", **tolerance)
    if forms is not None:
        assert len(function.state.entries) == forms, function.explain()
    return function


def snapshot(tree):
    """Return a copy of nested results."""
    if isinstance(tree, torch.Tensor):
        copy = tree.detach().clone()
        return copy.requires_grad_() if tree.requires_grad else copy
    if isinstance(tree, dict):
        return {k: snapshot(v) for k, v in tree.items()}
    if isinstance(tree, (tuple, list)):
        parts = [snapshot(v) for v in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return tree


def grads(parameters):
    """Return the gradients of parameters."""
    return [p.grad for p in parameters]


def versions(tensors):
    """Return how often each tensor was written to."""
    return [t._version for t in tensors]
