"""A program that is built computes what it says, writes updates in place and gives arrays of its own."""

from __future__ import annotations

import numpy as np
import pytest

from retrograd.arrays import trace
from retrograd.native import build


def test_an_update_is_written_after_its_old_value_was_read():
    p, g = np.array([1.0, 2.0]), np.array([0.5, 0.5])
    step = build(trace(lambda p, g: (p - 0.1 * g, p * 2), p, g), {0: 0})
    new, doubled = step(p, g)
    assert new is p
    np.testing.assert_allclose(p, [0.95, 1.95])
    np.testing.assert_allclose(doubled, [2.0, 4.0])


def test_results_do_not_share_the_memory_of_inputs():
    x = np.arange(6.0).reshape(2, 3)
    same, turned = build(trace(lambda x: (x, x.T), x))(x)
    assert not np.may_share_memory(same, x)
    assert not np.may_share_memory(turned, x)


def test_arrays_of_another_shape_are_refused():
    x = np.ones(3)
    with pytest.raises(TypeError, match=r"f64\[3\]"):
        build(trace(lambda x: (x + 1,), x))(np.ones(4))
