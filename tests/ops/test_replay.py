"""Definitions and rules can be recorded as an array program that gives the same when replayed."""

from __future__ import annotations

import pytest
from ops.checks import check_traced

import retrograd.ops.table  # noqa: F401 - fills TABLE
from retrograd.ops.declare import TABLE


@pytest.mark.parametrize("name", TABLE)
def test_program_equals_eager(name):
    op = TABLE[name]
    for sample in op.samples():
        check_traced(op, sample)
