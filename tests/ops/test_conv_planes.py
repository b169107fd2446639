"""Convolutions from shifted planes are convolutions: against sums written out, and against torch."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from retrograd.ops import conv, conv_planes

SIZES = [(8, 8), (9, 7)]
KERNELS = [(3, 3), (1, 1), (2, 3), (5, 4), (1, 3)]
PADDINGS = [(0, 0), (1, 1), (2, 1), (0, 2), (1, 4)]
DILATIONS = [(1, 1), (2, 1), (1, 2)]
CASES = [
    case
    for case in product(SIZES, KERNELS, PADDINGS, DILATIONS)
    if min(conv.out_sizes(case[0], case[1], (1, 1), *case[2:])) > 0
]


def written_out(x, weight, padding, dilation, places):
    """Convolve place by place of the kernel, as the definition of a convolution has it."""
    padded = np.pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)))
    made = np.zeros((x.shape[0], weight.shape[0], *places))
    for i, j in np.ndindex(*weight.shape[2:]):
        top, left = i * dilation[0], j * dilation[1]
        part = padded[:, :, top : top + places[0], left : left + places[1]]
        made += np.einsum("nchw,oc->nohw", part, weight[:, :, i, j])
    return made


@pytest.fixture(params=[2**17, 300, 1], ids=["one block", "blocks of rows", "single rows"])
def block(request, monkeypatch):
    monkeypatch.setattr(conv_planes, "_BLOCK", request.param)


@pytest.mark.parametrize(("sizes", "kernel", "padding", "dilation"), CASES)
def test_each_map_is_the_convolution_or_its_adjoint(block, sizes, kernel, padding, dilation):
    rng = np.random.default_rng(0)
    places = conv.out_sizes(sizes, kernel, (1, 1), padding, dilation)
    x, weight = rng.normal(size=(3, 2, *sizes)), rng.normal(size=(4, 2, *kernel))
    ct, t = rng.normal(size=(3, 4, *places)), rng.normal(size=(4, 2, *kernel))
    kept = [a.copy() for a in (x, weight, ct)]
    made = conv_planes.forward(x, weight, padding, dilation, places)
    np.testing.assert_allclose(
        made, written_out(x, weight, padding, dilation, places), rtol=1e-11, atol=1e-11
    )
    x_ct = conv_planes.backward(ct, weight, sizes, padding, dilation)
    weight_ct = conv_planes.weight_ct(ct, x, kernel, padding, dilation)
    assert x_ct.shape == x.shape
    assert weight_ct.shape == weight.shape
    y = rng.normal(size=x.shape)
    pushed = written_out(y, weight, padding, dilation, places)
    np.testing.assert_allclose(np.vdot(x_ct, y), np.vdot(ct, pushed), rtol=1e-10)
    pushed = written_out(x, t, padding, dilation, places)
    np.testing.assert_allclose(np.vdot(weight_ct, t), np.vdot(ct, pushed), rtol=1e-10)
    for before, after in zip(kept, (x, weight, ct), strict=True):
        np.testing.assert_array_equal(before, after)


def test_memory_in_another_order_is_read_right():
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(3, 8, 9, 2)).transpose(0, 3, 1, 2), rng.normal(size=(3, 3, 2, 4)).T
    ct = rng.normal(size=(8, 9, 4, 3)).transpose(3, 2, 0, 1)
    args = ((1, 1), (1, 1))
    dense = [np.ascontiguousarray(a) for a in (x, weight, ct)]
    for given, other in (
        (conv_planes.forward(x, weight, *args, (8, 9)), conv_planes.forward(*dense[:2], *args, (8, 9))),
        (
            conv_planes.backward(ct, weight, (8, 9), *args),
            conv_planes.backward(dense[2], dense[1], (8, 9), *args),
        ),
        (
            conv_planes.weight_ct(ct, x, (3, 3), *args),
            conv_planes.weight_ct(dense[2], dense[0], (3, 3), *args),
        ),
    ):
        np.testing.assert_array_equal(given, other)


def test_which_convolutions_are_served():
    x, weight = np.ones((2, 3, 8, 8)), (4, 3, 3, 3)
    assert conv_planes.serves(x, weight, (1, 1), 1, (8, 8))
    assert not conv_planes.serves(x, weight, (2, 1), 1, (4, 8))
    assert not conv_planes.serves(x, weight, (1, 1), 3, (8, 8))
    assert not conv_planes.serves(x, weight, (1, 1), 1, (4, 4))
    assert not conv_planes.serves(x[:0], weight, (1, 1), 1, (8, 8))
    assert not conv_planes.serves(x, (0, 3, 3, 3), (1, 1), 1, (8, 8))
    assert not conv_planes.serves(x, (4, 3, 3), (1,), 1, (64,))


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
@pytest.mark.parametrize(("padding", "dilation"), [((1, 1), (1, 1)), ((0, 3), (2, 1))])
def test_equals_torch(torch_or_skip, dtype, padding, dilation):
    import retrograd

    rng = np.random.default_rng(0)
    shapes = [(4, 3, 10, 12), (5, 3, 3, 3), (5,)]
    arrays = [(rng.normal(size=s) + (1j * rng.normal(size=s) if dtype[0] == "c" else 0)).astype(dtype)
              for s in shapes]  # fmt: skip
    found = []
    for library in (retrograd, torch_or_skip):
        x, weight, bias = (library.from_numpy(a.copy()).requires_grad_() for a in arrays)
        made = library.nn.functional.conv2d(x, weight, bias, padding=padding, dilation=dilation)
        (made * made.conj()).sum().real.backward()
        found.append([a.detach().numpy() for a in (made, x.grad, weight.grad, bias.grad)])
    for ours, theirs in zip(*found, strict=True):
        assert ours.dtype == theirs.dtype
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours / scale, theirs / scale, atol=1e-13 if dtype == "float64" else 2e-6)
