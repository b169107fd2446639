"""A batching rule gives what a loop over the batch gives."""

from __future__ import annotations

import pytest
from ops.checks import check_batching

import retrograd.ops.table  # noqa: F401 - fills TABLE
from retrograd.ops.declare import TABLE


@pytest.mark.parametrize("name", TABLE)
def test_batch_equals_loop(name):
    op = TABLE[name]
    for sample in op.samples():
        check_batching(op, sample)
