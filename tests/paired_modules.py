"""Pairs of modules, torch's and ours, compared in what they make of the same input."""

from __future__ import annotations

import numpy as np
import pytest

import retrograd

try:
    import torch
except ImportError:
    torch = None
oracle = pytest.mark.skipif(torch is None, reason="torch is not here to compare with")


def seeds(number):
    torch.manual_seed(number)
    retrograd.manual_seed(number)


def normal(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in shapes]


def causal(size):
    return np.triu(np.ones((size, size), bool), 1)


def pair(name, *args, **kwargs):
    """Return torch's module and ours in double, both with torch's values, no longer at 0 or 1."""
    theirs, ours = (getattr(m.nn, name)(*args, **kwargs).to(m.float64) for m in (torch, retrograd))
    rng = np.random.default_rng(9)
    with torch.no_grad():
        for p in theirs.parameters():
            p.add_(torch.tensor(0.3 * rng.normal(size=p.shape)))
    state = {k: retrograd.tensor(v.numpy()) for k, v in theirs.state_dict().items()}
    assert str(ours.load_state_dict(state)) == "<All keys matched successfully>"
    back = {k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()}
    assert str(theirs.load_state_dict(back)) == "<All keys matched successfully>"
    return theirs, ours


def _given(module, inputs, kwargs):
    """Return the inputs, the same tensor for the same array, these tensors once each, and the options."""
    made = {id(a): module.tensor(a).requires_grad_() for a in inputs}
    options = {k: module.tensor(v) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()}
    return [made[id(a)] for a in inputs], list(made.values()), options


def _outcome(module, model, inputs, kwargs):
    """Return all results, and the gradients of inputs and parameters, as inputs."""
    xs, leaves, options = _given(module, inputs, kwargs)
    module.manual_seed(3)
    made = model(*xs, **options)
    results = [x for x in (made if isinstance(made, tuple) else (made,)) if x is not None]
    model.zero_grad()
    sum((x.sin() * (i + 1)).sum() for i, x in enumerate(results)).backward()
    grads = [x.grad for x in (*leaves, *model.parameters())]
    return [x.detach().numpy() for x in results], [None if g is None else g.numpy() for g in grads]


def compare(theirs, ours, inputs, **kwargs):
    wanted, found = (_outcome(m, x, inputs, kwargs) for m, x in ((torch, theirs), (retrograd, ours)))
    assert len(found[0]) == len(wanted[0])
    for want, have in zip(wanted[0] + wanted[1], found[0] + found[1], strict=True):
        assert (have is None) == (want is None)
        if want is not None:
            assert have.shape == want.shape
            np.testing.assert_allclose(have, want, rtol=1e-9, atol=1e-11)


def _failure(call):
    with pytest.raises(Exception) as caught:
        call()
    return type(caught.value).__mro__, str(caught.value)


def compare_failures(call):
    kind, text = _failure(lambda: call(torch))
    found, ours = _failure(lambda: call(retrograd))
    assert ours == text
    assert kind[0] in found
