"""Applying declarations to arrays: arguments, tangents, cotangents, batches."""

from __future__ import annotations

import numpy as np
import pytest

import retrograd.ops.table  # noqa: F401 - fills TABLE
from retrograd.ops.apply import batched, bind, jvp, vjp
from retrograd.ops.declare import TABLE
from retrograd.ops.helpers import unbroadcast

X = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
Y = np.array([2.0, -1.0, 0.5])


def test_arguments_are_bound_in_the_declared_order():
    add = TABLE["add"]
    assert [p.name for p in add.parameters] == ["input", "other", "alpha"]
    assert bind(add, (1, 2), {}) == [1, 2, 1]
    assert bind(add, (1,), {"alpha": 3, "other": 2}) == [1, 2, 3]
    with pytest.raises(TypeError, match="add: argument 'other' is missing"):
        bind(add, (1,), {})
    with pytest.raises(TypeError, match=r"add: unexpected arguments \['beta'\]"):
        bind(add, (1, 2), {"beta": 3})
    with pytest.raises(TypeError, match="add: unexpected arguments"):
        bind(add, (1, 2, 3, 4), {})


def test_tangents_of_products_add_up():
    mul = TABLE["mul"]
    result, tangent = jvp(mul, [X, Y], [np.ones_like(X), 2 * np.ones_like(Y)])
    np.testing.assert_array_equal(result, X * Y)
    np.testing.assert_array_equal(tangent, Y + 2 * X)
    _, only_first = jvp(mul, [X, Y], [np.ones_like(X), None])
    np.testing.assert_array_equal(only_first, np.broadcast_to(Y, X.shape))
    _, broadcast = jvp(mul, [X, Y], [None, np.ones_like(Y)])
    np.testing.assert_array_equal(broadcast, X)
    assert jvp(mul, [X, Y], [None, None])[1] is None


def test_sums_are_linear_in_all_operands_together_products_in_each():
    cat, mm = TABLE["cat"], TABLE["mm"]
    _, tangent = jvp(cat, bind(cat, ([X, X], 0), {}), [[None, 2 * X], None])
    np.testing.assert_array_equal(tangent, np.concatenate([0 * X, 2 * X]))
    _, tangent = jvp(mm, [X, X.T], [np.ones_like(X), np.ones_like(X.T)])
    np.testing.assert_array_equal(tangent, np.ones_like(X) @ X.T + X @ np.ones_like(X.T))


def test_a_complex_op_that_is_not_holomorphic_goes_forward_too():
    z = np.array([3.0 + 4.0j, 1.0 - 1.0j])
    t = np.array([1.0 + 2.0j, 0.5j])
    step = 1e-6
    _, tangent = jvp(TABLE["abs"], [z], [t])
    assert tangent.dtype == np.float64
    np.testing.assert_allclose(tangent, (np.abs(z + step * t) - np.abs(z - step * t)) / (2 * step), rtol=1e-8)


def test_cotangents_take_the_shape_and_dtype_of_their_arguments():
    mul = TABLE["mul"]
    first, second = vjp(mul, [X, Y], np.ones_like(X))
    np.testing.assert_array_equal(first, np.broadcast_to(Y, X.shape))
    np.testing.assert_array_equal(second, X.sum(0))
    of_number = vjp(mul, [X, 2.5], np.ones_like(X))
    np.testing.assert_array_equal(of_number[0], np.full_like(X, 2.5))
    assert of_number[1] is None
    (real, _) = vjp(mul, [X, Y * 1j], np.ones_like(X) * 1j)  # a real argument has a real cotangent
    assert real.dtype == np.float64
    np.testing.assert_array_equal(real, np.broadcast_to(Y, X.shape))


def test_complex_cotangents_follow_torchs_convention():
    z, w, ct = 2.0 + 1.0j, 1.0 - 3.0j, 0.5 + 2.0j
    first, _ = vjp(TABLE["mul"], [np.array(z), np.array(w)], np.array(ct))
    assert first == ct * np.conj(w)


@pytest.mark.parametrize("shape", [(), (3,), (1, 3), (2, 1), (2, 3), (1, 1, 1)[:2]])
def test_unbroadcasting_is_the_adjoint_of_broadcasting(shape):
    x = np.random.default_rng(0).standard_normal(shape)
    ct = np.random.default_rng(1).standard_normal((2, 3))
    found = unbroadcast(ct, shape)
    assert np.shape(found) == shape
    np.testing.assert_allclose(np.sum(found * x), np.sum(ct * np.broadcast_to(x, (2, 3))))


def test_batches_need_one_size():
    mul = TABLE["mul"]
    found = batched(mul, [np.stack([X, 2 * X]), Y], [0, None])
    np.testing.assert_array_equal(found, np.stack([X * Y, 2 * X * Y]))
    with pytest.raises(ValueError, match="mul: one batch size is needed"):
        batched(mul, [X, Y], [None, None])
    with pytest.raises(ValueError, match=r"mul: one batch size is needed; got sizes \[2, 3\]"):
        batched(mul, [X, Y], [0, 0])
