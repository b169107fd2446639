"""Lazy modules become what torch's become at the first input, with the same initial values."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from paired_modules import oracle

import retrograd
from retrograd.nn.parameter import UninitializedParameter

pytestmark = oracle
SHAPES = {"Linear": (4, 3), "1d": (2, 6, 5), "2d": (2, 6, 5, 5), "3d": (2, 6, 5, 5, 5)}


def shape_of(name):
    return next(s for end, s in SHAPES.items() if name.endswith(end))


CASES = {
    "LazyLinear": [(5,), (5, False)],
    **{f"LazyConv{d}d": [(4, 2), (4, 3, 1, 1, 1, 2, False)] for d in (1, 2, 3)},
    **{f"LazyConvTranspose{d}d": [(4, 2), (4, 3, 2, 1, 1, 2, False)] for d in (1, 2, 3)},
    **{f"LazyBatchNorm{d}d": [(), (1e-4, 0.2, False)] for d in (1, 2, 3)},
    **{f"LazyInstanceNorm{d}d": [(1e-4, 0.2, True, True)] for d in (1, 2, 3)},
}


@pytest.mark.parametrize("name", CASES)
def test_the_first_input_decides(name, torch_or_skip):
    for args in CASES[name]:
        x = np.random.default_rng(0).standard_normal(shape_of(name)).astype(np.float32)
        seen = []
        for m in (torch_or_skip, retrograd):
            m.manual_seed(0)
            layer = getattr(m.nn, name)(*args)
            before, unsized = repr(layer), layer.has_uninitialized_params()
            y = layer(m.tensor(x))
            state = {k: v.detach().numpy() for k, v in layer.state_dict().items()}
            seen.append((before, unsized, repr(layer), type(layer).__name__, y.detach().numpy(), state))
        for want, got in zip(seen[0][:4], seen[1][:4], strict=True):
            assert got == want
        np.testing.assert_allclose(seen[1][4], seen[0][4], rtol=1e-4, atol=1e-5)
        assert list(seen[1][5]) == list(seen[0][5])
        for key, want in seen[0][5].items():
            np.testing.assert_allclose(seen[1][5][key], want, rtol=1e-5, atol=1e-6)


def test_loading_gives_the_shape_too():
    nn = retrograd.nn
    for lazy, plain in ((nn.LazyLinear(2), nn.Linear(3, 2)), (nn.LazyBatchNorm2d(), nn.BatchNorm2d(4))):
        assert str(lazy.load_state_dict(plain.state_dict())) == "<All keys matched successfully>"
        assert not lazy.has_uninitialized_params() and (lazy.weight == plain.weight).all()
    layer = nn.LazyLinear(2)
    other = copy.deepcopy(layer)
    other.load_state_dict(nn.Linear(3, 2).state_dict())
    assert layer.has_uninitialized_params() and not other.has_uninitialized_params()
    layer.load_state_dict(nn.Linear(3, 2).state_dict())
    assert layer(retrograd.ones(1, 3)).shape == (1, 2) and layer.in_features == 3 and type(layer) is nn.Linear


def test_before_the_first_input_parameters_refuse_to_be_used():
    layer = retrograd.nn.LazyLinear(2).double()
    assert isinstance(layer.weight, UninitializedParameter) and layer.weight.dtype is retrograd.float64
    assert repr(layer.weight) == "<UninitializedParameter>" and layer.weight.requires_grad
    with pytest.raises(RuntimeError, match="Can't access the shape"):
        _ = layer.weight.shape
    with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter"):
        layer.weight + 1
    again = copy.deepcopy(layer)
    assert again(retrograd.ones(1, 3, dtype=retrograd.float64)).dtype is retrograd.float64
    assert layer.has_uninitialized_params() and again.weight.shape == (2, 3)
    optimizer = retrograd.optim.SGD(layer.parameters(), lr=0.1)
    layer(retrograd.ones(1, 3, dtype=retrograd.float64)).sum().backward()
    optimizer.step()
    assert optimizer.param_groups[0]["params"][0] is layer.weight


def test_mistakes():
    with pytest.raises(RuntimeError, match="Expected 3D"):
        retrograd.nn.LazyConv2d(3, 2)(retrograd.ones(2, 4))
    with pytest.raises(ValueError, match="expected 4D input"):
        retrograd.nn.LazyBatchNorm2d()(retrograd.ones(2, 4))
    with pytest.raises(ValueError, match="divisible by groups"):
        retrograd.nn.LazyConv2d(3, 2, groups=2)
