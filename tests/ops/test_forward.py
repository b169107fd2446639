"""Forward rules are the derivative, and reverse rules their transpose."""

from __future__ import annotations

import pytest
from ops.checks import check_forward

import retrograd.ops.table  # noqa: F401 - fills TABLE
from retrograd.ops.declare import TABLE


@pytest.mark.parametrize("name", TABLE)
def test_forward_rule_equals_difference_quotient_and_transposed_reverse_rule(name):
    op = TABLE[name]
    for sample in op.samples():
        check_forward(op, sample)
