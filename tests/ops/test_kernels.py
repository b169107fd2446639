"""The fast paths beside definitions are the definitions: kernels, and Python numbers as 0-dim arrays."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest

import retrograd as torch
from retrograd.autograd.dispatch import plain
from retrograd.ops.declare import TABLE
from retrograd.ops.numbers import Numbers, number, single

KERNELS = [name for name, op in TABLE.items() if op.kernel is not None]
NUMBERS = [2, -3, 0.1, 0, 0.0, -0.0, 1e-45, 1e300, -math.inf, math.nan, 2**24 + 1, 10**30]
SPECIAL = [1.5, -2.0, 0.0, -0.0, math.inf, -math.inf, math.nan]


def same_bits(a, b):
    """Whether two arrays have the same dtype, shape, values and signs (of zeros too)."""
    return (
        a.dtype == b.dtype
        and np.array_equal(a, b, equal_nan=True)
        and np.array_equal(np.signbit(a) | np.isnan(a), np.signbit(b) | np.isnan(b))
    )


def test_there_are_kernels():
    assert {"add", "sub", "mul", "div", "tanh", "exp", "neg"} <= set(KERNELS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_gives_what_the_definition_gives(name, dtype):
    op = TABLE[name]
    operands = [p for p in op.parameters if not p.is_static]
    values = np.array(SPECIAL, dtype)
    cases = list(itertools.product(values, repeat=len(operands)))
    columns = [np.array(column, dtype) for column in zip(*cases, strict=True)]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        assert same_bits(np.asarray(op.kernel(*columns)), np.asarray(op.definition(*columns)))
        for column in zip(*columns, strict=True):
            zero_dim = [np.array(x) for x in column]
            assert same_bits(np.asarray(op.kernel(*zero_dim)), np.asarray(op.definition(*zero_dim)))


@pytest.mark.parametrize("value", NUMBERS)
@pytest.mark.parametrize("name", ["add", "sub", "mul", "div"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_number_computes_as_the_readable_dispatch_has_it(name, value, dtype):
    op = TABLE[name]
    x = torch.tensor(SPECIAL, dtype=dtype, requires_grad=True)
    statics = tuple(p.default for p in op.parameters if p.is_static)
    ct = torch.ones(len(SPECIAL), dtype=dtype)
    with np.errstate(all="ignore"):
        for _ in range(2):  # the second time the array is there already
            made, expected = op.function(x, value), plain(op, (x, value, *statics))
            assert same_bits(made.numpy(force=True), expected.numpy(force=True))
            (grad,) = torch.autograd.grad(made, x, ct, create_graph=True)
            (wanted,) = torch.autograd.grad(expected, x, ct)
            assert same_bits(grad.numpy(force=True), wanted.numpy(force=True))
            written = op.function(x.detach().clone(), value)
            in_place = getattr(x.detach().clone(), f"{name}_")(value)
            assert same_bits(in_place.numpy(), written.numpy())


def test_a_number_too_large_for_a_float_is_refused():
    with pytest.raises(OverflowError):
        torch.ones(2) + 10**400


def test_alpha_that_is_no_integer_takes_the_definition():
    x = torch.ones(2)
    assert torch.add(x, 3, alpha=1.0).tolist() == [4.0, 4.0]
    assert torch.add(x, 3, alpha=2).tolist() == [7.0, 7.0]
    with pytest.raises(RuntimeError, match="Boolean alpha only supported for Boolean results"):
        torch.add(x, x, alpha=True)


def test_a_broadcast_operand_without_gradient_leaves_the_cotangent_alone():
    x = torch.ones(2, 3, requires_grad=True)
    (x * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [[1.0, 2.0, 3.0]] * 2
    y = torch.ones(3, requires_grad=True)
    (y * torch.ones(2, 3)).sum().backward()
    assert y.grad.tolist() == [2.0] * 3


def test_kept_numbers_cannot_be_written_to():
    x = torch.ones(2, requires_grad=True)
    saved = (x * 7).grad_fn._saved_other
    with pytest.raises(RuntimeError, match="read-only"):
        saved.add_(1)
    assert (x * 7).tolist() == [7.0, 7.0]


def test_the_kept_numbers_do_not_grow_without_bound():
    kept = Numbers(np.float32)
    for value in range(1, 5000):
        assert kept[value] == np.float32(value)
    assert len(kept) <= 1000
    kept[math.nan]
    assert not any(math.isnan(key) for key in kept)
    assert math.copysign(1, kept[-0.0]) == -1
    assert math.copysign(1, kept[0.0]) == 1
    assert len(single) <= 1000


def test_constants_of_rules_have_the_dtype_of_their_array():
    for dtype in (np.float32, np.float64):
        assert number(1, np.ones(3, dtype)).dtype == dtype
        assert number(0, np.ones(3, dtype)) is number(0, np.ones(2, dtype))
    assert number(1, np.ones(3, np.complex64)).__class__ is int
    assert number(1, torch.ones(3)).__class__ is int


@pytest.mark.parametrize("count", [3, 100])
def test_sizes_that_choose_another_path_give_the_same(torch_or_skip, count):
    """Both sides of the sizes at which losses compute rows as columns, or in one slow loop."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(4, count)) * 30).astype(np.float32)
    x[0, :2] = [np.inf, -np.inf]
    classes, probabilities = rng.integers(count, size=4), rng.random((4, count)).astype(np.float32)
    for name, target, score in (
        ("cross_entropy", classes, x[1:]),
        ("cross_entropy", classes, np.abs(x[1:]) * 1e4),
        ("binary_cross_entropy_with_logits", probabilities, x),
        ("binary_cross_entropy_with_logits", probabilities, x[1:]),
    ):
        for reduction in ("mean", "sum", "none"):
            found = []
            for library in (torch, torch_or_skip):
                scores = library.from_numpy(score.copy()).requires_grad_()
                right = library.from_numpy(target[-len(score) :].copy())
                loss = getattr(library.nn.functional, name)(scores, right, reduction=reduction)
                loss.sum().backward()
                found += [loss.detach().numpy(), scores.grad.numpy()]
            np.testing.assert_allclose(found[0], found[2], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(found[1], found[3], rtol=1e-5, atol=1e-6)
