"""Rules can be differentiated themselves."""

from __future__ import annotations

import pytest
from ops.checks import check_second

import retrograd.ops.table  # noqa: F401 - fills TABLE
from retrograd.ops.declare import TABLE


@pytest.mark.parametrize("name", TABLE)
def test_gradient_of_gradient_equals_difference_quotient(name):
    op = TABLE[name]
    for sample in op.samples():
        check_second(op, sample)
